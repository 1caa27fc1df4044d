import jax
import numpy as np
import pytest
from sklearn import metrics as oracle

from repr_jax import metrics


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
    found = jax.jit(getattr(metrics, name))(*draw())
    np.testing.assert_allclose(found, value, rtol=1e-6)


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_ties_as_scikit_learn_and_the_definition_have_them(digits):
    rng = np.random.default_rng(1)
    outlier = rng.random(200) < 0.3
    scores = np.round(rng.normal(size=200) + outlier, digits)
    np.testing.assert_allclose(
        metrics.auroc(scores, outlier), oracle.roc_auc_score(outlier, scores), rtol=1e-5
    )
    np.testing.assert_allclose(
        metrics.average_precision(scores, outlier),
        oracle.average_precision_score(outlier, scores),
        rtol=1e-5,
    )
    for tpr in (0.5, 0.95, 1.0):
        np.testing.assert_allclose(
            metrics.fpr_at_tpr(scores, outlier, tpr=tpr),
            fpr_from_the_definition(scores, outlier, tpr),
            rtol=1e-5,
        )


@pytest.mark.parametrize("name", ["auroc", "average_precision", "fpr_at_tpr"])
def test_absent_rows_are_deleted_and_rising_maps_change_nothing(name):
    metric, (scores, outlier) = getattr(metrics, name), draw()
    where = np.arange(40) % 5 > 0
    spoiled = np.where(where, scores, np.nan)
    expected = metric(scores[where], outlier[where])
    np.testing.assert_allclose(metric(spoiled, outlier, where=where), expected)
    np.testing.assert_allclose(
        metric(np.exp(scores), outlier), metric(scores, outlier), rtol=1e-6
    )


def test_by_hand_and_what_is_undefined():
    outlier = np.array([True, False])
    assert metrics.auroc(np.array([1.0, 0.0]), outlier) == 1
    assert metrics.auroc(np.array([1.0, 1.0]), outlier) == 0.5
    assert metrics.auroc(np.array([np.nan, 0.0]), outlier) == 0
    for name in ("auroc", "average_precision", "fpr_at_tpr"):
        assert np.isnan(getattr(metrics, name)(np.ones(3), np.ones(3, bool)))
    scores, outlier = draw()
    complement = metrics.auroc(-scores, outlier)
    np.testing.assert_allclose(
        complement, 1 - metrics.auroc(scores, outlier), rtol=1e-6
    )
    with pytest.raises(TypeError, match="outlier bool"):
        metrics.auroc(scores, outlier.astype(int))


def test_two_scores_combined_by_hand():
    scores = np.array([[0.2, 0.5, 9.0], [0.3, 0.9, -1.0]])
    found = metrics.minmax_combine(scores, np.array([0.1, 0.0]), np.array([0.6, 1.0]))
    np.testing.assert_allclose(found, [0.25, 0.85, 0.5], rtol=1e-6)
    with pytest.raises(ValueError, match="expected lows of shape"):
        metrics.minmax_combine(scores, np.zeros(3), np.ones(3))
