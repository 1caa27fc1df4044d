"""ViM, ECOD, Deep SVDD, PaDiM and temperature scaling: values, loops, properties."""

import jax
import numpy as np
import pytest

from repr_jax import losses, metrics
from repr_jax.estimators import deep_svdd, ecod, padim, temperature_scaling, vim


def test_vim_has_the_values_of_an_independent_program():
    rng = np.random.default_rng(4)
    x, weights = rng.normal(size=(40, 5)), rng.normal(size=(3, 5))
    bias, queries = rng.normal(size=3), rng.normal(size=(2, 5))
    fitted = vim.fit(x, weights, bias, num_components=3)
    found = jax.jit(vim.score)(fitted, queries)
    np.testing.assert_allclose(found, [1.934883, -0.15776], rtol=1e-5)
    np.testing.assert_allclose(weights @ fitted.origin, -bias, rtol=1e-4, atol=1e-5)
    logits = x @ weights.T + bias
    fitted, residual = jax.tree.map(np.asarray, fitted), jax.jit(vim.residual_score)
    virtual = fitted.alpha * np.mean(residual(fitted, x))
    np.testing.assert_allclose(virtual, logits.max(axis=1).mean(), rtol=1e-5)
    inside = fitted.origin + 3 * np.linalg.qr(fitted.residual, "complete")[0][:, 2]
    np.testing.assert_allclose(residual(fitted, inside[None]), 0, atol=1e-5)
    with pytest.raises(ValueError, match="fewer components than dimensions, 5; got"):
        vim.fit(x, weights, bias, num_components=5)


def test_ecod_is_a_product_of_tails():
    x = np.random.default_rng(57).normal(size=(12, 3)) ** 3
    fit, score = jax.jit(ecod.fit), jax.jit(ecod.score)
    fitted = fit(x)
    found = np.asarray(score(fitted, x))
    np.testing.assert_allclose(found[:3], [3.871201, 3.76584, 4.458988], rtol=1e-5)
    queries = np.concatenate([x[:2], x[2:3] + 100]).astype("f")
    pooled = np.concatenate([x.astype("f"), queries])
    expected = []
    for row in queries:
        shares = [((pooled <= row).mean(axis=0), (pooled >= row).mean(axis=0))]
        expected.append(sum(np.maximum(*-np.log(shares[0]))))
    np.testing.assert_allclose(score(fitted, queries), expected, rtol=1e-5)
    dirty = np.concatenate([np.full((2, 3), np.nan), queries])
    masked = ecod.score(fitted, dirty, where=np.arange(5) > 1)
    np.testing.assert_allclose(np.asarray(masked)[2:], expected, rtol=1e-5)
    clipped, grown = x.clip(-3, 3), np.exp(x.clip(-3, 3))
    moved = score(fit(grown), grown)
    np.testing.assert_allclose(moved, score(fit(clipped), clipped), rtol=1e-5)


def test_padim_is_a_gaussian_a_position():
    rng = np.random.default_rng(0)
    maps, queries = rng.normal(size=(9, 2, 3, 4)), rng.normal(size=(2, 2, 3, 4))
    fitted = padim.fit(maps, ridge=0.1)
    found = np.asarray(jax.jit(padim.score)(fitted, queries))
    assert found.shape == (2, 2, 3)
    for place in np.ndindex(2, 3):
        at = (slice(None), *place)
        covariance = np.cov(maps[at].T) + 0.1 * np.eye(4)
        for i in range(2):
            away = queries[i][place] - maps[at].mean(axis=0)
            expected = np.sqrt(away @ np.linalg.solve(covariance, away))
            np.testing.assert_allclose(found[i][place], expected, rtol=1e-4)
    with pytest.raises(ValueError, match=r"padim\.fit: expected a ridge that keeps"):
        padim.fit(maps[:3], ridge=0.0)


def test_deep_svdd_finds_what_leaves_a_curve():
    """Normal rows are on a circle; outliers within it, where a mean would be."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, size=400)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.concatenate([x, x**2], axis=1) + 0.05 * rng.normal(size=(400, 4))
    outliers = 0.2 * rng.normal(size=(100, 4))
    fitted = deep_svdd.fit(
        jax.random.key(0), x[:300].astype("f"), num_steps=300, learning_rate=0.01
    )
    center, descended = np.asarray(fitted.center), np.asarray(fitted.losses)
    assert (np.abs(center) >= 0.1).all()
    assert descended[-1] < 0.1 * descended[0]
    rows = np.concatenate([x[300:], outliers]).astype("f")
    scores = jax.jit(deep_svdd.score)(fitted, np.append(rows, np.zeros((1, 4), "f"), 0))
    *scores, origin = np.asarray(scores)
    assert jax.jit(metrics.auroc)(np.array(scores), np.arange(200) >= 100) > 0.9
    np.testing.assert_allclose(origin, (center**2).sum(), rtol=1e-6)  # no biases


@pytest.mark.parametrize("factor", [0.01, 1.0, 40.0])
def test_the_temperature_is_the_least_cross_entropy_and_follows_the_scale(factor):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 5))
    labels = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
    logits = (3 * factor * logits).astype("f")  # their own temperature is 3 factor
    found = np.asarray(temperature_scaling.fit(logits, labels).temperature)
    np.testing.assert_allclose(found, 3 * factor, rtol=0.05)
    cross_entropy = jax.jit(losses.cross_entropy)
    least = cross_entropy(logits / found, labels)
    for other in (0.97, 1.03):
        assert cross_entropy(logits / (other * found), labels) > least


def test_always_right_is_cold_and_knowing_nothing_hot():
    logits = np.array([[2.0, 0.0], [0.0, 1.0]], np.float32)
    fit, cross_entropy = jax.jit(temperature_scaling.fit), jax.jit(losses.cross_entropy)
    cold = np.asarray(fit(logits, np.array([0, 1])).temperature)
    hot = fit(logits, np.array([1, 0])).temperature
    assert cold < 0.05 and cross_entropy(logits / cold, np.array([0, 1])) == 0
    np.testing.assert_allclose(hot, 2e3, rtol=1e-2)
    same = fit(np.zeros((3, 2)), np.array([0, 1, 1])).temperature
    assert np.isfinite(same)
    with pytest.raises(ValueError, match=r"labels in \[0, 2\)"):
        temperature_scaling.fit(logits, np.array([0, 2]))
