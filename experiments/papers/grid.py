"""Many runs of the command line: those that are not finished, some side by side."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from repr_jax import config as configs


class Run(NamedTuple):
    """One config with overrides, and the folder of its own in the workdir."""

    name: str  # of the folder, such as "table/multimodal/causal/seed0"
    config: str  # path of the file, with ":smoke" where wanted
    overrides: Mapping  # dotted names to values


class FailedError(RuntimeError):
    """Some runs did not end well; the message says which, and where their logs are."""


def command(run: Run, workdir) -> list[str]:
    """What a shell would be told to do this run."""
    flags = [f"--config.{name}={value}" for name, value in run.overrides.items()]
    folder = pathlib.Path(workdir) / run.name
    start = [sys.executable, "-m", "repr_jax.main", f"--config={run.config}"]
    return [*start, *flags, f"--workdir={folder}"]


def finished(run: Run, workdir) -> dict[str, float] | None:
    """The metrics of a run that was trained to its end and evaluated so, else None.

    Raises:
      ValueError: the folder belongs to another config.
    """
    folder = pathlib.Path(workdir) / run.name
    report, stored = folder / "report" / "metrics.json", folder / "config.json"
    if not report.exists() or not stored.exists():
        return None
    config = configs.load(run.config, run.overrides)
    texts = stored.read_text(), configs.to_json(config)
    changes = configs.diff(*texts, ignore="evals")
    if changes:
        raise ValueError(
            f"{folder}: written by another config; use another --workdir, or remove "
            f"it:\n{changes}"
        )
    metrics = json.loads(report.read_text())
    evaluated = metrics.get("step") == config.num_steps and not configs.diff(*texts)
    return metrics if evaluated else None


def complete(runs: Sequence[Run], workdir, *, jobs: int, threads: int | None = None):
    """Does what is left of the runs, and returns the metrics of all by name.

    Every run is a process of `repr_jax.main` with its output in DIR/NAME/log.txt. When
    this process is asked to stop, so are they, and they save their state; the same
    call continues.

    Args:
      runs: names differ.
      workdir: holds a folder per run.
      jobs: processes at a time.
      threads: of each process; None lets each take the machine.

    Raises:
      FailedError: after all others ended. ValueError: see `finished`.
    """
    found = {run.name: finished(run, workdir) for run in runs}
    waiting = [run for run in runs if found[run.name] is None]
    total, failed, active = len(runs), [], {}
    say(f"{total} runs, {total - len(waiting)} of them finished")
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        while waiting or active:
            while waiting and len(active) < jobs:
                run = waiting.pop(0)
                active[start(run, workdir, threads)] = run, time.monotonic()
            time.sleep(0.1)
            for process in [p for p in active if p.poll() is not None]:
                run, since = active.pop(process)
                metrics = finished(run, workdir) if process.returncode == 0 else None
                if metrics is None:
                    failed.append(pathlib.Path(workdir) / run.name / "log.txt")
                found[run.name] = metrics
                done = sum(value is not None for value in found.values())
                outcome = "done" if metrics else f"FAILED, exit {process.returncode}"
                seconds = time.monotonic() - since
                say(f"[{done:3d}/{total}] {run.name}: {outcome} after {seconds:.0f} s")
    finally:
        for process in active:
            process.terminate()
        for process in active:
            process.wait()
        signal.signal(signal.SIGTERM, previous)
    if failed:
        raise FailedError(f"{len(failed)} of {total} runs failed: see {failed[0]}")
    return found


def start(run: Run, workdir, threads) -> subprocess.Popen:
    """The process of one run."""
    folder = pathlib.Path(workdir) / run.name
    folder.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if threads is not None:  # of XLA, and of the LAPACK that it calls
        environment |= {"NPROC": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    with (folder / "log.txt").open("a") as log:
        return subprocess.Popen(
            command(run, workdir), stdout=log, stderr=log, env=environment
        )


def say(text: str) -> None:
    """A line for the person who watches."""
    print(text, file=sys.stderr, flush=True)


def progress(label: str, every: float = 30.0):
    """A function (done, total) that says so at most once in so many seconds."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            say(f"{label}: {done} of at most {total} updates")

    return tell
