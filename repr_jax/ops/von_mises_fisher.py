"""Von Mises-Fisher distributions on the unit sphere: a direction and a concentration.

The density of z is proportional to exp(concentration mean . z). The cosine w = mean . z
alone depends on the concentration; around the mean z has any direction alike.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.numerics import l2_normalize, to_float

CELLS = 512  # of the angle, within SPREADS of its mode
SPREADS = 8  # standard deviations of a Gaussian at the mode


def sample(
    keys: Array, mean: Array, concentration: Array, num_samples: int | None = None
) -> Array:
    """One key per row: [batch, dim], [batch] -> [(num_samples,) batch, dim], length 1.

    Reparameterized: for the same keys z is smooth in mean and concentration, up to a
    grid of the angle whose distribution function is inverted. That has no rejection,
    and so none of the term that the gradient of an accepted proposal lacks.

    Args:
      mean: [batch, dim] float of any scale but 0, dim >= 2.
      concentration: [batch] float > 0, below about 1e5 in float32. Often kappa.

    Raises:
      ValueError: shapes that do not fit. TypeError: no floats.

    Source: Davidson et al., "Hyperspherical Variational Auto-Encoders", 2018,
      https://arxiv.org/abs/1804.00891, who sample w by rejection.
    """
    who = "von_mises_fisher.sample"
    checks.same_shape(who, rank=2, mean=mean)
    checks.rows(who, len(keys), mean=mean)
    checks.shape(who, jnp.shape(mean)[:1], concentration=concentration)
    checks.floating(who, mean=mean, concentration=concentration)
    checks.count(who, minimum=2, dim=jnp.shape(mean)[1])
    if num_samples is not None:
        checks.count(who, num_samples=num_samples)
    mean, concentration = l2_normalize(to_float(mean)), to_float(concentration)
    draws = jax.vmap(lambda *row: _of_row(*row, num_samples or 1))
    z = jnp.moveaxis(draws(keys, mean, concentration), 1, 0)
    return z[0] if num_samples is None else z


def _of_row(key, mean, concentration, num_samples):
    """[num_samples, dim]."""
    angle_key, around_key = jax.random.split(key)
    dim = len(mean)
    u = jax.random.uniform(angle_key, (num_samples,), mean.dtype)
    angle = _angles(u, concentration, dim)[:, None]
    around = jax.random.normal(around_key, (num_samples, dim), mean.dtype)
    along = jnp.sum(around * mean[None], axis=1, keepdims=True)
    around = l2_normalize(around - along * mean[None])
    return jnp.cos(angle) * mean[None] + jnp.sin(angle) * around


def _angles(u, concentration, dim):
    """Quantiles u of the angle to the mean, of density sin^(dim - 2) exp(k cos)."""
    edges = lax.stop_gradient(_edges(concentration, dim))
    middle = (edges[1:] + edges[:-1]) / 2
    log_density = (dim - 2) * jnp.log(jnp.sin(middle))
    # cos - 1, which float32 tells apart at small angles
    log_density += -2 * concentration * jnp.sin(middle / 2) ** 2
    share = jax.nn.softmax(log_density)
    below = jnp.concatenate([jnp.zeros(1, share.dtype), jnp.cumsum(share)])
    u = u * lax.stop_gradient(below[-1])  # 1 but for rounding
    cell = jnp.clip(jnp.searchsorted(below, u, side="right") - 1, 0, CELLS - 1)
    inside = (u - below[cell]) / jnp.maximum(share[cell], jnp.finfo(u.dtype).tiny)
    return edges[cell] + inside * (edges[1] - edges[0])


def _edges(concentration, dim):
    """[CELLS + 1] angles around the mode, which solves k sin^2 = (dim - 2) cos."""
    half = (dim - 2) / 2 / concentration
    mode = jnp.arccos(jnp.clip(1 / (half + jnp.sqrt(half**2 + 1)), -1, 1))
    steep = concentration * jnp.cos(mode)
    if dim > 2:
        steep += (dim - 2) / jnp.sin(mode) ** 2
    width = SPREADS / jnp.sqrt(steep)
    low, high = jnp.maximum(mode - width, 0), jnp.minimum(mode + width, jnp.pi)
    return low + (high - low) * jnp.linspace(0, 1, CELLS + 1, dtype=mode.dtype)
