"""Ways to fuse Gaussian experts into one Gaussian, besides their product.

All take mean and log_var [modality, ..., dim] and members [modality, ...] bool, those
that take part, and return (mean, log_var), each [..., dim]: N(0, I) without a member,
and the expert itself of one. `subsets.posterior` is the product of the same form.
"""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import gaussian
from repr_jax.ops.batch import present
from repr_jax.ops.numerics import bounded_exp


def barycenter(mean: Array, log_var: Array, members: Array) -> tuple[Array, Array]:
    """The 2-Wasserstein barycenter: the averages of means and of standard deviations.

    Source: Qiu et al., "Multimodal Variational Autoencoder: a Barycentric View", 2024,
      https://arxiv.org/abs/2412.20487.
    """
    count = jnp.sum(members, axis=0)[..., None]
    scale = present(bounded_exp(log_var / 2), members)
    scale = jnp.sum(scale, axis=0) / jnp.maximum(count, 1)
    scale = jnp.where(count > 0, scale, 1)
    mean = jnp.sum(present(mean, members), axis=0) / jnp.maximum(count, 1)
    return mean, 2 * jnp.log(scale)


def consensus(
    mean: Array, log_var: Array, members: Array, *, correlation: float | Array = 0.5
) -> tuple[Array, Array]:
    """The best linear estimate from experts whose errors all have one correlation.

    correlation: in [0, 1); 0 is the product without the prior. Above it an expert's
    weight can be negative, and the mean outside of theirs.

    Source: Mancisidor et al., "Aggregation of Dependent Expert Distributions in
      Multimodal Variational Autoencoders", 2025, https://arxiv.org/abs/2505.01134.
    """
    count = jnp.sum(members, axis=0)[..., None]
    # relative to the largest, so that no precision overflows
    log_scale = jnp.where(members[..., None], log_var / 2, jnp.inf)
    least = jnp.min(log_scale, axis=0, keepdims=True)
    least = jnp.where(jnp.isinf(least), 0, least)
    inverse = present(jnp.exp(jnp.minimum(least - log_var / 2, 0)), members)
    mean = present(mean, members)
    shrink = correlation / (1 + (count - 1) * correlation)
    total = jnp.sum(inverse, axis=0)
    precision = jnp.sum(inverse**2, axis=0) - shrink * total**2
    precision = jnp.where(count > 0, precision, 1 - correlation)
    weighted = jnp.sum(inverse**2 * mean, axis=0)
    weighted = weighted - shrink * total * jnp.sum(inverse * mean, axis=0)
    log_precision = jnp.log(precision / (1 - correlation)) - 2 * least[0]
    return weighted / precision, -log_precision


def hellinger(mean: Array, log_var: Array, members: Array) -> tuple[Array, Array]:
    """The Gaussian of the moments of (mean_m sqrt(q_m))^2, in each dimension by itself.

    That density, the Hellinger barycenter of the experts up to a factor, is a mixture
    of the pairwise sqrt(q_i q_j).

    Source: Hellinger pooling as in HELVAE, 2026, https://arxiv.org/abs/2601.06572,
      whose text was read in part: whether it matches moments by dimension is not known.
    """
    mean = present(mean, members)
    pairs = members[:, None] & members[None]  # [modality, modality, ...]
    m_i, m_j = mean[:, None], mean[None]
    v_i, v_j = (
        jnp.exp(jnp.clip(x, -30, 30)) for x in (log_var[:, None], log_var[None])
    )
    v_i, v_j = (jnp.where(pairs[..., None], v, 1) for v in (v_i, v_j))
    total = v_i + v_j
    distance = jnp.clip(
        (m_i - m_j) / jnp.sqrt(total), -gaussian.FARTHEST, gaussian.FARTHEST
    )
    overlap = jnp.sqrt(2 * jnp.sqrt(v_i) * jnp.sqrt(v_j) / total)
    weight = present(overlap * jnp.exp(-(distance**2) / 4), pairs)
    none = ~jnp.any(members, axis=0)[..., None]
    share = weight / jnp.where(none, 1, jnp.sum(weight, axis=(0, 1)))[None, None]
    center = (m_i * v_j + m_j * v_i) / total
    fused = jnp.sum(share * center, axis=(0, 1))
    spread = 2 * v_i * v_j / total + (center - fused[None, None]) ** 2
    variance = jnp.where(none, 1, jnp.sum(share * spread, axis=(0, 1)))
    return fused, jnp.log(variance)
