"""Soft outlier exposure: loops, an oracle, and its two ends."""

import jax
import numpy as np
import pytest

from repr_jax import losses

soft_outlier = jax.jit(losses.soft_outlier)


def in_loops(normal, anomaly, ratio):
    order = sorted(range(len(normal)), key=lambda i: anomaly[i] - normal[i])
    chosen = set(order[: int(ratio * len(normal) + 1e-6)])
    terms = [
        (normal[i] + anomaly[i]) / 2 if i in chosen else normal[i]
        for i in range(len(normal))
    ]
    return np.mean(terms)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.7, 1.0])
def test_matches_loops(ratio):
    normal, anomaly = np.random.default_rng(0).uniform(size=(2, 10)).astype("f")
    found = jax.jit(losses.soft_outlier)(normal, anomaly, ratio=ratio)
    np.testing.assert_allclose(found, in_loops(normal, anomaly, ratio), rtol=1e-5)


def test_value_of_an_independent_program():
    rng = np.random.default_rng(30)
    rng.normal(size=(6, 2))
    normal, anomaly = rng.uniform(size=8), rng.uniform(size=8)
    found = soft_outlier(normal, anomaly, ratio=0.25)
    np.testing.assert_allclose(found, 0.5749782, rtol=1e-6)


def test_by_hand():
    normal, anomaly = np.array([1.0, 5.0]), np.array([1.0, 3.0])
    assert soft_outlier(normal, anomaly, ratio=0.0) == 3
    assert soft_outlier(normal, anomaly, ratio=0.5) == (1 + 4) / 2
    slope = jax.jit(jax.grad(losses.soft_outlier, argnums=1))(
        normal, anomaly, ratio=0.5
    )
    np.testing.assert_allclose(slope, [0, 0.25])
