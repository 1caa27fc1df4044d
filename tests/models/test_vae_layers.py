"""Published numbers of parameters, and that encoders and decoders do what they say."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.models import vae_layers
from repr_jax.models.vae import Posterior
from repr_jax.models.vae_layers import (
    DenseDecoder,
    DenseEncoder,
    LayersDecoder,
    LayersEncoder,
)

DIGIT, STREET, WORD, BIRD = (28, 28, 1), (32, 32, 3), (8, 71), (64, 64, 3)
ENCODERS = {
    "mnist": (DenseEncoder(20), DIGIT, 330_040),
    "svhn": (LayersEncoder(20, vae_layers.SVHN, STREET), STREET, 236_360),
    "word": (LayersEncoder(20, vae_layers.WORD, WORD), WORD, 145_704),
    "small": (LayersEncoder(20, vae_layers.SVHN_SMALL, STREET), STREET, 247_560),
    "bird": (LayersEncoder(64, vae_layers.BIRD, BIRD), BIRD, None),
}
DECODERS = {
    "mnist": (DenseDecoder(output=nn.sigmoid), 20, DIGIT, 322_784),
    "svhn": (LayersDecoder(vae_layers.SVHN_BACK, STREET, 128), 20, STREET, 233_763),
    "word": (LayersDecoder(vae_layers.WORD_BACK, WORD, 128), 20, WORD, 143_175),
    "small": (
        LayersDecoder(vae_layers.SVHN_SMALL_BACK, STREET, output=nn.sigmoid),
        20,
        STREET,
        206_563,
    ),
    "bird": (LayersDecoder(vae_layers.BIRD_BACK, BIRD), 64, BIRD, None),
}


def initialized(module, x):
    return jax.jit(lambda key: module.init(key, x, train=False))(jax.random.key(0))


def size(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders(name):
    module, shape, count = ENCODERS[name]
    x = np.random.default_rng(0).uniform(size=(3, *shape)).astype(np.float32)
    variables = initialized(module, x)
    assert count is None or size(variables) == count
    apply = jax.jit(lambda x: module.apply(variables, x, train=True))
    posterior = apply(x)
    assert isinstance(posterior, Posterior)
    for array in posterior:
        assert array.shape == (3, module.latent_dim) and array.dtype == np.float32
    alone = apply(np.concatenate([x[1:2], x[:1], x[:1]]))
    np.testing.assert_allclose(alone.mean[:1], posterior.mean[1:2], atol=1e-5)
    assert np.ptp(posterior.mean, axis=0).min() > 0  # it sees its input


@pytest.mark.parametrize("name", DECODERS)
def test_decoders(name):
    module, latent_dim, shape, count = DECODERS[name]
    z = np.random.default_rng(0).normal(size=(3, latent_dim)).astype(np.float32)
    variables = initialized(module, z)
    assert count is None or size(variables) == count
    x = jax.jit(lambda z: module.apply(variables, z, train=True))(z)
    assert x.shape == (3, *shape) and x.dtype == np.float32
    bounded = module.output is nn.sigmoid
    assert (x.min() > 0 and x.max() < 1) == bounded
    rest = module.clone(output=vae_layers.identity)
    raw = jax.jit(lambda z: rest.apply(variables, z, train=True))(z)
    np.testing.assert_allclose(x, module.output(raw), atol=1e-6)


def test_all_of_mnist_svhn_text_has_the_published_size():
    names = ("mnist", "svhn", "word")
    assert sum(kind[name][-1] for kind in (ENCODERS, DECODERS) for name in names) == (
        1_411_826
    )


def test_text_is_convolved_along_its_length_alone():
    """One layer of text against a loop, with the parameters that it has."""
    module = LayersEncoder(2, ((5, 3, 2, 1),), (6, 4))
    x = np.random.default_rng(0).normal(size=(1, 6, 4)).astype(np.float32)
    params = initialized(module, x)["params"]
    kernel, bias = params["Conv_0"]["kernel"], params["Conv_0"]["bias"]
    assert kernel.shape == (3, 1, 4, 5)
    padded = np.pad(x[0], ((1, 1), (0, 0)))
    layer = [
        np.maximum(
            sum(padded[2 * i + a] @ np.asarray(kernel)[a, 0] for a in range(3))
            + np.asarray(bias),
            0,
        )
        for i in range(3)
    ]
    head = params["mean_head"]
    expected = np.concatenate(layer) @ np.asarray(head["kernel"]) + head["bias"]
    mean = module.apply({"params": params}, x, train=False).mean[0]
    np.testing.assert_allclose(mean, expected, atol=1e-5)


def test_parameters_start_within_the_published_bounds():
    """+-1 / sqrt(fan-in); of a transposed convolution, kernel area times outputs."""
    back = initialized(DECODERS["word"][0], jnp.zeros((1, 20)))["params"]
    for name, fan_in in (("ConvTranspose_0", 4 * 128), ("ConvTranspose_2", 71)):
        largest = np.abs(back[name]["kernel"]).max()
        assert 0.95 / fan_in**0.5 < largest <= 1 / fan_in**0.5
    front = initialized(ENCODERS["word"][0], jnp.zeros((1, 8, 71)))["params"]
    largest = np.abs(front["Conv_1"]["kernel"]).max()
    assert 0.95 / 512**0.5 < largest <= 1 / 512**0.5


@pytest.mark.parametrize(
    "module, shape, message",
    [
        (
            DenseEncoder(4),
            (2, 28, 28, 3),
            r"DenseEncoder: expected \[batch, \*\(28, 28",
        ),
        (
            ENCODERS["word"][0],
            (2, 9, 71),
            r"LayersEncoder: expected \[batch, \*\(8, 71",
        ),
        (DenseDecoder(), (2, 4, 4), r"DenseDecoder: expected z \[batch, latent_dim\]"),
        (DECODERS["word"][0], (8,), r"LayersDecoder: expected z \[batch, latent_dim\]"),
        (LayersDecoder(((3, 4, 1, 0),), STREET), (2, 4), r"they make \(4, 4, 3\)"),
        (DenseEncoder(0), (2, 28, 28, 1), "latent_dim of 1 or more; got 0"),
    ],
)
def test_wrong_shapes_are_refused(module, shape, message):
    with pytest.raises(ValueError, match=message):
        initialized(module, jnp.zeros(shape))
