"""Checks of the scores of outliers of one classifier of digits."""

import functools

import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import Check, checks_in
from experiments.papers.checks.toys import (
    apply,
    hidden,
    separation,
)
from repr_jax import metrics
from repr_jax.data import polymnist
from repr_jax.evaluators import post_hoc

CHECKS: list[Check] = []
check = checks_in(CHECKS)


SETS = {"near": "AUROC, digits 8 and 9", "far": "AUROC, parts of photographs"}


def photographs(seed: int, num: int = 500):
    """[num, 196] float32 in [0, 1], parts of photographs in gray, as digits are."""
    gray = polymnist.photographs().mean(-1) / 255
    corners = np.random.default_rng(seed).integers(196, size=(num, 2))
    parts = [gray[n % 5, i : i + 28, j : j + 28] for n, (i, j) in enumerate(corners)]
    return np.float32(toys.pooled(np.stack(parts), 14).reshape(num, -1))


@functools.cache
def _post_hoc(seed):
    """{(score, set): AUROC} of a classifier of the digits 0 to 7."""
    known = range(8)
    x, y = toys.some(*toys.digits("train"), known, 4_000)
    t, _ = toys.some(*toys.digits("test"), known, 1_000)
    new, _ = toys.some(*toys.digits("test"), (8, 9), 1_000)
    params = toys.classifier(seed, x, y, widths=(128, 64))
    kernel, bias = params[-1]
    of_features = post_hoc.fit(hidden(params, x), y, kernel.T, bias, seed=seed)
    scores = {
        name: lambda rows, score=score: score(hidden(params, rows))
        for name, score in of_features.items()
    }
    scores["ODIN"] = lambda rows: metrics.odin(
        lambda z: apply(params, z), rows, epsilon=0.01
    )
    sets = {"near": new, "far": photographs(seed)}
    return {
        (name, which): separation(score(t), score(rows))
        for name, score in scores.items()
        for which, rows in sets.items()
    }


POST_HOC = {  # name of the score: public function
    "largest logit": "ops.uncertainty.max_logit",
    "energy": "ops.uncertainty.energy",
    "entropy": "ops.uncertainty.entropy",
    "GEN": "ops.uncertainty.generalized_entropy",
    "KL matching": "metrics.kl_matching",
    "ReAct": "ops.activations.react",
    "ASH-S": "ops.activations.ash_s",
    "ASH-B": "ops.activations.ash_b",
    "SCALE": "ops.activations.scale",
    "DICE": "ops.activations.dice",
    "GradNorm": "metrics.grad_norm",
    "NNGuide": "metrics.nn_guide",
    "fDBD": "metrics.decision_boundary",
    "ViM": "estimators.vim",
    "Mahalanobis": "estimators.mahalanobis",
    "relative Mahalanobis": "estimators.mahalanobis.relative_score",
    "nearest neighbors": "estimators.knn_distance",
    "ODIN": "metrics.odin",
}


for _which, _measure in SETS.items():
    for _name, _function in POST_HOC.items():

        def _run(seed, name=_name, which=_which):
            found = _post_hoc(seed)
            return found[name, which], found["largest softmax", which]

        check(f"{_name} {_which}", _function, _measure, beats="largest softmax")(_run)
