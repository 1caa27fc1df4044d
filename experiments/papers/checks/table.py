"""What a check of a method is, and the table that checks are entered in."""

import math
from collections.abc import Callable
from typing import NamedTuple

from experiments.results.tables import Number, Table, over_seeds

COLUMNS = ("method", "function", "measured", "of it", "of", "the other", "held", "s")
ABOUT = (
    "Each line is one small experiment: what a published method promises, at a size "
    "that takes a minute or less, against the simpler thing that it must beat. Mean "
    "and standard deviation over {seeds} seeds, which choose data, start and order. "
    "Higher is better but where the measure ends in an arrow down. Held: in how many "
    "seeds the method was better. Data and networks are small and mostly generated, "
    "so a line tells whether the effect is there, not how large it is elsewhere. "
    "Seconds of one seed, compilation included where no other seed had done it, "
    "beside other work."
)


class Check(NamedTuple):
    """A method, a baseline that it must beat, and how both are measured."""

    name: str
    function: str  # public, without repr_jax
    measure: str  # in words; ends in DOWN where lower is better
    baseline: str
    run: Callable[[int], tuple[float, float]]  # seed -> figures of both


class Figures(NamedTuple):
    """What one seed of a check gave."""

    method: float
    baseline: float
    seconds: float


DOWN = " ↓"


def checks_in(found: list[Check]) -> Callable:
    """A decorator that enters functions of a seed in a list, in the order of a file."""

    def check(name: str, function: str, measure: str, *, beats: str):
        def enter(run):
            found.append(Check(name, function, measure, beats, run))
            return run

        return enter

    return check


def held(check: Check, figures: Figures) -> bool:
    """Is the method better? Never where a figure is NaN."""
    difference = figures.method - figures.baseline
    return difference < 0 if check.measure.endswith(DOWN) else difference > 0


def tabulated(checks: list[Check], figures: dict[str, list[Figures]]) -> Table:
    """A line a check, in bold where every seed held; those without figures are left."""
    rows = []
    for check in checks:
        found = figures.get(check.name, [])
        if not found:
            continue
        wins = sum(held(check, each) for each in found)
        ours, other, seconds = (over_seeds(column) for column in zip(*found))
        rows.append(
            [
                check.name,
                f"`{check.function}`",
                check.measure,
                ours._replace(best=wins == len(found), format=_format(ours, other)),
                check.baseline,
                other._replace(format=_format(ours, other)),
                f"{wins} of {len(found)}",
                Number(seconds.mean, format=".0f"),
            ]
        )
    return Table(COLUMNS, rows)


def _format(*numbers: Number) -> str:
    """Three digits after the point, or as many in all where all are tiny or large."""
    sizes = [abs(n.mean) for n in numbers if math.isfinite(n.mean)]
    return ".3f" if 0.01 <= max(sizes, default=1) < 1_000 else ".3g"
