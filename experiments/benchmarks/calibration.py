"""Calibration before and after temperature scaling, and conformal sets of classes.

  python -m experiments.benchmarks.calibration --data LOGITS.npz ... --workdir=DIR
  python -m experiments.benchmarks.calibration --digits --seeds=3 --workdir=DIR

A file of LOGITS.npz, one for each network or seed, holds, of rows that the network was
not trained on,
  held_out         [rows, classes] float, logits of the rows to fit on,
  held_out_label   [rows] whole numbers from 0, their classes,
  test             [rows, classes], logits of other rows like those,
  test_label       [rows], their classes.
Writes DIR/calibration.json and .md: a picture of accuracy over confidence on the test
rows, errors of calibration, and of conformal sets the coverage and size; mean and
standard deviation over the files.

With --digits the files are made and kept in DIR: networks trained on 400 digits.
--data_dir is a folder that may have all of MNIST, prepared by tensorflow-datasets;
without it, digits are those in the package.
"""

import argparse
import functools
import math
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.arguments import one_line_errors
from experiments.benchmarks import arrays, digits
from experiments.results import store
from experiments.results.tables import Table, cell, over_seeds
from repr_jax import figures, files, losses, metrics
from repr_jax.estimators import conformal_sets, temperature_scaling

WHO, MODULE = "calibration", "experiments.benchmarks.calibration"
PARTS = ("held_out", "test")
NUM_BINS = 15
SPLITS = 100  # of all rows of a file
ERRORS = 3  # standard errors within which a coverage holds
SCORES = {"LAC": conformal_sets.least_ambiguous, "APS": conformal_sets.cumulated}
ABOUT = (
    "Temperatures fitted on held-out rows: {temperature}; all else is measured on test "
    "rows. Accuracy {accuracy}, whatever the temperature. ECE: calibration error in "
    "{bins} bins of equal width, adaptive in bins of equal mass; {rows:,} rows of even "
    "the true probabilities have up to about {floor:.3f}. The maximum is of the worst "
    "bin, however few rows it has. Smaller: in how many files after scaling."
)
SETS = (
    "Conformal sets at a miscoverage a of {miscoverage:g}, of the logits as they are. "
    "Own split: coverage of a file's test rows by sets fitted on its held-out rows. "
    "Random splits: the mean over {splits} splits of all rows of a file in two parts "
    "of these sizes, and its Monte-Carlo error, sd / sqrt({splits}), root mean square "
    "over the files. Promised: 1 - a to 1 - a + 1 / (n + 1) for n rows to fit on, if "
    "no two scores are the same. Held: in how many files the mean was at most {errors} "
    "errors off that interval. Size: classes in a set, over the random splits."
)


class Coverage(NamedTuple):
    """Of the sets of one file by one score."""

    own: float  # of the test rows by sets of the held-out rows
    mean: float  # over random splits
    error: float  # of the mean, by the spread over splits
    size: float  # classes in a set, over random splits


def read(path) -> dict[str, np.ndarray]:
    """The arrays of a file, floats in float32, checked against one another.

    Raises:
      FileNotFoundError: there is none. ValueError: it is not as above.
    """
    names = [name for part in PARTS for name in (part, f"{part}_label")]
    found, who = files.read_npz(WHO, path, names), f"{WHO}: {path}"
    width = found["test"].shape[-1] if found["test"].ndim else 0
    found |= arrays.floats(who, found, *PARTS, width=width)
    for part in PARTS:
        label, rows = f"{part}_label", len(found[part])
        found[label] = arrays.classes(who, found, label, rows, width)
    return found


def confidences(logits, labels) -> tuple:
    """[rows] probabilities of the predicted classes, and which of these are right."""
    p = jax.nn.softmax(logits)
    return p.max(axis=1), p.argmax(axis=1) == labels


def measured(logits, labels) -> dict[str, float]:
    """Errors of calibration by their names in the table; lower is better."""
    found = confidences(logits, labels)
    values = {
        "ECE": metrics.expected_calibration_error(*found, num_bins=NUM_BINS),
        "adaptive ECE": metrics.adaptive_calibration_error(*found, num_bins=NUM_BINS),
        "maximum calibration error": metrics.maximum_calibration_error(
            *found, num_bins=NUM_BINS
        ),
        "Brier score": metrics.brier(jax.nn.softmax(logits), labels),
        "negative log-likelihood": losses.cross_entropy(logits, labels),
    }
    return {name: float(x) for name, x in values.items()}


def calibration_table(before: Sequence[dict], after: Sequence[dict]) -> Table:
    """A line a measure; both sequences have one dict of `measured` a file."""
    lines = []
    for name in before[0]:
        both = [[found[name] for found in part] for part in (before, after)]
        smaller = sum(b < a for a, b in zip(*both))
        lines.append([name, *map(over_seeds, both), f"{smaller} of {len(before)}"])
    return Table(("measure", "before", "after", "smaller"), lines)


@functools.partial(jax.jit, static_argnames=("miscoverage", "score"))
def _covered(logits, labels, own, other, *, miscoverage: float, score: Callable):
    """Share of the rows `other` in sets fitted on the rows `own`, and mean size."""
    fitted = conformal_sets.fit(
        logits[own], labels[own], miscoverage=miscoverage, score=score
    )
    inside = conformal_sets.sets(fitted, logits[other], score=score)
    right = jnp.take_along_axis(inside, labels[other][:, None], axis=1)
    return jnp.mean(right), jnp.mean(jnp.sum(inside, axis=1))


