"""Wrong labels: which losses withstand them, and which scores find them.

The part `noise` of `imperfect_labels`. Labels of a share of the rows are replaced: by
any other class (symmetric), or by the class that such digits are taken for
(asymmetric, the pairs of Patrini et al., "Making Deep Neural Networks Robust to Label
Noise: A Loss Correction Approach", 2017). Test labels are right.
"""

import functools
import pathlib

import jax
import numpy as np

from experiments.papers import label_training as training
from experiments.papers.checks import toys
from experiments.papers.label_training import CROSS_ENTROPY, Data, Method, of_logits
from repr_jax import files, losses, metrics
from repr_jax.estimators import (
    confident_learning,
    loss_mixture,
    relation_graph,
    separation,
)
from repr_jax.ops import label_mixing
from repr_jax.ops.numerics import one_hot

ASYMMETRIC = {2: 7, 3: 8, 5: 6, 6: 5, 7: 1}
SETTINGS = {
    "symmetric 20 %": ("symmetric", 0.2),
    "symmetric 40 %": ("symmetric", 0.4),
    "symmetric 60 %": ("symmetric", 0.6),
    "asymmetric 40 %": ("asymmetric", 0.4),
}
FOLDS = 4
EARLY = 10  # networks that are stopped early take a tenth of the steps
PLAIN, STOPPED = "cross-entropy", "cross-entropy, stopped early"
CLEANED = "cross-entropy without rows of {}"
ORACLE = CLEANED.format("an oracle")  # which knows the wrong labels
DETECTIONS = ("precision", "recall", "AUROC", "AP")
FILE = "labels.npz"  # of a run, for the peer


def _mixup(params, extras, rows, key, progress):
    keys = jax.random.split(key)
    x, y = training.draw(keys[0], rows)
    x, targets = label_mixing.mixup(keys[1], x, one_hot(y, 10, dtype=x.dtype), alpha=8)
    return losses.soft_cross_entropy(toys.apply(params, x), targets)


METHODS = {
    PLAIN: CROSS_ENTROPY,
    STOPPED: CROSS_ENTROPY,
    "label smoothing, 0.1": of_logits(
        functools.partial(losses.cross_entropy, label_smoothing=0.1)
    ),
    "mixup, alpha 8": Method(_mixup),
    "generalized cross-entropy, 0.7": of_logits(losses.generalized_cross_entropy),
    "mean absolute error": of_logits(
        functools.partial(losses.generalized_cross_entropy, power=1.0)
    ),
    "relation distillation": training.RELATIONS,
}


