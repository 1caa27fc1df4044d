"""W-MSE, EMP-SSL and FroSSL: loops, by hand, and what each does not let collapse."""

import itertools
import math

import jax
import numpy as np
import pytest

from repr_jax import losses

wmse, emp_ssl, frossl = map(jax.jit, (losses.wmse, losses.emp_ssl, losses.frossl))
IDENTITY = np.stack([np.eye(4, dtype="f")] * 2)


def draw(num=3, batch=9, dim=4, seed=5):
    return np.random.default_rng(seed).normal(size=(num, batch, dim))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def wmse_in_loops(views, shrinkage):
    whitened = []
    for x in views:
        covariance = np.cov(x.T) * (1 - shrinkage) + shrinkage * np.eye(len(x.T))
        inverse = np.linalg.inv(np.linalg.cholesky(covariance))
        whitened.append([inverse @ (row - x.mean(axis=0)) for row in x])
    distances = [
        sum((unit(p) - unit(q)) ** 2)
        for a, b in itertools.combinations(whitened, 2)
        for p, q in zip(a, b)
    ]
    return np.mean(distances)


def emp_ssl_in_loops(views, weight, distortion):
    views = unit(views)
    _, batch, dim = views.shape
    rates = [
        np.linalg.slogdet(
            np.eye(dim) + dim / batch / distortion * sum(np.outer(z, z) for z in x)
        )[1]
        / 2
        for x in views
    ]
    means = unit(views.mean(axis=0))
    near = [z @ mean for x in views for z, mean in zip(x, means)]
    return -np.mean(rates) - weight * np.mean(near)


def frossl_in_loops(views, weight):
    views = [x / np.linalg.norm(x, axis=0) for x in views]
    mean, total = np.mean(views, axis=0), 0.0
    for x in views:
        eigenvalues = np.linalg.eigvalsh(x.T @ x)
        shares = eigenvalues / sum(eigenvalues)
        total += math.log(sum(shares**2))
        total += weight * len(views) * ((x - mean) ** 2).sum() / len(x)
    return total


@pytest.mark.parametrize(("num", "shrinkage"), [(2, 0.0), (4, 0.0), (3, 0.3)])
def test_wmse_matches_the_paper(num, shrinkage):
    views = draw(num)
    found = jax.jit(lambda x: losses.wmse(x, shrinkage=shrinkage))(views)
    np.testing.assert_allclose(found, wmse_in_loops(views, shrinkage), rtol=1e-4)


@pytest.mark.parametrize(("num", "weight", "distortion"), [(2, 200, 0.2), (5, 3, 0.9)])
def test_emp_ssl_matches_the_paper(num, weight, distortion):
    views = draw(num)
    found = emp_ssl(views, invariance_weight=weight, distortion=distortion)
    expected = emp_ssl_in_loops(views, weight, distortion)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(("num", "batch", "weight"), [(2, 9, 1.0), (4, 3, 0.2)])
def test_frossl_matches_the_paper(num, batch, weight):
    views = draw(num, batch)
    found = frossl(views, invariance_weight=weight)
    np.testing.assert_allclose(found, frossl_in_loops(views, weight), rtol=1e-4)


def test_values_by_hand():
    """A feature of two rows is whitened to a sign; four of four are the identity."""
    turned = np.array([[[3.0], [1.0]], [[5.0], [6.0]]], "f")
    np.testing.assert_allclose(wmse(turned), 4, rtol=1e-5)
    np.testing.assert_allclose(wmse(turned[[0, 0]]), 0, atol=1e-6)
    np.testing.assert_allclose(emp_ssl(IDENTITY), -2 * math.log(6) - 200, rtol=1e-6)
    np.testing.assert_allclose(frossl(IDENTITY), -2 * math.log(4), rtol=1e-6)
    one = np.repeat(draw(1, dim=1).astype("f"), 2, axis=0).repeat(4, axis=2)
    np.testing.assert_allclose(frossl(one), 0, atol=1e-5)  # one feature four times


def test_whitened_and_normalized_features_may_have_any_scale():
    views = draw()
    scales = np.array([1e-3, 1, 20, 300])
    for loss in (wmse, frossl):
        np.testing.assert_allclose(loss(views * scales), loss(views), rtol=1e-3)
    np.testing.assert_allclose(wmse(views + 7), wmse(views), rtol=1e-3)


def test_rows_that_are_all_alike_are_worst():
    """Even of equal views, which agree."""
    view = np.float32(draw(1))
    spread, alike = view[[0, 0]], np.ones((2, 9, 4), "f")
    assert emp_ssl(spread) < emp_ssl(alike) and frossl(spread) < frossl(alike)


def test_fewer_rows_than_features_and_one_view_are_refused():
    with pytest.raises(ValueError, match="whiten: expected more than 4 rows"):
        losses.wmse(np.float32(draw(batch=3)))
    with pytest.raises(ValueError, match="frossl: expected views >= 2; got 1"):
        losses.frossl(np.float32(draw(1)))
