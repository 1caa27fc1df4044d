from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax.ops import batch

WHERE = np.array([True, False, True, True, False, False, True, True])


def test_present_zeroes_absent_entries_and_their_gradient():
    ones = np.repeat(WHERE[:, None], 3, axis=1).astype("f")
    x = np.where(ones > 0, np.float32(2), np.nan)
    np.testing.assert_array_equal(jax.jit(batch.present)(x, WHERE), 2 * ones)
    pull = jax.grad(lambda x: jnp.sum(batch.present(x, WHERE) ** 2))
    gradient = jax.jit(pull)(x)
    np.testing.assert_array_equal(gradient, 4 * ones)


def test_checked_where_is_all_rows_or_what_was_given():
    np.testing.assert_array_equal(batch.checked_where("f", None, (2, 4)), True)
    np.testing.assert_array_equal(batch.checked_where("f", WHERE, (8,)), WHERE)
    with pytest.raises(ValueError, match=r"f: expected where of shape \(4,\)"):
        batch.checked_where("f", WHERE, (4,))
    with pytest.raises(TypeError, match="f: expected where bool; got int"):
        batch.checked_where("f", WHERE.astype(int), (8,))


def test_masked_mean_is_over_present_rows_and_0_without_any():
    values = np.where(WHERE, np.arange(8.0), np.nan)
    mean = jax.jit(batch.masked_mean)
    assert mean(values, where=WHERE) == np.arange(8.0)[WHERE].mean()
    assert mean(values, where=np.zeros(8, bool)) == 0


