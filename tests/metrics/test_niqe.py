"""NIQE: fits against laws that were drawn from, and what blur and noise do to it."""

import importlib

import numpy as np
import pytest
from scipy import stats
from scipy.special import gamma

from repr_jax import metrics

niqe = importlib.import_module("repr_jax.metrics.niqe")  # not the function of its name


def photographs(rng, num=12, size=64):
    """Smooth shapes with edges and a little texture, in [0, 1]."""
    y, x = np.mgrid[:size, :size] / size
    found = []
    for _ in range(num):
        wave = np.sin(
            rng.uniform(5, 25, 3) @ np.stack([x.ravel(), y.ravel(), x.ravel()])
        )
        image = 0.5 + 0.2 * wave.reshape(size, size)
        image += 0.2 * (np.hypot(x - rng.uniform(), y - rng.uniform()) < 0.3)
        found.append(image + 0.02 * rng.normal(size=image.shape))
    return np.clip(found, 0, 1)[..., None]


def blurred(images):
    shifts = [
        np.roll(images, (i, j), (1, 2)) for i in range(-2, 3) for j in range(-2, 3)
    ]
    return np.mean(shifts, axis=0)


@pytest.mark.parametrize("shape", [0.7, 1, 2, 4])
def test_a_generalized_gaussian_is_found(shape):
    x = stats.gennorm(shape, scale=3).rvs(200_000, random_state=0)
    found, variance = niqe.generalized_gaussian(x)
    assert found == pytest.approx(shape, rel=0.03)
    assert variance == pytest.approx(9 * gamma(3 / shape) / gamma(1 / shape), rel=0.03)


@pytest.mark.parametrize(
    ("shape", "left", "right"), [(2, 1, 1), (1, 1, 3), (1.5, 2, 1)]
)
def test_an_asymmetric_gaussian_is_found(shape, left, right):
    rng = np.random.default_rng(0)
    size = np.abs(stats.gennorm(shape).rvs(400_000, random_state=1))
    is_left = rng.uniform(size=size.shape) < left / (left + right)
    x = np.where(is_left, -left * size, right * size)
    found, mean, below, above = niqe.asymmetric_gaussian(x)
    assert found == pytest.approx(shape, rel=0.03)
    assert mean == pytest.approx(np.mean(x), abs=0.02 * (left + right))
    second = gamma(3 / shape) / gamma(1 / shape)
    assert below == pytest.approx(left**2 * second, rel=0.03)
    assert above == pytest.approx(right**2 * second, rel=0.03)


def test_natural_images_are_nearest():
    rng = np.random.default_rng(0)
    reference = metrics.niqe_reference(metrics.niqe_features(photographs(rng, 24)))
    images = photographs(rng)

    def score(images):
        return np.mean(metrics.niqe(metrics.niqe_features(images), reference))

    natural = score(images)
    assert 0 < natural < score(blurred(images))
    noisy = np.clip(images + 0.3 * rng.normal(size=images.shape), 0, 1)
    assert 1.5 * natural < score(noisy)


def test_features_are_of_whole_blocks():
    images = photographs(np.random.default_rng(0), num=3, size=40)
    found = metrics.niqe_features(images, block=16)
    assert found.shape == (3, 4, 36)
    np.testing.assert_array_equal(found, metrics.niqe_features(images[:, :32, :32]))
    color = metrics.niqe_features(np.repeat(images, 3, axis=-1))
    np.testing.assert_allclose(found, color, rtol=1e-6, atol=1e-9)
    flat = metrics.niqe_features(np.full((1, 16, 16, 1), 0.5))
    assert np.isfinite(flat).all()


def test_the_distance_is_mahalanobis():
    """Of one block: its own covariance is 0, so that of the reference counts half."""
    rng = np.random.default_rng(0)
    reference = metrics.niqe_reference(rng.normal(size=(5, 40, 36)))
    x = rng.normal(size=(2, 1, 36))
    away = x[:, 0] - reference.mean
    inverse = np.linalg.inv(reference.covariance / 2)
    expected = np.sqrt([a @ inverse @ a for a in away])
    np.testing.assert_allclose(metrics.niqe(x, reference), expected)


def test_other_images_are_refused():
    with pytest.raises(ValueError, match="niqe_features: expected"):
        metrics.niqe_features(np.zeros((1, 8, 8, 1)))
    with pytest.raises(ValueError, match="even block"):
        metrics.niqe_features(np.zeros((1, 18, 18, 1)), block=9)
    with pytest.raises(TypeError, match="niqe_features"):
        metrics.niqe_features(np.zeros((1, 18, 18, 1), int))
    with pytest.raises(ValueError, match="niqe: expected"):
        metrics.niqe(np.zeros((1, 18)), None)
