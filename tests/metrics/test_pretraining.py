import jax
import numpy as np
import pytest

from repr_jax import metrics

memorization = jax.jit(metrics.memorization)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_utility_of_an_independent_program():
    counts = [100, 200, 400, 800, 1600]
    noise = np.round(0.02 * np.random.default_rng(50).uniform(size=5), 4)
    scratch = np.array([0.30, 0.45, 0.60, 0.72, 0.80]) + noise
    found = metrics.label_utility(counts, scratch, [0.50, 0.58, 0.66, 0.74, 0.79])
    expected = [1.461538, 0.7851698, 0.381323, 0.007668712, -0.1127301]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_utility_by_hand_and_where_it_is_unbounded():
    counts = np.array([10.0, 20, 30, 40])
    scratch = np.array([0.2, 0.4, 0.3, 0.6])  # its running maximum stays at 0.4
    np.testing.assert_allclose(metrics.label_utility(counts, scratch, scratch)[:2], 0)
    found = metrics.label_utility(counts, scratch, [0.1, 0.4, 0.5, 0.7])
    np.testing.assert_allclose(found, [np.nan, 0, 35 / 30 - 1, np.inf])
    with pytest.raises(ValueError, match="ascending"):
        metrics.label_utility(counts[::-1], scratch, scratch)
    with pytest.raises(ValueError, match="scratch finite; got nan in row 1"):
        metrics.label_utility(counts, scratch * [1, np.nan, 1, 1], scratch)


def draw():
    rng = np.random.default_rng(51)
    return [unit(rng.normal(size=s)) for s in ((3, 4), (5, 3, 4), (3, 4), (5, 3, 4))]


def test_memorization_of_an_independent_program():
    found = memorization(*draw())
    expected = [-1.301068, -0.3010683, -0.9826886]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_memorization_of_absent_rows_and_of_one_encoder():
    f, f_views, g, g_views = draw()
    where = np.array([True, False, True])
    first, third = np.asarray(
        memorization(f[where], f_views[:, where], g[where], g_views[:, where])
    )
    f[1] = np.nan
    found = memorization(f, f_views, g, g_views, where=where)
    np.testing.assert_allclose(found, [first, 0, third], rtol=1e-6)
    for seed in range(10):  # compiled, the two may round apart: no scale makes it large
        views = np.random.default_rng(seed).normal(size=(5, 3, 4)).astype("f")
        same = memorization(views[0], views, views[0], views)
        np.testing.assert_allclose(same, 0, atol=1e-6)
    with pytest.raises(ValueError, match="f finite; got nan in row 1"):
        metrics.memorization(f, f_views, g, g_views)
    g_views[4, 1, 0] = np.inf
    again = memorization(f, f_views, g, g_views, where=where)
    np.testing.assert_array_equal(again, found)
    with pytest.raises(ValueError, match="g_views finite; got inf in row 1"):
        metrics.memorization(g, f_views, g, g_views)
    with pytest.raises(ValueError, match=r"f_views of shape \(5, 3, 4\)"):
        metrics.memorization(g, f_views[:, :2], g, f_views)


def test_conditional_cross_covariance_matches_loops_and_an_independent_program():
    rng = np.random.default_rng(33)
    a = rng.normal(size=(12, 2))
    b = a @ np.diag([0.5, -0.2]) + rng.normal(size=(12, 2))
    labels = np.arange(12) % 3
    function = jax.jit(
        metrics.conditional_cross_covariance, static_argnames="num_classes"
    )
    found = np.asarray(function(a, b, labels, num_classes=3))
    expected = np.zeros((2, 2))
    for c in range(3):
        rows = labels == c
        expected += (a[rows] - a[rows].mean(0)).T @ (b[rows] - b[rows].mean(0)) / 12
    printed = [[0.117161, 0.08989711], [0.07827168, -0.2161152]]
    for values in (expected, printed):
        np.testing.assert_allclose(found, values, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, 2), 0.236468, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found), 0.273204, rtol=1e-5)
    alone = function(a, b, np.arange(12), num_classes=12)  # a class of one row adds 0
    np.testing.assert_allclose(alone, 0, atol=1e-6)
    where = np.arange(12) != 4
    spoiled = np.where(where[:, None], a, np.nan)
    found = function(spoiled, b, labels, num_classes=3, where=where)
    same = function(a, b, np.where(where, labels, -1), num_classes=3)
    np.testing.assert_allclose(found, same, rtol=1e-5)
    with pytest.raises(ValueError, match="conditional_cross_covariance: expected a wi"):
        metrics.conditional_cross_covariance(a[:5], b, labels, num_classes=3)
