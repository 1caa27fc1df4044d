"""Prototypes of classes: assigned and moved as in loops, split and masked."""

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from repr_jax import sharding
from repr_jax.ops import prototypes
from repr_jax.ops.sinkhorn import balanced_assignment

assign = jax.jit(prototypes.assign, static_argnames="top")
update = jax.jit(prototypes.update)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def draw():
    """[6, 4] rows of two classes, four prototypes of which two are of each."""
    rng = np.random.default_rng(22)
    z, kept = unit(rng.normal(size=(6, 4))), unit(rng.normal(size=(4, 4)))
    return z, kept, np.arange(6) % 2, np.arange(4) % 2


def test_shares_are_of_the_own_class_and_means_weighted_by_them():
    z, kept, labels, kinds = draw()
    whole = np.asarray(jax.jit(balanced_assignment)((z @ kept.T).astype("f")))
    for top in (1, 2, 5):
        found = np.asarray(assign(z, kept, labels, kinds, top=top))
        for i in range(6):
            own = np.where(kinds == labels[i], whole[i], 0)
            own[np.argsort(-own)[top:]] = 0
            np.testing.assert_allclose(found[i], own / own.sum(), rtol=1e-5)
    moved = np.asarray(update(kept, z, found, decay=0.7))
    for k in range(4):
        mean = sum(found[i, k] * z[i] for i in range(6)) / sum(found[:, k])
        expected = unit(0.7 * kept[k] + 0.3 * mean)
        np.testing.assert_allclose(moved[k], expected, rtol=1e-4)


def test_an_updated_prototype_has_the_stated_value():
    z, kept, labels, kinds = draw()
    weights = assign(z, kept, labels, kinds, top=2)
    moved = np.asarray(update(kept, z, weights, decay=0.9))
    np.testing.assert_allclose(moved[0, 0], -0.2908163, rtol=1e-5)


def test_one_prototype_a_class_takes_all_and_one_without_rows_stays():
    z, kept, labels, _ = draw()
    found = assign(z, kept[:3], labels, np.array([1, 0, 2]))
    np.testing.assert_allclose(found, np.eye(3)[1 - labels], rtol=1e-6)
    far = np.array([2**32 + 1, 0, 1])  # an argument of a program would be narrowed
    found_far = jax.jit(lambda z: prototypes.assign(z, kept[:3], labels, far))(z)
    np.testing.assert_allclose(found_far, np.eye(3)[labels + 1], rtol=1e-6)
    moved = np.asarray(update(kept[:3], z, found, decay=0.5))
    np.testing.assert_allclose(moved[2], kept[2], rtol=1e-6)


def test_absent_rows_are_deleted_on_any_number_of_devices():
    z, kept, labels, kinds = draw()
    z, labels = np.concatenate([z, z[::-1][:2]]), np.append(labels, [0, 1])
    where = np.arange(8) % 5 > 0
    expected = assign(z[where], kept, labels[where], kinds)
    after = update(kept, z[where], expected, decay=0.5)

    def both(z, labels, where, **axis):
        weights = prototypes.assign(z, kept, labels, kinds, where=where, **axis)
        return weights, prototypes.update(
            kept, z, weights, decay=0.5, where=where, **axis
        )

    split = jax.shard_map(
        lambda *rows: both(*rows, axis_name="data"),
        mesh=sharding.make_mesh(jax.devices()[:4]),
        in_specs=P("data"),
        out_specs=(P("data"), P()),
    )
    dirty = np.where(where[:, None], z, np.nan).astype("f")
    for function in (both, split):
        weights, moved = map(np.asarray, jax.jit(function)(dirty, labels, where))
        np.testing.assert_allclose(weights[where], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(weights[~where], 0)
        np.testing.assert_allclose(moved, after, rtol=1e-4, atol=1e-6)
