import functools

import jax
import numpy as np

from repr_jax.estimators import quantile_region
from repr_jax.ops.quantiles import conformal


def test_inside_and_radius_of_an_independent_program():
    rng = np.random.default_rng(41)
    z, q, t = rng.normal(size=(12, 2)), -0.8 + 0.1 * rng.normal(size=4), None
    t = rng.normal(size=19)
    projections = z @ np.array([[1, 0, -1, 0], [0, 1, 0, -1]])
    inside = jax.jit(quantile_region.in_half_spaces)(projections, q[None])
    assert np.sum(inside) == 3
    np.testing.assert_allclose(conformal(t, miscoverage=0.1), 1.678228, rtol=1e-6)


def test_signed_distance_by_hand():
    decoded = np.arange(5.0)[None, :, None].repeat(3, axis=0)
    inside = np.array([[False, True, True, False, False]] * 3)
    y = np.array([[4.5], [1.25], [-1.0]])
    found = quantile_region.signed_distance(y, decoded, inside)
    np.testing.assert_allclose(found, [2.5, -1.25, 2.0])
    none = quantile_region.signed_distance(y, decoded, inside & False)
    assert (np.asarray(none) == np.inf).all()
    every = quantile_region.signed_distance(y, decoded, inside | True)
    assert (np.asarray(every) == -np.inf).all()


def test_coverage_of_a_banana_grown_from_a_region_too_small():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(900, 2)).astype("f")
    y[:, 1] += y[:, 0] ** 2
    grid = np.stack(np.meshgrid(*[np.linspace(-3, 3, 15)] * 2), -1).reshape(-1, 2)
    decoded = grid + np.stack([0 * grid[:, 0], grid[:, 0] ** 2], axis=1)
    decoded = np.broadcast_to(decoded.astype("f"), (900, 225, 2))
    inside = np.broadcast_to(np.sum(grid**2, axis=1) < 1, (900, 225))
    fit = jax.jit(functools.partial(quantile_region.fit, miscoverage=0.1))
    region = fit(y[:300], decoded[:300], inside[:300])
    contains = jax.jit(quantile_region.contains)
    found = contains(region, y[300:], decoded[300:], inside[300:])
    assert abs(np.mean(found) - 0.9) < 0.05
    assert region.radius > 0
