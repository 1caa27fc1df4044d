"""Neighbors, levels of noise and targets: values, loops, and what they must ignore."""

from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses, metrics
from repr_jax.ops import uncertainty

neighbor_consistency = jax.jit(
    metrics.neighbor_consistency, static_argnames=("label_weight", "rank")
)
likelihood_ratio = jax.jit(metrics.likelihood_ratio)
inpainting_distance = jax.jit(metrics.inpainting_distance)


def neighborhood():
    rng = np.random.default_rng(12)
    rows, neighbors = rng.normal(size=(1, 4)), rng.normal(size=(6, 1, 4)) + 0.5
    return rows, neighbors, rng.normal(size=(6, 1, 3)), np.array([1])


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_neighborhoods_have_the_stated_values():
    found = neighbor_consistency(*neighborhood(), rank=3)
    np.testing.assert_allclose(found, [0.0869557], rtol=1e-5)  # minus the similarity
    found = jax.jit(partial(metrics.neighbor_counts, threshold=0.2))(*neighborhood())
    np.testing.assert_array_equal(found, [[1], [4]])


@pytest.mark.parametrize("weight", [0.0, 0.8, 1.0])
def test_neighbor_consistency_in_loops(weight):
    rng = np.random.default_rng(0)
    rows, neighbors = rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4))
    logits, predicted = rng.normal(size=(5, 3, 2)), np.array([0, 1, 1])
    expected = []
    for i in range(3):
        code = np.eye(2)[predicted[i]]
        values = [
            weight * cosine(code, z) + (1 - weight) * cosine(rows[i], h)
            for h, z in zip(neighbors[:, i], logits[:, i])
        ]
        expected.append(-sorted(values)[-2])
    found = neighbor_consistency(
        rows, neighbors, logits, predicted, label_weight=weight, rank=2
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    same = np.broadcast_to(rows, neighbors.shape)
    found = neighbor_consistency(
        rows, same, logits, predicted, label_weight=0.0, rank=5
    )
    np.testing.assert_allclose(found, -1, rtol=1e-6)
    with pytest.raises(ValueError, match="the number of neighbors, 5; got 20"):
        metrics.neighbor_consistency(rows, neighbors, logits, predicted)


def test_rejects_of_a_given_classifier_have_the_stated_figures():
    rng = np.random.default_rng(19)
    logits, drawn = rng.normal(size=(30, 3)), rng.integers(3, size=30)
    predictions, kind = logits.argmax(axis=1), np.arange(30) % 3
    labels = np.where(kind == 0, -1, np.where(kind == 1, predictions, drawn))
    rejects = metrics.model_specific_targets(predictions, labels)
    score, auroc = jax.jit(uncertainty.max_softmax)(logits), jax.jit(metrics.auroc)
    assert rejects.sum() == 16
    np.testing.assert_allclose(auroc(score, rejects), 0.5535714, rtol=1e-5)
    np.testing.assert_allclose(auroc(score, labels < 0), 0.52, rtol=1e-5)
    assert metrics.model_specific_targets(predictions, np.full(30, -1)).all()
    with pytest.raises(TypeError, match="model_specific_targets: expected predictions"):
        metrics.model_specific_targets(logits[:, 0], labels)


def test_norms_of_scores_have_the_stated_values():
    """Of the score of N(0, (1 + sigma^2) I), at noisy rows for the loss."""
    rng = np.random.default_rng(20)
    x, noise = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    sigma = np.array([0.1, 0.5, 1.0, 0.1, 0.5])

    def score(x, sigma):
        return -x / (1 + sigma**2)

    noisy = score(x + sigma[:, None] * noise, sigma[:, None])
    loss = jax.jit(losses.score_matching)(noisy, noise, sigma)
    np.testing.assert_allclose(loss, 0.3622398, rtol=1e-5)
    levels = np.geomspace(0.01, 1.0, 10)
    norms = jax.jit(metrics.score_norms)
    found = np.asarray(norms(np.stack([score(x, s) for s in levels]), levels))
    assert found.shape == (5, 10)
    np.testing.assert_allclose(found[0, [0, -1]], [0.01256137, 0.6281312], rtol=1e-5)
    images = np.ones((2, 3, 4, 5))
    found = norms(images, np.array([1.0, 2.0]))
    np.testing.assert_allclose(found, np.sqrt(20) * np.array([[1, 2]] * 3), rtol=1e-6)


def test_ratio_of_bounds_has_the_stated_values_and_is_0_of_one_bound():
    rng = np.random.default_rng(16)
    full, above = rng.normal(size=(4, 2)) - 5, rng.normal(size=(8, 2)) - 7
    found = likelihood_ratio(full, above)
    np.testing.assert_allclose(found, [3.217344, 2.038451], rtol=1e-5)
    np.testing.assert_array_equal(likelihood_ratio(full, full), 0)
    moved = likelihood_ratio(full - 1e4, above - 1e4)  # exp would be 0
    np.testing.assert_allclose(moved, found, atol=2e-3)
    with pytest.raises(ValueError, match="likelihood_ratio: expected above"):
        metrics.likelihood_ratio(full, above[:, :1])


def test_distance_to_inpainted_images_has_the_stated_values():
    rng = np.random.default_rng(17)
    images, inpainted = (
        rng.uniform(size=(2, 4, 4, 1)),
        rng.uniform(size=(5, 2, 4, 4, 1)),
    )
    found = inpainting_distance(images, inpainted)
    np.testing.assert_allclose(found, [0.1860891, 0.1560937], rtol=1e-5)
    kept = inpainted.copy()  # pixels that were known add nothing
    kept[:, :, :2] = images[:, :2]
    half = inpainting_distance(images, kept)
    lower = inpainting_distance(images[:, 2:], inpainted[:, :, 2:])
    np.testing.assert_allclose(half, np.asarray(lower) / 2, rtol=1e-5)
    assert not np.any(inpainting_distance(images, images[None]))
    with pytest.raises(ValueError, match="inpainting_distance: expected"):
        metrics.inpainting_distance(images, images)
