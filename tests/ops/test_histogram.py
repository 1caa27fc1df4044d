"""Histograms: linear shares, and gaps that are carried along."""

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax.ops import histogram


def draw(num=8, seed=0):
    return np.random.default_rng(seed).normal(size=(2, num, 3)).astype("f")


def test_shares_are_linear_between_the_ends():
    found = histogram.shares(jnp.array([-1.0, 0.25, 1.0]), -1, 1, 4)
    expected = [[1, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0], [0, 0, 0, 0, 1]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    values = jnp.array(np.random.default_rng(0).uniform(-1, 1, (3, 4)))
    shares = histogram.shares(values, -1, 1, 7)
    ends = np.linspace(-1, 1, 8)
    np.testing.assert_allclose(shares @ ends, values, atol=1e-6)


def test_shares_below_count_the_end_itself():
    counts = jnp.array([0.1, 0.2, 0.3, 0.4, 0.0])  # ends -2, -1, 0, 1, 2
    found = histogram.share_below(counts, jnp.array([-2.0, -1.5, 0.0, 0.9, 2.0]))
    np.testing.assert_allclose(found, [0.1, 0.1, 0.6, 0.6, 1.0], rtol=1e-6)


def test_a_histogram_stays_of_sum_1_and_of_absent_rows_nothing_moves():
    a, b = draw()
    first = histogram.moving_gaps(jnp.zeros(9), a, b)
    np.testing.assert_allclose(jnp.sum(first), 1, rtol=1e-5)
    second = histogram.moving_gaps(first, *draw(seed=1), decay=0.8)
    np.testing.assert_allclose(jnp.sum(second), 1, rtol=1e-5)
    assert np.abs(second - first).max() > 1e-3
    for some in (np.zeros(8, bool), np.arange(8) == 3):  # one row has no other
        same = histogram.moving_gaps(first, a, b, where=some)
        np.testing.assert_array_equal(same, first)


def test_absent_rows_are_as_good_as_deleted_and_a_split_batch_is_the_whole():
    a, b = draw()
    there = np.array([1, 1, 0, 1, 1, 0, 1, 1], bool)
    spoiled = np.where(there[:, None], a, np.nan)
    expected = histogram.moving_gaps(jnp.zeros(9), a[there], b[there])
    found = histogram.moving_gaps(jnp.zeros(9), spoiled, b, where=there)
    np.testing.assert_allclose(found, expected, atol=1e-6)

    def part(a, b, where):
        split = dict(where=where, axis_name="data")
        return histogram.moving_gaps(jnp.zeros(9), a, b, **split)

    parts = (x.reshape(4, 2, -1) for x in (spoiled, b))
    parts = jax.vmap(part, axis_name="data")(*parts, there.reshape(4, 2))
    np.testing.assert_allclose(parts, np.tile(expected, (4, 1)), atol=1e-6)
