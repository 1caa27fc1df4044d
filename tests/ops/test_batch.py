import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax.ops import batch

WHERE = np.array([True, False, True, True, False, False, True, True])


def test_present_zeroes_absent_entries_and_their_gradient():
    ones = np.repeat(WHERE[:, None], 3, axis=1).astype("f")
    x = jnp.where(WHERE[:, None], 2.0, jnp.nan) * jnp.ones((8, 3))
    np.testing.assert_array_equal(batch.present(x, WHERE), 2 * ones)
    gradient = jax.grad(lambda x: jnp.sum(batch.present(x, WHERE) ** 2))(x)
    np.testing.assert_array_equal(gradient, 4 * ones)


def test_all_rows_marks_as_many_axes_as_asked():
    assert batch.all_rows(np.zeros((4, 3))).shape == (4,)
    assert batch.all_rows(np.zeros((2, 4, 3)), 2).shape == (2, 4)
    assert batch.all_rows(np.zeros((4, 3))).all()


def test_masked_mean_is_over_present_rows_and_0_without_any():
    values = jnp.where(WHERE, jnp.arange(8.0), jnp.nan)
    assert batch.masked_mean(values, where=WHERE) == np.arange(8.0)[WHERE].mean()
    assert batch.masked_mean(values, where=np.zeros(8, bool)) == 0


def test_row_keys_number_the_present_rows():
    key = jax.random.key(3)
    keys = batch.row_keys(key, WHERE)
    deleted = batch.row_keys(key, np.ones(WHERE.sum(), bool))
    data, wanted = jax.random.key_data(keys)[WHERE], jax.random.key_data(deleted)
    np.testing.assert_array_equal(data, wanted)
    assert len(np.unique(data, axis=0)) == WHERE.sum()


@pytest.mark.parametrize("check_vma", [True, False])
def test_a_split_batch_has_the_keys_means_and_rows_of_the_whole(check_vma):
    values, key = jnp.arange(8.0), jax.random.key(3)

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
    whole = jax.random.key_data(batch.row_keys(key, WHERE))
    np.testing.assert_array_equal(keys[WHERE], whole[WHERE])
    assert mean == np.arange(8.0)[WHERE].mean()
    np.testing.assert_array_equal(gathered[0], np.tile(values, 4))
    np.testing.assert_array_equal(gathered[1], np.tile(WHERE, 4))
    assert batch.gather_rows(values, None) is values


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

    actual = batch.by_block(function, jnp.asarray(x), size=4)
    jax.tree.map(np.testing.assert_array_equal, actual, (x.sum(axis=1), 2 * x))
    assert max(lengths) <= 4
