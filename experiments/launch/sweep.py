"""Runs a config over a grid of values and seeds, and gathers mean ± sd in a table.

  python -m experiments.launch.sweep --config=configs/contrastive/simclr_mnist.py \\
      --workdir=DIR --seeds=3 --set loss.temperature=0.1,0.5 --jobs=2

Every combination of the values of all --set, with every seed, is a run of
`repr_jax.main` in a folder of its own. Runs that are finished are read, those that were
stopped go on from their checkpoint: the same command continues, also with more values
or seeds. Classifiers that evaluators train are kept once for all runs. Writes
DIR/sweep.json, .md and .csv; the JSON is what `experiments/results` takes in. With
--dry-run only the commands are printed.

Exit codes: 0 done; 2 the input was wrong; 3 some runs failed, and the table is of the
others; 128 + a signal's number, such as 143, stopped by it.
"""

import argparse
import ast
import contextlib
import fnmatch
import itertools
import math
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.arguments import parser_of, writable_folder
from experiments.launch import reported
from experiments.results import store, tables
from repr_jax import config as configs
from repr_jax import logs
from repr_jax.workdir import records

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Run(NamedTuple):
    """One config with overrides, and the folder of its own in the workdir."""

    name: str  # of the folder, such as "table/multimodal/causal/seed0"
    config: str  # path of the file, with ":smoke" where wanted
    overrides: Mapping  # dotted names to values


class FailedError(RuntimeError):
    """Some runs did not end well; the message says how many, and where a log is."""

    def __init__(self, message: str, found: Mapping):
        super().__init__(message)
        self.found = found  # as `complete` returns it, None of the failed runs


def command(run: Run, workdir) -> list[str]:
    """What a shell would be told to do this run."""
    flags = [f"--config.{name}={value}" for name, value in run.overrides.items()]
    folder = pathlib.Path(workdir) / run.name
    start = [sys.executable, "-m", "repr_jax.main", f"--config={run.config}"]
    return [*start, *flags, f"--workdir={folder}"]


def finished(run: Run, workdir) -> reported.Metrics | None:
    """The metrics of a run that was trained to its end and evaluated so, else None.

    Raises:
      ValueError: the folder belongs to another config, or a file of it is damaged.
    """
    folder = pathlib.Path(workdir) / run.name
    report = folder / "report" / "metrics.json"
    if not report.exists() or not (folder / records.CONFIG_FILE).exists():
        return None
    config = configs.load(run.config, run.overrides)
    texts = records.stored_text(folder), configs.to_json(config)
    changes = configs.diff(*texts, ignore="evals")
    if changes:
        raise ValueError(
            f"{folder}: written by another config; use another --workdir, or remove "
            f"it:\n{changes}"
        )
    metrics = reported.read(report)
    last = 0 if "estimator" in config else config.num_steps  # a fit takes no steps
    evaluated = metrics.get("step") == last and not configs.diff(*texts)
    return metrics if evaluated else None


