"""Distance of the origin to a geodesic: its definition, the paper's form, by hand."""

import jax
import numpy as np
import pytest

from repr_jax.ops.poincare import lca_distance

distance = jax.jit(lca_distance)


def plus(x, y):
    """Moebius addition."""
    dot, x2, y2 = x @ y, x @ x, y @ y
    return ((1 + 2 * dot + y2) * x + (1 - x2) * y) / (1 + 2 * dot + x2 * y2)


def by_walking(x, y):
    """The least distance over points of the geodesic from x to y, ever closer ones."""
    step = plus(-x, y)
    length = np.linalg.norm(step)
    low, high = 0.0, 1.0
    for _ in range(6):
        walked = np.linspace(low, high, 101)
        points = [
            plus(x, np.tanh(t * np.arctanh(length)) * step / length) for t in walked
        ]
        found = [2 * np.arctanh(np.linalg.norm(p)) for p in points]
        best = int(np.argmin(found))
        low, high = walked[max(best - 1, 0)], walked[min(best + 1, 100)]
    return found[best]


def by_angles(x, y):
    """Chami et al. 2020, for a foot between the two; angle is from x to the foot."""
    a, b = np.linalg.norm(x), np.linalg.norm(y)
    between = np.arccos(x @ y / (a * b))
    ratio = a * (b**2 + 1) / (b * (a**2 + 1))
    angle = np.arctan((ratio - np.cos(between)) / np.sin(between))
    radius = np.sqrt(((a**2 + 1) / (2 * a * np.cos(angle))) ** 2 - 1)
    return 2 * np.arctanh(np.sqrt(radius**2 + 1) - radius)


def draw(num, dim, norms):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, num, dim))
    return norms(rng, (2, num, 1)) * x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("dim", [2, 5])
def test_is_the_least_distance_on_the_way(dim):
    pairs = draw(20, dim, lambda rng, shape: rng.uniform(0.1, 0.98, size=shape))
    expected = [by_walking(x, y) for x, y in zip(*pairs)]
    np.testing.assert_allclose(distance(*pairs), expected, rtol=1e-5)
    np.testing.assert_allclose(distance(*pairs[::-1]), expected, rtol=1e-5)


@pytest.mark.parametrize("norm", [1e-3, 1e-7, 1e-15, 1e-30])
def test_is_twice_that_of_the_straight_line_near_the_origin(norm):
    """Curvature no longer matters; an epsilon under the root would."""
    x, y = np.float32(norm * np.array([[3, 1], [1, 3]]))
    expected = 2 * np.sqrt(8) * norm  # of the line through both
    np.testing.assert_allclose(distance(x, y), expected, rtol=1e-4)
    gradient = np.asarray(jax.jit(jax.grad(lca_distance))(x, y))
    step = 1e-3 * norm * np.array([2, 1])
    with jax.enable_x64(True):
        exact = [float(distance(np.float64(a), np.float64(y))) for a in (x, x + step)]
    np.testing.assert_allclose(gradient @ step, exact[1] - exact[0], rtol=1e-2)


def test_is_the_form_of_the_paper_for_points_of_one_norm():
    pairs = draw(20, 3, lambda rng, shape: 0.8)
    expected = [by_angles(x, y) for x, y in zip(*pairs)]
    np.testing.assert_allclose(distance(*pairs), expected, rtol=1e-5)


def test_by_hand():
    """Perpendicular, of norm sqrt(1/2): the circle has center 1.5 from the origin."""
    x, y = np.sqrt(0.5) * np.eye(2, dtype=np.float32)
    nearest = 1.5 - np.sqrt(1.25)
    np.testing.assert_allclose(distance(x, y), 2 * np.arctanh(nearest), rtol=1e-6)
    np.testing.assert_allclose(distance(x, x), 2 * np.arctanh(0.5**0.5), rtol=1e-6)
    np.testing.assert_allclose(distance(x, -x), 0, atol=1e-5)
    np.testing.assert_allclose(distance(x, x / 2), distance(x / 2, x / 2))


@pytest.mark.parametrize("x", [[0.0, 0.0], [0.6, 0.0]])
@pytest.mark.parametrize("y", [[0.0, 0.0], [0.6, 0.0], [-0.6, 0.0], [0.9, 0.0]])
def test_gradients_are_finite_on_a_line_through_the_origin(x, y):
    pull = jax.jit(jax.grad(lca_distance, argnums=(0, 1)))
    gradient = pull(np.array(x), np.array(y))
    assert np.isfinite(gradient).all()
