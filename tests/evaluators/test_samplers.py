"""Samplers of latents: what they are fitted to, how new it is, and what they decode."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.evaluators import samplers

KEY = jax.random.key(0)
SIZES = dict(batch_size=8)


def copies(key, latents):
    """Knows the rows by heart."""
    return lambda key, num: latents[jax.random.randint(key, (num,), 0, len(latents))]


def test_novelty_tells_copies_from_samples(perfect, dataset):
    heart = samplers.fit(perfect, dataset, copies, KEY, **SIZES)
    assert heart.novelty == pytest.approx(0, abs=1e-3)
    mixture = functools.partial(samplers.mixture, num_components=4)
    found = samplers.fit(perfect, dataset, mixture, KEY, **SIZES)
    assert 0.4 < found.novelty < 2
    far = samplers.fit(
        perfect,
        dataset,
        lambda *_: lambda key, num: jnp.full((num, 4), 9.0),
        KEY,
        **SIZES,
    )
    assert far.novelty > 10


def test_latents_are_of_complete_rows_each_with_its_own_noise(
    gaps, here, answering, perfect
):
    seen = []

    def keep(key, latents):
        seen.append(np.asarray(latents))
        return copies(key, latents)

    def latents(batch, key):
        noise = jax.random.uniform(key, (len(batch["row"]), 1))
        row = jnp.where(jnp.all(batch["present"], axis=1), batch["row"], jnp.nan)
        return jnp.concatenate([row[:, None], noise], axis=1)

    model = answering(perfect, latents=latents)
    samplers.fit(model, gaps, keep, KEY, **SIZES)
    row = np.arange(40)
    complete = row[(row % 3 > 0) & (row % 4 != 1) & (row != 7)]
    np.testing.assert_array_equal(seen[0][:, 0], complete)
    assert len(np.unique(seen[0][:, 1])) == len(complete)


def test_what_is_drawn_is_decoded(perfect, dataset):
    def third(key, latents):
        return lambda key, num: 3 * jax.nn.one_hot(jnp.full(num, 2), 4)

    fitted = samplers.fit(perfect, dataset, third, KEY, **SIZES)
    parts = list(
        samplers.generated(perfect, dataset, KEY, num=12, fitted=fitted, **SIZES)
    )
    assert len(parts) == 2
    for images in parts:
        assert images["m1"].shape == (8, 28, 28, 3)
        lit = np.asarray(images["m1"])[:, :, 0, 0] > 0
        np.testing.assert_array_equal(lit, np.tile(np.arange(28) // 7 == 2, (8, 1)))


def test_without_a_sampler_it_is_the_prior(perfect, dataset):
    parts = list(samplers.generated(perfect, dataset, KEY, num=8, **SIZES))
    (images,) = parts
    labels = jax.random.randint(jax.random.fold_in(KEY, 0), (8,), 0, 4)
    lit = np.asarray(images["m0"])[:, ::7, 0, 0].argmax(axis=1)
    np.testing.assert_array_equal(lit, labels)


def test_a_model_that_cannot_decode_is_refused(perfect, dataset):
    outputs = {"generate": perfect.outputs["generate"]}
    with pytest.raises(ValueError, match="samplers: expected a model with the outputs"):
        samplers.fit(perfect._replace(outputs=outputs), dataset, copies, KEY, **SIZES)
