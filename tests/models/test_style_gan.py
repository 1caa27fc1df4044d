"""The style-based generator: modulation by hand, layers of styles, and noise."""

import jax
import numpy as np
import pytest

from repr_jax.models import style_gan


def test_sizes_are_the_published_ones():
    assert style_gan.num_styles(128) == 12 and style_gan.num_styles(32) == 8
    assert style_gan.noise_sizes(32) == (4, 8, 8, 16, 16, 32, 32)
    assert style_gan.latent_dim(8, 10) == 10 + 16 + 64 + 64
    for size in (4, 24, 0):
        with pytest.raises(ValueError, match="style_gan: expected a size"):
            style_gan.num_styles(size)


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulation_scales_the_kernel_of_each_row(demodulate):
    model = style_gan.ModulatedConv(5, demodulate=demodulate)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 6, 3)).astype("f")
    style = rng.normal(size=(2, 7)).astype("f")
    variables = jax.jit(lambda: model.init(jax.random.key(2), x, style, train=False))()
    apply = jax.jit(lambda v: model.apply(v, x, style, train=False))
    found = np.asarray(apply(variables))
    params = jax.tree.map(np.asarray, variables["params"])
    kernel = np.asarray(params["kernel"], np.float64)
    scale = style @ params["affine"]["kernel"] + params["affine"]["bias"]
    padded = np.pad(x.astype(np.float64), [(0, 0), (1, 1), (1, 1), (0, 0)])
    for n in range(2):
        own = kernel * scale[n][None, None, :, None]
        if demodulate:
            own /= np.sqrt(np.sum(own**2, axis=(0, 1, 2)) + 1e-8)
        for i, j in ((0, 0), (2, 3), (3, 5)):
            window = padded[n, i : i + 3, j : j + 3]
            expected = np.einsum("abi,abio->o", window, own)
            np.testing.assert_allclose(found[n, i, j], expected, rtol=1e-4, atol=1e-5)


def moved_by(scale, rng, params):
    return jax.tree.map(
        lambda p: np.asarray(p) + scale * rng.normal(size=p.shape).astype("f"), params
    )


@pytest.fixture(scope="module")
def small():
    model = style_gan.Generator(size=8, style_dim=6, width=4, max_width=8)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(3, style_gan.latent_dim(8, 6))).astype("f")
    init = jax.jit(lambda z: model.init(jax.random.key(1), z, train=False))
    return model, {"params": moved_by(0.2, rng, init(z)["params"])}, z


def test_an_image_is_a_function_of_its_latent(small):
    model, params, z = small
    generate = jax.jit(lambda z: model.apply(params, z, train=False))

    def apply(z):
        return np.asarray(generate(z))

    image = apply(z)
    assert image.shape == (3, 8, 8, 3)
    np.testing.assert_allclose(apply(z[1:2]), image[1:2], atol=1e-5)
    longer = z.copy()
    longer[:, :6] *= 3  # the style's length does not matter
    longer = apply(longer)
    np.testing.assert_allclose(longer, image, atol=1e-4)
    for place in range(6, z.shape[1], 29):  # every noise map does
        moved = z.copy()
        moved[0, place] += 3
        moved = apply(moved)
        assert np.abs(moved - image)[0].max() > 1e-4
        np.testing.assert_array_equal(moved[1:], image[1:])
    with pytest.raises(ValueError, match="expected latents of"):
        model.apply(params, z[:, 1:], train=False)


def test_the_halves_make_the_whole_and_every_style_counts(small):
    model, params, z = small
    styles = jax.jit(lambda z: model.apply(params, z, method="styles_of"))(z[:, :6])
    styles = np.repeat(np.asarray(styles)[:, None], style_gan.num_styles(8), axis=1)
    noise = jax.jit(lambda z: model.apply(params, z, method="noise_of"))(z)

    @jax.jit
    def synthesize(styles):
        return model.apply(params, styles, noise, train=False, method="synthesize")

    image = np.asarray(synthesize(styles))
    whole = jax.jit(lambda z: model.apply(params, z, train=False))(z)
    np.testing.assert_allclose(image, whole, atol=1e-5)
    assert styles.shape[1] == 4
    for layer in range(4):
        moved = styles.copy()
        moved[0, layer] += 1
        moved = np.asarray(synthesize(moved))
        assert np.abs(moved - image)[0].max() > 1e-4


@pytest.mark.parametrize("size", [8, 16, 32])
def test_the_encoder_has_a_style_for_each_layer(size):
    """All 0 at first; afterwards each is of its own row, and unlike the others."""
    model = style_gan.Encoder(style_dim=3, width=2, max_width=4)
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(2, size, size, 3)).astype("f")
    params = jax.jit(lambda: model.init(jax.random.key(1), x, train=False))()
    apply = jax.jit(lambda params, x: model.apply(params, x, train=False))
    styles = apply(params, x)
    assert styles.shape == (2, style_gan.num_styles(size), 3)
    np.testing.assert_array_equal(styles, 0)
    params = moved_by(0.3, rng, params)
    styles = np.asarray(apply(params, x))
    x[0] += 0.3
    moved = np.asarray(apply(params, x))
    assert np.abs(moved - styles)[0].max(axis=-1).min() > 1e-4
    np.testing.assert_allclose(moved[1], styles[1], atol=1e-5)
    flat = styles[0].round(4)
    assert len(np.unique(flat, axis=0)) == len(flat)


def test_the_discriminator_judges_rows_by_themselves():
    model = style_gan.Discriminator(width=4, max_width=8)
    x = np.random.default_rng(0).uniform(size=(3, 8, 8, 3)).astype("f")
    params = jax.jit(lambda: model.init(jax.random.key(1), x, train=False))()
    apply = jax.jit(lambda x: model.apply(params, x, train=False))
    logits, part = np.asarray(apply(x)), apply(x[2:])
    assert logits.shape == (3, 1)
    np.testing.assert_allclose(part, logits[2:], rtol=1e-4, atol=1e-5)
