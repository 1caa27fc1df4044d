"""Scores of outliers of this project beside public code, on the same features.

  python -m experiments.benchmarks.outliers_peer --peer=PYTHON --workdir=DIR

PYTHON is an interpreter that has torch, pytorch-ood, scikit-learn and pyod, see
`peers/outliers.py`. Features are of a file as `experiments.benchmarks.outliers` takes
it, given as --data, or of a small network that was trained on digits 0 to 7. Where a
package has another scale or sign, its scores are brought to ours, as the table says.
Writes DIR/outliers_peer.json and .md.
"""

import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.arguments import one_line_errors, parser_of, writable_folder
from experiments.benchmarks import outliers, processes
from experiments.papers.checks import toys
from experiments.results import store
from experiments.results.tables import Table
from repr_jax import metrics
from repr_jax.estimators import ecod, gaussian_mixture, knn_distance, mahalanobis
from repr_jax.evaluators import post_hoc
from repr_jax.ops.numerics import pairwise_dot

PEER = pathlib.Path(__file__).with_name("peers") / "outliers.py"
REPEATS = 5
ROUNDING = 1e-3  # of the spread of the scores
ABOUT = (
    "{rows} rows of {dim} features, {train} training rows, {classes} classes, {data}. "
    "Difference: the largest between the two, over the standard deviation of ours; "
    "equal is at most 1e-3 of it, as sums in float32 differ by that. ms: the median of "
    "five calls after the first, which compiles ours; fitting is not counted. {cores} "
    "cores, one process at a time. {versions}."
)


class Pair(NamedTuple):
    """A score of ours, the peer's class and what brings its scores to ours."""

    ours: Callable  # [rows, dim] -> [rows]
    name: str  # of ours
    peer: str  # package and class
    change: str = ""  # in words
    convert: Callable = lambda x: x


def made() -> dict:
    """Features of digits 0 to 7, and of 8 and 9 as outliers, as of a file."""
    known = range(8)
    x, y = toys.some(*toys.digits("train"), known, 4_000)
    t, _ = toys.some(*toys.digits("test"), known, 1_000)
    new, _ = toys.some(*toys.digits("test"), (8, 9), 400)
    params = toys.classifier(0, x, y, widths=(128, 64))
    train, test, other = (np.asarray(toys.hidden(params, rows)) for rows in (x, t, new))
    used = np.flatnonzero(train.std(0) > 1e-3)  # some units never answer
    kernel, bias = (np.asarray(a) for a in params[-1])
    found = dict(train=train, test=test, outliers_digits=other)
    found = {name: rows[:, used] for name, rows in found.items()}
    return found | dict(train_label=y, weights=kernel[used].T, bias=bias)


