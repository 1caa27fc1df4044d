"""What a config's training step costs, by the compiled step, before any chip is rented.

  python -m experiments.launch.cost --config=configs/contrastive/simclr_cifar10.py \\
      --chip=v5e --chips=8

Reads the operations, bytes, memory and communication of the compiled step and compares
them with what chips can do at most (experiments/launch/chips.py, with sources): the
largest batch that fits, the time of a step by the roofline, and how it scales at a
constant batch a chip. Nothing is computed: with libtpu (pip install 'jax[tpu]') the
step is compiled for a TPU topology that need not be here; else for devices of this CPU,
whose compiler holds other temporaries, so its memory and bytes are a rough guide.

The time is what no run can be faster than: operations at the bfloat16 peak or bytes of
memory at its bandwidth, whichever is more, and then communication at the bandwidth of
the links. Loops count as one turn. For the largest batch the step is compiled with ever
larger ones, until little more fits into --chip, its compiler refuses, or would take
minutes. The parabola through the last three is followed to the memory of a chip if they
come near; else the batch is "over" the last: ask with a larger --set=batch_size=N.

Exit codes: 0 done; 2 the input was wrong.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.arguments import at_least, parser_of
from experiments.benchmarks.accelerator.measure import operations
from experiments.launch import chips, sweep
from experiments.results import tables
from repr_jax import config as configs
from repr_jax import run, sharding, train

BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}
BYTES |= {"f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8}
KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
COLLECTIVE = re.compile(rf"= (.*?) ({KINDS})(-start)?\(")
ARRAY = re.compile(r"\b([a-z]+\d+|pred)\[([\d,]*)\]")
STEP = 4  # how many times larger the next batch is of which memory is read
LARGEST = STEP**8  # times the config's batch
NEAR = STEP**2  # times what a batch holds, up to which its parabola is followed
PATIENCE = 120.0  # seconds that the next compilation may take, by the last two


class Cost(NamedTuple):
    """One step, of one device."""

    flops: float
    bytes: float  # read and written of its memory
    held: float  # bytes of memory at the same time
    sent: float  # bytes to other devices


def sent_bytes(program: str, count: int) -> float:
    """Bytes that each of `count` devices sends in a compiled program, as text.

    By rings: of an array of n bytes, gathering or scattering sends (count - 1) / count
    of it, summing twice that, and a permutation all. Loops count as one turn.
    """
    total, share = 0.0, (count - 1) / count
    for result, kind, start in COLLECTIVE.findall(program):
        sizes = [
            BYTES.get(dtype, 4) * np.prod([int(n) for n in shape.split(",") if n])
            for dtype, shape in ARRAY.findall(result)
        ]
        whole = kind in ("all-gather", "collective-permute") and start
        size = max(sizes) if whole else sum(sizes)  # else operand and result
        if kind == "all-reduce":
            total += 2 * share * size
        elif kind == "reduce-scatter":  # its result is a part
            total += share * size * count
        else:
            total += size if kind == "collective-permute" else share * size
    return total


def held_bytes(program) -> int:
    """Memory that a compiled program holds on each device while it runs."""
    found = program.memory_analysis()
    given = found.argument_size_in_bytes + found.output_size_in_bytes
    return given + found.temp_size_in_bytes - found.alias_size_in_bytes


class RefusedError(ValueError):
    """The compiler refuses a step, as a TPU's does what its memory does not hold."""


