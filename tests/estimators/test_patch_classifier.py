import jax
import numpy as np
import pytest

from repr_jax.estimators import patch_classifier
from repr_jax.estimators.patch_classifier import PatchClassifier


def drawn(rows=400, dim=3):
    """Patches of which those with a large first feature are anomalous."""
    x = np.random.default_rng(0).normal(size=(rows, dim)).astype("f")
    return x, x[:, 0] > 1


def test_logits_are_those_of_loops_and_an_image_has_its_largest():
    rng = np.random.default_rng(1)
    kernels = rng.normal(size=(3, 4)), rng.normal(size=(4, 1))
    biases = rng.normal(size=4), rng.normal(size=1)
    images = rng.normal(size=(2, 5, 3))
    expected = np.zeros((2, 5))
    for i in range(2):
        for p in range(5):
            total = biases[1][0]
            for h in range(4):
                unit = biases[0][h]
                for d in range(3):
                    unit += images[i, p, d] * kernels[0][d, h]
                total += max(unit, 0) * kernels[1][h, 0]
            expected[i, p] = total
    layers = (tuple(a.astype("f") for a in part) for part in (kernels, biases))
    fitted, images = PatchClassifier(*layers, np.zeros(1)), images.astype("f")
    found = jax.jit(patch_classifier.patch_scores)(fitted, images)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    largest = patch_classifier.score(fitted, images)
    np.testing.assert_allclose(largest, expected.max(axis=1), rtol=1e-5)


def test_the_first_loss_is_the_cross_entropy_of_the_start():
    """Of one patch all batches are the same, and a step of no size changes nothing."""
    x = np.array([[0.3, -1.2]], "f")
    for anomalous in (False, True):
        fitted = patch_classifier.fit(
            jax.random.key(0),
            x,
            np.array([anomalous]),
            num_steps=2,
            batch_size=4,
            learning_rate=1e-30,
        )
        z = float(patch_classifier.patch_scores(fitted, x)[0])
        expected = np.log1p(np.exp(-z if anomalous else z))
        np.testing.assert_allclose(fitted.losses, expected, rtol=1e-5)


def test_marked_patches_are_found_in_rows_that_were_not_seen():
    x, anomalous = drawn()
    fitted = patch_classifier.fit(jax.random.key(0), x[:300], anomalous[:300])
    found = np.asarray(patch_classifier.patch_scores(fitted, x[300:])) > 0
    assert np.mean(found == anomalous[300:]) > 0.95
    assert float(fitted.losses[-1]) < 0.1 < float(fitted.losses[0])


def test_what_does_not_fit_is_refused():
    x, anomalous = drawn(8)
    key = jax.random.key(0)
    with pytest.raises(TypeError, match=r"fit: expected anomalous bool"):
        patch_classifier.fit(key, x, anomalous.astype(int))
    with pytest.raises(ValueError, match=r"expected anomalous of shape \(8,\)"):
        patch_classifier.fit(key, x, anomalous[:7])
    with pytest.raises(ValueError, match="expected learning_rate > 0"):
        patch_classifier.fit(key, x, anomalous, learning_rate=0.0)
    fitted = patch_classifier.fit(key, x, anomalous, num_steps=1)
    with pytest.raises(ValueError, match=r"expected patches of shape \(2, 5, 3\)"):
        patch_classifier.score(fitted, np.zeros((2, 5, 4), "f"))
