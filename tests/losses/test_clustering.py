"""Losses that assign examples to clusters against plain loops and values by hand."""

import functools

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.losses import clustering


def softmax(x):
    e = np.exp(x - np.max(x))
    return e / e.sum()


def temi_in_loops(online, target, marginal, power, temperature, target_temperature):
    """online, target: [view, head, batch, class]; one loop per sum."""
    online, target, marginal = (
        np.asarray(x, np.float64) for x in (online, target, marginal)
    )
    _, heads, batch, classes = online.shape
    p = np.zeros(online.shape)
    q = np.zeros(target.shape)
    for index in np.ndindex(2, heads, batch):
        p[index] = softmax(online[index] / temperature)
        q[index] = softmax(target[index] / target_temperature)
    per_head = np.zeros(heads)
    for i in range(batch):
        weight = 0.0
        for h in range(heads):
            for k in range(classes):
                weight += q[0, h, i, k] * q[1, h, i, k] / heads
        for h in range(heads):
            for view in range(2):
                total = 0.0
                for k in range(classes):
                    both = p[view, h, i, k] * q[1 - view, h, i, k]
                    total += both**power / marginal[h, k]
                per_head[h] -= weight * np.log(total) / 2 / batch
    return per_head


def turtle_in_loops(task, inner, entropy_weight):
    """task, inner: [space, batch, class]."""
    task, inner = np.asarray(task, np.float64), np.asarray(inner, np.float64)
    spaces, batch, classes = task.shape
    labels, marginal, total = np.zeros((batch, classes)), np.zeros((spaces, classes)), 0
    for r in range(spaces):
        for i in range(batch):
            labels[i] += softmax(task[r, i]) / spaces
            marginal[r] += softmax(task[r, i]) / batch
    for r in range(spaces):
        for i in range(batch):
            for k in range(classes):
                total -= labels[i, k] * np.log(softmax(inner[r, i])[k]) / batch
        for k in range(classes):
            total += entropy_weight * marginal[r, k] * np.log(marginal[r, k])
    return total


def neighbors(seed, heads=3, batch=5, classes=4):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(2, 2, heads, batch, classes)).astype(np.float32)
    marginal = rng.dirichlet(np.ones(classes), size=heads).astype(np.float32)
    return *logits, marginal


temi_of_heads = jax.jit(clustering.temi_of_heads)


@functools.cache
def compiled(name):
    return jax.jit(getattr(losses, name))


@pytest.mark.parametrize(
    ("power", "temperature", "target_temperature"),
    [(0.6, 0.1, 0.1), (1.0, 1.0, 0.5), (0.8, 0.3, 2.0)],
)
def test_temi_matches_loops(power, temperature, target_temperature):
    online, target, marginal = neighbors(0)
    numbers = (power, temperature, target_temperature)
    expected = temi_in_loops(online, target, marginal, *numbers)
    options = dict(
        power=power, temperature=temperature, target_temperature=target_temperature
    )
    found = compiled("temi")(*online, *target, marginal, **options)
    np.testing.assert_allclose(found, expected.mean(), rtol=1e-4)
    heads = temi_of_heads(*online, *target, marginal, **options)
    np.testing.assert_allclose(heads, expected, rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 7])
def test_temi_by_hand(classes):
    """All sure, in agreement, and the marginal uniform: -log(class), at any power."""
    sure = 100 * np.eye(classes, dtype="f")[None]
    marginal = np.full((1, classes), 1 / classes, "f")
    found = compiled("temi")(sure, sure, sure, sure, marginal)
    np.testing.assert_allclose(found, -np.log(classes), rtol=1e-5)
    apart = np.roll(sure, 1, axis=1)  # neighbors in different clusters weigh nothing
    found = compiled("temi")(sure, apart, sure, apart, marginal)
    np.testing.assert_allclose(found, 0, atol=1e-5)


def test_only_the_online_network_gets_a_gradient():
    online, target, marginal = neighbors(1)
    arrays = (*online, *target, marginal)
    gradient = jax.jit(jax.grad(losses.temi, argnums=(0, 1, 2, 3, 4)))(*arrays)
    assert all(np.max(np.abs(np.asarray(g))) > 1e-4 for g in gradient[:2])
    assert all((np.asarray(g) == 0).all() for g in gradient[2:])


def test_a_rare_class_pays_more():
    """Of two agreeing pairs the one in the class that the target finds seldom."""
    sure = 100 * np.eye(2, dtype="f")[None]
    marginal = np.array([[0.9, 0.1]], "f")
    common, rare = (
        compiled("temi")(*[sure[:, row : row + 1]] * 4, marginal) for row in range(2)
    )
    np.testing.assert_allclose([common, rare], [np.log(0.9), np.log(0.1)], rtol=1e-5)


@pytest.mark.parametrize("spaces", [1, 3])
@pytest.mark.parametrize("entropy_weight", [0.0, 10.0])
def test_turtle_matches_loops(spaces, entropy_weight):
    rng = np.random.default_rng(0)
    task, inner = 2 * rng.normal(size=(2, spaces, 6, 4)).astype(np.float32)
    expected = turtle_in_loops(task, inner, entropy_weight)
    found = compiled("turtle")(task, inner, entropy_weight=entropy_weight)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_turtle_by_hand():
    """Nothing told apart: log(class) of error, and of entropy, in every space."""
    zeros = np.zeros((2, 3, 5), "f")
    found = compiled("turtle")(zeros, zeros)
    np.testing.assert_allclose(found, 2 * (1 - 10) * np.log(5), rtol=1e-6)
    one = zeros + np.float32(
        [200, 0, 0, 0, 0]
    )  # learned without error, but a single class
    np.testing.assert_allclose(compiled("turtle")(one, one), 0, atol=1e-5)
    balanced = 200 * np.eye(5, dtype="f")[None]
    np.testing.assert_allclose(
        compiled("turtle")(balanced, balanced), -10 * np.log(5), rtol=1e-5
    )


def test_classifiers_of_turtle_get_no_gradient():
    task, inner = np.random.default_rng(0).normal(size=(2, 2, 6, 4)).astype("f")
    by_task, by_inner = jax.jit(jax.grad(losses.turtle, argnums=(0, 1)))(task, inner)
    assert np.max(np.abs(np.asarray(by_task))) > 1e-3
    assert (np.asarray(by_inner) == 0).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: losses.turtle(x, x[:1]), ValueError, "turtle: expected one shape"),
        (lambda x: losses.turtle(x[0], x[0]), ValueError, "of rank 3"),
        (
            lambda x: losses.turtle(x, x, entropy_weight=-1.0),
            ValueError,
            "entropy_weight >= 0",
        ),
        (
            lambda x: losses.turtle(x, x, where=np.ones(2, bool)),
            ValueError,
            r"where of shape \(3,\)",
        ),
        (lambda x: losses.turtle(x, x, where=np.ones(3)), TypeError, "where bool"),
        (
            lambda x: losses.temi(x, x, x, x, x[0]),
            ValueError,
            r"target_marginal of shape \(2, 4\)",
        ),
        (
            lambda x: losses.temi(x, x, x, x, x[:, 0], temperature=0.0),
            ValueError,
            "temperature > 0",
        ),
        (
            lambda x: losses.temi(x, x, x, x, np.ones((2, 4), int)),
            TypeError,
            "target_marginal of floats",
        ),
    ],
)
def test_wrong_inputs_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((2, 3, 4), np.float32))
