"""Whitened rows, and the rate at which rows are coded: whole, absent and split."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax.ops.covariance import coding_rate
from repr_jax.ops.whitening import whiten


def draw():
    rng = np.random.default_rng(4)
    mixed = np.array([[2, 0, 0], [1, 1, 0], [0.5, -1, 3]])
    return (rng.normal(size=(12, 3)) @ mixed + 5).astype("f")


def test_whitened_rows_have_the_identity_as_covariance():
    x = np.asarray(whiten(draw()))
    np.testing.assert_allclose(np.cov(x.T), np.eye(3), atol=1e-4)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-5)
    wholly = whiten(draw(), shrinkage=1.0)  # only centered
    np.testing.assert_allclose(wholly, draw() - draw().mean(axis=0), atol=1e-5)


def test_the_rate_of_an_orthonormal_basis_by_hand():
    found = coding_rate(np.eye(4, dtype="f"), distortion=0.5)
    np.testing.assert_allclose(found, 2 * np.log(3), rtol=1e-6)
    assert coding_rate(np.eye(4, dtype="f"), where=np.zeros(4, bool)) == 0


def test_absent_is_deleted_and_a_split_batch_has_the_values_of_the_whole():
    x, where = draw(), np.arange(12) % 4 > 0
    where[3:6] = False  # all that one device has
    rows, rate = whiten(x, where=where), coding_rate(x, where=where)
    np.testing.assert_allclose(rows[where], whiten(x[where]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rate, coding_rate(x[where]), rtol=1e-5)
    assert not np.asarray(rows)[~where].any()
    split = jax.shard_map(
        lambda x, where: (
            whiten(x, where=where, axis_name="data"),
            coding_rate(x, where=where, axis_name="data"),
        ),
        mesh=jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,)),
        in_specs=(P("data"), P("data")),
        out_specs=(P("data"), P()),
    )
    for found, expected in zip(jax.jit(split)(x, where), (rows, rate)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="whiten: expected more than 3 rows"):
        whiten(draw()[:3])
    with pytest.raises(ValueError, match=r"whiten: expected shrinkage in \[0, 1\]"):
        whiten(draw(), shrinkage=2)
