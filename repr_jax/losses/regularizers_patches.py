"""Penalties of the patches of images, to be added to a loss, by the caller's weight.

Arguments and errors are those of `regularizers`; absent rows are images.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, gather_rows, masked_mean
from repr_jax.ops.numerics import l2_normalize, length, one_hot, to_float
from repr_jax.ops.similarity import negative_distance


def dense_structure(
    patches: Array,
    image_clusters: Array,
    clusters: Array,
    centroids: Array,
    *,
    num_image_clusters: int = 3,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Clusters of patches are narrow and far apart, and patches span all directions.

    [ (N_image + N_batch) / 2 - far ] / spread - rank of patches z of unit length.
    N_image is the mean over images of the mean of |Z|_* / sqrt(max(n - 1, dim)) over
    the clusters Z, centered, of its n > 1 patches, |.|_* the sum of the singular
    values; N_batch the mean over the clusters of the batch. far is the mean distance of
    a patch to the nearest centroid of another cluster, spread that to the mean of all
    patches, and rank the exponential of the entropy of the shares of the singular
    values of all patches over how many there are at most.

    Takes the singular values of all patches once for each cluster.

    Args:
      patches: [image, patch, dim] float, any scale.
      image_clusters: [image, patch] int in [0, num_image_clusters), of which cluster of
        its image a patch is.
      clusters: [image, patch] int in [0, num_clusters), of which cluster of the batch.
      centroids: [num_clusters, dim] float, means of the patches of unit length, without
        gradient; equal on all devices. All three may be of `estimators.kmeans`, with 3
        clusters of an image and 24 of the batch.
      where: [image] bool, False for absent images; None if all are present.

    Source: Dai et al., "Exploring Structural Degradation in Dense Representations for
      Self-supervised Learning", 2025, https://arxiv.org/abs/2510.17299, as in the
      authors' code, negated. That code has a k-means of each eight images of the batch;
      here it is one of all.
    """
    who = "dense_structure"
    checks.count(who, num_image_clusters=num_image_clusters)
    x, where = checked_rows(who, where, rank=3, patches=patches)
    checks.shape(who, x.shape[:2], image_clusters=image_clusters, clusters=clusters)
    checks.integers(who, image_clusters=image_clusters, clusters=clusters)
    checks.floating(who, centroids=centroids)
    checks.shape(who, (len(centroids), x.shape[2]), centroids=centroids)
    x = l2_normalize(x)
    there = jnp.broadcast_to(where[:, None], x.shape[:2])
    split = dict(where=there, axis_name=axis_name)
    spread = masked_mean(length(x - masked_mean(x, **split)[None, None]), **split)

    own = one_hot(image_clusters, num_image_clusters, dtype=bool) & there[..., None]
    widths, counted = jax.vmap(_widths)(x, own)
    terms = jax.vmap(lambda a, where: masked_mean(a, where=where))(widths, counted)
    some = jnp.any(counted, axis=1)
    in_images = masked_mean(terms, where=some, axis_name=axis_name)

    own = one_hot(clusters, len(centroids), dtype=bool) & there[..., None]
    every, every_own = gather_rows((x, own), axis_name)
    every, every_own = (a.reshape(-1, a.shape[-1]) for a in (every, every_own))
    widths, counted = _widths(every, every_own)
    in_batch = masked_mean(widths, where=counted, axis_name=axis_name)

    far = masked_mean(_nearest_other(x, own, centroids), **split)
    num = jnp.minimum(jnp.sum(gather_rows(there, axis_name)), x.shape[2])
    rank = _effective_rank(every) / jnp.maximum(num, 1)
    rank = masked_mean(jnp.broadcast_to(rank, there.shape), **split)
    return ((in_images + in_batch) / 2 - far) / (spread + 1e-12) - rank


def _widths(x, own):
    """[k] sums of singular values of each cluster [n, k] of rows; has it two rows?"""

    def width(kept):
        mean = masked_mean(x, where=kept)
        count = jnp.sum(kept)
        rows = jnp.where(kept[:, None], x - mean[None], 0)
        scale = jnp.sqrt(jnp.maximum(count - 1, x.shape[1]).astype(x.dtype))
        return jnp.sum(jnp.linalg.svd(rows, compute_uv=False)) / scale, count > 1

    return jax.vmap(width, in_axes=1)(own)


def _nearest_other(x, own, centroids):
    """[image, patch] the least distance to a centroid of another cluster, 0 of none."""
    flat = x.reshape(-1, x.shape[-1])
    centroids = lax.stop_gradient(to_float(centroids))
    alike = negative_distance.of_pairs(flat, centroids).reshape(own.shape)
    nearest = -jnp.max(jnp.where(own, -jnp.inf, alike), axis=-1)
    return nearest if len(centroids) > 1 else jnp.zeros_like(nearest)


def _effective_rank(x):
    """[] exp of the entropy of the shares of the singular values, 0 of zeros."""
    values = jnp.linalg.svd(x, compute_uv=False)
    total = jnp.sum(values)
    shares = values / jnp.where(total == 0, 1, total)
    logs = jnp.log(jnp.where(shares == 0, 1, shares))
    return jnp.where(total == 0, 0, jnp.exp(-jnp.sum(shares * logs)))