def coverage(data, *, miscoverage: float, score: Callable) -> Coverage:
    """Of a file's own split, and of random ones, which are the same in every call."""
    both = [
        np.concatenate([data[f"{p}{end}"] for p in PARTS]) for end in ("", "_label")
    ]
    num, rows = len(data["held_out"]), np.arange(len(both[0]))

    def covered(order):
        found = _covered(
            *both, order[:num], order[num:], miscoverage=miscoverage, score=score
        )
        return [float(x) for x in found]

    rng = np.random.default_rng(0)
    shares, sizes = np.transpose(
        [covered(rng.permutation(rows)) for _ in range(SPLITS)]
    )
    error = shares.std(ddof=1) / math.sqrt(SPLITS)
    return Coverage(covered(rows)[0], shares.mean(), error, sizes.mean())


def promised(num: int, miscoverage: float) -> tuple[float, float]:
    """The interval of the coverage of sets fitted on `num` rows."""
    return 1 - miscoverage, min(1.0, 1 - miscoverage + 1 / (num + 1))


def holds(found: Coverage, interval: tuple[float, float]) -> bool:
    """Is the mean in the interval, or at most ERRORS errors off?"""
    margin = ERRORS * found.error + 1e-6  # of means in float32
    return interval[0] - margin <= found.mean <= interval[1] + margin


def sets_table(found: dict[str, list[Coverage]], intervals: Sequence[tuple]) -> Table:
    """A line a score; `found` has, and `intervals` is, one entry a file."""
    shown = dict.fromkeys(f"{low:.4f} to {high:.4f}" for low, high in intervals)
    lines = []
    for name, each in found.items():
        own, mean, error, size = zip(*each)
        held = sum(map(holds, each, intervals))
        lines.append(
            [
                name,
                over_seeds(own)._replace(format=".4f"),
                over_seeds(mean)._replace(format=".4f"),
                math.sqrt(np.mean(np.square(error))),
                ", ".join(shown),
                f"{held} of {len(each)}",
                over_seeds(size)._replace(format=".2f"),
            ]
        )
    header = ("sets", "own split", "random splits", "error", "promised", "held", "size")
    return Table(header, lines, (".4f",))


def of_temperatures(data: Sequence[dict], workdir) -> list:
    """Text, table and picture of the logits of all files before and after scaling."""
    labels = [each["test_label"] for each in data]
    before, after, temperatures = [each["test"] for each in data], [], []
    for each in data:
        fitted = temperature_scaling.fit(each["held_out"], each["held_out_label"])
        temperatures.append(float(fitted.temperature))
        after.append(temperature_scaling.logits(fitted, each["test"]))
    errors, bins = {}, {}
    for name, logits in {"before": before, "after": after}.items():
        errors[name] = [measured(*pair) for pair in zip(logits, labels)]
        found = [confidences(*pair) for pair in zip(logits, labels)]
        bins[name] = [metrics.reliability(*pair, num_bins=NUM_BINS) for pair in found]
    right = [float(jnp.mean(confidences(*pair)[1])) for pair in zip(before, labels)]
    rows = min(map(len, labels))
    about = ABOUT.format(
        temperature=cell(over_seeds(temperatures)),
        accuracy=cell(over_seeds(right)),
        bins=NUM_BINS,
        rows=rows,
        floor=0.4 * math.sqrt(NUM_BINS / rows),
    )
    picture = store.picture(
        pathlib.Path(workdir),
        "pictures/calibration.png",
        "Accuracy over confidence, before and after temperature scaling",
        figures.reliability(bins),
    )
    return [about, calibration_table(**errors), picture]


def of_sets(data: Sequence[dict], miscoverage: float) -> list:
    """Text and table of the conformal sets of all files."""
    found = {
        name: [coverage(each, miscoverage=miscoverage, score=score) for each in data]
        for name, score in SCORES.items()
    }
    intervals = [promised(len(each["held_out"]), miscoverage) for each in data]
    about = SETS.format(miscoverage=miscoverage, splits=SPLITS, errors=ERRORS)
    return [about, sets_table(found, intervals)]


def share(text: str) -> float:
    """A `type` of argparse: a number in (0, 1)."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number in (0, 1); got {text}.")
    return value


def main(arguments=None) -> int:
    """Measures, then writes and prints the results; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = arrays.parser(MODULE, __doc__)
    parser.add_argument("--miscoverage", type=share, default=0.1, help="of the sets")
    asked = arrays.parsed(parser, arguments)
    with one_line_errors(parser):
        paths = arrays.paths(asked, "logits", digits.logits)
        data = [read(path) for path in paths]
        text = [digits.about(digits.LOGITS, asked.data_dir)] if asked.digits else []
        text += of_temperatures(data, asked.workdir)
        text += of_sets(data, asked.miscoverage)
        text = arrays.write(
            asked,
            MODULE,
            arguments,
            len(paths),
            title="Temperature scaling and conformal sets",
            content=text,
        )
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
