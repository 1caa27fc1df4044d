import jax
import numpy as np
import pytest

from repr_jax import metrics


def test_samples_are_counted_at_their_nearest_mode():
    centers = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 9.0]], np.float32)
    samples = np.array(
        [[0.1, 0.0], [0.4, 0.0], [0.45, 0.0], [1.2, 0.0], [5.0, 5.0], [np.nan, 0.0]],
        "f",
    )
    found = jax.jit(metrics.near_a_mode, static_argnames="radius")(
        samples, centers, radius=0.42
    )
    np.testing.assert_array_equal(found, [2, 1, 0])


def test_other_widths_are_refused():
    with pytest.raises(ValueError, match="near_a_mode: expected"):
        metrics.near_a_mode(np.ones((2, 3)), np.ones((2, 2)), radius=1.0)