def hand_over(data: dict, folder: pathlib.Path) -> dict:
    """features.npz in the folder, of all sets of outliers together; what it holds."""
    sets = [x for name, x in data.items() if name.startswith(outliers.PREFIX)]
    rows = np.concatenate([data["test"], *sets])
    weights, bias = outliers.head(data)
    found = dict(
        train=np.float32(data["train"]),
        train_label=data["train_label"].astype(np.int64),
        rows=np.float32(rows),
        outlier=np.arange(len(rows)) >= len(data["test"]),
        weights=np.float32(weights),
        bias=np.float32(bias),
        neighbors=max(1, min(50, len(data["train"]) // (2 * len(weights)))),
        guides=min(100, len(data["train"])),
    )
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "features.npz", **found)
    return found


def pairs(given: dict) -> list[Pair]:
    """Every score that both have."""
    return [*of_heads(given), *of_features(given)]


def of_heads(given: dict) -> list[Pair]:
    """Those of `evaluators.post_hoc`, and ODIN and NNGuide, whose bank is all rows."""
    weights, bias, bank = (given[name] for name in ("weights", "bias", "train"))
    scores = post_hoc.fit(bank, given["train_label"], weights, bias)

    def head(x, weights=weights, bias=bias):
        return pairwise_dot(x, weights) + bias[None]

    def nn_guide(weights, bias, bank, x):
        logits, of_bank = (head(rows, weights, bias) for rows in (x, bank))
        return metrics.nn_guide(
            logits, x, of_bank, bank, num_neighbors=int(given["guides"])
        )

    def plus_one(x):
        return x + 1

    def of_mean(x):  # theirs is over the classes, or all others
        return len(weights) * x

    def of_others(x):
        return (len(weights) - 1) * x

    scores |= {
        "ODIN": jax.jit(partial(metrics.odin, head)),
        "NNGuide": compiled(nn_guide, weights, bias, bank),
    }
    peers = {
        "largest softmax": ("MaxSoftmax", "+ 1", plus_one),
        "largest logit": ("MaxLogit",),
        "energy": ("EnergyBased",),
        "entropy": ("Entropy",),
        "GEN": ("GEN", "x C; it clamps p at 1e-7", of_mean),
        "KL matching": ("KLMatching",),
        "ReAct": ("ReAct",),
        "ASH-S": ("ASH (ash-s)",),
        "ASH-B": ("ASH (ash-b)",),
        "SCALE": ("SCALE",),
        "DICE": ("DICE",),
        "NNGuide": ("NNGuide",),
        "fDBD": ("fDBD", "x (C - 1)", of_others),
        "ViM": ("ViM",),
        "nearest neighbors": ("KNN",),
        "ODIN": ("ODIN", "+ 1", plus_one),
    }
    return [
        Pair(scores[name], name, f"pytorch-ood {peer}", *change)
        for name, (peer, *change) in peers.items()
        if name in scores  # some have no meaning for features below 0
    ]


def of_features(given: dict) -> list[Pair]:
    """Those of estimators, and figures of detection."""
    train, label, outlier = (given[n] for n in ("train", "train_label", "outlier"))
    tied = mahalanobis.fit(train, label, num_classes=len(given["weights"]))
    whole = mahalanobis.fit(train, np.zeros_like(label), num_classes=1)
    stored, k = knn_distance.fit(train), int(given["neighbors"])
    near, mean = (
        compiled(partial(score, num_neighbors=k), stored)
        for score in (knn_distance.score, knn_distance.mean_score)
    )
    one = dict(num_components=1, num_steps=2)
    mixture = gaussian_mixture.fit(jax.random.key(0), train, **one)

    def scatter(x):  # theirs is of the sum over rows, ours of the mean
        return len(train) * x

    def halves(x):
        return 2 * scatter(x)

    def of_column(metric):
        return jax.jit(lambda x: metric(x[:, 0], outlier)[None])

    distance, ood, sklearn = mahalanobis.score, "pytorch-ood ", "scikit-learn "
    relative = compiled(mahalanobis.relative_score, tied)
    auroc, precision = map(of_column, (metrics.auroc, metrics.average_precision))
    listed = [
        (compiled(distance, tied), "Mahalanobis", ood + "Mahalanobis", "x 2 N", halves),
        (relative, "relative Mahalanobis", ood + "RMD", "x N", scatter),
        (compiled(distance, whole), "Mahalanobis, one class", "EmpiricalCovariance"),
        (near, "distance to neighbors", "NearestNeighbors"),
        (
            compiled(gaussian_mixture.score, mixture),
            "Gaussian mixture",
            "GaussianMixture",
        ),
        (auroc, "AUROC", "roc_auc_score"),
        (precision, "average precision", "average_precision_score"),
        (compiled(ecod.score, ecod.fit(train)), "ECOD", "PyOD ECOD"),
        (mean, "mean distance", "PyOD KNN, mean"),
    ]
    return [
        Pair(score, name, peer if " " in peer else sklearn + peer, *change)
        for score, name, peer, *change in listed
    ]


def compiled(score: Callable, *fitted) -> Callable:
    """x -> score(*fitted, x), where what was fitted is an argument, not a constant."""
    call = jax.jit(score)
    return lambda x: call(*fitted, x)


def timed(function: Callable, rows) -> tuple[np.ndarray, float]:
    """Scores in float64, and the median of the milliseconds of later calls."""
    rows, taken = jnp.asarray(rows), []
    scores = np.asarray(function(rows), np.float64)
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(function(rows))
        taken.append(1e3 * (time.perf_counter() - began))
    return scores, statistics.median(taken)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest, over the spread of ours; relative where there is one number."""
    spread = ours.std() if len(ours) > 1 else abs(ours[0])
    return float(np.max(np.abs(ours - theirs)) / spread)


def table_of(given: dict, scores: dict, ms: dict) -> Table:
    """A line a score of both."""
    lines = []
    for pair in pairs(given):
        ours, own_ms = timed(pair.ours, given["rows"])
        away = difference(ours, pair.convert(scores[pair.peer]))
        equal = "equal" if away <= ROUNDING else "differs"
        lines.append(
            [pair.name, pair.peer, pair.change, away, equal, own_ms, ms[pair.peer]]
        )
        print(*lines[-1], flush=True)
    header = ("score", "peer", "brought to ours", "difference", "", "ms", "ms, peer")
    return Table(header, lines, ("", "", "", ".0e", "", ".2f", ".2f"))


def run_peer(peer: str, folder: pathlib.Path) -> tuple[dict, dict, dict]:
    """Scores, milliseconds and versions of the other process.

    Raises:
      ValueError: it failed; the end of what it said.
    """
    processes.run(peer, PEER, folder)
    told = json.loads((folder / "peer.json").read_text())
    return dict(np.load(folder / "peer.npz")), told["ms"], told["versions"]


def main(arguments=None) -> int:
    """Compares every score with the peer's; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = parser_of("experiments.benchmarks.outliers_peer", __doc__)
    add = parser.add_argument
    add("--workdir", type=writable_folder, required=True, metavar="DIR")
    add("--peer", default=sys.executable, help="a Python with the three packages")
    add("--data", default="", help="an .npz file; digits if it is not given")
    asked = parser.parse_args(arguments)
    folder = pathlib.Path(asked.workdir)
    with one_line_errors(parser):
        data = outliers.read(asked.data) if asked.data else made()
        given = hand_over(data, folder)
        scores, ms, versions = run_peer(asked.peer, folder)
        table = table_of(given, scores, ms)
        about = ABOUT.format(
            rows=len(given["rows"]),
            dim=given["rows"].shape[1],
            train=len(given["train"]),
            classes=len(given["weights"]),
            data="of a file" if asked.data else "of digits, by a small network",
            cores=os.cpu_count(),
            versions=", ".join(f"{n} {v}" for n, v in versions.items()),
        )
        words = [w for w in arguments if not w.startswith("--peer=")]
        command = store.command_line("experiments.benchmarks.outliers_peer", words)
        text = store.write(
            folder / "outliers_peer.json",
            title="Scores of outliers beside public code",
            command=command.replace("outliers_peer", "outliers_peer --peer=PYTHON", 1),
            seeds=[0],
            content=[about, table],
        )
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
