"""What commands share that run a grid of configs in parts: flags, runs, result files.

A row of their tables is a NamedTuple that ends with `runs`, which differ by their seed.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from experiments.arguments import parser_of, writable_folder
from experiments.launch import sweep
from experiments.results import store

SCALES = ("paper", "cpu", "smoke")


def parser(
    name: str,
    doc: str,
    parts: Iterable[str],
    *,
    data_dir: str = "",
    scales: Sequence[str] = SCALES,
) -> argparse.ArgumentParser:
    """The flags that all of these commands have; a command may add its own.

    Args:
      name: of the command, experiments.papers.NAME.
      doc: the command's docstring, its --help.
      parts: what --only may name; all of them if it is not given.
      data_dir: what --data_dir is, of a command that has it; "" of one without.
      scales: what --scale may be.
    """
    found = parser_of(f"experiments.papers.{name}", doc)
    add = found.add_argument
    add("--scale", choices=scales, default="cpu")
    folder = dict(type=writable_folder, help="folder of runs and results")
    add("--workdir", required=True, **folder)
    if data_dir:
        add("--data_dir", default="", type=os.path.expanduser, help=data_dir)
    add("--only", default=",".join(parts), help="parts, with commas")
    add("--seeds", type=int, default=3, help="runs of each kind")
    return found


def parsed(
    parser: argparse.ArgumentParser, parts: Iterable[str], arguments
) -> argparse.Namespace:
    """The command line of a `parser`: `only` is a tuple of the parts.

    arguments: to parse; None for those of this process.
    """
    found, parts = parser.parse_args(arguments), list(parts)
    found.only = tuple(found.only.split(","))
    unknown = [name for name in found.only if name not in parts]
    if unknown:
        parser.error(f"--only: expected some of {', '.join(parts)}; got {unknown[0]}.")
    if found.seeds < 1:
        parser.error(f"--seeds: expected at least 1; got {found.seeds}.")
    return found


def parse(
    name: str, doc: str, parts: Iterable[str], arguments, *, data_dir: str = ""
) -> argparse.Namespace:
    """The command line of a command whose runs are processes, see `parser`."""
    parts = list(parts)
    flags = parser(name, doc, parts, data_dir=data_dir)
    flags.add_argument(
        "--jobs", type=int, help="runs side by side: 2, at --scale=paper 1"
    )
    found = parsed(flags, parts, arguments)
    if found.jobs is None:
        found.jobs = 1 if found.scale == "paper" else 2
    if found.jobs < 1:
        flags.error(f"--jobs: expected at least 1; got {found.jobs}.")
    return found


def runs_of(rows: Iterable) -> list[sweep.Run]:
    """The runs of rows, each once, one seed of everything first.

    So what is stopped early is a table already.
    """
    found = {run.name: run for one in rows for run in one.runs}
    return sorted(found.values(), key=lambda run: run.overrides["seed"])


def write(
    name: str,
    asked,
    rows: Iterable,
    found: Mapping,
    *,
    title: str,
    content: Sequence,
    columns: Sequence[str],
    data: str,
    flags: Sequence[str] = (),
) -> str:
    """DIR/NAME.csv, every number of every run, and DIR/NAME.json and .md.

    Args:
      name: of the command, a module beside this one.
      asked: its parsed flags.
      rows: may share runs.
      found: metrics of the runs by name.
      title, content: of the result.
      columns: the fields of a row that tell it, in the CSV.
      data: what the command names where it was given --data_dir.
      flags: others that the command names.

    Returns:
      the markdown.
    """
    folder, rows = pathlib.Path(asked.workdir), {one.runs[0].name: one for one in rows}
    lines = [
        (*(getattr(one, c) for c in columns), run.overrides["seed"], *pair)
        for one in rows.values()
        for run in one.runs
        for pair in found[run.name].items()
    ]
    header = (*columns, "seed", "metric", "value")
    store.write_csv(folder / f"{name}.csv", header, lines)
    flags = [f"--data_dir={data}"] * bool(asked.data_dir) + [*flags]
    more = "".join(f" {flag}" for flag in flags)
    return store.write(
        folder / f"{name}.json",
        title=title,
        command=f"python -m experiments.papers.{name} --scale={asked.scale} "
        f"--only={','.join(asked.only)} --seeds={asked.seeds}{more} --workdir=DIR",
        seeds=range(asked.seeds),
        content=content,
        workdirs=[folder / run.name for run in runs_of(rows.values())],
    )


def command(
    runs: Sequence[sweep.Run],
    asked,
    write: Callable[[dict], str],
    *,
    first: Sequence[sweep.Run] = (),
) -> int:
    """Completes the runs, writes their results and prints them; the exit code.

    Args:
      write: metrics of all runs by name -> markdown of the files that it wrote.
      first: those of the runs that others start from: done before the others begin.
    """
    threads = None if asked.scale == "paper" else 1
    try:
        options = dict(jobs=asked.jobs, threads=threads)
        if first:
            sweep.complete(first, asked.workdir, **options)
        text = write(sweep.complete(runs, asked.workdir, **options))
    except (sweep.FailedError, ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3 if isinstance(error, sweep.FailedError) else 2
    print(f"\n{text}\nresults: {asked.workdir}")
    return 0
