"""Memory of each device at the scale of a pod, by compiling for one that is not here.

  pip install 'jax[tpu]'
  python -m experiments.launch.pod_memory --out=FILE.json

Value and gradient of `info_nce` over the whole batch with all pairs at once, in blocks
and round a ring; and Adam's update of MAE with ViT-H/14, its state on every device and
fully sharded. Nothing is computed: the TPU's compiler says what its program would hold
in the chip's memory; what fits into its vector memory, such as 128 MiB of a v5e, is not
counted. Without libtpu devices of this CPU stand in, as many as --chips.

Exit codes: 0 done; 2 the input was wrong.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from experiments.arguments import at_least, one_line_errors, parser_of, results_file
from experiments.benchmarks.contrastive import split
from experiments.launch import chips, cost
from experiments.results import store, tables
from repr_jax import config as configs
from repr_jax import sharding
from repr_jax.config import bind

LOSSES = {"all pairs": (None, False), "blocks": (1024, False)}
LOSSES |= {"ring": (None, True), "ring of blocks": (1024, True)}


def of_loss(devices, rows: int, dim: int, chunk_size, ring) -> tuple[float, float]:
    """(MiB held, MiB sent) by each device: gradients of split views [rows, dim]."""
    mesh = sharding.make_mesh(devices)
    x = jax.ShapeDtypeStruct(
        (rows, dim), jnp.float32, sharding=NamedSharding(mesh, P("data"))
    )
    program = jax.jit(split(chunk_size, ring, devices)).lower(x, x).compile()
    sent = cost.sent_bytes(program.as_text(), len(devices))
    return cost.held_bytes(program) / 2**20, sent / 2**20


def huge():
    """(shapes of the parameters, optimizer) of MAE with ViT-H/14."""
    config = configs.load("configs/reconstruction/mae_imagenet_huge.py")
    encoder, decoder = (bind(config[name])() for name in ("encoder", "decoder"))

    def init(key, image, keep):
        out, encoded = encoder.init_with_output(key, image, train=False, keep=keep)
        return encoded, decoder.init(key, out.tokens, keep, train=False)

    image = jax.ShapeDtypeStruct((1, *config.encoder.shape), jnp.float32)
    keep = jax.ShapeDtypeStruct((1, 64), jnp.int32)
    params = jax.eval_shape(init, jax.random.key(0), image, keep)
    return params, bind(config.optimizer)()


def of_update(params, optimizer, devices, fully: bool) -> float:
    """MiB held by each device: the update of parameters, of which shapes are given."""
    state = params, jax.eval_shape(optimizer.init, params)
    mesh = sharding.make_mesh(devices)
    where = sharding.of_state(state, mesh, fully=fully)

    def update(state, gradients):
        moves, opt_state = optimizer.update(gradients, state[1], state[0])
        return optax.apply_updates(state[0], moves), opt_state

    step = jax.jit(
        update, in_shardings=(where, where[0]), out_shardings=where, donate_argnums=0
    )
    return cost.held_bytes(step.lower(state, params).compile()) / 2**20


def updates(params, optimizer, chip: str, counts) -> tables.Table:
    """A row a number of chips: the state on every device, and split over them."""
    rows = []
    for count in counts:
        of = functools.partial(of_update, params, optimizer)
        devices = chips.devices(chip, count)
        rows.append((count, *(of(devices, fully) for fully in (False, True))))
        print(*rows[-1], flush=True)
    header = ("chips", "on every device, MiB", "fully sharded, MiB")
    return tables.Table(header, rows, (".1f",))


def losses(chip: str, counts, rows_each: int, dim: int) -> tables.Table:
    """A row a number of chips and way to take the pairs."""
    found = []
    for count in counts:
        devices = chips.devices(chip, count)
        for name, (chunk_size, ring) in LOSSES.items():
            rows = rows_each * count
            found.append((count, rows, name))
            found[-1] += of_loss(devices, rows, dim, chunk_size, ring)
            print(*found[-1], flush=True)
    header = ("chips", "rows", "pairs", "held by each, MiB", "sent by each, MiB")
    return tables.Table(header, found, (".1f",))


def main(arguments=None) -> int:
    """Compiles, writes and prints the table."""
    parser = parser_of("experiments.launch.pod_memory", __doc__)
    add, count = parser.add_argument, dict(type=at_least(1), metavar="N")
    add("--out", type=results_file, required=True)
    add("--chip", default="v5e", choices=chips.TOPOLOGIES)
    add("--chips", nargs="+", default=[4, 64, 256], **count)
    add("--rows", default=1024, **count, help="of each chip, 1024")
    add("--dim", default=512, **count)
    asked = parser.parse_args(arguments)
    if arguments is None:
        jax.config.update("jax_platforms", "cpu")
        if chips.compiler_of(asked.chip) == "cpu":
            jax.config.update("jax_num_cpu_devices", max(asked.chips))
    with one_line_errors(parser):
        found = losses(asked.chip, asked.chips, asked.rows, asked.dim)
        params, optimizer = huge()
        state = updates(params, optimizer, asked.chip, asked.chips)
    millions = sum(x.size for x in jax.tree.leaves(params)) / 1e6
    store.write(
        asked.out,
        title="Memory at the scale of a pod",
        command=store.command_line(
            "experiments.launch.pod_memory",
            sys.argv[1:] if arguments is None else arguments,
        ),
        seeds=[0],
        content=[
            f"Value and gradient of `info_nce`, {asked.dim} features, float32; "
            f"compiled for {asked.chip} by the compiler of "
            f"{chips.compiler_of(asked.chip)}, not run. What the compiler keeps in a "
            "TPU's vector memory is not counted, and of what a loop sends one turn: "
            "a ring has one for each chip.",
            found,
            f"What each chip holds in Adam's update of the {millions:.0f} million "
            "parameters of MAE with ViT-H/14: parameters, gradients and two moments in "
            "float32.",
            state,
        ],
    )
    print(tables.markdown(found))
    print(tables.markdown(state))
    return 0


if __name__ == "__main__":
    sys.exit(main())
