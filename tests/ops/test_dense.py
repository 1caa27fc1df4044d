import jax
import numpy as np
import pytest

from repr_jax.ops.dense import he_normal


def test_kernels_keep_the_second_moment_of_relu_layers():
    first, second = he_normal(jax.random.key(0), (400, 300, 2), stack=(3,))
    assert first.shape == (3, 400, 300) and second.shape == (3, 300, 2)
    assert np.mean(first**2) == pytest.approx(2 / 400, rel=0.01)
    assert np.mean(second**2) == pytest.approx(2 / 300, rel=0.2)
