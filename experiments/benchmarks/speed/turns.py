"""Our programs and those of a peer's process, which take turns.

A subject has problems; each is solved by one program of ours, by those of peers, and,
as a limit, by the part of the work that nobody can leave out. All are compiled, or
warmed up, and then take turns in the same order, so that whatever else the machine does
meets them alike. A ratio is the median over turns of the peer's seconds over ours:
above 1 we are faster.
"""

import json
import os
import pathlib
import statistics
import subprocess
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from experiments.benchmarks.speed.peers.timing import timed
from experiments.results.tables import Table

SERVER = pathlib.Path(__file__).with_name("peers") / "__main__.py"
LEAST = 0.1  # seconds of a turn: short programs are called several times in it
COLUMNS = {  # and formats
    "problem": "",
    "ours, ms": ".3g",
    "peer": "",
    "peer's, ms": ".3g",
    "ratio": ".2f",
    "from": ".2f",
    "to": ".2f",
    "limit, ms": ".3g",
    "over the limit": ".2f",
    "difference": ".0e",
}


class Problem(NamedTuple):
    """What is solved; functions are made when it is its turn, and dropped after it."""

    name: str
    make: Callable[[], Callable]  # () -> ours, a function of nothing
    make_limit: Callable[[], Callable] | None = None
    same: bool = True  # whether the peers return the same numbers
    examples: int = 0  # of a call, to be told a second; 0 where none are counted


class Subject(NamedTuple):
    """A file of problems and the text above its table."""

    title: str
    text: str
    problems: Callable[[bool], Iterator[Problem]]  # smoke -> problems
    extra: Callable | None = None  # (workdir, smoke) -> more content, without a peer


class Measured(NamedTuple):
    """Seconds of a call, by turn, and what a call returned."""

    seconds: list[float]
    value: list[float]


class Peer:
    """The process of the peer's programs.

    Without an interpreter there are none, nor for a subject that has no peers.
    """

    def __init__(self, python: str | None, subject: str, smoke: bool):
        self.process, self.problems, self.versions = None, [], {}
        if python is None or not SERVER.with_name(f"{subject}_peers.py").exists():
            return
        self.process = subprocess.Popen(
            [python, os.fspath(SERVER), subject, *["--smoke"] * smoke],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        told = self.ask("problems")
        self.problems, self.versions = told["problems"], told["versions"]

    def ask(self, *words):
        """The answer to a line of JSON.

        Raises:
          ValueError: the process ended; what it printed says why.
        """
        try:
            print(json.dumps(words), file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, ValueError):
            code = self.process.wait()
            raise ValueError(f"peer: {words[:3]}: it ended with {code}.") from None

    def close(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


def wait(function: Callable) -> Callable:
    """The function, which returns when its arrays are there."""
    return lambda: jax.block_until_ready(function())


def flat(value) -> list[float]:
    """The numbers of the first array of a result, if they are few."""
    found = np.ravel(next(iter(jax.tree.leaves(value)), []))
    return [float(x) for x in found] if len(found) <= 100 else []


def solve(problem: Problem, peer: Peer, turns: int) -> dict[str, Measured]:
    """{"ours": ..., "limit": ..., and each program of the peer}"""
    own = {"ours": wait(problem.make())}
    if problem.make_limit is not None:
        own["limit"] = wait(problem.make_limit())
    values = {name: flat(function()) for name, function in own.items()}
    if problem.name in peer.problems:
        values |= peer.ask("prepare", problem.name)
    found = {name: Measured([], value) for name, value in values.items()}

    def turn(name, calls):
        if name in own:
            return timed(own[name], calls)
        return peer.ask("turn", problem.name, name, calls)

    once = {name: turn(name, 1) for name in found}
    calls = {name: max(1, min(1000, round(LEAST / once[name]))) for name in found}
    for _ in range(turns):
        for name, measured in found.items():
            measured.seconds.append(turn(name, calls[name]))
    if problem.name in peer.problems:
        peer.ask("drop", problem.name)
    return found


def lines(problem: Problem, found: dict[str, Measured]) -> list[list]:
    """A line of the table for each peer, or one if there is none."""
    ours, limit = found["ours"], found.get("limit")
    own_ms = 1e3 * statistics.median(ours.seconds)
    floor = 1e3 * statistics.median(limit.seconds) if limit else None
    over = statistics.median(ratios(ours, limit)) if limit else None
    rows = []
    for name in [name for name in found if name not in ("ours", "limit")] or [None]:
        row = [problem.name, own_ms, "", None, None, None, None, floor, over, None]
        if name is not None:
            theirs, each = found[name], ratios(found[name], ours)
            row[2:7] = [
                name,
                1e3 * statistics.median(theirs.seconds),
                statistics.median(each),
                min(each),
                max(each),
            ]
            row[9] = difference(ours, theirs) if problem.same else None
        rows.append(row)
    return rows


def rates(problem: Problem, found: dict[str, Measured]) -> list[list]:
    """Examples a second of each program."""
    return [
        [problem.name, name, problem.examples / statistics.median(measured.seconds)]
        for name, measured in found.items()
        if problem.examples
    ]


def ratios(slower: Measured, faster: Measured) -> list[float]:
    """By turn."""
    return [a / b for a, b in zip(slower.seconds, faster.seconds, strict=True)]


def difference(ours: Measured, theirs: Measured) -> float | None:
    """The largest, over the largest number of ours; None where nothing is told."""
    if not ours.value or len(ours.value) != len(theirs.value):
        return None
    a, b = np.asarray(ours.value), np.asarray(theirs.value)
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30))


def table(rows: list[list]) -> Table:
    return Table(tuple(COLUMNS), rows, tuple(COLUMNS.values()))


def table_of_rates(rows: list[list]) -> Table:
    return Table(("problem", "by", "examples a second"), rows, ("", "", ",.0f"))
