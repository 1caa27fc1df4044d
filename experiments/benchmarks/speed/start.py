"""What a program and a run take before their first result: imports and compilation."""

import contextlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from experiments.benchmarks.speed.turns import Problem, Subject
from experiments.launch import commands
from experiments.results.tables import Table
from repr_jax import logs

TEXT = (
    "A process of its own for each turn, from its start to its end, which imports "
    "the losses alone, or, of the peer, torch; files are in memory by then."
)
IMPORTS = (
    "Seconds of one import statement, in a process of its own; both in turn. The "
    "ratio is of both of a turn; the aim is 1.15."
)
STEPS = (
    "Seconds from the start of `python -m repr_jax.main` until the first step is in "
    "metrics.jsonl, with an empty folder of compiled programs, and again with what "
    "it left there."
)
IMPORT = (
    "import time; began = time.perf_counter(); import {}; "
    "print(time.perf_counter() - began)"
)
CONFIGS = {
    "simclr_mnist": "configs/contrastive/simclr_mnist.py",
    "mopoe_polymnist_demo": "configs/multimodal/mopoe_polymnist_demo.py",
}
SMOKE = {"tiny": "experiments/launch/tiny.py"}
PATIENCE = 1_800.0  # seconds for the first step


def environment(**variables: str) -> dict[str, str]:
    """That of a child, which finds the project."""
    paths = [os.fspath(commands.REPOSITORY), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, paths))
    return {**os.environ, "PYTHONPATH": path, **variables}


def child(code: str) -> str:
    """What a Python of its own prints."""
    command = [sys.executable, "-c", code]
    options = dict(env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    return subprocess.run(command, **options).stdout


def importing() -> Callable:
    """Returns nothing to compare."""

    def call():
        child("import repr_jax.losses")

    return call


def problems(smoke: bool) -> Iterator[Problem]:
    del smoke  # an import is one
    yield Problem("import of the losses", importing, same=False)


def spread(values: list[float]) -> list[float]:
    return [statistics.median(values), min(values), max(values)]


def imports(turns: int) -> Table:
    """jax alone, and the losses."""
    found = {"jax": [], "repr_jax.losses": []}
    for name in found:
        child(f"import {name}")  # so that its files are in memory
    for _ in range(turns):
        for name, seconds in found.items():
            seconds.append(float(child(IMPORT.format(name))))
    rows = [[f"import {name}, s", *spread(seconds)] for name, seconds in found.items()]
    ratios = [b / a for a, b in zip(*found.values(), strict=True)]
    header = ("", "median", "from", "to")
    return Table(header, [*rows, ["ratio", *spread(ratios)]], title="Imports")


def first_step(config: str, folder: pathlib.Path, cache: pathlib.Path) -> float:
    """Seconds until a run has done a step; it is ended then.

    Raises:
      ValueError: it ended before, or did no step.
    """
    folder.mkdir()
    command = [sys.executable, "-m", "repr_jax.main", f"--config={config}"]
    command += [f"--workdir={folder / 'run'}", "--config.log_every=1"]
    began = time.perf_counter()
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=commands.REPOSITORY,
            env=environment(JAX_COMPILATION_CACHE_DIR=os.fspath(cache)),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        while not has_a_row(folder / "run" / logs.METRICS):
            if process.poll() is not None or time.perf_counter() - began > PATIENCE:
                said = (folder / "output").read_text()[-500:]
                raise ValueError(f"start: {config} has done no step: {said}")
            time.sleep(0.005)
        return time.perf_counter() - began
    finally:
        process.kill()
        process.wait()


def has_a_row(path: pathlib.Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return b"\n" in path.read_bytes()
    return False


def first_steps(workdir: str, smoke: bool, turns: int) -> Table:
    """Cold, and from the folder of compiled programs that the cold one left."""
    header = ("config", "cold, s", "from", "to", "again, s", "from", "to", "ratio")
    rows = []
    for name, config in (SMOKE if smoke else CONFIGS).items():
        cold, again = [], []
        for _ in range(turns):
            with tempfile.TemporaryDirectory(dir=workdir) as folder:
                path = pathlib.Path(folder).absolute()
                cold.append(first_step(config, path / "cold", path / "cache"))
                again.append(first_step(config, path / "again", path / "cache"))
        ratio = statistics.median(a / b for a, b in zip(cold, again, strict=True))
        rows.append([name, *spread(cold), *spread(again), ratio])
    return Table(header, rows, ("", *[".3g"] * 6, ".2f"), "Time to the first step")


def starts(workdir: str, smoke: bool) -> list:
    found = imports(1 if smoke else 7)
    return [IMPORTS, found, STEPS, first_steps(workdir, smoke, 1 if smoke else 3)]


SUBJECT = Subject("Speed of starting", TEXT, problems, starts)