def complete(runs: Sequence[Run], workdir, *, jobs: int, threads: int | None = None):
    """Does what is left of the runs, and returns the metrics of all by name.

    Every run is a process of `repr_jax.main` with its output in DIR/NAME/log.txt. Its
    DIR/NAME/classifiers is a link to DIR/classifiers, so that runs on the same data
    are judged by the same classifiers, see `evaluators.classifiers`. When
    this process is asked to stop, so are they, and they save their state; the same
    call continues. Asked twice, it ends them at once.

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
    logs.say(f"{total} runs, {total - len(waiting)} of them finished")
    with _exit_on_signals(), _stopped_at_exit(active):
        while waiting or active:
            while waiting and len(active) < jobs:
                run = waiting.pop(0)
                process = start(run, workdir, threads, alone=jobs == 1)
                active[process] = run, time.monotonic()
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
                left = seconds * (len(waiting) + len(active)) / jobs / 60
                after = f"{outcome} after {seconds:.0f} s"
                after += f", some {math.ceil(left)} min left" if left else ""
                logs.say(f"[{done:3d}/{total}] {run.name}: {after}")
    if failed:
        text = f"{len(failed)} of {total} runs failed: see {failed[0]}"
        raise FailedError(text, found)
    return found


@contextlib.contextmanager
def _exit_on_signals():
    """A signal raises SystemExit here, wherever this process is."""
    previous = {
        number: signal.signal(number, lambda number, _: sys.exit(128 + number))
        for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _stopped_at_exit(processes):
    """Asks what still runs to stop, and waits until it has saved its state."""
    try:
        yield
    finally:
        try:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
        except BaseException:  # a second signal
            for process in processes:
                process.kill()
                process.wait()
            raise


def start(run: Run, workdir, threads, *, alone: bool) -> subprocess.Popen:
    """The process of one run, in a session of its own: a terminal signals us alone.

    Unless it is alone it takes an accelerator's memory as it needs it, not most of it.
    """
    folder = pathlib.Path(workdir) / run.name
    folder.mkdir(parents=True, exist_ok=True)
    shared, own = pathlib.Path(workdir) / "classifiers", folder / "classifiers"
    shared.mkdir(exist_ok=True)
    if not os.path.lexists(own):  # a run from before has its own
        own.symlink_to(os.path.relpath(shared, folder), target_is_directory=True)
    environment = dict(os.environ)
    if threads is not None:  # of XLA, and of the LAPACK that it calls
        environment |= {"NPROC": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    if not alone:
        environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with (folder / "log.txt").open("a") as log:
        return subprocess.Popen(
            command(run, workdir),
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )


def progress(label: str, every: float = 30.0):
    """A function (done, total) that says so at most once in so many seconds."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            logs.say(f"{label}: {done} of at most {total} updates")

    return tell


# The command


class Setting(NamedTuple):
    """The runs that differ by their seed alone."""

    values: dict  # of the names that are set
    runs: list[Run]


def parse_values(text: str) -> tuple[str, list]:
    """Name and values of "loss.temperature=0.1,0.5"; brackets keep a tuple together.

    Raises:
      ValueError: there is no name or no value, or a value is given twice.
    """
    name, _, rest = text.partition("=")
    parts = [part.strip() for part in re.split(r",(?![^(\[]*[)\]])", rest)]
    if not name or not all(parts):
        raise ValueError(f"--set: expected name=value,value,...; got {text!r}.")
    if name == "seed":
        raise ValueError("--set: expected --seeds=N for the seed; got --set seed.")
    if len(set(parts)) < len(parts):
        raise ValueError(f"--set {name}: expected different values; got {rest}.")
    return name, [literal(part) for part in parts]


