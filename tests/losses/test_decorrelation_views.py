"""TiCo and MMCR: loops, by hand, and the moments that they steer."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops.covariance import moving_moment

tico, mmcr = jax.jit(losses.tico), jax.jit(losses.mmcr)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def tico_in_loops(a, b, covariance, decay, weight):
    a, b = unit(a), unit(b)
    moment = decay * covariance
    moment += (1 - decay) * sum(np.outer(row, row) for row in a) / len(a)
    terms = [1 - p @ q + weight * p @ moment @ p for p, q in zip(a, b)]
    return np.mean(terms), moment


def mmcr_in_loops(views, weight):
    views = unit(views)
    of_batch = np.linalg.svd(views.mean(axis=0), compute_uv=False).sum()
    local = [
        np.linalg.svd(views[:, i], compute_uv=False).sum() for i in range(len(views[0]))
    ]
    return weight * np.mean(local) - of_batch


@pytest.mark.parametrize(("decay", "weight"), [(0.9, 8.0), (0.3, 1.0), (1.0, 0.5)])
def test_tico_matches_the_paper(decay, weight):
    (a, b), square = draw(2, 7, 4), draw(4, 4)
    covariance = square @ square.T
    expected, moment = tico_in_loops(a, b, covariance, decay, weight)
    found = tico(a, b, covariance, decay=decay, contrast_weight=weight)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    found = moving_moment(covariance, a, decay=decay)
    np.testing.assert_allclose(found, moment, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("views", "weight"), [(2, 0.0), (5, 0.3)])
def test_mmcr_matches_the_paper(views, weight):
    x = draw(views, 6, 3)
    found = mmcr(np.float32(4 * x), local_weight=weight)
    np.testing.assert_allclose(found, mmcr_in_loops(x, weight), rtol=1e-5)


def test_values_by_hand():
    """Orthogonal examples have moments of 1 / batch; singular values are 1."""
    x = 3 * np.eye(4, dtype="f")
    found = tico(x, x, np.zeros((4, 4), "f"))
    np.testing.assert_allclose(found, 8 * 0.1 / 4, rtol=1e-6)
    np.testing.assert_allclose(mmcr(np.stack([x, x])), -4, rtol=1e-6)
    same = np.ones((2, 4, 4), "f")
    np.testing.assert_allclose(mmcr(same), -2, rtol=1e-5)  # one value, sqrt(4)
    assert math.isclose(mmcr(same, local_weight=1.0), math.sqrt(2) - 2, rel_tol=1e-4)


def test_covariances_get_no_gradient_and_rows_leave_common_directions():
    a, covariance = np.float32(draw(5, 3)), np.diag([9.0, 0, 0]).astype("f")
    by_a, by_covariance = jax.grad(tico, argnums=(0, 2))(a, a, covariance)
    assert by_a.any() and not by_covariance.any()
    moved = unit(a - 1e-3 * by_a)
    assert (np.abs(moved[:, 0]) < np.abs(unit(a)[:, 0])).all()


def test_a_covariance_of_another_size_is_refused():
    a = np.ones((5, 3), "f")
    with pytest.raises(
        ValueError, match=r"tico: expected covariance of shape \(3, 3\)"
    ):
        losses.tico(a, a, np.ones((2, 2), "f"))
