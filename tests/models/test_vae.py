"""Sizes, initialization and outputs of the encoder and the decoder."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.models import vae
from repr_jax.models.mlp import MLP
from repr_jax.models.vae import VAE, ConvDecoder, ConvEncoder, Posterior

IMAGES = np.random.default_rng(0).uniform(size=(3, 28, 28, 3)).astype(np.float32)


def num_parameters(module, *args):
    """Of a module applied to arrays of these shapes."""
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in args]
    variables = jax.eval_shape(
        lambda *x: module.init(jax.random.key(0), *x, train=False), *arrays
    )
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


def small_vae(**fields):
    """A VAE of a few channels and four latents."""
    encoder = ConvEncoder(4, widths=(4, 6, 8), hidden=16, **fields)
    fields.pop("log_var", None)
    return VAE(encoder, ConvDecoder(widths=(8, 6, 4), **fields))


def initialized(module, *args):
    init = jax.jit(lambda key, *x: module.init(key, *x, train=False))
    return init(jax.random.key(0), *args)


def applied(model, method):
    return jax.jit(partial(model.apply, train=True, method=method))


def test_published_sizes():
    assert num_parameters(ConvEncoder(512), (1, 28, 28, 3)) == 1_667_648
    assert num_parameters(ConvDecoder(), (1, 512)) == 1_143_747


def test_small_form():
    encoder = ConvEncoder(16, widths=(16, 32, 64), hidden=64)
    shapes = jax.eval_shape(
        lambda x: encoder.init(jax.random.key(0), x, train=False), IMAGES
    )
    assert shapes["params"]["Conv_2"]["kernel"].shape == (3, 3, 32, 64)
    assert shapes["params"]["hidden_layer"]["kernel"].shape == (4 * 4 * 64, 64)
    decoder = ConvDecoder(widths=(64, 32, 16))
    z = np.zeros((2, 16), "f")
    shapes = jax.eval_shape(
        lambda z: decoder.init(jax.random.key(0), z, train=False), z
    )
    assert shapes["params"]["ConvTranspose_2"]["kernel"].shape == (3, 3, 16, 3)


def test_encode_and_decode_are_the_two_halves_of_a_call():
    model = small_vae()
    variables = initialized(model, IMAGES)
    posterior, decoded = jax.jit(lambda v: model.apply(v, IMAGES, train=True))(
        variables
    )
    assert isinstance(posterior, Posterior)
    assert posterior.mean.shape == posterior.log_var.shape == (3, 4)
    encoded = applied(model, "encode")(variables, IMAGES)
    np.testing.assert_allclose(encoded.mean, posterior.mean, atol=1e-6)
    again = applied(model, "decode")(variables, encoded.mean)
    np.testing.assert_allclose(again, decoded, atol=1e-5)
    assert decoded.shape == IMAGES.shape


@pytest.mark.parametrize("shape", [(28, 28, 3), (32, 32, 1), (9, 14, 2)])
def test_decoder_undoes_the_sizes_of_the_encoder(shape):
    encoder = ConvEncoder(3, widths=(4, 5), hidden=6, shape=shape)
    decoder = ConvDecoder(widths=(5, 4), shape=shape)
    x = np.zeros((2, *shape), "f")
    _, decoded = jax.eval_shape(
        lambda x: VAE(encoder, decoder).init_with_output(
            jax.random.key(0), x, train=False
        ),
        x,
    )[0]
    assert decoded.shape == x.shape


def test_initialization_is_uniform_within_one_over_the_root_of_fan_in():
    params = initialized(ConvEncoder(8), IMAGES)["params"]
    decoder = initialized(ConvDecoder(), np.zeros((1, 8), "f"))["params"]
    fan_ins = [
        (params["Conv_1"], 9 * 32),
        (params["hidden_layer"], 2048),
        (params["mean_head"], 512),
        (decoder["Dense_0"], 8),
        (decoder["ConvTranspose_0"], 9 * 64),  # output channels, as in torch
    ]
    for layer, fan_in in fan_ins:
        bound = fan_in**-0.5
        layer = jax.tree.map(np.asarray, layer)
        for values in layer.values():
            assert np.max(np.abs(values)) <= bound
        np.testing.assert_allclose(np.std(layer["kernel"]), bound / 3**0.5, rtol=0.05)
        assert np.std(layer["bias"]) > 0


def test_initializer_is_a_field():
    def zeros(fan_in):
        return lambda key, shape, dtype=jnp.float32: jnp.zeros(shape, dtype)

    params = initialized(small_vae(initializer=zeros), IMAGES)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(params))


def test_bfloat16_keeps_parameters_and_outputs_in_float32():
    model, exact = small_vae(dtype="bfloat16"), small_vae()
    variables = initialized(model, IMAGES)
    outputs, expected = jax.jit(
        lambda v: [m.apply(v, IMAGES, train=True) for m in (model, exact)]
    )(variables)
    for leaf in jax.tree.leaves((variables, outputs)):
        assert leaf.dtype == jnp.float32
    for actual, wanted in zip(jax.tree.leaves(outputs), jax.tree.leaves(expected)):
        np.testing.assert_allclose(actual, wanted, atol=0.05)
        assert np.any(np.asarray(actual) != np.asarray(wanted))


def test_heads_of_log_variances():
    h = np.array([[0.0, 1.0, -2.0], [50.0, -50.0, 0.0]], "f")
    log_var = np.asarray(jax.jit(vae.laplace_simplex_log_var)(h))
    scales = np.exp(log_var / 2) / 2**0.5  # variance 2 b^2
    np.testing.assert_allclose(np.sum(scales, axis=-1), [3.0, 3.0], rtol=1e-5)
    weights = np.exp(np.array([0.0, 1.0, -2.0]))
    np.testing.assert_allclose(scales[0], 3 * weights / weights.sum(), rtol=1e-4)
    np.testing.assert_array_equal(vae.gaussian_log_var(h), h)


def test_laplace_head_has_finite_gradients():
    log_var = vae.laplace_simplex_log_var
    h = np.array([[200.0, -200.0, 0.0]], "f")
    pull = jax.value_and_grad(lambda h: jnp.sum(log_var(h)))
    assert np.all([np.isfinite(x).all() for x in jax.jit(pull)(h)])
    model = small_vae(log_var=log_var)
    variables = initialized(model, IMAGES)
    posterior = applied(model, "encode")(variables, IMAGES)
    raw = applied(small_vae(), "encode")(variables, IMAGES)
    expected = jax.jit(log_var)(raw.log_var)
    np.testing.assert_allclose(posterior.log_var, expected, rtol=1e-4)


def test_mlp():
    model = MLP((8, 3), batch_norm=True)
    variables = initialized(model, IMAGES)
    apply = partial(model.apply, train=True, mutable=["batch_stats"])
    out, changed = jax.jit(apply)(variables, IMAGES)
    assert out.shape == (3, 3)
    assert set(changed) == {"batch_stats"}
    assert num_parameters(MLP((8, 3)), (2, 4, 5)) == 20 * 8 + 8 + 8 * 3 + 3


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (ConvEncoder(0), (1, 28, 28, 3), "ConvEncoder: expected latent_dim .* got 0"),
        (ConvEncoder(2, widths=(4, 0)), (1, 28, 28, 3), r"widths of 1 .* got \(4, 0\)"),
        (ConvEncoder(2), (1, 32, 32, 3), r"expected images .* got \(1, 32, 32, 3\)"),
        (ConvEncoder(2), (28, 28, 3), r"expected images .* got \(28, 28, 3\)"),
        (ConvDecoder(), (1, 0), r"ConvDecoder: expected z .* got \(1, 0\)"),
        (ConvDecoder(), (4,), r"ConvDecoder: expected z .* got \(4,\)"),
        (ConvDecoder(shape=(0, 8, 3)), (1, 2), r"shape of 1 or more; got \(0, 8, 3\)"),
    ],
)
def test_errors_name_who_wanted_and_got(module, shape, message):
    with pytest.raises(ValueError, match=message):
        num_parameters(module, shape)
