"""The layers of EfficientNet-Lite0 that a perceptual distance looks at."""

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


def test_other_images_are_refused():
    with pytest.raises(ValueError, match=r"perceptual\.layers: expected"):
        perceptual.layers(np.zeros((1, 8, 8, 1), "f"))
    with pytest.raises(ValueError, match=r"perceptual\.distance: expected one shape"):
        perceptual.distance(np.zeros((1, 8, 8, 3), "f"), np.zeros((2, 8, 8, 3), "f"))
