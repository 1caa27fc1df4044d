"""Sinkhorn plans: loops, oracles, marginals, absent rows, split batches."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax.ops import sinkhorn

ROW_MASS = np.array([0.1, 0.2, 0.3, 0.25, 0.15])
COLUMN_MASS = np.array([0.5, 0.2, 0.3])


def scaled_in_turn(scores, num_half_steps, row_mass, column_mass):
    """The matrix exp(scores) itself, rows and columns scaled, the last time rows."""
    plan = np.exp(np.asarray(scores, np.float64))
    for left in range(num_half_steps, 0, -1):
        if left % 2:
            plan = plan * (row_mass / plan.sum(axis=1))[:, None]
        else:
            plan = plan * (column_mass / plan.sum(axis=0))[None]
    return plan


log_plan = jax.jit(sinkhorn.log_plan, static_argnames="num_half_steps")
balanced_assignment = jax.jit(
    sinkhorn.balanced_assignment, static_argnames=("epsilon", "num_steps")
)
transport_price = jax.jit(
    sinkhorn.transport_price, static_argnames=("epsilon", "num_steps")
)


@pytest.mark.parametrize("num_half_steps", [1, 2, 5, 6, 21])
def test_a_plan_is_the_scaled_matrix(num_half_steps):
    scores = np.random.default_rng(0).normal(size=(5, 3))
    masses = dict(row_mass=ROW_MASS, column_mass=COLUMN_MASS)
    actual = log_plan(scores, num_half_steps=num_half_steps, **masses)
    expected = scaled_in_turn(scores, num_half_steps, **masses)
    np.testing.assert_allclose(np.exp(actual), expected, rtol=1e-5)


def test_values_of_six_half_steps_in_float64():
    scores = np.random.default_rng(0).normal(size=(5, 3))
    plan = np.exp(log_plan(scores, num_half_steps=6))
    row = [0.0693818088, 0.0423625196, 0.0882556717]
    np.testing.assert_allclose(plan[0], row, rtol=1e-5)
    columns = [0.331802882, 0.333922109, 0.334275009]
    np.testing.assert_allclose(plan.sum(axis=0), columns, rtol=1e-5)
    np.testing.assert_allclose(plan.sum(axis=1), 0.2, rtol=1e-6)


def test_balanced_assignment_has_the_values_of_the_published_loop():
    scores = 0.3 * np.random.default_rng(0).normal(size=(6, 3))
    q = np.asarray(jax.jit(sinkhorn.balanced_assignment)(scores, epsilon=0.05))
    row = [0.03612963, 0.01273139, 0.951139]
    np.testing.assert_allclose(q[0], row, rtol=1e-4)
    np.testing.assert_allclose(q.sum(axis=0), [1.072751, 1.451664, 3.475585], rtol=1e-4)
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-6)


def test_places_are_balanced_by_themselves():
    scores = np.random.default_rng(3).normal(size=(6, 4, 3)).astype("f")
    scores[:, 0, 1] += 9  # a prototype that stands for a place
    where = np.arange(6) != 2
    found = np.asarray(sinkhorn.balanced_by_place(scores, epsilon=0.5, where=where))
    for place in range(4):
        own = balanced_assignment(scores[:, place], epsilon=0.5, where=where)
        np.testing.assert_allclose(found[:, place], own, rtol=1e-5, atol=1e-7)
    many = sinkhorn.balanced_by_place(scores, epsilon=0.5, num_steps=200)
    np.testing.assert_allclose(np.mean(many, axis=0), 1 / 3, rtol=1e-3)


def test_one_prototype_takes_all_and_shifts_do_not_matter():
    scores = np.random.default_rng(1).normal(size=(6, 3)).astype("f")
    one = balanced_assignment(scores[:, :1])
    np.testing.assert_allclose(one, 1, rtol=1e-6)
    many = dict(epsilon=0.5, num_steps=200)
    q = np.asarray(balanced_assignment(scores, **many))
    np.testing.assert_allclose(q.sum(axis=0), 2, rtol=1e-4)  # equally used
    moved = scores + np.array([[1.0, -2.0, 0.5]], "f")
    np.testing.assert_allclose(balanced_assignment(moved, **many), q, rtol=1e-3)
    large = np.asarray(balanced_assignment(100 * scores))  # exp(2000) is none
    assert np.isfinite(large).all()
    np.testing.assert_allclose(large.sum(axis=1), 1, rtol=1e-6)


def test_absent_rows_are_deleted():
    scores = np.random.default_rng(2).normal(size=(6, 3)).astype("f")
    where = np.array([True, False, True, True, False, True])
    spoiled = np.where(where[:, None], scores, np.nan)
    q = np.asarray(balanced_assignment(spoiled, where=where))
    expected = balanced_assignment(scores[where])
    np.testing.assert_allclose(q[where], expected, rtol=1e-5)
    assert (q[~where] == 0).all()
    plan = np.exp(log_plan(spoiled, num_half_steps=2, where=where))
    assert (plan[1] == 0).all()
    nothing = balanced_assignment(spoiled, where=where & False)
    assert (np.asarray(nothing) == 0).all()


def test_a_plan_has_the_gradient_of_its_steps_and_an_assignment_none():
    scores = np.random.default_rng(4).normal(size=(4, 3))
    weights = np.random.default_rng(5).normal(size=(4, 3))

    def total(scores):
        return jnp.sum(weights * jnp.exp(sinkhorn.log_plan(scores, num_half_steps=5)))

    uniform = np.full(4, 1 / 4), np.full(3, 1 / 3)
    gradient = np.asarray(jax.jit(jax.grad(total))(scores))
    for i, j in np.ndindex(4, 3):
        move = np.zeros((4, 3))
        move[i, j] = 1e-5
        up, down = (
            np.sum(weights * scaled_in_turn(scores + sign * move, 5, *uniform))
            for sign in (1, -1)
        )
        np.testing.assert_allclose(gradient[i, j], (up - down) / 2e-5, atol=1e-5)
    first = jax.grad(lambda s: sinkhorn.balanced_assignment(s)[0, 0])
    assert (np.asarray(jax.jit(first)(scores)) == 0).all()


@pytest.mark.parametrize("check_vma", [True, False])
def test_a_split_batch_has_the_assignment_of_the_whole(check_vma):
    scores = np.random.default_rng(6).normal(size=(8, 3)).astype("f")
    where = np.arange(8) % 3 > 0
    where[2:4] = False  # all that one device has

    def assign(scores, where):
        return sinkhorn.balanced_assignment(scores, where=where, axis_name="data")

    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.shard_map(
        assign,
        mesh=mesh,
        in_specs=(P("data"), P("data")),
        out_specs=P("data"),
        check_vma=check_vma,
    )
    expected = balanced_assignment(scores, where=where)
    actual = jax.jit(split)(scores, where)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)


def test_errors_say_what_came():
    scores = np.zeros((4, 3), "f")
    with pytest.raises(ValueError, match=r"log_plan: expected column_mass of shape"):
        sinkhorn.log_plan(scores, num_half_steps=1, column_mass=np.ones(4, "f"))
    with pytest.raises(ValueError, match="log_plan: expected num_half_steps >= 1"):
        sinkhorn.log_plan(scores, num_half_steps=0)
    with pytest.raises(ValueError, match="balanced_assignment: expected epsilon > 0"):
        sinkhorn.balanced_assignment(scores, epsilon=0.0)


@pytest.mark.parametrize(("epsilon", "num_steps"), [(0.1, 100), (2.0, 1), (0.5, 7)])
def test_a_price_is_that_of_loops(epsilon, num_steps):
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(4, 2)), rng.normal(size=(3, 2))
    cost = np.array([[sum((p - q) ** 2) for p in a] for q in b])
    masses = np.full(3, 1 / 3), np.full(4, 1 / 4)
    plan = scaled_in_turn(-cost / epsilon, 2 * num_steps, *masses)
    found = transport_price(a, b, epsilon=epsilon, num_steps=num_steps)
    np.testing.assert_allclose(found, np.sum(plan * cost), rtol=1e-5)


def test_values_of_an_independent_program():
    rng = np.random.default_rng(5)
    scores = 0.2 * rng.normal(size=(5, 3))
    a, b = (rng.normal(size=(n, 3)) for n in (4, 6))
    q = np.asarray(balanced_assignment(scores, epsilon=0.05, num_steps=3))
    row = [0.01835934, 0.0009724142, 0.9806682]
    np.testing.assert_allclose(q[0], row, rtol=1e-5)
    columns = [1.115742, 1.6907, 2.193558]
    np.testing.assert_allclose(q.sum(axis=0), columns, rtol=1e-5)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    price = transport_price(a, b, epsilon=0.1, num_steps=100)
    np.testing.assert_allclose(price, 1.201485, rtol=1e-5)


def test_a_price_by_hand():
    """One point: all goes there. With little entropy, each goes to its nearest."""
    x = np.array([[0.0], [1.0]], "f")
    one = transport_price(x, np.array([[3.0]], "f"))
    np.testing.assert_allclose(one, (9 + 4) / 2)
    moved = transport_price(x, x[::-1] + 0.2, epsilon=0.01)
    np.testing.assert_allclose(moved, 0.04, rtol=1e-5)
    price = partial(sinkhorn.transport_price, epsilon=0.01)
    slope = jax.jit(jax.grad(price))(x, x + 0.2)
    np.testing.assert_allclose(slope, -0.2, rtol=1e-3)
    with pytest.raises(ValueError, match="transport_price: expected epsilon > 0"):
        sinkhorn.transport_price(x, x, epsilon=0.0)
    with pytest.raises(ValueError, match=r"expected b of shape \(2, 1\)"):
        sinkhorn.transport_price(x, np.zeros((2, 3), "f"))
