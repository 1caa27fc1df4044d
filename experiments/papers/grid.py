"""What commands share that run a grid of configs in parts: their flags, their runs."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence

from experiments.arguments import writable_folder
from experiments.launch import sweep

SCALES = ("paper", "cpu", "smoke")


def parse(
    prog: str, doc: str, parts: Iterable[str], arguments, *, data_dir: str = ""
) -> argparse.Namespace:
    """The command line.

    Args:
      prog: "python -m ...".
      doc: the command's docstring, its --help.
      parts: what --only may name; all of them if it is not given.
      arguments: to parse; None for those of this process.
      data_dir: what --data_dir is, of a command that has it; "" of one without.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, parts = parser.add_argument, list(parts)
    add("--scale", choices=SCALES, default="cpu")
    folder = dict(type=writable_folder, help="folder of runs and results")
    add("--workdir", required=True, **folder)
    if data_dir:
        add("--data_dir", default="", type=os.path.expanduser, help=data_dir)
    add("--only", default=",".join(parts), help="parts, with commas")
    add("--seeds", type=int, default=3, help="runs of each kind")
    add("--jobs", type=int, help="runs side by side: 2, at --scale=paper 1")
    found = parser.parse_args(arguments)
    found.only = tuple(found.only.split(","))
    unknown = [name for name in found.only if name not in parts]
    if unknown:
        parser.error(f"--only: expected some of {', '.join(parts)}; got {unknown[0]}.")
    if found.jobs is None:
        found.jobs = 1 if found.scale == "paper" else 2
    if found.seeds < 1 or found.jobs < 1:
        parser.error("expected --seeds and --jobs of at least 1.")
    return found


def command(runs: Sequence[sweep.Run], asked, write: Callable[[dict], str]) -> int:
    """Completes the runs, writes their results and prints them; the exit code.

    write: metrics of all runs by name -> markdown of the files that it wrote.
    """
    threads = None if asked.scale == "paper" else 1
    try:
        options = dict(jobs=asked.jobs, threads=threads)
        text = write(sweep.complete(runs, asked.workdir, **options))
    except (sweep.FailedError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3 if isinstance(error, sweep.FailedError) else 2
    print(f"\n{text}\nresults: {asked.workdir}")
    return 0
