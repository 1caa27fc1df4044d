"""Time a training step with XLA's convolutions and with ours, taking turns.

python -m experiments.benchmarks.conv --batch=256 --steps=10

GLIBC_TUNABLES=glibc.malloc.hugetlb=1 in front of it lets XLA compute in large pages.

The step is that of MoPoE on noise shaped like PolyMNIST: the published encoders and
decoders, one latent per example, Laplace likelihood, Adam. Each lowering runs as a loop
over steps and inside `lax.scan`. All programs are compiled first and then take turns;
whatever else the machine does meets them alike, so believe the ratios more than the
seconds, and run it on an idle machine all the same.
"""

import os
import platform
import resource
import statistics
import sys
import time
from unittest import mock

import jax
import jax.numpy as jnp
import optax
from jax import lax

from experiments.arguments import at_least, one_line_errors, parser_of, results_file
from experiments.results import store, tables
from repr_jax import losses
from repr_jax.models import conv, vae
from repr_jax.models.multimodal_vae import MultimodalVAE


def xla_conv(x, kernel, *, strides, padding):
    """`conv.conv` by XLA on every backend."""
    pads = [(p, p) for p in padding]
    return lax.conv_general_dilated(
        x, kernel, strides, pads, dimension_numbers=conv.LAYOUT
    )


def xla_conv_transpose(x, kernel, *, strides, padding, output_padding):
    """`conv.conv_transpose` by XLA on every backend."""
    pads = [
        (k - 1 - p, k - 1 - p + op)
        for k, p, op in zip(kernel.shape, padding, output_padding)
    ]
    return lax.conv_general_dilated(
        x, kernel, (1, 1), pads, lhs_dilation=strides, dimension_numbers=conv.LAYOUT
    )


LOWERINGS = {
    "xla": dict(conv=xla_conv, conv_transpose=xla_conv_transpose),
    "ours": dict(conv=conv.conv, conv_transpose=conv.conv_transpose),
}


def make_step(args):
    """(state, images) -> (state, loss), and a function that makes both arguments."""
    model = MultimodalVAE(
        tuple(vae.ConvEncoder(args.latent_dim) for _ in range(args.modalities)),
        tuple(vae.ConvDecoder() for _ in range(args.modalities)),
    )
    optimizer = optax.adam(5e-4)

    def loss(params, images, key):
        posterior = model.apply(params, images, train=True, method="encode")

        def decode(z):
            return model.apply(params, z, train=True, method="decode")

        return losses.mopoe(key, images, *posterior, decode, beta=2.5)

    def step(state, images):
        params, opt_state, key = state
        key, loss_key = jax.random.split(key)
        value, grads = jax.value_and_grad(loss)(params, images, loss_key)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state, key), value

    @jax.jit
    def start():
        keys = jax.random.split(jax.random.key(0), args.modalities + 1)
        shape = (args.batch, 28, 28, 3)
        images = tuple(jax.random.uniform(key, shape) for key in keys[1:])
        params = model.init(keys[0], tuple(x[:1] for x in images), train=True)
        return (params, optimizer.init(params), keys[0]), images

    return step, start


class Program:
    """One compiled way to take steps, with its state and its times."""

    def __init__(self, args, lowering, scanned):
        self.name = f"{lowering}, {'in scan' if scanned else 'loop'}"
        self.slow = scanned and lowering == "xla"
        self.num_steps = args.scan if scanned else 1
        self.seconds, self.cpu_seconds = [], []
        with mock.patch.multiple(conv, **LOWERINGS[lowering]):
            step, start = make_step(args)

            def scan(state, images):
                return lax.scan(
                    lambda state, _: step(state, images), state, length=args.scan
                )

            self.state, self.images = start()
            jitted = jax.jit(scan if scanned else step, donate_argnums=0)
            began = time.perf_counter()
            self.run = jitted.lower(self.state, self.images).compile()
            self.compile_seconds = time.perf_counter() - began
        self.loss = None

    def take_turn(self, record=True):
        """One call, timed per step: seconds, and processor seconds of all threads."""
        began, cpu_began = time.perf_counter(), time.process_time()
        self.state, loss = jax.block_until_ready(self.run(self.state, self.images))
        if record:
            self.seconds.append((time.perf_counter() - began) / self.num_steps)
            self.cpu_seconds.append((time.process_time() - cpu_began) / self.num_steps)
        elif self.loss is None:
            self.loss = float(jnp.ravel(loss)[0])  # the first, equal for all programs


def table(programs) -> tables.Table:
    """The measurements; ratios are to the first program's, within each turn."""
    base, rows = programs[0], []
    for program in programs:
        ratios = [a / b for a, b in zip(base.seconds, program.seconds)]
        cpu = min(program.cpu_seconds)
        rows.append(
            (
                program.name,
                min(program.seconds),
                statistics.median(program.seconds),
                cpu,
                statistics.median(ratios),
                min(base.cpu_seconds) / cpu,
                program.run.memory_analysis().temp_size_in_bytes / 2**20,
                program.compile_seconds,
                program.loss,
            )
        )
    columns = {
        "program": "",
        "seconds a step, best": ".3f",
        "median": ".3f",
        "processor seconds": ".3f",
        "speed-up": ".2f",
        "of processor time": ".2f",
        "temporaries, MiB": ".0f",
        "compiling, s": ".1f",
        "loss": ".2f",
    }
    return tables.Table(tuple(columns), rows, tuple(columns.values()))


def main():
    parser = parser_of("experiments.benchmarks.conv", __doc__)
    parser.add_argument(
        "--batch", type=at_least(1), default=256, help="examples per step"
    )
    parser.add_argument(
        "--steps", type=at_least(1), default=10, help="timed turns of each"
    )
    parser.add_argument("--modalities", type=at_least(1), default=5)
    parser.add_argument("--latent_dim", type=at_least(1), default=512)
    parser.add_argument(
        "--scan", type=at_least(0), default=2, help="steps in a scan; 0: none"
    )
    parser.add_argument("--only", choices=tuple(LOWERINGS), help="one lowering alone")
    parser.add_argument("--out", type=results_file, help="a .json of results to write")
    args = parser.parse_args()
    device = jax.devices()[0]
    print(
        f"{args.modalities} modalities, latent {args.latent_dim}, batch {args.batch}; "
        f"jax {jax.__version__}, {device.platform} {device.device_kind}, "
        f"{platform.machine()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f} at the start",
        flush=True,
    )
    kinds = [("xla", False), ("ours", False)]
    kinds += [("ours", True), ("xla", True)] if args.scan else []
    kinds = [kind for kind in kinds if args.only in (None, kind[0])]
    programs = [Program(args, *kind) for kind in kinds]
    for program in programs:
        program.take_turn(record=False)
    for turn in range(args.steps):
        # In a scan the gradients of XLA's convolutions are slow: two turns must do.
        for program in programs:
            if turn < 2 or not program.slow:
                program.take_turn()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    note = f"Peak resident memory of all programs together {peak:.0f} MiB."
    content = [table(programs), note]
    print(f"{tables.markdown(content[0])}\n{note}")
    if args.out:
        with one_line_errors(parser):
            store.write(
                args.out,
                title="Convolutions on a CPU",
                command=store.command_line("experiments.benchmarks.conv", sys.argv[1:]),
                seeds=[0],
                content=content,
            )


if __name__ == "__main__":
    main()