def test_masked_mean_keeps_the_axes_that_where_has_not():
    values = np.random.default_rng(0).normal(size=(8, 2, 3)).astype("f")
    mean = jax.jit(batch.masked_mean)(values, where=WHERE)
    np.testing.assert_allclose(mean, values[WHERE].mean(axis=0), rtol=1e-6)
    both = np.stack([WHERE, ~WHERE], axis=1)
    mean = jax.jit(batch.masked_mean)(values, where=both)
    np.testing.assert_allclose(mean, values[both].mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_centered_rows_have_a_mean_of_0(offset):
    x = np.random.default_rng(0).normal(size=(3000, 2)) + offset
    x = x.astype("f")
    where = np.arange(3000) % 3 > 0
    spoiled = np.where(where[:, None], x, np.nan)
    found, mean = map(np.asarray, jax.jit(batch.centered)(spoiled, where=where))
    expected = x.astype(float) - x[where].astype(float).mean(axis=0)
    spread = np.finfo("f").eps * offset  # of the mean itself
    np.testing.assert_allclose(found[where], expected[where], atol=1e-6 + spread)
    assert (found[~where] == 0).all()
    np.testing.assert_allclose(np.mean(found[where], axis=0), 0, atol=1e-6)
    expected = x[where].astype(float).mean(axis=0)
    np.testing.assert_allclose(mean, expected, rtol=3e-7, atol=1e-7)


def test_log_mean_exp_in_loops():
    rng = np.random.default_rng(0)
    values, where = rng.normal(size=(4, 3, 5)), rng.random((4, 1, 5)) < 0.6
    where[:, :, 0] = False
    spoiled = np.where(where, values + 300, np.nan).astype("f")
    found = np.asarray(jax.jit(batch.log_mean_exp)(spoiled, where=where))
    for i, j in np.ndindex(3, 5):
        kept = values[where[:, 0, j], i, j]
        expected = 300 + np.log(np.mean(np.exp(kept))) if len(kept) else 0
        np.testing.assert_allclose(found[i, j], expected, rtol=1e-6)
    plain = jax.jit(batch.log_mean_exp)(values.astype("f"))
    np.testing.assert_allclose(plain, np.log(np.exp(values).mean(axis=0)), rtol=1e-5)
    pull = jax.grad(lambda v: batch.log_mean_exp(v, where=where).sum())
    gradient = np.asarray(jax.jit(pull)(spoiled))
    assert np.isfinite(gradient).all()
    shares = where.any(axis=0).sum() * 3  # softmax weights sum to 1
    np.testing.assert_allclose(gradient.sum(), shares, rtol=1e-5)


def test_log_mean_exp_of_a_split_batch():
    values = np.random.default_rng(0).normal(size=(8, 2)).astype("f") * 50
    shards = jax.vmap(
        lambda v, w: batch.log_mean_exp(v, where=w, axis_name="i"), axis_name="i"
    )
    split = jax.jit(shards)(values.reshape(4, 2, 2), WHERE.reshape(4, 2))
    whole = jax.jit(batch.log_mean_exp)(values, where=WHERE)
    np.testing.assert_allclose(split, np.tile(whole, (4, 1)), rtol=1e-6)


def test_row_keys_number_the_present_rows():
    key = jax.random.key(3)
    keys = batch.row_keys(key, WHERE)
    deleted = batch.row_keys(key, np.ones(WHERE.sum(), bool))
    data, wanted = (np.asarray(jax.random.key_data(k)) for k in (keys, deleted))
    data = data[WHERE]
    np.testing.assert_array_equal(data, wanted)
    assert len(np.unique(data, axis=0)) == WHERE.sum()


@pytest.mark.parametrize("check_vma", [True, False])
def test_a_split_batch_has_the_keys_means_and_rows_of_the_whole(check_vma):
    values, key = np.arange(8, dtype="f"), jax.random.key(3)

    def shard(values, where):
        keys = jax.random.key_data(batch.row_keys(key, where, "data"))
        mean = batch.masked_mean(values, where=where, axis_name="data")
        return keys, mean, batch.gather_rows((values, where), "data")

    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.shard_map(
        shard,
        mesh=mesh,
        in_specs=P("data"),
        out_specs=(P("data"), P(), P("data")),
        check_vma=check_vma,
    )
    keys, mean, gathered = jax.jit(split)(values, WHERE)
    whole = np.asarray(jax.random.key_data(batch.row_keys(key, WHERE)))
    np.testing.assert_array_equal(np.asarray(keys)[WHERE], whole[WHERE])
    assert mean == np.arange(8.0)[WHERE].mean()
    np.testing.assert_array_equal(gathered[0], np.tile(values, 4))
    np.testing.assert_array_equal(gathered[1], np.tile(WHERE, 4))
    assert batch.gather_rows(values, None) is values


def test_finite_rows_are_zero_elsewhere_and_others_refused_or_absent():
    x = np.ones((4, 2, 3), np.float16)
    x[1], x[2, 0, 1] = np.nan, np.inf
    where = np.arange(4) != 1
    with pytest.raises(ValueError, match="f: expected x finite; got inf in row 2"):
        batch.finite_rows("f", where, rank=3, x=x)
    rows = partial(batch.finite_rows, "f", rank=3)
    found, kept = jax.jit(lambda x, where: rows(where, x=x))(x, where)
    np.testing.assert_array_equal(kept, [True, False, False, True])
    np.testing.assert_array_equal(found, np.ones((4, 2, 3)) * kept[:, None, None])
    assert found.dtype == jnp.float32


def test_queries_have_the_shape_of_what_was_fitted():
    found = batch.checked_queries("f", (3,), x=np.ones((2, 3), np.float16))
    assert found.dtype == jnp.float32 and found.shape == (2, 3)
    with pytest.raises(ValueError, match=r"f: expected x of shape \(2, 3\)"):
        batch.checked_queries("f", (3,), x=np.ones((2, 4)))
    with pytest.raises(TypeError, match="f: expected x of floats"):
        batch.checked_queries("f", (3,), x=np.ones((2, 3), int))
    with pytest.raises(ValueError, match="f: expected x finite; got nan in row 0"):
        batch.checked_queries("f", (3,), x=np.full((2, 3), np.nan))


def test_places_are_uniform_below_a_traced_count():
    draw = jax.jit(partial(batch.draw_places, num=3000))
    found = np.bincount(draw(jax.random.key(0), 3))
    np.testing.assert_allclose(found, 1000, atol=100)
    assert len(found) == 3 and not np.any(draw(jax.random.key(0), 0))


def test_by_row_hides_sample_axes_from_the_function():
    seen = []

    def decode(z):
        seen.append(z.shape)
        return z[:, :2], jnp.stack([z, z], axis=1)

    z = jnp.arange(24.0).reshape(2, 3, 4)
    first, second = batch.by_row(decode, z)
    assert seen == [(6, 4)]
    np.testing.assert_array_equal(first, z[..., :2])
    assert second.shape == (2, 3, 2, 4)


@pytest.mark.parametrize("num", [0, 3, 4, 5, 8])
def test_blocks_are_the_whole(num):
    x = np.arange(2 * num, dtype=np.float32).reshape(num, 2)
    lengths = []

    def function(rows):
        lengths.append(len(rows))
        return rows.sum(axis=1), 2 * rows

    actual = jax.jit(partial(batch.by_block, function, size=4))(x)
    jax.tree.map(np.testing.assert_array_equal, actual, (x.sum(axis=1), 2 * x))
    assert max(lengths) <= 4

    def of_pair(pair):
        return pair[0] + pair[1][:, None]

    pair = x, np.arange(num)
    actual = jax.jit(partial(batch.by_block, of_pair, size=4))(pair)
    np.testing.assert_array_equal(actual, x + np.arange(num)[:, None])


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_gathering_without_gradient_is_right_under_every_transformation(dtype):
    x = (np.arange(24).reshape(4, 2, 3) % 5).astype(dtype)
    whole = x.reshape(8, 3)
    gather = partial(batch.gather_invariant, axis_name="i")
    every = np.asarray(jax.jit(jax.vmap(gather, axis_name="i"))(x))
    assert every.dtype == dtype
    for one in every:
        np.testing.assert_array_equal(one, whole)
    mesh = jax.make_mesh((4,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.shard_map(gather, mesh=mesh, in_specs=P("i"), out_specs=P())
    np.testing.assert_array_equal(jax.jit(split)(whole), whole)