def corrupted(y, kind: str, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """[batch] given labels, and which are wrong: `share` of all, or of each pair's."""
    rng = np.random.default_rng((seed, 1))
    given = np.array(y)
    if kind == "symmetric":
        moved = rng.permutation(len(y))[: round(share * len(y))]
        given[moved] = (y[moved] + rng.integers(1, 10, size=len(moved))) % 10
    else:
        for own, other in ASYMMETRIC.items():
            rows = rng.permutation(np.flatnonzero(y == own))
            given[rows[: round(share * len(rows))]] = other
    return given, given != y


def out_of_fold(seed: int, x, given, num_steps: int) -> np.ndarray:
    """[batch, 10] probabilities, each row's by a network that did not train on it."""
    folds = np.random.default_rng((seed, 2)).permutation(len(x)) % FOLDS
    found = np.zeros((len(x), 10), np.float32)
    for fold in range(FOLDS):
        rows = training.rows_of(x, given, folds != fold)
        params = training.train(seed, rows, CROSS_ENTROPY, num_steps=num_steps)
        own = folds == fold
        found[own] = probabilities(params, x[own])
    return found


@jax.jit
def probabilities(params, x):
    """[batch, 10]"""
    return jax.nn.softmax(toys.apply(params, x))


def surprise(params, x, given) -> np.ndarray:
    """[batch] cross-entropy of each row."""
    log_p = jax.nn.log_softmax(toys.apply(params, x))
    return -np.asarray(log_p)[np.arange(len(x)), given]


def detectors(x, given, late, early, out, features) -> dict:
    """{name: (scores, higher for what is rather wrong; flags or None)}, [batch] each.

    Args:
      x, given: the rows and their labels.
      late, early: networks trained on them, to the end and a tenth of it.
      out: probabilities of `out_of_fold`.
      features: of the rows, which labels had no part in.
    """
    confident = confident_learning.fit(out, given)
    graph = relation_graph.fit(toys.hidden(late, x), probabilities(late, x))
    agreement = relation_graph.label_scores(graph, given)
    loss = surprise(early, x, given)
    mixture = loss_mixture.fit(loss)
    clean = loss_mixture.clean_probability(mixture, loss)
    boundary = separation.fit(features, loss)
    found = {
        "confident learning": (
            1 - out[np.arange(len(x)), given],
            confident_learning.suspected(confident, out, given),
        ),
        "relation graph": (-agreement.scores, agreement.flagged),
        "loss mixture": (1 - clean, clean < 0.5),
        "separation": (
            separation.score(boundary, features),
            separation.noisy(boundary, features),
        ),
        "loss, stopped early": (loss, None),
        "loss at the end": (surprise(late, x, given), None),
    }
    return {
        name: tuple(None if part is None else np.asarray(part) for part in parts)
        for name, parts in found.items()
    }


def detection(scores, flagged, wrong) -> dict[str, float]:
    """The numbers of DETECTIONS; precision is NaN where nothing is flagged."""
    found = {}
    if flagged is not None:
        found["precision"] = float(np.mean(wrong[flagged])) if flagged.any() else np.nan
        found["recall"] = float(np.mean(flagged[wrong]))
    if scores is not None:
        scores = np.float32(scores)
        found["AUROC"] = float(metrics.auroc(scores, wrong))
        found["AP"] = float(metrics.average_precision(scores, wrong))
    return found


def measure(
    setting: str, seed: int, data: Data, *, data_dir: str, num_steps: int, folder
) -> dict[str, float]:
    """Every number of a setting and seed; keeps in `folder` what the peer reads."""
    given, wrong = corrupted(data.y, *SETTINGS[setting], seed)
    rows, early = training.rows_of(data.x, given), max(1, num_steps // EARLY)
    found, networks = {}, {}

    def accuracy(method, params):
        told = training.predictions(method, params, data.test_x)
        return float(metrics.accuracy(told, data.test_y))

    for name, method in METHODS.items():
        steps = early if name == STOPPED else num_steps
        networks[name] = training.train(seed, rows, method, num_steps=steps)
        found[f"accuracy/{name}"] = accuracy(method, networks[name])
    fitted = training.predictions(CROSS_ENTROPY, networks[PLAIN], data.x)
    found["memorized"] = float(np.mean((fitted == given)[wrong]))
    out = out_of_fold(seed, data.x, given, early)
    other = training.without_labels(seed, data_dir, len(data.x), num_steps)
    features = np.asarray(toys.hidden(other, data.x))
    found_by = detectors(
        data.x, given, networks[PLAIN], networks[STOPPED], out, features
    )
    cleaned = {name: flags for name, (_, flags) in found_by.items()}
    for name, flags in (cleaned | {"an oracle": wrong}).items():
        if flags is not None:
            rows = training.rows_of(data.x, given, ~flags)
            params = training.train(seed, rows, CROSS_ENTROPY, num_steps=num_steps)
            cell = f"accuracy/{CLEANED.format(name)}"
            found[cell] = accuracy(CROSS_ENTROPY, params)
    for name, parts in found_by.items():
        numbers = detection(*parts, wrong)
        found |= {f"{key}/{name}": value for key, value in numbers.items()}
    with files.whole(pathlib.Path(folder) / FILE) as path:
        suspected = cleaned["confident learning"]
        np.savez(path, given=given, wrong=wrong, out=out, suspected=suspected)
    return found
