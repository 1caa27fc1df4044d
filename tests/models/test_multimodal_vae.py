"""Stacking of posteriors, decoding of all modalities, and published sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.models.mlp import MLP
from repr_jax.models.multimodal_vae import MultimodalVAE
from repr_jax.models.vae import ConvDecoder, ConvEncoder

IMAGES = np.random.default_rng(0).uniform(size=(2, 4, 16, 16, 3)).astype(np.float32)


def small_model(latent_dims=(3, 3)):
    encoders = [
        ConvEncoder(dim, widths=(4, 5), hidden=6, shape=(16, 16, 3))
        for dim in latent_dims
    ]
    decoders = [ConvDecoder(widths=(5, 4), shape=(16, 16, 3)) for _ in latent_dims]
    return MultimodalVAE(tuple(encoders), tuple(decoders))


@pytest.fixture(scope="module")
def case():
    """A model of two modalities and its variables."""
    model = small_model()
    init = jax.jit(lambda key, *x: model.init(key, x, train=False))
    return model, init(jax.random.key(0), *IMAGES)


def test_published_size():
    model = MultimodalVAE(
        tuple(ConvEncoder(512) for _ in range(5)),
        tuple(ConvDecoder() for _ in range(5)),
    )
    images = (jax.ShapeDtypeStruct((1, 28, 28, 3), jnp.float32),) * 5
    variables = jax.eval_shape(
        lambda *x: model.init(jax.random.key(0), x, train=False), *images
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 14_056_975


def test_encode_stacks_what_each_encoder_says(case):
    model, variables = case
    encode = jax.jit(
        lambda v, *x: model.apply(v, x, train=True, method="encode"),
    )
    posterior = encode(variables, *IMAGES)
    assert posterior.mean.shape == posterior.log_var.shape == (2, 4, 3)
    for m, (encoder, x) in enumerate(zip(model.encoders, IMAGES)):
        own = {"params": variables["params"][f"encoders_{m}"]}
        alone = jax.jit(lambda v, x, e=encoder: e.apply(v, x, train=True))(own, x)
        for stacked, own in zip(posterior, alone):
            np.testing.assert_allclose(np.asarray(stacked)[m], own, atol=1e-6)


def test_decode_gives_every_modality_from_one_latent(case):
    model, variables = case
    z = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    decoded = jax.jit(lambda v, z: model.apply(v, z, train=True, method="decode"))(
        variables, z
    )
    assert isinstance(decoded, tuple)
    for m, decoder in enumerate(model.decoders):
        own = {"params": variables["params"][f"decoders_{m}"]}
        alone = jax.jit(lambda v, z, d=decoder: d.apply(v, z, train=True))(own, z)
        np.testing.assert_allclose(decoded[m], alone, atol=1e-6)


def test_modalities_share_no_parameters(case):
    model, variables = case
    assert sorted(variables["params"]) == [
        "decoders_0",
        "decoders_1",
        "encoders_0",
        "encoders_1",
    ]

    def loss(variables):
        posterior = model.apply(variables, IMAGES, train=True, method="encode")
        return jnp.sum(posterior.mean[0] ** 2)

    gradients = jax.jit(jax.grad(loss))(variables)["params"]
    for leaf in jax.tree.leaves(gradients["encoders_1"]):
        np.testing.assert_array_equal(leaf, 0)
    assert np.any(gradients["encoders_0"]["mean_head"]["bias"])


def test_modalities_may_differ_in_architecture():
    decoders = (ConvDecoder(widths=(4,), shape=(8, 8, 1)), MLP((5, 7)))
    model = MultimodalVAE((ConvEncoder(3, widths=(4,), shape=(8, 8, 1)),) * 2, decoders)
    inputs = (np.zeros((2, 8, 8, 1), "f"),) * 2
    _, decoded = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), inputs, train=False)
    )[0]
    assert [x.shape for x in decoded] == [(2, 8, 8, 1), (2, 7)]


def test_errors_name_who_wanted_and_got(case):
    model, variables = case
    with pytest.raises(ValueError, match="expected 2 inputs, one per encoder; got 1"):
        model.apply(variables, IMAGES[:1], train=True, method="encode")
    with pytest.raises(ValueError, match=r"one shape; got \[\(4, 3\), \(4, 2\)\]"):
        jax.eval_shape(
            lambda: small_model((3, 2)).init(jax.random.key(0), IMAGES, train=True)
        )
    unequal = MultimodalVAE(model.encoders, model.decoders[:1])
    with pytest.raises(ValueError, match="as many decoders as encoders; got 1 and 2"):
        jax.eval_shape(lambda: unequal.init(jax.random.key(0), IMAGES, train=True))
