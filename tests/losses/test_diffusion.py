"""Losses of denoisers in float64 loops, and what the best network pays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import diffusion, mixture_posterior

noise_prediction, score_matching = map(
    jax.jit, (losses.noise_prediction, losses.score_matching)
)


def draw(shape, count):
    arrays = np.random.default_rng(0).normal(size=(count, *shape))
    return arrays, arrays.astype("f")


@pytest.mark.parametrize("shape", [(4, 3, 2, 1), (5, 6), (7,)])
def test_losses_match_the_papers(shape):
    (a, noise), (a32, noise32) = draw(shape, 2)
    sigma = np.linspace(0.5, 3, shape[0])
    predicted = scored = 0.0
    for i in range(shape[0]):
        predicted += np.sum((a[i] - noise[i]) ** 2) / shape[0]
        away = a[i] - (-noise[i] / sigma[i])
        scored += 0.5 * sigma[i] ** 2 * np.sum(away**2) / shape[0]
    found = noise_prediction(a32, noise32)
    np.testing.assert_allclose(found, predicted, rtol=1e-5)
    found = score_matching(a32, noise32, sigma.astype("f"))
    np.testing.assert_allclose(found, scored, rtol=1e-5)


def test_predicting_nothing_costs_the_size_of_an_example():
    _, (noise,) = draw((2000, 12), 1)
    found = noise_prediction(np.zeros_like(noise), noise)
    np.testing.assert_allclose(found, 12, rtol=0.03)
    sigma = np.full(2000, 2.0, "f")
    np.testing.assert_allclose(score_matching(-noise / 2, noise, sigma), 0, atol=1e-6)


def test_the_exact_network_pays_the_variance_of_the_noise():
    """Of a Gaussian: a l / (a l + 1 - a) along an eigenvector, l its variance."""
    law = mixture_posterior.make([1.0], [[1.0, 2.0]], [np.diag([2.0, 0.5])])
    a, sigma = 0.6, 0.7

    @jax.jit
    def paid(key):
        draw_key, noise_key = jax.random.split(key)
        x, _ = mixture_posterior.draw(draw_key, law, 40_000)
        noise = jax.random.normal(noise_key, x.shape)
        noisy = diffusion.add_noise(x, noise, jnp.full(len(x), a))
        predicted = mixture_posterior.predict_noise(law, noisy, a)
        scores = mixture_posterior.score(law, x + sigma * noise, sigma**2)
        levels = jnp.full(len(x), sigma)
        return (
            losses.noise_prediction(predicted, noise),
            losses.score_matching(scores, noise, levels),
        )

    predicted, scored = paid(jax.random.key(0))
    variances = np.array([2.0, 0.5])
    expected = np.sum(a * variances / (a * variances + 1 - a))
    np.testing.assert_allclose(predicted, expected, rtol=0.02)
    expected = 0.5 * np.sum(variances / (variances + sigma**2))
    np.testing.assert_allclose(scored, expected, rtol=0.02)


def test_levels_are_one_a_row():
    _, (a, noise) = draw((4, 3), 2)
    with pytest.raises(ValueError, match="score_matching: expected sigma of shape"):
        losses.score_matching(a, noise, np.ones((4, 1), "f"))
    with pytest.raises(ValueError, match="noise_prediction: expected one shape"):
        losses.noise_prediction(a, noise[:2])
