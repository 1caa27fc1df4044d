"""Backward compatibility against its terms in float64 loops, by hand, and gradients."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses

backward_compatible = jax.jit(losses.backward_compatible)
LABELS = np.array([0, 2, 1, 3, 2, 0])


def draw():
    rng = np.random.default_rng(0)
    rows = dict(features=(6, 4), block=(6, 3), classifier=(4, 4), old_features=(6, 3))
    rows |= dict(old_classifier=(3, 3), reference=(6, 4))
    return {name: rng.normal(size=size).astype("f") for name, size in rows.items()}


def in_loops(a, weights):
    """Zhou et al.: four terms, row by row; the old model does not know class 3."""

    def unit(x):
        return x / math.sqrt(x @ x)

    total = 0.0
    for i, label in enumerate(LABELS):
        for x, classifier, weight in (
            (a["features"], a["classifier"], 1),
            (a["block"], a["old_classifier"], weights[0]),
        ):
            logits = [w @ unit(x[i].astype(float)) for w in classifier.astype(float)]
            if label < len(logits):
                share = sum(math.exp(z - logits[label]) for z in logits)
                total += weight * math.log(share)
        for x, y, weight in (
            (a["block"], a["old_features"], weights[1]),
            (a["features"], a["reference"], weights[2]),
        ):
            total += weight * (1 - unit(x[i].astype(float)) @ unit(y[i].astype(float)))
    return total / len(LABELS)


@pytest.mark.parametrize("weights", [(10.0, 5.0, 1.0), (0.0, 0.3, 2.0)])
def test_it_matches_the_paper(weights):
    names = ("old_class_weight", "old_weight", "reference_weight")
    found = backward_compatible(**draw(), labels=LABELS, **dict(zip(names, weights)))
    np.testing.assert_allclose(found, in_loops(draw(), weights), rtol=1e-5)
    if weights[0]:
        np.testing.assert_allclose(
            backward_compatible(**draw(), labels=LABELS), found, rtol=1e-6
        )


def test_the_same_features_as_before_cost_the_classes_alone_by_hand():
    x = np.eye(2, dtype="f")
    same = dict(features=x, block=x, old_features=3 * x, reference=2 * x)
    classifiers = dict(classifier=0 * x, old_classifier=0 * x)
    found = backward_compatible(**same, **classifiers, labels=np.arange(2))
    np.testing.assert_allclose(found, 11 * math.log(2), rtol=1e-6)


def test_the_old_model_has_no_gradient():
    slope = jax.jit(jax.grad(lambda a: losses.backward_compatible(**a, labels=LABELS)))
    moved = {name for name, g in slope(draw()).items() if np.asarray(g).any()}
    assert moved == {"features", "block", "classifier"}
    bad = draw() | dict(old_classifier=np.ones((3, 4)))
    with pytest.raises(ValueError, match="backward_compatible: expected old_class"):
        losses.backward_compatible(**bad, labels=LABELS)
