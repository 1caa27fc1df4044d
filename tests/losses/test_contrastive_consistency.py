"""CO2: loops, by hand, and what gets a gradient."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses

co2 = jax.jit(losses.co2)


def draw():
    rng = np.random.default_rng(3)
    return rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), rng.normal(size=(5, 4))


def shares(x, queue, temperature):
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, queue)]
    p = np.exp(unit[0] @ unit[1].T / temperature)
    return p / p.sum(axis=1, keepdims=True)


def co2_in_loops(queries, keys, queue, temperature):
    total = 0.0
    both = [shares(x, queue, temperature) for x in (queries, keys)]
    for q, p in zip(*both):
        total += sum(a * math.log(a / b) for a, b in zip(p, q)) / 2
        total += sum(b * math.log(b / a) for a, b in zip(p, q)) / 2
    return total / len(queries)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_co2_matches_the_paper(temperature):
    expected = co2_in_loops(*draw(), temperature)
    found = co2(*draw(), temperature=temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_values_by_hand():
    """Shares of e / (e + 1), for one and for the other."""
    axes = np.eye(2, dtype="f")
    found = co2(axes[:1], axes[1:], axes, temperature=1.0)
    np.testing.assert_allclose(found, math.tanh(0.5), rtol=1e-6)
    np.testing.assert_allclose(co2(axes, 3 * axes, axes), 0, atol=1e-6)


def test_queries_alone_get_a_gradient_and_empty_places_do_not_count():
    queries, keys, queue = map(np.float32, draw())
    grads = jax.grad(co2, argnums=(0, 1, 2))(queries, keys, queue)
    assert grads[0].any() and not grads[1].any() and not grads[2].any()
    filled = np.arange(5) % 2 == 0
    found = co2(queries, keys, queue, queue_where=filled)
    expected = co2(queries, keys, queue[filled])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_queue_of_another_width_is_refused():
    queries, keys, queue = draw()
    with pytest.raises(ValueError, match=r"co2: expected queue of shape \(5, 4\)"):
        losses.co2(queries, keys, queue[:, :3])
