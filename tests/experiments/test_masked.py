"""Masked images: what is hidden is not seen, and is all that is asked for."""

import jax
import ml_collections
import numpy as np
import pytest

from experiments import masked
from repr_jax import losses
from repr_jax.losses.reconstruction import normalized_patches
from repr_jax.models import vit

SHAPE = (4, 6, 2)  # six patches of 2 x 2
IMAGES = np.random.default_rng(0).normal(size=(8, *SHAPE)).astype("f")
KEY = jax.random.key(1)


def unchanged(key, images):
    return images


def made(**options):
    network = dict(patch_size=2, dim=8, depth=1, num_heads=2, shape=SHAPE)
    config = ml_collections.ConfigDict(
        {
            "augment": dict(fn=unchanged),
            "encoder": dict(fn=vit.ViT, **network),
            "decoder": dict(fn=vit.MaskedDecoder, **network),
            "loss": dict(fn=losses.masked_patches),
            "hidden_share": 0.5,
            **options,
        }
    )
    return masked.make(config)


@pytest.fixture(scope="module")
def experiment():
    return made()


@pytest.fixture(scope="module")
def params(experiment):
    return jax.jit(experiment.init)(jax.random.key(0), {"image": IMAGES})[0]


def test_half_of_the_patches_get_a_gradient_as_targets_and_the_rest_as_input(params):
    """Targets have none of their own here, so the image has that of what is seen."""
    loss = jax.grad(lambda image: made().loss(params, {}, {"image": image}, KEY, 0)[0])
    from_input = np.asarray(jax.jit(loss)(IMAGES))
    seen = (from_input.reshape(8, 2, 2, 3, 2, 2) != 0).any(axis=(2, 4, 5))
    assert (seen.reshape(8, 6).sum(axis=1) == 3).all()
    assert len({tuple(row) for row in seen.reshape(8, 6)}) > 1  # of each image its own


def test_a_wrong_hidden_patch_costs_its_square_by_hand(experiment, params):
    """A decoder that returns zeros: the mean square of three patches of an image."""
    zeros = {**params, "decoder": jax.tree.map(np.zeros_like, params["decoder"])}
    constant = np.full_like(IMAGES, 2.0)
    value, _ = jax.jit(experiment.loss)(zeros, {}, {"image": constant}, KEY, 0)
    np.testing.assert_allclose(value, 4.0, rtol=1e-6)
    normalized = made(target=dict(fn=normalized_patches))
    value, _ = jax.jit(normalized.loss)(zeros, {}, {"image": IMAGES}, KEY, 0)
    np.testing.assert_allclose(value, 7 / 8, rtol=1e-4)  # 8 values, unbiased


def test_absent_rows_do_not_reach_the_loss(experiment, params):
    where = np.arange(8) < 5
    spoiled = np.where(where[:, None, None, None], IMAGES, np.nan)
    batch = {"image": spoiled, "where": where}
    loss = jax.jit(jax.value_and_grad(experiment.loss, has_aux=True))
    (value, _), grads = loss(params, {}, batch, KEY, 0)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_the_representation_is_of_whole_images(experiment, params):
    represent = jax.jit(experiment.outputs["represent"])
    found = represent(params, {}, {"image": IMAGES}, None)
    network = vit.ViT(patch_size=2, dim=8, depth=1, num_heads=2, shape=SHAPE)
    encode = jax.jit(lambda p: network.apply({"params": p}, IMAGES, train=False))
    out = encode(params["encoder"])
    patches = np.asarray(out.tokens)[:, 1:].mean(axis=1)
    np.testing.assert_allclose(found, patches, rtol=1e-5, atol=1e-6)


def test_a_share_that_hides_nothing_or_all_is_refused():
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"config\.hidden_share: expected"):
            made(hidden_share=share)
