"""Moving averages and means of members, and a center that batches move."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax.ops import center, ema


def test_an_average_by_hand_and_at_its_ends():
    old = {"w": np.array([1.0, 3.0], "f"), "b": (np.float32(2),)}
    new = {"w": np.array([5.0, 1.0], "f"), "b": (np.float32(4),)}
    moved = ema.update(old, new, decay=0.75)
    np.testing.assert_allclose(moved["w"], [2.0, 2.5])
    np.testing.assert_allclose(moved["b"][0], 2.5)
    for decay, expected in ((1.0, old), (0.0, new)):
        same = ema.update(old, new, decay=decay)
        assert all(jax.tree.leaves(jax.tree.map(np.array_equal, same, expected)))


def test_an_average_has_no_gradient():
    gradient = jax.grad(lambda x: jnp.sum(ema.update(x, 2 * x, decay=0.5)))(np.ones(3))
    assert (gradient == 0).all()


def test_a_mean_of_members_by_hand_of_any_sum_of_weights():
    members = {"w": np.array([[1.0, 3.0], [5.0, 1.0]], "f"), "b": np.array([2, 4], "f")}
    for weights in (np.array([0.25, 0.75]), np.array([100, 300])):
        mean = jax.jit(ema.average)(members, weights)
        np.testing.assert_allclose(mean["w"], [4.0, 1.5], rtol=1e-6)
        np.testing.assert_allclose(mean["b"], 3.5, rtol=1e-6)
    gradient = jax.grad(lambda x: jnp.sum(ema.average(x, weights)))(members["w"])
    assert (gradient == 0).all()
    with pytest.raises(TypeError, match=r"ema.average: expected \['n'\] of floats"):
        ema.average({"n": np.arange(2)}, weights)
    with pytest.raises(ValueError, match=r"expected \['b'\] with 3 rows"):
        ema.average(members, np.ones(3))


add = jax.jit(center.add)
TARGETS = np.random.default_rng(0).normal(size=(2, 8, 3)).astype("f")
WHERE = np.arange(8) != 5


def test_a_center_moves_by_the_mean_of_present_rows():
    spoiled = np.where(WHERE[None, :, None], TARGETS, np.nan)
    move = jax.jit(partial(center.move, decay=0.9))
    added = add(center.start(3), spoiled, where=WHERE)
    assert (np.asarray(added.mean) == 0).all()  # until it is moved
    first = move(added)
    mean = TARGETS[:, WHERE].mean(axis=(0, 1))
    np.testing.assert_allclose(first.mean, 0.1 * mean, rtol=1e-5)
    second = move(add(first, TARGETS))
    expected = 0.09 * mean + 0.1 * TARGETS.mean(axis=(0, 1))
    np.testing.assert_allclose(second.mean, expected, rtol=1e-5)


def test_parts_of_a_batch_move_it_once_as_the_whole_does():
    move = jax.jit(center.move)
    whole = move(add(center.start(3), TARGETS, where=WHERE))
    parts = center.start(3)
    for rows in (slice(0, 2), slice(2, 8)):  # of different sizes
        parts = add(parts, TARGETS[:, rows], where=WHERE[rows])
    np.testing.assert_allclose(move(parts).mean, whole.mean, rtol=1e-5)


def test_nothing_added_moves_nothing():
    move = jax.jit(center.move)
    moved = move(add(center.start(3), TARGETS))
    again = move(add(moved, TARGETS, where=WHERE & False))
    np.testing.assert_array_equal(again.mean, moved.mean)


@pytest.mark.parametrize("check_vma", [True, False])
def test_all_devices_have_the_center_of_the_whole_batch(check_vma):
    def update(targets, where):
        added = center.add(center.start(3), targets, where=where, axis_name="data")
        return center.move(added)

    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.shard_map(
        update,
        mesh=mesh,
        in_specs=(P(None, "data"), P("data")),
        out_specs=P(),
        check_vma=check_vma,
    )
    expected = jax.jit(center.move)(add(center.start(3), TARGETS, where=WHERE))
    actual = jax.jit(split)(TARGETS, WHERE)
    np.testing.assert_allclose(actual.mean, expected.mean, rtol=1e-5)
