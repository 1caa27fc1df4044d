"""Parts of the benchmark, their figures, and how a program is timed.

A figure is a dict of columns: texts and numbers. Columns that a program has: "ms",
"compile, s", "TFLOP" and "GB" of one call by XLA's count, "MiB" that it needs besides
nothing else on the card, and "arithmetic", a key of `ceilings.PRODUCTS`: which measured
ceiling its products have. `gather` makes shares of the ceilings out of them.
"""

import datetime
import importlib.metadata
import json
import pathlib
import statistics
import subprocess
import time
import traceback
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax

from experiments.results import store
from repr_jax import files
from repr_jax.workdir import records

TURNS = 5


class Part(NamedTuple):
    """Figures that are made by one process."""

    title: str
    figures: Callable  # smoke -> pairs of a name and a function that returns columns
    seconds: int  # when the process is killed
    needs: tuple[str, ...] = ()  # packages besides those of training
    timed: bool = True  # if not, it may run beside its neighbors that are not either
    text: str = ""  # what stands above the table


def run(name: str, part: Part, out, smoke: bool) -> None:
    """Makes the figures and writes out/NAME.json after each; errors are kept as text.

    What a killed process had found is in the file.
    """
    begun, figures, problems = time.perf_counter(), [], []

    def keep():
        found = dict(
            part=name,
            finished=False,
            smoke=smoke,
            seconds=time.perf_counter() - begun,
            **environment,
            figures=figures,
            problems=problems,
        )
        files.write(pathlib.Path(out) / f"{name}.json", json.dumps(found, indent=1))
        return found

    environment = facts()
    keep()
    remaining = iter(part.figures(smoke))
    while True:
        figure = "setting up"
        try:
            figure, measure = next(remaining)
            columns = measure()
        except StopIteration:
            break
        except Exception as error:  # the next figure may work
            problems.append(f"{figure}: {type(error).__name__}: {str(error)[:1000]}")
            traceback.print_exc()
        else:
            figures.append({"": figure, **plain(columns)})
            print(json.dumps(figures[-1]), flush=True)
        keep()
        if figure == "setting up":
            break
    found = keep() | {"finished": True}
    files.write(pathlib.Path(out) / f"{name}.json", json.dumps(found, indent=1))


def plain(columns) -> dict:
    """Texts as they are, numbers as Python has them."""
    return {
        name: value if isinstance(value, str | int) else float(value)
        for name, value in columns.items()
        if value is not None
    }


def facts() -> dict:
    """Hardware, versions and revision, as a result names them."""
    versions = store.versions()
    for package in ("torch", "jax-cuda13-plugin"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    versions |= driver()
    return dict(
        date=datetime.date.today().isoformat(),
        revision=records.revision(),
        hardware=records.hardware(),
        versions=versions,
    )


def driver() -> dict[str, str]:
    """The version of NVIDIA's driver; nothing where there is none."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = found.stdout.split() if found.returncode == 0 else []
    return {"driver": lines[0]} if lines else {}


def milliseconds(call: Callable, smoke: bool, wait=jax.block_until_ready) -> dict:
    """The median of some turns, and their spread; a turn is many calls of short ones.

    call: of no arguments; what the last call of a turn returns is waited for.
    """

    def turn(calls):
        began = time.perf_counter()
        for _ in range(calls):
            found = call()
        wait(found)
        return (time.perf_counter() - began) / calls

    first = turn(1)  # warms up, and may be long
    rough = turn(1) if first < 5 else first
    calls = 1 if smoke else min(max(round(0.1 / rough), 1), 200)
    times = [1e3 * turn(calls) for _ in range(2 if smoke or rough > 2 else TURNS)]
    middle = statistics.median(times)
    return {"ms": middle, "spread": (max(times) - min(times)) / middle}


def compiled(function: Callable, *arguments, donate=(), jitted=False):
    """(program, columns): compiled for these arguments, and what XLA says of it.

    jitted: the function is one of `jax.jit` already.
    """
    jit = function if jitted else jax.jit(function, donate_argnums=donate)
    lowered = jit.lower(*arguments)
    began = time.perf_counter()
    program = lowered.compile()
    seconds = time.perf_counter() - began
    return program, {"compile, s": seconds, **costs(lowered, program)}


def costs(lowered, program) -> dict:
    """Operations of the program as written, bytes and memory of it as compiled.

    A loop counts as one turn. Bytes are those of all operands and results of compiled
    operations, whether a cache has them or not. What a backend does not count is None.
    """
    moved = _analysis(program).get("bytes accessed")
    memory = program.memory_analysis()
    columns = {
        "TFLOP": operations(lowered),
        "GB": None if moved is None else moved / 1e9,
    }
    if memory is not None:
        held = memory.temp_size_in_bytes + memory.argument_size_in_bytes
        held += memory.output_size_in_bytes - memory.alias_size_in_bytes
        columns["MiB"] = held / 2**20
    return columns


def operations(lowered) -> float | None:
    """TFLOP of a program as written; None if its backend does not count them."""
    found = _analysis(lowered).get("flops")
    return None if found is None else found / 1e12


def _analysis(stage) -> dict:
    try:
        found = stage.cost_analysis() or {}
    except (NotImplementedError, jax.errors.JaxRuntimeError):  # not on every backend
        return {}
    return found[0] if isinstance(found, list) else found


def peak_mib() -> dict:
    """The most memory that this process has held on its first device so far."""
    statistics = jax.devices()[0].memory_stats() or {}
    peak = statistics.get("peak_bytes_in_use")
    return {} if peak is None else {"peak, MiB": peak / 2**20}


def drop(arrays) -> None:
    """Frees the memory of arrays that are no longer needed."""
    for array in jax.tree.leaves(arrays):
        if isinstance(array, jax.Array) and not array.is_deleted():
            array.delete()


Figures = Iterable[tuple[str, Callable]]
