"""Similarity of images against loops from the paper, and values of its peers."""

import jax
import numpy as np
import pytest

from repr_jax import metrics

ssim, psnr = jax.jit(metrics.ssim), jax.jit(metrics.psnr)
cosine_distance = jax.jit(metrics.cosine_distance)
perceptual_distance = jax.jit(metrics.perceptual_distance)
laplacian_variance = jax.jit(metrics.laplacian_variance)

# structural_similarity(x, y, data_range=1, gaussian_weights=True, sigma=1.5,
# use_sample_covariance=False, channel_axis=-1) of scikit-image 0.26.0
SCIKIT_IMAGE = {(28, 28, 3): 0.8126015573286015, (13, 17, 1): 0.8448954052383508}

# ms_ssim(x, y, data_range=1, size_average=False) of pytorch-msssim 1.0.0
FIVE_SCALES = (0.9543962947697159, 0.9567889806287909)
THREE_SCALES = (0.9477165508816031, 0.9490930473908743)  # weights=[0.2, 0.3, 0.5]
# peak_signal_noise_ratio(x, y, data_range=1) of scikit-image 0.26.0
PSNR = (20.4795086191085, 20.481226497625972)


def large_pairs():
    """Two images of 176 x 176, and noisy copies."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(2, 180, 177, 3))
    rng.normal(size=x.shape)
    x = x.cumsum(1) % 1
    y = np.clip(x + 0.1 * rng.normal(size=x.shape), 0, 1)
    return [a[:, :176, :176].astype("f") for a in (x, y)]


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
    found = np.asarray(ssim(x[None].astype("f"), y[None].astype("f")))
    assert found.shape == (1,) and found[0] == pytest.approx(expected, rel=1e-5)


def test_ssim_of_equal_and_of_flat_images():
    x, y = np.random.default_rng(1).uniform(size=(2, 3, 12, 12, 2)).astype("f")
    np.testing.assert_allclose(ssim(x, x), 1, rtol=1e-6)
    assert np.all(np.abs(ssim(x, y)) < 0.2)
    np.testing.assert_allclose(ssim(x, y), ssim(y, x), rtol=1e-5)
    flat = ssim(np.full_like(x, 0.5), np.full_like(x, 0.25))
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


def test_several_scales_match_their_peer():
    x, y = large_pairs()
    np.testing.assert_allclose(psnr(x, y), PSNR, rtol=1e-5)
    ms_ssim = jax.jit(metrics.ms_ssim, static_argnames="weights")
    np.testing.assert_allclose(ms_ssim(x, y), FIVE_SCALES, rtol=2e-6)
    found = ms_ssim(x, y, weights=(0.2, 0.3, 0.5))
    np.testing.assert_allclose(found, THREE_SCALES, rtol=2e-6)
    np.testing.assert_allclose(ms_ssim(x, x), 1, rtol=1e-6)
    one = ms_ssim(x, y, weights=(1.0,))
    np.testing.assert_allclose(one, ssim(x, y), rtol=1e-5)
    np.testing.assert_array_equal(ms_ssim(x, 1 - x), 0)  # negative contrast


def test_equal_images_have_no_noise():
    x = np.ones((2, 3, 3, 1), "f")
    np.testing.assert_array_equal(psnr(x, x), np.inf)
    np.testing.assert_allclose(psnr(x, x - 0.1), 20, rtol=1e-5)


def test_cosine_distances():
    x = np.array([[1, 0], [3, 4], [0, 0], [1, 0]], "f")
    y = np.array([[2, 0], [4, -3], [1, 1], [-1, 0]], "f")
    np.testing.assert_allclose(cosine_distance(x, y), [0, 1, 1, 2], atol=1e-6)


def test_a_direction_is_at_no_distance_from_itself():
    x = np.random.default_rng(0).normal(size=(200, 6)).astype("f")
    found = np.asarray(cosine_distance(x, x))
    assert found.min() == 0 and found.max() < 1e-6


def test_perceptual_distance_by_hand():
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 2, 2, 7))]
    y = [rng.normal(size=a.shape) for a in x]
    expected = 0
    for a, b in zip(x, y):
        a, b = (c / np.linalg.norm(c, axis=-1, keepdims=True) for c in (a, b))
        expected += np.mean(np.sum((a - b) ** 2, axis=-1), axis=(1, 2))
    x, y = ([a.astype("f") for a in layers] for layers in (x, y))
    found = perceptual_distance(x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    same = metrics.perceptual_distance(x, x)  # op by op, both round alike
    np.testing.assert_array_equal(same, 0)
    longer = [10 * a for a in x]
    np.testing.assert_allclose(perceptual_distance(x, longer), 0, atol=1e-6)
    with pytest.raises(ValueError, match="expected as many layers"):
        metrics.perceptual_distance(x, y[:1])
    with pytest.raises(ValueError, match="layer 1: expected one shape"):
        metrics.perceptual_distance(x, [y[0], y[0]])


def test_sharpness_by_hand_and_after_blur():
    dot = np.zeros((1, 5, 5, 3), "f")
    dot[:, 2, 2] = 1  # gray 1: -8 there, 1 at eight neighbors
    np.testing.assert_allclose(laplacian_variance(dot), 72 / 25, rtol=1e-6)
    edge = np.zeros((1, 2, 2, 1), "f")
    edge[0, 0, 0] = 1  # the mirror shows it to the corner across four times
    laplacian = np.array([-8, 2, 2, 4])
    np.testing.assert_allclose(laplacian_variance(edge), np.var(laplacian), rtol=1e-6)
    red = np.zeros((1, 5, 5, 3), "f")
    red[:, 2, 2, 0] = 1
    expected = 0.299**2 * 72 / 25
    np.testing.assert_allclose(laplacian_variance(red), expected, rtol=1e-6)
    noise = np.random.default_rng(0).uniform(size=(2, 16, 16, 1)).astype("f")
    blurred = (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)) / 3
    sharp, soft = (np.asarray(laplacian_variance(x)) for x in (noise, blurred))
    assert np.all(sharp > 2 * soft)
    flat = laplacian_variance(0 * noise + 0.3)
    np.testing.assert_allclose(flat, 0, atol=1e-9)


def test_other_shapes_are_refused():
    x = np.ones((2, 12, 12, 1), "f")
    with pytest.raises(ValueError, match="ms_ssim: expected sides of 176 or more"):
        metrics.ms_ssim(x, x)
    with pytest.raises(ValueError, match="ms_ssim: expected a weight"):
        metrics.ms_ssim(x, x, weights=())
    with pytest.raises(ValueError, match=r"weights\[1\] > 0"):
        metrics.ms_ssim(x, x, weights=(1.0, 0.0))
    with pytest.raises(ValueError, match="laplacian_variance: expected"):
        metrics.laplacian_variance(x[..., [0, 0]])
    with pytest.raises(ValueError, match="cosine_distance: expected"):
        metrics.cosine_distance(x, x)
    with pytest.raises(ValueError, match="ssim: expected one shape"):
        metrics.ssim(x, x[:1])
    with pytest.raises(ValueError, match="ssim: expected sides of 11 or more"):
        metrics.ssim(x[:, :10], x[:, :10])
    with pytest.raises(ValueError, match="mean_squared_error: expected"):
        metrics.mean_squared_error(x, x[..., 0])
    with pytest.raises(TypeError, match="ssim"):
        metrics.ssim(x.astype(int), x.astype(int))
