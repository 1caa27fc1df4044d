"""The layers of EfficientNet-Lite0 that a perceptual distance looks at."""

import jax
import numpy as np
import pytest

from repr_jax.evaluators import perceptual


def test_distances_grow_with_what_is_done_to_an_image():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.uniform(size=(3, 8, 8, 3)), 5, axis=1).repeat(5, axis=2)
    x = x.astype("f")
    found = perceptual.layers(x)
    assert [a.shape for a in found] == [
        (3, 20, 20, 16),
        (3, 10, 10, 24),
        (3, 5, 5, 40),
        (3, 3, 3, 112),
        (3, 2, 2, 320),
    ]
    noise = rng.normal(size=x.shape).astype("f")
    near, far = (perceptual.distance(x, x + scale * noise) for scale in (0.02, 0.3))
    assert np.all((near > 0) & (2 * near < far))
    np.testing.assert_array_equal(perceptual.distance(x, x), 0)


def test_losses_may_ask_for_layers_first():
    """Weights that are read while a function is traced serve the next one too."""
    x = np.random.default_rng(0).uniform(size=(1, 8, 8, 3)).astype("f")
    perceptual._weights.cache_clear()
    for scale in (1.0, 2.0):
        found = jax.jit(lambda x, s=scale: s * perceptual.layers(x)[0])(x)
        expected = scale * np.asarray(perceptual.layers(x)[0])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_other_images_are_refused():
    with pytest.raises(ValueError, match=r"perceptual\.layers: expected"):
        perceptual.layers(np.zeros((1, 8, 8, 1), "f"))
    with pytest.raises(ValueError, match=r"perceptual\.distance: expected one shape"):
        perceptual.distance(np.zeros((1, 8, 8, 3), "f"), np.zeros((2, 8, 8, 3), "f"))
