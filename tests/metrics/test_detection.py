import itertools

import jax
import numpy as np
import pytest
from sklearn import metrics as oracle

from repr_jax import metrics
from repr_jax.ops import uncertainty

auroc, average_precision = jax.jit(metrics.auroc), jax.jit(metrics.average_precision)
fpr_at_tpr = jax.jit(metrics.fpr_at_tpr, static_argnames="tpr")
risk_coverage = jax.jit(metrics.risk_coverage)
MEASURES = {
    "auroc": auroc,
    "average_precision": average_precision,
    "fpr_at_tpr": fpr_at_tpr,
}


def draw():
    outlier = np.arange(40) % 3 == 0
    noise = np.random.default_rng(0).normal(size=40)
    return np.round(noise + 2 * outlier, 1), outlier


def fpr_from_the_definition(scores, outlier, tpr):
    """The least FPR among distinct thresholds s >= t whose TPR is high enough."""
    rates = [
        np.mean(scores[~outlier] >= t)
        for t in np.unique(scores)
        if np.mean(scores[outlier] >= t) >= tpr
    ]
    return min(rates)


@pytest.mark.parametrize(
    ("name", "value"),
    [("auroc", 0.9423077), ("average_precision", 0.9409341), ("fpr_at_tpr", 0.6923077)],
)
def test_values_of_an_independent_program(name, value):
    found = MEASURES[name](*draw())
    np.testing.assert_allclose(found, value, rtol=1e-6)


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_ties_as_scikit_learn_and_the_definition_have_them(digits):
    rng = np.random.default_rng(1)
    outlier = rng.random(200) < 0.3
    scores = np.round(rng.normal(size=200) + outlier, digits)
    np.testing.assert_allclose(
        auroc(scores, outlier), oracle.roc_auc_score(outlier, scores), rtol=1e-5
    )
    np.testing.assert_allclose(
        average_precision(scores, outlier),
        oracle.average_precision_score(outlier, scores),
        rtol=1e-5,
    )
    for tpr in (0.5, 0.95, 1.0):
        np.testing.assert_allclose(
            fpr_at_tpr(scores, outlier, tpr=tpr),
            fpr_from_the_definition(scores, outlier, tpr),
            rtol=1e-5,
        )


@pytest.mark.parametrize("name", MEASURES)
def test_absent_rows_are_deleted_and_rising_maps_change_nothing(name):
    metric, (scores, outlier) = MEASURES[name], draw()
    where = np.arange(40) % 5 > 0
    spoiled = np.where(where, scores, np.nan)
    eager = getattr(metrics, name)  # two programs would round apart
    expected = eager(scores[where], outlier[where])
    np.testing.assert_allclose(eager(spoiled, outlier, where=where), expected)
    np.testing.assert_allclose(
        metric(np.exp(scores), outlier), metric(scores, outlier), rtol=1e-6
    )


@pytest.mark.parametrize("name", MEASURES)
def test_outliers_may_be_a_constant_of_a_compiled_function(name):
    metric, (scores, outlier) = getattr(metrics, name), draw()
    found = jax.jit(lambda scores: metric(scores, outlier))(scores)
    np.testing.assert_allclose(found, MEASURES[name](scores, outlier), rtol=1e-6)


def test_by_hand_and_what_is_undefined():
    outlier = np.array([True, False])
    assert auroc(np.array([1.0, 0.0]), outlier) == 1
    assert auroc(np.array([1.0, 1.0]), outlier) == 0.5
    assert auroc(np.array([np.nan, 0.0]), outlier) == 0
    for metric in MEASURES.values():
        assert np.isnan(metric(np.ones(3), np.ones(3, bool)))
    scores, outlier = draw()
    complement = 1 - np.asarray(metrics.auroc(scores, outlier))
    found = metrics.auroc(-scores, outlier)
    np.testing.assert_allclose(found, complement, rtol=1e-6)
    with pytest.raises(TypeError, match="outlier bool"):
        metrics.auroc(scores, outlier.astype(int))


def test_two_scores_combined_by_hand():
    scores = np.array([[0.2, 0.5, 9.0], [0.3, 0.9, -1.0]])
    found = metrics.minmax_combine(scores, np.array([0.1, 0.0]), np.array([0.6, 1.0]))
    np.testing.assert_allclose(found, [0.25, 0.85, 0.5], rtol=1e-6)
    with pytest.raises(ValueError, match="expected lows of shape"):
        metrics.minmax_combine(scores, np.zeros(3), np.ones(3))


def risk_from_the_definition(confidence, correct):
    """The mean over all orders of rows of equal confidence, one loop a sum."""
    orders = [
        order
        for order in itertools.permutations(range(len(confidence)))
        if all(confidence[a] >= confidence[b] for a, b in itertools.pairwise(order))
    ]
    total = 0.0
    for order in orders:
        for k in range(1, len(order) + 1):
            total += sum(not correct[i] for i in order[:k]) / k / len(order)
    return total / len(orders)


def test_risk_by_coverage_is_the_mean_over_random_orders_of_ties():
    rng = np.random.default_rng(0)
    for confidence in (rng.integers(3, size=6).astype(float), rng.normal(size=6)):
        correct = rng.random(6) < 0.5
        found = risk_coverage(confidence, correct)
        expected = risk_from_the_definition(confidence, correct)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        order = rng.permutation(6)
        moved = risk_coverage(confidence[order], correct[order])
        np.testing.assert_allclose(moved, found, rtol=1e-6)


def test_risk_by_coverage_has_the_value_of_an_independent_program():
    rng = np.random.default_rng(1)
    logits, drawn = 2 * rng.normal(size=(50, 4)), rng.integers(4, size=50)
    labels = np.where(np.arange(50) % 2 == 0, logits.argmax(axis=1), drawn)
    confidence = -np.asarray(jax.jit(uncertainty.max_softmax)(logits))
    found = risk_coverage(confidence, logits.argmax(axis=1) == labels)
    np.testing.assert_allclose(found, 0.4446273, rtol=1e-5)


def test_risk_by_coverage_by_hand():
    confidence, correct = np.array([3.0, 2.0, 1.0]), np.array([True, True, False])
    np.testing.assert_allclose(risk_coverage(confidence, correct), 1 / 9)
    worst = risk_coverage(-confidence, correct)
    np.testing.assert_allclose(worst, (1 + 1 / 2 + 1 / 3) / 3, rtol=1e-6)
    broken = np.array([3.0, 2.0, np.nan])  # the least sure
    np.testing.assert_allclose(risk_coverage(broken, correct), 1 / 9)
    more = np.array([3.0, -np.inf, 2.0, np.nan, 1.0])
    right, where = np.array([1, 0, 1, 1, 0], bool), np.array([1, 0, 1, 0, 1], bool)
    found = risk_coverage(more, right, where=where)
    np.testing.assert_allclose(found, 1 / 9, rtol=1e-6)
    assert np.isnan(risk_coverage(more, right, where=where & False))
    with pytest.raises(TypeError, match="risk_coverage: expected correct bool"):
        metrics.risk_coverage(confidence, confidence)
