"""Procedural images: shapes, shares and slopes, and on what an image depends."""

import numpy as np
import pytest

from repr_jax.data import procedural

KINDS = {
    "dead_leaves": procedural.dead_leaves,
    "spectrum": procedural.spectrum,
    "untrained": procedural.untrained,
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_depends_on_seed_and_number_alone(kind):
    make = KINDS[kind]
    data = make(num_examples=6, size=8)
    assert data.num_examples == {"train": 6, "test": 6}
    whole = next(data.evaluate("train", 6))["image"]
    assert whole.shape == (6, 8, 8, 3) and whole.dtype == np.float32
    assert whole.min() >= 0 and whole.max() <= 1
    assert len(np.unique(whole.reshape(6, -1), axis=0)) == 6
    larger = make(num_examples=9, size=8)
    np.testing.assert_array_equal(next(larger.evaluate("train", 4))["image"], whole[:4])
    batch = next(data.train(4, start_step=5))["image"]
    np.testing.assert_array_equal(batch, whole[data.train_rows(5, 4)])
    reseeded = make(num_examples=6, size=8, seed=1).evaluate("train", 6)
    for other in (reseeded, data.evaluate("test", 6)):
        assert (next(other)["image"] != whole).any(axis=(1, 2, 3)).all()


def test_the_law_of_radii_has_the_stated_values():
    radii, shares = procedural.leaf_radii()
    np.testing.assert_allclose(shares[radii <= 0.1].sum(), 0.9264905, rtol=1e-6)
    np.testing.assert_allclose(radii @ shares, 0.05323289, rtol=1e-6)
    expected = np.array([r**-3 - 1 for r in np.linspace(0.03, 1, 200)])
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "area", "spread"),
    [
        ("circle", np.pi, 0),
        ("square", 2, 0),
        ("turned", 2, 0),
        ("rectangle", 4 / np.pi, 0.6),  # mean of 2 sin(2 a)
        ("triangle", 3 / (2 * np.pi), 0.4),  # of three random points on a circle
        ("quadrilateral", 3 / np.pi, 0.5),
    ],
)
def test_shapes_have_the_area_of_polygons_on_a_circle(shape, area, spread):
    rng, found = np.random.default_rng(0), []
    x = np.linspace(-1, 1, 200)
    for _ in range(400 if spread else 2):
        inside = procedural.covers(x[None], x[:, None], procedural.corners(rng, shape))
        found.append(4 * inside.mean())
        assert (inside <= (x[None] ** 2 + x[:, None] ** 2 < 1.001)).all()
    assert abs(np.mean(found) - area) < 0.05 + 3 * spread / 400**0.5


def test_later_leaves_cover_earlier_ones_until_nothing_is_bare():
    class Circles:
        """Draws circles around the middle of the image, the third covers it."""

        def choice(self, radii, num, p):
            return np.resize([0.5, 0.3, 0.9, 0.2], num)

        def uniform(self, size):
            middle = np.full(size, 0.5)
            return middle if size[1] == 2 else np.resize(np.eye(4)[:, :3], size)

        def integers(self, num, size):
            return np.full(size, procedural.SHAPES.index("circle"))

    image = procedural.leaves(Circles(), 9, None, None)
    np.testing.assert_array_equal(image, np.tile(np.eye(3)[2], (9, 9, 1)))
    images = next(procedural.dead_leaves(num_examples=8, size=16).evaluate("test", 8))
    flat = images["image"].reshape(-1, 3)
    assert (flat.max(axis=1) > 0).all()  # covered
    colors = [len(np.unique(x.reshape(-1, 3), axis=0)) for x in images["image"]]
    assert min(colors) > 1 and max(colors) < 256  # pixels share the color of a leaf


def test_the_spectrum_falls_by_its_exponents_along_the_axes():
    amplitude = procedural.amplitudes(32, 1.5, 0.7)
    f = np.arange(1, 16) / 32
    np.testing.assert_allclose(amplitude[0, 1:16] ** 2, f**-3.0)
    np.testing.assert_allclose(amplitude[1:16, 0] ** 2, f**-1.4)
    np.testing.assert_allclose(amplitude[2, 3], 1 / (f[2] ** 1.5 + f[1] ** 0.7))
    assert amplitude[0, 0] == 0 and (amplitude[0, -1] == amplitude[0, 1])
    for number in range(5):
        rng = np.random.default_rng(number)
        image = procedural.colored(rng, 32)
        rng = np.random.default_rng(number)
        slope, gap = rng.uniform(0.5, 3.5), rng.normal(scale=0.05)
        power = np.abs(np.fft.fft2(image, axes=(0, 1))) ** 2
        lines = (power[0, 1:16], slope + gap), (power[1:16, 0], slope - gap)
        for line, exponent in lines:
            found = np.polyfit(np.log(f), np.log(line), 1)[0]  # of each channel
            np.testing.assert_allclose(found, -2 * exponent, rtol=1e-6)


def test_the_generator_is_a_function_of_its_latent_and_smooth():
    rng = np.random.default_rng(0)
    weights = procedural.generator_weights(rng, 16)
    latent = rng.normal(size=procedural.LATENT)
    image = procedural.generated(weights, latent)
    assert image.shape == (16, 16, 3)
    near = procedural.generated(weights, latent + 1e-6)
    assert 0 < np.abs(near - image).max() < 1e-3
    white = rng.uniform(size=(16, 16, 3))

    def roughness(x):
        return np.abs(np.diff(x, axis=0)).mean() / x.std()

    assert roughness(image) < 0.9 * roughness(white)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (procedural.dead_leaves, dict(exponent=0.0), "dead_leaves: expected exponent"),
        (procedural.spectrum, dict(size=0), "spectrum: expected size >= 1; got 0"),
        (procedural.untrained, dict(size=12), "untrained: expected size among 4, 8"),
    ],
)
def test_bad_arguments_are_named(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
