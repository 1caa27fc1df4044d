"""Bounds of information against float64 loops, by hand, and how they are ordered."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses

nwj, donsker_varadhan, jensen_shannon, cross_entropy = map(
    jax.jit,
    (losses.nwj, losses.donsker_varadhan, losses.jensen_shannon, losses.cross_entropy),
)


def draw(size=5):
    return np.random.default_rng(15).normal(size=(size, size)) + 2 * np.eye(size)


def bounds_in_loops(scores):
    """Tschannen et al., eq. 4; MINE, theorem 1; Deep InfoMax, eq. 4."""
    rows = range(len(scores))
    own = np.mean([scores[i, i] for i in rows])
    others = [scores[i, j] for i in rows for j in rows if i != j]
    soft = [math.log(1 + math.exp(-scores[i, i])) for i in rows]
    return (
        own - np.mean([math.exp(f - 1) for f in others]),
        own - math.log(np.mean([math.exp(f) for f in others])),
        -np.mean(soft) - np.mean([math.log(1 + math.exp(f)) for f in others]),
    )


@pytest.mark.parametrize("size", [2, 5])
def test_losses_are_the_negated_bounds(size):
    found = [-f(draw(size)) for f in (nwj, donsker_varadhan, jensen_shannon)]
    np.testing.assert_allclose(found, bounds_in_loops(draw(size)), rtol=1e-5)


def test_bounds_have_the_stated_values():
    scores = draw()
    found = [-f(scores) for f in (nwj, donsker_varadhan, jensen_shannon)]
    np.testing.assert_allclose(found, [1.170866, 1.223333, -1.143693], rtol=1e-5)
    info_nce = math.log(5) - cross_entropy(scores, np.arange(5))
    np.testing.assert_allclose(info_nce, 0.6944594, rtol=1e-5)


def test_equal_scores_by_hand():
    for constant in (0.0, 1.0, 3.0):
        scores = np.full((4, 4), constant, "f")
        expected = math.exp(constant - 1) - constant
        np.testing.assert_allclose(nwj(scores), expected, rtol=1e-6)
        np.testing.assert_allclose(donsker_varadhan(scores), 0, atol=1e-6)
    found = jensen_shannon(np.zeros((4, 4), "f"))
    np.testing.assert_allclose(found, 2 * math.log(2), rtol=1e-6)


def test_donsker_varadhan_is_tighter_and_equal_where_the_mean_is_e():
    scores = draw()
    assert donsker_varadhan(scores) <= nwj(scores)
    others = scores[~np.eye(5, dtype=bool)]
    moved = scores + 1 - math.log(np.mean(np.exp(others)))
    np.testing.assert_allclose(nwj(moved), donsker_varadhan(scores), rtol=1e-5)
    np.testing.assert_allclose(
        donsker_varadhan(moved), donsker_varadhan(scores), rtol=1e-5
    )


def test_the_density_ratio_makes_nwj_the_information_of_a_gaussian():
    """Correlation 0.6: -log(1 - 0.36) / 2 nats, over many draws."""
    rng, rho, values = np.random.default_rng(0), 0.6, []
    for _ in range(200):
        x, e = rng.normal(size=(2, 64))
        y = rho * x + math.sqrt(1 - rho**2) * e
        square = x[:, None] ** 2 + y[None] ** 2
        exponent = 2 * rho * x[:, None] * y[None] - rho**2 * square
        ratio = exponent / (2 * (1 - rho**2)) - math.log(1 - rho**2) / 2
        values.append(-float(nwj((1 + ratio).astype("f"))))
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values) + math.log(1 - rho**2) / 2) < 4 * error < 0.05


def test_a_lone_row_has_no_others():
    one = np.array([[2.0]], "f")
    assert nwj(one) == donsker_varadhan(one) == -2
    np.testing.assert_allclose(jensen_shannon(one), math.log1p(math.exp(-2)), rtol=1e-6)


@pytest.mark.parametrize("name", ["nwj", "donsker_varadhan", "jensen_shannon"])
def test_scores_must_be_square_floats(name):
    with pytest.raises(ValueError, match=rf"{name}: expected scores of shape \(5, 5\)"):
        getattr(losses, name)(draw()[:, :4])
    with pytest.raises(TypeError, match=f"{name}: expected scores of floats; got int"):
        getattr(losses, name)(np.eye(3, dtype=int))
