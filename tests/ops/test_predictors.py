"""Closed-form predictors of BYOL: loops, independent values, what each must keep."""

from functools import partial

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax import losses, sharding
from repr_jax.ops import predictors

ridge, polar = jax.jit(predictors.ridge), jax.jit(predictors.polar)
projector = jax.jit(predictors.projector, static_argnames="rank")
newton_schulz = jax.jit(predictors.newton_schulz, static_argnames="num_steps")
direct, moment = jax.jit(predictors.direct), jax.jit(predictors.moment)
byol = jax.jit(losses.byol)


def draw():
    rng = np.random.default_rng(28)
    z = rng.normal(size=(8, 3))
    return z, z + 0.3 * rng.normal(size=(8, 3))


def by_numpy(z, t):
    u, _, v = np.linalg.svd(z.T @ t)
    values, vectors = np.linalg.eigh(z.T @ z / 8)
    gains = np.sqrt(values / values.max()) + 0.01
    return {
        "ridge": np.linalg.inv(z.T @ z + 0.1 * np.eye(3)) @ z.T @ t,
        "polar": u @ v,
        "direct": vectors @ np.diag(gains) @ vectors.T,
        "projector": vectors[:, 1:] @ vectors[:, 1:].T,
    }


def test_predictors_match_numpy_and_an_independent_program():
    z, t = draw()
    found = {
        "ridge": np.asarray(ridge(z, t)),
        "polar": np.asarray(polar(z, t)),
        "direct": np.asarray(direct(moment(z))),
        "projector": np.asarray(projector(z, rank=2)),
    }
    printed = {"ridge": 0.0684294, "polar": 0.08579756}
    printed |= {"direct": 0.1583226, "projector": 0.3213867}
    corners = {"ridge": 0.8819396, "polar": 0.994986, "direct": 0.9318358}
    np.testing.assert_allclose(byol(z, t), 0.09924648, rtol=1e-5)
    for name, expected in by_numpy(z, t).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-6)
        value = byol(z @ found[name], t)
        np.testing.assert_allclose(value, printed[name], rtol=1e-4)
        corner = corners.get(name, found[name][0, 0])
        np.testing.assert_allclose(found[name][0, 0], corner, rtol=1e-4)


def test_the_polar_factor_is_orthogonal_and_products_find_it():
    z, t = draw()
    found = np.asarray(polar(z, t))
    np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(newton_schulz(z, t, num_steps=15), found, atol=1e-4)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(polar(z, 5 * z @ turn), turn, atol=1e-5)


def test_ridge_of_equal_views_nears_the_identity_and_nothing_has_a_gradient():
    z, t = draw()
    np.testing.assert_allclose(ridge(z, z, penalty=1e-5), np.eye(3), atol=1e-4)
    by_hand = ridge(np.eye(2), np.eye(2), penalty=1.0)  # (1 + 1)^-1
    np.testing.assert_allclose(by_hand, np.eye(2) / 2, rtol=1e-6)
    gradient = jax.jit(jax.grad(lambda z: predictors.ridge(z, t).sum()))
    assert not gradient(z).any()
    with pytest.raises(ValueError, match=r"predictors\.ridge: expected penalty > 0"):
        predictors.ridge(z, t, penalty=0.0)


def test_absent_rows_are_deleted_on_any_number_of_devices():
    z, t = draw()
    where = np.arange(8) % 3 > 0
    spoiled = np.where(where[:, None], z, np.nan).astype("f")
    split = jax.shard_map(
        lambda *a: predictors.ridge(a[0], a[1], where=a[2], axis_name="data"),
        mesh=sharding.make_mesh(jax.devices()[:4]),
        in_specs=P("data"),
        out_specs=P(),
    )
    found = jax.jit(split)(spoiled, t.astype("f"), where)
    np.testing.assert_allclose(found, ridge(z[where], t[where]), rtol=1e-4)
    found = jax.jit(partial(predictors.moment, where=where))(spoiled)
    np.testing.assert_allclose(found, moment(z[where]), rtol=1e-5)
