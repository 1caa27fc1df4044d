import jax
import numpy as np
import pytest

from repr_jax import metrics

keep_masks = jax.jit(metrics.keep_masks, static_argnames="fraction")
leakage = jax.jit(metrics.leakage)


def test_values_of_an_independent_program():
    rng = np.random.default_rng(43)
    x, gradients = rng.normal(size=(2, 6)), rng.normal(size=(2, 6))
    top, bottom = map(np.asarray, keep_masks(gradients, fraction=1 / 3))
    np.testing.assert_allclose(x[top].sum(), -2.417762, rtol=1e-6)
    np.testing.assert_allclose(x[bottom].sum(), -0.008106158, rtol=1e-6)
    found = leakage(gradients, np.arange(6) < 3)
    np.testing.assert_allclose(found, [0.5821421, 0.4583373], rtol=1e-6)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_masks_are_disjoint_also_of_ties_and_keep_the_shape(fraction):
    gradients = np.round(np.random.default_rng(0).normal(size=(3, 4, 5, 2)))
    top, bottom = map(np.asarray, keep_masks(gradients, fraction=fraction))
    assert top.shape == gradients.shape
    assert not np.any(top & bottom)
    assert (top.reshape(3, -1).sum(axis=1) == 40 * fraction).all()


def test_by_hand():
    gradients = np.array([[1.0, -3.0, np.nan, 1.0]])
    top, bottom = keep_masks(gradients, fraction=0.5)
    np.testing.assert_array_equal(top, [[True, True, False, False]])
    np.testing.assert_array_equal(bottom, [[False, False, True, True]])
    gradients = np.array([[[2.0, -1.0], [1.0, 0.0]], [[0, 0], [0, 0]]])
    null = np.array([[True, False], [True, False]])
    np.testing.assert_allclose(leakage(gradients, null), [0.75, np.nan])
    null = np.stack([null, ~null])  # of each image
    np.testing.assert_allclose(np.asarray(leakage(gradients, null))[0], 0.75)
    with pytest.raises(ValueError, match=r"fraction in \(0, 1\]"):
        metrics.keep_masks(gradients, fraction=0)
