"""Adversarial losses: loops, oracles, by hand, properties."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses

gradient_penalty = jax.jit(losses.gradient_penalty)


def gan_discriminator_from_the_paper(real, fake):
    """Eq. 1, negated: -log D(x) - log(1 - D(G(z))), D the sigmoid of the logit."""
    total = 0.0
    for r, f in zip(real, fake):
        total -= math.log(1 / (1 + math.exp(-r))) + math.log(1 - 1 / (1 + math.exp(-f)))
    return total / len(real)


def gan_generator_from_the_paper(fake):
    return -sum(math.log(1 / (1 + math.exp(-f))) for f in fake) / len(fake)


def hinge_discriminator_from_the_paper(real, fake):
    return sum(max(0, 1 - r) + max(0, 1 + f) for r, f in zip(real, fake)) / len(real)


def draw():
    rng = np.random.default_rng(3)
    return rng.normal(size=5), rng.normal(size=5)


ORACLES = {  # of logits `draw()`
    "gan_discriminator": 2.045876,
    "gan_generator": 1.003815,
    "hinge_discriminator": 2.633648,
    "hinge_generator": 0.001945846,
}


@pytest.mark.parametrize("name", ORACLES)
def test_value_of_an_independent_program(name):
    logits = draw() if name.endswith("discriminator") else draw()[1:]
    value = jax.jit(getattr(losses, name))(*logits)
    np.testing.assert_allclose(value, ORACLES[name], rtol=1e-5, atol=1e-7)


def test_losses_match_the_papers():
    real, fake = np.random.default_rng(0).normal(0, 2, size=(2, 9))
    for name, logits, expected in (
        ("gan_discriminator", (real, fake), gan_discriminator_from_the_paper),
        ("gan_generator", (fake,), gan_generator_from_the_paper),
        ("hinge_discriminator", (real, fake), hinge_discriminator_from_the_paper),
    ):
        value = jax.jit(getattr(losses, name))(*logits)
        np.testing.assert_allclose(value, expected(*logits), rtol=1e-5)


def test_who_cannot_tell_pays_two_bits_and_large_logits_stay_finite():
    zeros, large = np.zeros(4, "f"), np.full(4, 1e4, "f")
    value = jax.jit(losses.gan_discriminator)(zeros, zeros)
    np.testing.assert_allclose(value, 2 * math.log(2), rtol=1e-6)
    np.testing.assert_allclose(jax.jit(losses.gan_generator)(-large), 1e4, rtol=1e-6)
    assert jax.jit(losses.hinge_discriminator)(large, -large) == 0


def test_the_generator_learns_most_where_it_is_found_out():
    """Why this form does not saturate: its slope is -1 where the logit is low."""
    slope = jax.jit(jax.grad(losses.gan_generator))
    np.testing.assert_allclose(slope(np.full(1, -50.0)), -1.0, rtol=1e-6)
    np.testing.assert_allclose(slope(np.full(1, 50.0)), 0.0, atol=1e-6)


def test_gradient_penalty_by_hand_and_of_a_linear_discriminator():
    gradients = np.array([[3.0, 4.0], [0.0, 2.0]], np.float32)
    value = gradient_penalty(gradients)
    np.testing.assert_allclose(value, (25 + 4) / 4, rtol=1e-6)
    weights = np.array([1.0, -2.0, 2.0], "f")
    of_rows = jax.jit(jax.grad(lambda x: jnp.sum(x @ weights)))(np.ones((4, 3), "f"))
    np.testing.assert_allclose(gradient_penalty(of_rows), 4.5, rtol=1e-6)
    with pytest.raises(ValueError, match=r"expected gradients \[batch"):
        losses.gradient_penalty(jnp.float32(1.0))