def wider(dataset, times: int):
    """A dataset whose training batches are shapes alone, of batches `times` smaller."""

    def train(batch_size, start_step=0):
        for batch in dataset.train(batch_size // times, start_step):
            yield jax.tree.map(
                lambda x: x.update(shape=(len(x) * times, *x.shape[1:])),
                jax.eval_shape(lambda x: x, batch),
            )

    return dataset._replace(train=train)


def of_step(config, devices, times: int = 1) -> Cost:
    """The cost of a config's step on devices, by compiling it for them.

    times: the batch that is drawn, for its shapes, is so many times smaller.

    Raises:
      RefusedError: by the compiler.
      ValueError: what `run.build` raises, or the batch does not divide.
    """
    mesh = sharding.make_mesh(devices, model=config.model_devices)
    parts = run.build(config, mesh)
    parts = parts._replace(dataset=wider(parts.dataset, times))
    state = run.abstract_state(config, parts)
    where = train.shardings(parts, config, state)
    call = train.make_call(train.make_step(parts, config), mesh, where)
    batch = next(parts.dataset.train(config.batch_size))
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), batch)
    fixed = jax.eval_shape(lambda: dict(parts.dataset.fixed))
    lowered = call.lower(state, batch, fixed)
    try:
        program = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        raise RefusedError(
            f"the step of a batch of {config.batch_size} on {len(devices)} devices "
            f"does not compile: {str(error).splitlines()[0]} If memory is too small, "
            "ask for a smaller --set=batch_size=N: 3 times N is compiled too."
        ) from None
    counted = program.cost_analysis()
    counted = counted[0] if isinstance(counted, list) else counted
    flops = operations(lowered)
    return Cost(
        flops=counted["flops"] if flops is None else flops * 1e12 / len(devices),
        bytes=counted.get("bytes accessed", 0.0),
        held=held_bytes(program),
        sent=sent_bytes(program.as_text(), len(devices)),
    )


def seconds(cost: Cost, chip: chips.Chip) -> tuple[float, float, float]:
    """(arithmetic, memory, links): how long each would take alone."""
    return (
        cost.flops / chip.flops,
        cost.bytes / chip.bandwidth,
        cost.sent / chip.link,
    )


def step_seconds(cost: Cost, chip: chips.Chip) -> float:
    """What no step can be faster than, if communication is not hidden."""
    arithmetic, memory, links = seconds(cost, chip)
    return max(arithmetic, memory) + links


def of_batches(of_times: Callable, first: Cost, memory: float) -> dict[int, Cost]:
    """{times: cost} of the config's batch and larger ones, at least three in order.

    Args:
      of_times: times -> the cost of so many times the config's batch.
      first: of 1.
      memory: bytes; batches grow until a quarter is held, or the compiler refuses, or
        is expected to take longer than PATIENCE.

    Raises:
      RefusedError: of three times the batch or less.
    """
    found, took = {1: first}, []
    try:
        while len(found) < 3 or STEP * found[max(found)].held < memory:
            slow = len(found) >= 3 and took[-1] * max(1, took[-1] / took[-2]) > PATIENCE
            if slow or max(found) >= LARGEST:
                break
            began, following = time.monotonic(), STEP * max(found)
            found[following] = of_times(following)
            took.append(time.monotonic() - began)
    except RefusedError:
        for times in (2, 3):
            if len(found) < 3:
                found[times] = of_times(times)
    return dict(sorted(found.items()))


def largest_batch(batches, held, memory: float, unit: int) -> int | None:
    """The largest multiple of `unit` that fits, by a parabola through what is held.

    A batch's rows take memory each, and their pairs, where a loss has them; without
    pairs it is a line. 0 if not even one unit fits; None if no row takes memory.
    """
    rows = np.asarray(batches, np.float64)
    curve = np.polynomial.Polynomial.fit(rows, held, 2).convert()
    if curve.coef[-1] <= 0 or curve.deriv()(rows[0]) <= 0:
        curve = np.polynomial.Polynomial.fit(rows, held, 1).convert()
    if curve.deriv()(rows[-1]) <= 0:
        return None
    low, high = 0, 1
    while curve(high * unit) <= memory:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if curve(middle * unit) <= memory else (low, middle)
    return low * unit


def of_chips(batches, costs, count: int, unit: int) -> tables.Table:
    """A row a chip: what the first of the batches takes of it, and the largest."""
    rows = []
    for name, chip in chips.CHIPS.items():
        cost = costs[0]
        arithmetic, memory, _ = seconds(cost, chip)
        held = [c.held for c in costs[-3:]]
        largest = largest_batch(batches[-3:], held, chip.memory, unit)
        if largest is None or NEAR * held[-1] < chip.memory:
            largest = f"over {batches[-1]:,}"
        rows.append(
            (
                name,
                100 * cost.held / chip.memory,
                largest,
                1e3 * step_seconds(cost, chip),
                "arithmetic" if arithmetic > memory else "memory",
                100 * arithmetic / step_seconds(cost, chip),
            )
        )
    header = ("chip", "memory, %", f"largest batch on {count}", "step, ms at least")
    header += ("bound by", "of peak, % at most")
    return tables.Table(header, rows, (".3g",))


