"""Time and memory of a contrastive loss, all pairs at once, in blocks, round a ring.

python -m experiments.benchmarks.contrastive --batch=4096 --turns=5

Value and gradient of `info_nce` by both views, float32. All programs are compiled first
and then take turns, so that whatever else the machine does meets them alike; on a busy
one believe processor time and its ratios. "Whole" programs hold the batch on one
device, the others split it over devices that share the host's cores; temporaries are
those of one device. Then, in a process of its own, the large batch alone, all pairs of
which would not fit: what counts there is the peak resident memory.
"""

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from experiments.arguments import at_least, one_line_errors, parser_of, results_file
from experiments.results import store, tables
from repr_jax import losses, sharding


def draw(batch, dim):
    """Two views of unit Gaussians, made on the device."""
    return jax.jit(lambda: jax.random.normal(jax.random.key(0), (2, batch, dim)))()


def whole(chunk_size):
    return jax.value_and_grad(
        partial(losses.info_nce, chunk_size=chunk_size), argnums=(0, 1)
    )


def split(chunk_size, ring, devices):
    """Gradients by the views need no mean: each row is on one device alone."""
    mesh = sharding.make_mesh(devices)
    options = dict(axis_name="data", chunk_size=chunk_size, ring=ring)
    loss = jax.shard_map(
        partial(losses.info_nce, **options),
        mesh=mesh,
        in_specs=P("data"),
        out_specs=P(),
    )
    return jax.value_and_grad(loss, argnums=(0, 1))


class Program:
    """One compiled way to the value and the gradient, with its times."""

    def __init__(self, name, function, views):
        self.name, self.views = name, views
        self.seconds, self.cpu_seconds = [], []
        self.run = jax.jit(function).lower(*views).compile()

    def take_turn(self):
        """Timed: seconds, and processor seconds of all threads."""
        began, cpu_began = time.perf_counter(), time.process_time()
        self.value, self.gradient = jax.block_until_ready(self.run(*self.views))
        self.seconds.append(time.perf_counter() - began)
        self.cpu_seconds.append(time.process_time() - cpu_began)


COLUMNS = {
    "seconds, best": ".3f",
    "median": ".3f",
    "processor seconds": ".3f",
    "ratio": ".2f",
    "temporaries, MiB": ".1f",
    "error of value": ".1e",
    "error of gradient": ".1e",
}


def row(program, dense):
    """Ratios are of processor time, errors relative to the value and largest entry."""
    error = max(
        float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))
        for a, b in zip(program.gradient, dense.gradient)
    )
    return (
        program.name,
        min(program.seconds),
        statistics.median(program.seconds),
        min(program.cpu_seconds),
        min(program.cpu_seconds) / min(dense.cpu_seconds),
        program.run.memory_analysis().temp_size_in_bytes / 2**20,
        float(abs(program.value / dense.value - 1)),
        error,
    )


def compare(args) -> tables.Table:
    """All programs in turns, at a size at which every one of them fits."""
    views = draw(args.batch, args.dim)
    functions = {"whole, all pairs at once": whole(None)}
    for size in args.chunks:
        functions[f"whole, blocks of {size}"] = whole(size)
    for count in args.devices:
        some = jax.devices()[:count]
        functions[f"{count} devices, gathered"] = split(None, False, some)
        functions[f"{count} devices, ring"] = split(None, True, some)
        size = args.chunks[-1]
        functions[f"{count} devices, ring of {size}"] = split(size, True, some)
    programs = [Program(name, function, views) for name, function in functions.items()]
    for _ in range(1 + args.turns):
        for program in programs:
            program.take_turn()
    for program in programs:  # the first turn warms up
        del program.seconds[0], program.cpu_seconds[0]
    rows = [row(program, programs[0]) for program in programs]
    header = (f"{args.batch:,} x {args.dim}", *COLUMNS)
    return tables.Table(header, rows, ("", *COLUMNS.values()))


def large(args):
    """Forward and backward of the large batch, in a process that does nothing else."""
    views = draw(args.large, args.dim)
    program = Program("large", whole(args.large_chunk), views)
    program.take_turn()
    temporary = program.run.memory_analysis().temp_size_in_bytes / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{args.large:,} x {args.dim}, blocks of {args.large_chunk:,}: value and "
        f"gradient in {program.seconds[0]:.1f} s, {program.cpu_seconds[0]:.1f} s of "
        f"processor time; temporaries {temporary:.0f} MiB, peak resident memory of the "
        f"process {peak:.2f} GiB; loss {float(program.value):.4f}."
    )


def main():
    parser = parser_of("experiments.benchmarks.contrastive", __doc__)
    parser.add_argument("--batch", type=at_least(1), default=4096)
    parser.add_argument("--dim", type=at_least(1), default=128)
    parser.add_argument(
        "--turns", type=at_least(1), default=5, help="timed, of each program"
    )
    parser.add_argument("--chunks", type=at_least(1), nargs="+", default=[256, 1024])
    parser.add_argument("--devices", type=at_least(1), nargs="+", default=[2, 4])
    parser.add_argument(
        "--large", type=at_least(0), default=65_536, help="rows; 0: none"
    )
    parser.add_argument("--large_chunk", type=at_least(1), default=1024)
    parser.add_argument("--only_large", action="store_true", help="used by itself")
    parser.add_argument("--out", type=results_file, help="a .json of results to write")
    args = parser.parse_args()
    if args.only_large:
        large(args)
        return
    jax.config.update("jax_num_cpu_devices", max(args.devices))
    device = jax.devices()[0]
    load = f"Load {os.getloadavg()[0]:.1f} at the start."
    print(
        f"info_nce; jax {jax.__version__}, {device.platform} {device.device_kind}, "
        f"{platform.machine()}, {os.cpu_count()} cores. {load}",
        flush=True,
    )
    content = [load, compare(args)]
    print(tables.markdown(content[1]), flush=True)
    if args.large:
        command = [sys.executable, "-m", "experiments.benchmarks.contrastive"]
        command += [f"--large={args.large}", f"--large_chunk={args.large_chunk}"]
        command += [f"--dim={args.dim}", "--only_large"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        content.append(done.stdout.strip())
        print(content[-1])
    if args.out:
        with one_line_errors(parser):
            store.write(
                args.out,
                title="Contrastive losses in blocks and round a ring",
                command=store.command_line(
                    "experiments.benchmarks.contrastive", sys.argv[1:]
                ),
                seeds=[0],
                content=content,
            )


if __name__ == "__main__":
    main()
