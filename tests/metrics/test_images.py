"""Similarity of images against loops from the paper, and values of scikit-image."""

import jax
import numpy as np
import pytest

from repr_jax import metrics

# structural_similarity(x, y, data_range=1, gaussian_weights=True, sigma=1.5,
# use_sample_covariance=False, channel_axis=-1) of scikit-image 0.26.0
SCIKIT_IMAGE = {(28, 28, 3): 0.8126015573286015, (13, 17, 1): 0.8448954052383508}


def pairs():
    """{shape: (x, y)} of images and noisy copies."""
    rng, found = np.random.default_rng(0), {}
    for shape in SCIKIT_IMAGE:
        x = rng.uniform(size=shape)
        found[shape] = x, np.clip(x + 0.2 * rng.normal(size=shape), 0, 1)
    return found


def ssim_in_loops(x, y):
    """Wang et al., eqs. 13 to 16, a window at a time, in float64."""
    away = np.arange(11) - 5
    weights = np.exp(-(away[:, None] ** 2 + away[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    values = []
    for channel in range(x.shape[2]):
        for i in range(x.shape[0] - 10):
            for j in range(x.shape[1] - 10):
                a = x[i : i + 11, j : j + 11, channel]
                b = y[i : i + 11, j : j + 11, channel]
                mean_a, mean_b = np.sum(weights * a), np.sum(weights * b)
                var_a = np.sum(weights * (a - mean_a) ** 2)
                var_b = np.sum(weights * (b - mean_b) ** 2)
                both = np.sum(weights * (a - mean_a) * (b - mean_b))
                above = (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4)
                below = (mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)
                values.append(above / below)
    return np.mean(values)


@pytest.mark.parametrize("shape", SCIKIT_IMAGE)
def test_ssim_matches_the_paper_and_its_peer(shape):
    x, y = pairs()[shape]
    expected = ssim_in_loops(x, y)
    assert expected == pytest.approx(SCIKIT_IMAGE[shape], rel=1e-6)
    found = jax.jit(metrics.ssim)(x[None].astype("f"), y[None].astype("f"))
    assert found.shape == (1,) and found[0] == pytest.approx(expected, rel=1e-5)


def test_ssim_of_equal_and_of_flat_images():
    x, y = np.random.default_rng(1).uniform(size=(2, 3, 12, 12, 2)).astype("f")
    np.testing.assert_allclose(metrics.ssim(x, x), 1, rtol=1e-6)
    assert np.all(np.abs(metrics.ssim(x, y)) < 0.2)
    np.testing.assert_allclose(metrics.ssim(x, y), metrics.ssim(y, x), rtol=1e-5)
    flat = metrics.ssim(np.full_like(x, 0.5), np.full_like(x, 0.25))
    np.testing.assert_allclose(flat, 0.2501 / 0.3126, rtol=1e-4)


@pytest.mark.parametrize(("seed", "expected"), [(0, 2.015412), (1, 9.027391 / 6)])
def test_squared_errors_are_means_over_elements(seed, expected):
    """The last two arrays of a longer stream of draws."""
    rng = np.random.default_rng(seed)
    for high, size in ((4, 40), (3, 40), (4, 25), (3, 25), (3, 25), (3, (3, 25))):
        rng.integers(0, high, size)
    x, y = rng.standard_normal((5, 2, 3)), rng.standard_normal((5, 2, 3))
    found = metrics.mean_squared_error(x.astype("f"), y.astype("f"))
    assert found.shape == (5,) and np.mean(found) == pytest.approx(expected, rel=1e-5)


def test_other_shapes_are_refused():
    x = np.ones((2, 12, 12, 1), "f")
    with pytest.raises(ValueError, match="ssim: expected one shape"):
        metrics.ssim(x, x[:1])
    with pytest.raises(ValueError, match="ssim: expected sides of 11 or more"):
        metrics.ssim(x[:, :10], x[:, :10])
    with pytest.raises(ValueError, match="mean_squared_error: expected"):
        metrics.mean_squared_error(x, x[..., 0])
    with pytest.raises(TypeError, match="ssim"):
        metrics.ssim(x.astype(int), x.astype(int))