def literal(text: str) -> Any:
    """The Python value that a flag names, or its text if that is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):  # a name, such as bfloat16
        return text


def settings(config: str, axes: Mapping[str, Sequence], seeds: int) -> list[Setting]:
    """Every combination of the values, with seeds 0 to `seeds` - 1.

    Raises:
      FileNotFoundError: there is no such config. ValueError: it lacks a name, or a
        value is not of the type that it has.
    """
    found = []
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values))
        try:
            configs.load(config, chosen)
        except (AttributeError, TypeError, KeyError) as error:
            raise ValueError(f"--set: {config}: {error}") from None
        parts = [f"{name}={value}".replace(" ", "") for name, value in chosen.items()]
        folder = ",".join(parts).replace("/", "_")
        runs = [
            Run(f"{folder}/seed{n}".lstrip("/"), config, {**chosen, "seed": n})
            for n in range(seeds)
        ]
        found.append(Setting(chosen, runs))
    return found


def table_of(found_settings: Sequence[Setting], found, patterns) -> tables.Table:
    """A row a setting: its values, the number of runs, mean ± sd of every metric.

    Args:
      found_settings: of `settings`.
      found: metrics by the name of the run; None of a run that failed.
      patterns: which metrics, as in a shell: "linear_probe/*".

    Raises:
      ValueError: no metric is of that name.
    """
    known = {}
    for metrics in found.values():
        known |= dict.fromkeys(name for name in metrics or {} if name != "step")
    chosen = [
        name for name in known if any(fnmatch.fnmatchcase(name, p) for p in patterns)
    ]
    if known and not chosen:
        raise ValueError(
            f"--metrics: expected some of {', '.join(known)}; got {','.join(patterns)}."
        )
    rows = []
    for setting in found_settings:
        done = [found[run.name] for run in setting.runs if found[run.name]]
        cells = [str(value) for value in setting.values.values()]
        numbers = [tables.over_seeds(m[c] for m in done if c in m) for c in chosen]
        rows.append((*cells, len(done), *numbers))
    header = (*(found_settings[0].values), "runs", *chosen)
    return tables.Table(header, rows, (".4g",))


def write(asked, found_settings: Sequence[Setting], found) -> str:
    """DIR/sweep.json, .md and .csv; returns the table as markdown."""
    table = table_of(found_settings, found, asked.metrics.split(","))
    folder = pathlib.Path(asked.workdir)
    words = ["python", "-m", "experiments.launch.sweep", f"--config={asked.config}"]
    words += [f"--set={text}" for text in asked.set]
    words += ["--workdir=DIR", f"--seeds={asked.seeds}"]
    store.write(
        folder / "sweep.json",
        title=f"{pathlib.Path(asked.config.partition(':')[0]).stem}, a sweep",
        command=shlex.join(words),
        seeds=range(asked.seeds),
        content=[table],
        workdirs=[folder / run.name for one in found_settings for run in one.runs],
    )
    lines = [
        (*map(str, setting.values.values()), run.overrides["seed"], metric, value)
        for setting in found_settings
        for run in setting.runs
        for metric, value in (found[run.name] or {}).items()
    ]
    header = (*found_settings[0].values, "seed", "metric", "value")
    store.write_csv(folder / "sweep.csv", header, lines)
    return tables.markdown(table)


def parse(arguments) -> argparse.Namespace:
    """The command line."""
    parser = parser_of("experiments.launch.sweep", __doc__)
    add = parser.add_argument
    add(
        "--config",
        type=os.path.expanduser,
        required=True,
        help="a config file, or path.py:smoke",
    )
    add(
        "--workdir",
        type=writable_folder,
        required=True,
        help="folder of a folder a run, and of the table",
    )
    add("--seeds", type=int, default=1, help="seeds 0 to N - 1 of every setting")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE,...",
        help="values of a field of the config; may be given several times",
    )
    add("--metrics", default="*", help="what the table shows, as in linear_probe/*")
    add("--jobs", type=int, default=1, help="runs side by side; 1 an accelerator")
    add("--threads", type=int, help="of each run; all cores, shared among the jobs")
    add("--dry-run", action="store_true", help="print the commands, run nothing")
    found = parser.parse_args(arguments)
    for name in ("seeds", "jobs", "threads"):
        if getattr(found, name) is not None and getattr(found, name) < 1:
            parser.error(f"--{name}: expected at least 1; got {getattr(found, name)}.")
    if found.threads is None and found.jobs > 1:
        found.threads = max(1, (os.cpu_count() or 1) // found.jobs)
    return found


def main(arguments=None) -> int:
    """Completes the runs, writes and prints the table; the exit code."""
    asked = parse(arguments)
    try:
        pairs = [parse_values(text) for text in asked.set]
        if len(dict(pairs)) < len(pairs):
            raise ValueError("--set: expected each name once.")
        wanted = settings(asked.config, dict(pairs), asked.seeds)
        runs = [run for setting in wanted for run in setting.runs]
        if asked.dry_run:
            for run in runs:
                state = "finished" if finished(run, asked.workdir) else "to do"
                print(f"{state}: {shlex.join(command(run, asked.workdir))}")
            return 0
        code = 0
        try:
            found = complete(
                runs, asked.workdir, jobs=asked.jobs, threads=asked.threads
            )
        except FailedError as error:
            found, code = error.found, 3
            print(f"error: {error}", file=sys.stderr)
        print(write(asked, wanted, found))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"results: {pathlib.Path(asked.workdir) / 'sweep.md'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
