"""Measures of spread against values of an independent program, SciPy and by hand."""

import jax
import numpy as np
import pytest
from scipy.stats import differential_entropy

from repr_jax import metrics

VALUES = {
    "eigenvalue_enrichment": 0.4888663,
    "vasicek_ratio_mse": 0.2403022,
    "average_cosine": 0.301388,
    "partition_ratio": 0.003831694,
}
MEASURES = [*VALUES, "persistence_score", "persistence_median"]
JITTED = {name: jax.jit(getattr(metrics, name)) for name in MEASURES}


def draw():
    return np.random.default_rng(48).normal(size=(200, 4)) * [3, 2, 1, 0.5] + 1


@pytest.mark.parametrize("name", VALUES)
def test_values_of_an_independent_program(name):
    found = JITTED[name](draw())
    np.testing.assert_allclose(found, VALUES[name], rtol=1e-5)


def test_persistence_of_an_independent_program():
    x = np.random.default_rng(6).normal(size=(12, 3))
    for name, value in (("score", 0.6228599), ("median", 0.6056529)):
        found = JITTED[f"persistence_{name}"](x)
        np.testing.assert_allclose(found, value, rtol=1e-5)


@pytest.mark.parametrize("rows", [6, 60])
def test_vasicek_entropy_is_that_of_scipy_also_with_fewer_rows_than_dimensions(rows):
    x = np.random.default_rng(0).normal(size=(rows, 8)) * np.arange(1, 9)
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    u, s = u[:, : rows - 1], s[: rows - 1]
    scores = u * s * np.sqrt(8 / (s**2).sum() * rows)
    entropy = [differential_entropy(c, method="vasicek") for c in scores.T]
    ratios = np.pad(np.exp(entropy) / np.sqrt(2 * np.pi * np.e), (0, 8 - len(s)))
    expected = np.mean((1 - ratios) ** 2)
    found = JITTED["vasicek_ratio_mse"](x)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("name", MEASURES)
def test_absent_rows_are_deleted(name):
    measure, x = JITTED[name], draw()[:40]
    where = np.arange(40) % 3 > 0
    spoiled = np.where(where[:, None], x, np.nan)
    expected = measure(x[where])
    np.testing.assert_allclose(measure(spoiled, where=where), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="x finite; got nan in row 0"):
        getattr(metrics, name)(spoiled)


@pytest.mark.parametrize("name", [n for n in MEASURES if n not in list(VALUES)[2:]])
def test_shift_scale_and_rotation_change_nothing(name):
    measure, x = JITTED[name], draw()[:50]
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    np.testing.assert_allclose(measure(7 * x @ turn + 9), measure(x), rtol=1e-4)


def test_collapse_by_hand():
    line = np.zeros((400, 16))
    line[:, 0] = np.random.default_rng(0).normal(size=400)
    enrichment, mse, cosine, ratio = (JITTED[name] for name in VALUES)
    np.testing.assert_allclose(enrichment(line), 15 / 16, rtol=1e-5)
    np.testing.assert_allclose(mse(line), 1.5, atol=0.1)
    np.testing.assert_allclose(cosine(np.ones((5, 3))), 1, rtol=1e-5)
    pair = np.array([[1.0, 0], [-1, 0]])
    np.testing.assert_allclose(cosine(pair), -1)
    expected = 2 / (np.e + 1 / np.e)  # along x: e + 1 / e, across: 2
    np.testing.assert_allclose(ratio(pair), expected, rtol=1e-6)
    for measure in (enrichment, mse):
        assert np.isnan(measure(np.ones((5, 3))))


def test_persistence_of_clusters_duplicates_and_too_few_rows():
    x = 1e-3 * np.random.default_rng(0).normal(size=(20, 3))
    x[10:] += 5
    score, median = JITTED["persistence_score"], JITTED["persistence_median"]
    np.testing.assert_allclose(score(x), 1 / 19, atol=1e-3)
    x = np.array([[0.0], [0], [1], [3]])
    for measure in (score, median):
        np.testing.assert_allclose(measure(x), 0.5)
        assert np.isnan(measure(np.ones((1, 2))))
        assert np.isnan(measure(np.ones((4, 2))))
