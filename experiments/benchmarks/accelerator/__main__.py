"""What one GPU does with the project's losses, networks, estimators and data.

  python -m experiments.benchmarks.accelerator --out=DIR
  python -m experiments.benchmarks.accelerator --out=DIR --gather

Every part runs in a process of its own, one after another, by value, each with a time
limit; --total seconds bound them together. A part writes each figure to DIR/NAME.json
as soon as it is known, and what it prints to DIR/NAME.log. Then, or with --gather, all
that DIR holds becomes DIR/benchmark_accelerator.json, a file of results, with shares of
the measured ceilings. --smoke takes tiny shapes, on any device; its times mean nothing.
"""

import contextlib
import importlib
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
import time

from experiments.arguments import at_least, one_line_errors, parser_of, writable_folder
from experiments.benchmarks.accelerator import gather, measure
from experiments.benchmarks.accelerator.parts import PARTS

MODULE = "experiments.benchmarks.accelerator"


class Process:
    """A part that has imported what it needs, and waits to be told to begin."""

    def __init__(self, name: str, out: pathlib.Path, smoke: bool):
        self.name = name
        command = [sys.executable, "-m", MODULE, f"--out={out}", f"--part={name}"]
        with (out / f"{name}.log").open("wb") as log:
            self.process = subprocess.Popen(
                command + ["--smoke"] * smoke,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment(),
                start_new_session=True,
            )

    def begin(self) -> None:
        self.begun = time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # it has ended: `wait` says how
            self.process.stdin.write(b"begin\n")
            self.process.stdin.close()

    def wait(self, limit: float) -> str:
        """How it ended, in words; it is killed `limit` seconds after its beginning."""
        left = limit - (time.monotonic() - self.begun)
        try:
            code = self.process.wait(max(left, 0))
            how = "finished" if code == 0 else f"ended with code {code}: see its log"
        except subprocess.TimeoutExpired:
            how = f"stopped after {limit:.0f} s"
        self.end()
        return f"{self.name}: {how}, {time.monotonic() - self.begun:.1f} s"

    def end(self) -> None:
        """Kills it and the processes that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def environment() -> dict[str, str]:
    """Of the processes: they take memory of the card when they need it, up to all."""
    found = {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95",
        **os.environ,
    }
    platforms = found.get("JAX_PLATFORMS", "")
    if platforms and "cpu" not in platforms.split(","):
        found["JAX_PLATFORMS"] = f"{platforms},cpu"  # computes in float64
    return found


def together(names) -> list[list[str]]:
    """Parts that run at the same time: neighbors of which none is timed."""
    groups: list[list[str]] = []
    for name in names:
        if groups and not any(PARTS[n].timed for n in (name, *groups[-1])):
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def run_all(names, out, smoke: bool, seconds: int | None, total: int) -> None:
    """Runs the parts in turn; the next ones import while one runs."""
    begun, groups, running, coming = time.monotonic(), together(names), [], []
    try:
        for number, group in enumerate(groups):
            left = total - (time.monotonic() - begun)
            if left < 5:
                print(f"{', '.join(group)}: not run, {total} s are over", flush=True)
                continue
            running = coming or [Process(name, out, smoke) for name in group]
            coming = []
            for process in running:
                process.begin()
            for following in groups[number + 1 : number + 2]:
                coming = [Process(name, out, smoke) for name in following]
            for process in running:
                limit = seconds or PARTS[process.name].seconds
                print(process.wait(min(limit, left)), flush=True)
    finally:
        for process in (*running, *coming):
            process.end()


def one_part(name: str, out, smoke: bool) -> None:
    """In a process of its own: imports, waits for a line, and makes the figures."""
    part = PARTS[name]
    for package in part.needs:
        importlib.import_module(package)
    if not sys.stdin.readline():
        return  # the parent has ended
    measure.run(name, part, out, smoke)


def main():
    parser = parser_of(MODULE, __doc__)
    parser.add_argument("--out", type=writable_folder, required=True, metavar="DIR")
    parser.add_argument(
        "--only", default=",".join(PARTS), help="parts, with commas; default: all"
    )
    parser.add_argument("--smoke", action="store_true", help="tiny shapes, any device")
    parser.add_argument(
        "--seconds", type=at_least(1), help="limit of each part; it has one of its own"
    )
    parser.add_argument(
        "--total", type=at_least(1), default=470, help="seconds of all parts together"
    )
    parser.add_argument("--gather", action="store_true", help="of what DIR holds")
    parser.add_argument("--part", choices=tuple(PARTS), help="used by itself")
    args = parser.parse_args()
    names = [name for name in args.only.split(",") if name]
    for name in names:
        if name not in PARTS:
            parser.error(f"--only: expected some of {', '.join(PARTS)}; got {name}.")
    with one_line_errors(parser):
        out = pathlib.Path(args.out)
        out.mkdir(parents=True, exist_ok=True)
        if args.part:
            one_part(args.part, out, args.smoke)
        else:
            all_parts(names, out, args)


def all_parts(names, out, args) -> None:
    """Runs those that have what they need, and gathers what there is."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # gathers what there is
    try:
        if not args.gather:
            absent = {
                name: [p for p in PARTS[name].needs if not importlib.util.find_spec(p)]
                for name in names
            }
            for name in [name for name in names if absent[name]]:
                print(f"{name}: not run, needs {', '.join(absent[name])}", flush=True)
            there = [name for name in names if not absent[name]]
            run_all(there, out, args.smoke, args.seconds, args.total)
    finally:
        text = gather.write(out, PARTS)
        print(text or f"{out}: no figures")


if __name__ == "__main__":
    main()
