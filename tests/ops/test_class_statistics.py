"""Statistics by class against loops, of hard and soft labels, split and masked."""

from functools import partial

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax import sharding
from repr_jax.ops import class_statistics

FUNCTIONS = ("statistics", "class_means", "class_covariances")
NUM = dict(num_classes=4)
statistics = jax.jit(class_statistics.statistics, static_argnames="num_classes")
class_means = jax.jit(class_statistics.class_means, static_argnames="num_classes")
class_covariances = jax.jit(
    class_statistics.class_covariances, static_argnames=("num_classes", "unbiased")
)


def draw():
    """The last class has no row."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 3)) + 5
    return x, np.arange(12) % 3, rng.uniform(size=(12, 4))


def by_loops(x, weights):
    counts, means = weights.sum(axis=0), np.zeros((4, 3))
    scatters = np.zeros((4, 3, 3))
    for c in range(4):
        if counts[c]:
            means[c] = sum(w * row for w, row in zip(weights[:, c], x)) / counts[c]
        for w, row in zip(weights[:, c], x):
            scatters[c] += w * np.outer(row - means[c], row - means[c])
    return counts, means, scatters


@pytest.mark.parametrize("soft", [False, True])
def test_as_in_loops(soft):
    x, labels, weights = draw()
    weights = weights if soft else np.eye(4)[labels]
    counts, means, scatters = by_loops(x, weights)
    given = weights.astype("f") if soft else labels
    found = statistics(x, given, **NUM)
    np.testing.assert_allclose(found.counts, counts, rtol=1e-5)
    np.testing.assert_allclose(found.means, means, rtol=1e-5)
    np.testing.assert_allclose(found.within, scatters.sum(axis=0), rtol=1e-4)
    for a, b in zip(class_means(x, given, **NUM), found):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    each = class_covariances(x, given, **NUM)
    over = np.where(counts > 0, counts, 1)[:, None, None]
    np.testing.assert_allclose(each, scatters / over, rtol=1e-4, atol=1e-6)


def test_a_class_has_the_moments_of_an_independent_program():
    x, labels = np.random.default_rng(1).normal(size=(9, 2)), np.arange(9) % 3
    _, means = class_means(x, labels, num_classes=3)
    means = np.asarray(means)
    np.testing.assert_allclose(means[1], [0.07096339, -0.1367262], rtol=1e-5)
    found = np.asarray(class_covariances(x, labels, num_classes=3, unbiased=True))
    expected = [[0.2297167, -0.2914933], [-0.2914933, 1.043634]]
    np.testing.assert_allclose(found[1], expected, rtol=1e-5)
    few = class_covariances(x, np.arange(9), num_classes=9, unbiased=True)
    np.testing.assert_array_equal(few, 0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_absent_rows_are_deleted_on_any_number_of_devices(name):
    x, labels, _ = draw()
    function, where = getattr(class_statistics, name), np.arange(12) % 5 > 0
    jitted = jax.jit(partial(function, **NUM))
    expected = jax.tree.leaves(jitted(x[where], labels[where]))
    dirty = np.where(where[:, None], x, np.nan)
    dirty, labels = dirty.astype("f"), np.where(where, labels, -3)
    split = jax.shard_map(
        lambda x, y, w: function(x, y, where=w, axis_name="data", **NUM),
        mesh=sharding.make_mesh(jax.devices()[:4]),
        in_specs=P("data"),
        out_specs=P(),
    )
    for found in (
        jitted(dirty, labels, where=where),
        jax.jit(split)(dirty, labels, where),
    ):
        for a, b in zip(jax.tree.leaves(found), expected):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_inputs_are_refused(name):
    function = getattr(class_statistics, name)
    with pytest.raises(TypeError, match=f"{name}: expected x of floats"):
        function(np.ones((3, 2), int), np.zeros(3, int), **NUM)
    with pytest.raises(ValueError, match=f"{name}: expected labels of shape"):
        function(np.ones((3, 2)), np.zeros(2, int), **NUM)
    with pytest.raises(TypeError, match=f"{name}: expected labels of integers"):
        function(np.ones((3, 2)), np.zeros(3), **NUM)
