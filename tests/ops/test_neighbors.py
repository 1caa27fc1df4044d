"""Nearest rows against a sort of all similarities."""

from functools import partial

import jax
import numpy as np
import pytest

from repr_jax.ops.neighbors import between, nearest
from repr_jax.ops.similarity import cosine, negative_squared_distance


@pytest.mark.parametrize("chunk_size", [1, 4, 11, 1024])
@pytest.mark.parametrize("similarity", [cosine, negative_squared_distance])
def test_nearest_is_a_sort(similarity, chunk_size):
    x = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
    expected = []
    for i in range(11):
        if similarity is cosine:
            score = [a @ x[i] / np.linalg.norm(a) for a in x.astype(np.float64)]
        else:
            score = [-((a - x[i]) ** 2).sum() for a in x.astype(np.float64)]
        order = [j for j in np.argsort(score)[::-1] if j != i]
        expected.append(order[:4])
    options = dict(num_neighbors=4, similarity=similarity, chunk_size=chunk_size)
    found = jax.jit(partial(nearest, **options))(x)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)


def test_a_copy_of_a_row_is_its_neighbor():
    x = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    found = nearest(x, num_neighbors=1)
    np.testing.assert_array_equal(found[:2, 0], [1, 0])


@pytest.mark.parametrize("similarity", [cosine, negative_squared_distance])
def test_a_row_that_is_not_finite_is_refused_and_traced_it_is_last(similarity):
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    x[3, 1] = np.nan
    with pytest.raises(
        ValueError, match="nearest: expected x finite; got nan in row 3"
    ):
        nearest(x, num_neighbors=2, similarity=similarity)
    traced = jax.jit(lambda x: nearest(x, num_neighbors=4, similarity=similarity))
    found, rest = np.asarray(traced(x)), [0, 1, 2, 4]
    assert (found[rest, 3] == 3).all()
    places = jax.jit(partial(nearest, num_neighbors=3, similarity=similarity))(x[rest])
    np.testing.assert_array_equal(found[rest, :3], np.array(rest)[places])


@pytest.mark.parametrize(
    ("x", "number", "error", "message"),
    [
        (np.ones((3, 2)), 3, ValueError, "fewer neighbors than rows, 3; got"),
        (np.ones((3, 2)), 0, ValueError, "num_neighbors >= 1"),
        (np.ones(3), 1, ValueError, "rank 2"),
        (np.ones((3, 2), int), 1, TypeError, "x of floats"),
    ],
)
def test_wrong_inputs_are_refused(x, number, error, message):
    with pytest.raises(error, match=message):
        nearest(x, num_neighbors=number)


@pytest.mark.parametrize("chunk_size", [1, 3, 1024])
@pytest.mark.parametrize("similarity", [cosine, negative_squared_distance])
def test_neighbors_among_others_are_a_sort_of_present_keys(similarity, chunk_size):
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(size=(7, 3)), rng.normal(size=(11, 3))
    where = np.arange(11) % 4 > 0
    values = np.array(jax.jit(_by_rows, static_argnums=0)(similarity, queries, keys))
    values[:, ~where] = -np.inf
    expected = np.argsort(-values, axis=1)[:, :4]
    dirty = np.where(where[:, None], keys, np.nan)
    options = dict(num_neighbors=4, similarity=similarity, chunk_size=chunk_size)
    among = jax.jit(partial(between, **options))
    found, rows = among(queries, dirty, where=where)
    np.testing.assert_array_equal(rows, expected)
    sorted_values = np.take_along_axis(values, expected, axis=1)
    np.testing.assert_allclose(found, sorted_values, rtol=1e-5)


def _by_rows(similarity, queries, keys):
    queries, keys = (similarity.prepare(x.astype("f")) for x in (queries, keys))
    with_all = jax.vmap(similarity.of_rows, (None, 0))
    return jax.vmap(with_all, (0, None))(queries, keys)


def test_a_key_that_is_not_finite_is_refused_and_traced_it_is_last():
    queries, keys = np.ones((2, 2), "f"), np.array([[1, 0], [np.nan, 1], [0, 2]], "f")
    with pytest.raises(ValueError, match="between: expected keys finite; got nan in"):
        between(queries, keys, num_neighbors=2)
    traced = jax.jit(lambda *pair: between(*pair, num_neighbors=3))
    values, rows = map(np.asarray, traced(queries, keys))
    np.testing.assert_array_equal(rows[:, 2], [1, 1])
    assert np.isneginf(values[:, 2]).all() and np.isfinite(values[:, :2]).all()


def test_keys_that_are_known_are_counted_in_traced_code_too():
    x, where = np.eye(3, dtype=np.float32), jax.numpy.array([True, False, True])
    found = jax.jit(lambda q: between(q, x, num_neighbors=2, where=where)[1])(x)
    np.testing.assert_array_equal(np.sort(found, axis=1), [[0, 2]] * 3)
    with pytest.raises(ValueError, match="as keys, 2; got num_neighbors 3"):
        jax.jit(lambda q: between(q, x, num_neighbors=3, where=where)[1])(x)


def test_more_neighbors_than_keys_and_other_shapes_are_refused():
    x = np.ones((3, 2))
    with pytest.raises(ValueError, match="as keys, 2; got num_neighbors 3"):
        between(x, x, num_neighbors=3, where=np.array([True, False, True]))
    with pytest.raises(ValueError, match="between: expected queries of shape"):
        between(x, np.ones((3, 4)), num_neighbors=1)
