import jax
import numpy as np
import pytest

from repr_jax import metrics

unsupervised_mse = jax.jit(metrics.unsupervised_mse)
unsupervised_psnr = jax.jit(metrics.unsupervised_psnr)


def copies(num=500, seed=52):
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=num)
    return x, *(x + 0.3 * rng.normal(size=num) for _ in range(4))


def test_values_of_an_independent_program():
    x, y, a, b, c = copies()
    denoised = 0.8 * y + 0.1
    found = unsupervised_mse(denoised, a, b, c)
    np.testing.assert_allclose(found, 0.05738011, rtol=1e-5)
    np.testing.assert_allclose(np.mean((denoised - x) ** 2), 0.06071594, rtol=1e-6)
    np.testing.assert_allclose(unsupervised_psnr(found), 12.41239, rtol=1e-5)


def test_it_estimates_the_error_to_the_clean_image():
    x, y, a, b, c = copies(200_000, 0)
    true = np.mean((0.8 * y + 0.1 - x) ** 2)
    for third in (c, a):  # a may serve twice
        found = unsupervised_mse(0.8 * y + 0.1, a, b, third)
        np.testing.assert_allclose(found, true, rtol=0.02)
    assert abs(float(unsupervised_mse(x, a, b, c))) < 2e-3


def test_absent_rows_and_what_is_undefined():
    images = np.random.default_rng(0).normal(size=(4, 6, 2, 2))
    where = np.arange(6) % 2 == 0
    spoiled = np.where(where[None, :, None, None], images, np.nan)
    expected = unsupervised_mse(*images[:, where])
    found = unsupervised_mse(*spoiled, where=where)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.isnan(unsupervised_psnr(-0.1))
    np.testing.assert_allclose(unsupervised_psnr(1.0, peak=10.0), 20, rtol=1e-6)
    with pytest.raises(ValueError, match="one shape"):
        metrics.unsupervised_mse(images[0], *images[1:, :3])


def test_the_four_pixels_of_each_square():
    image = np.arange(16.0).reshape(1, 4, 4)
    found = metrics.four_copies(image)
    np.testing.assert_array_equal(found[:, 0, 0, 0], [0, 1, 4, 5])
    assert found.shape == (4, 1, 2, 2)
    with pytest.raises(ValueError, match="even sides"):
        metrics.four_copies(image[:, :3])
