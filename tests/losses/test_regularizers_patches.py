"""Dense structure against float64 loops, by hand, and what it is made for."""

import jax
import numpy as np
import pytest

from repr_jax import losses

dense_structure = jax.jit(losses.dense_structure, static_argnames="num_image_clusters")


def draw(seed=0, images=4, patches=6, dim=3, num=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(images, patches, dim)) + 0.5
    local = rng.integers(3, size=(images, patches))
    return (
        x,
        local,
        rng.integers(num, size=(images, patches)),
        rng.normal(size=(num, dim)),
    )


def width(rows):
    centered = rows - rows.mean(axis=0)
    total = np.linalg.svd(centered, compute_uv=False).sum()
    return total / np.sqrt(max(len(rows) - 1, rows.shape[1]))


def mean_width(x, clusters):
    found = [x[clusters == c] for c in np.unique(clusters)]
    found = [width(rows) for rows in found if len(rows) > 1]
    return np.mean(found) if found else None


def from_the_authors(x, local, clusters, centroids):
    x = x / np.linalg.norm(x, axis=-1, keepdims=True)
    flat = x.reshape(-1, x.shape[-1])
    spread = np.linalg.norm(flat - flat.mean(axis=0), axis=1).mean()
    images = [mean_width(*image) for image in zip(x, local)]
    images = np.mean([value for value in images if value is not None])
    far = []
    for row, own in zip(flat, clusters.ravel()):
        away = [np.linalg.norm(row - c) for k, c in enumerate(centroids) if k != own]
        far.append(min(away))
    values = np.linalg.svd(flat, compute_uv=False)
    shares = values / values.sum()
    rank = np.exp(-np.sum(shares * np.log(shares))) / min(flat.shape)
    batch = mean_width(flat, clusters.ravel())
    return -(np.mean(far) / spread + rank - 0.5 * (batch + images) / spread)


@pytest.mark.parametrize(("seed", "patches", "dim"), [(0, 6, 3), (1, 9, 2), (2, 3, 5)])
def test_dense_structure_matches_the_authors_code(seed, patches, dim):
    given = draw(seed, patches=patches, dim=dim)
    expected = from_the_authors(*given)
    np.testing.assert_allclose(dense_structure(*given), expected, rtol=1e-5)


def test_dense_structure_by_hand():
    """Two clusters that are points: no width, sqrt(2) apart, all directions alike."""
    x = np.stack([np.eye(2, dtype="f")] * 2)  # two images with both
    clusters = np.array([[0, 1], [0, 1]])
    found = dense_structure(x, clusters, clusters, np.eye(2, dtype="f"))
    np.testing.assert_allclose(found, -2 - 1, rtol=1e-5)  # sqrt(2) / (1 / sqrt(2))


def test_clusters_shrink_and_part_and_centroids_get_no_gradient():
    x, local, clusters, centroids = (np.float32(a) for a in draw())
    local, clusters = local.astype(int), clusters.astype(int)
    grad = jax.jit(jax.grad(losses.dense_structure, argnums=(0, 3)))
    by_patch, by_centroid = grad(x, local, clusters, centroids)
    assert by_patch.any() and not by_centroid.any()
    before = losses.dense_structure(x, local, clusters, centroids)
    after = losses.dense_structure(x - 0.01 * by_patch, local, clusters, centroids)
    assert after < before


def test_shapes_that_do_not_fit_are_refused():
    x, local, clusters, centroids = draw()
    with pytest.raises(ValueError, match="dense_structure: expected clusters of shape"):
        losses.dense_structure(x, local, clusters[:, 1:], centroids)
    with pytest.raises(
        ValueError, match="dense_structure: expected centroids of shape"
    ):
        losses.dense_structure(x, local, clusters, centroids[:, 1:])
    with pytest.raises(TypeError, match="dense_structure: expected image_clusters"):
        losses.dense_structure(x, local * 1.0, clusters, centroids)