def of_counts(costs, chip: str) -> tables.Table:
    """A row a number of chips, at a constant batch of each."""
    rows, first = [], None
    for count, (batch, cost) in costs.items():
        times = [1e3 * x for x in seconds(cost, chips.CHIPS[chip])]
        whole = 1e3 * step_seconds(cost, chips.CHIPS[chip])
        first = first or whole
        rows.append((count, batch, cost.flops / 1e12, cost.bytes / 1e9))
        rows[-1] += (cost.held / 2**20, cost.sent / 2**20, *times, 100 * first / whole)
    header = ("chips", "batch", "TFLOP", "GB", "held, MiB", "sent, MiB")
    header += ("arithmetic, ms", "memory, ms", "links, ms", "of linear, %")
    return tables.Table(header, rows, (".4g",))


def numbers_of(chip: str, most: int) -> list[int]:
    """The numbers of chips to compile for: powers of two up to `most`, and `most`."""
    powers = [2**i for i in range(most.bit_length()) if 2**i < most]
    if chips.compiler_of(chip) == "tpu":
        powers = [n for n in powers if n == 1 or chips.topology(chip, n)]
    return [*powers, most]


def setting(text: str) -> tuple[str, Any]:
    """A `type` of argparse: name and value of "loss.temperature=0.1"."""
    name, _, value = text.partition("=")
    if not name or not value:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE; got {text!r}.")
    return name, sweep.literal(value)


def parse(arguments) -> argparse.Namespace:
    """The command line."""
    parser = parser_of("experiments.launch.cost", __doc__)
    add = parser.add_argument
    add("--config", required=True, help="a config file, or path.py:smoke")
    add("--chip", default="v5e", choices=chips.CHIPS, help="v5e unless given")
    add("--chips", type=at_least(1), default=1, metavar="N", help="that share a batch")
    several = dict(type=setting, action="append", default=[])
    add("--set", **several, metavar="NAME=VALUE", help="of the config")
    return parser.parse_args(arguments)


def main(arguments=None) -> int:
    """Compiles the step a few times, and prints two tables."""
    asked = parse(arguments)
    if arguments is None:  # a command of its own: jax has used no device yet
        if chips.compiler_of(asked.chip) == "cpu":
            jax.config.update("jax_num_cpu_devices", asked.chips)
        jax.config.update("jax_platforms", "cpu")
    try:
        values = dict(asked.set)
        config = configs.load(asked.config, values)
        batch, most = config.batch_size, asked.chips
        if batch % most or most % config.model_devices:
            raise ValueError(
                f"--chips: expected a divisor of the batch of {batch} and a multiple "
                f"of config.model_devices ({config.model_devices}); got {most}."
            )
        scaled = {}
        for count in numbers_of(asked.chip, most):
            if count % config.model_devices == 0:
                rows = batch * count // most
                own = configs.load(asked.config, {**values, "batch_size": rows})
                cost = of_step(own, chips.devices(asked.chip, count))
                scaled[count] = rows, cost

        def of_times(times):
            own = configs.load(asked.config, {**values, "batch_size": times * batch})
            return of_step(own, chips.devices(asked.chip, most), times)

        costs = of_batches(of_times, scaled[most][1], chips.CHIPS[asked.chip].memory)
    except (ValueError, TypeError, AttributeError, KeyError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    batches, unit = [times * batch for times in costs], most * config.accumulate
    print(f"{asked.config}, compiled for {chips.compiler_of(asked.chip)}:\n")
    print(tables.markdown(of_counts(scaled, asked.chip)), "\n")
    print(tables.markdown(of_chips(batches, list(costs.values()), most, unit)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
