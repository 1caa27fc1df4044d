"""Events against replaced ones: loops, an oracle, and what the minimum is."""

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import events

event_nce = jax.jit(losses.event_nce)


def softplus(x):
    return np.log1p(np.exp(x))


def test_matches_loops():
    rng = np.random.default_rng(0)
    s, p = rng.normal(size=(2, 6)).astype("f")
    s_k, p_k = rng.normal(size=(2, 6, 3)).astype("f")
    expected = np.mean(
        [
            softplus(-(s[i] - np.log(3) - p[i]))
            + sum(softplus(s_k[i, j] - np.log(3) - p_k[i, j]) for j in range(3))
            for i in range(6)
        ]
    )
    found = jax.jit(losses.event_nce)(s, s_k, p, p_k)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_score_and_loss_of_an_independent_program():
    rng = np.random.default_rng(27)
    v, w = rng.normal(size=(3, 4, 2)), np.abs(rng.normal(size=3))
    noise = np.log([0.1, 0.2, 0.3, 0.4])
    rows = np.array([[0, 1, 2], [3, 1, 2], [2, 1, 2]])
    score = jax.jit(events.score)
    found = np.asarray(score(v, w, rows))
    np.testing.assert_allclose(found[0], -0.2689033, rtol=1e-5)
    loss = event_nce(found[:1], found[None, 1:], noise[:1], noise[None, [3, 2]])
    np.testing.assert_allclose(loss, 2.510877, rtol=1e-6)
    assert (np.asarray(score(v, 0 * w, rows)) == 0).all()


def test_negatives_are_named_where_they_do_not_fit():
    with pytest.raises(ValueError, match=r"negative_log_noise \(2, 4\)"):
        losses.event_nce(np.ones(2), np.ones((2, 3)), np.ones(2), np.ones((2, 4)))


def test_by_hand_and_the_minimum_is_the_log_probability():
    """One negative from noise 1/2: log 2 twice where S = log P."""
    half = np.log([0.5])
    found = event_nce(half, half[None], half, half[None])
    np.testing.assert_allclose(found, 2 * np.log(2), rtol=1e-6)
    data, noise = np.array([0.7, 0.3]), np.array([0.5, 0.5])

    def expected_loss(s):
        total = 0.0
        for i in range(2):
            for j in range(2):
                total += (
                    data[i]
                    * noise[j]
                    * losses.event_nce(
                        s[i : i + 1],
                        s[None, j : j + 1],
                        *np.log([noise[i : i + 1]]),
                        np.log(noise[None, j : j + 1]),
                    )
                )
        return total

    slope = jax.jit(jax.grad(expected_loss))(np.log(data).astype("f"))
    np.testing.assert_allclose(slope, 0, atol=1e-6)
