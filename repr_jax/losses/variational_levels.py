"""The evidence bound of latents above latents, in nats."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks, latent_levels, likelihood
from repr_jax.ops.batch import checked_where, masked_mean, num_present, present
from repr_jax.ops.latent_levels import Conditional
from repr_jax.ops.numerics import to_float


def hierarchical_elbo(
    key: Array,
    x: Array,
    mean: Array,
    log_var: Array,
    decode: Callable[[Array], Array],
    *,
    encoders: Sequence[Conditional],
    priors: Sequence[Conditional],
    log_likelihood: Callable[[Array, Array], Array] = likelihood.laplace,
    beta: float | Array = 1.0,
    free_nats: float | Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the bound of a hierarchy of latents, inferred from the bottom up.

    mean_i [ beta sum_l (log q(z_l | z_{l-1}) - log p(z_l | z_{l+1})) - log p(x | z_1) ]

    z_1 ~ q(z_1 | x) = N(mean, exp log_var), z_l ~ q(z_l | z_{l-1}), p(z_L) = N(0, I),
    one sample a row: z_{l+1} depends on z_l, so that a closed form of one divergence is
    not at hand. With free_nats the mean of a unit's difference over the batch counts
    as free_nats / dim_l at least, so that the units of a level below that share have no
    gradient from their divergence.

    Args:
      key: PRNG key.
      x: [batch, ...] float.
      mean, log_var: [batch, dim] float, the posterior of the bottom level.
      decode: z_1 [batch, dim] -> [batch, ...], of the shape of x, row by row.
      encoders, priors: of `ops.latent_levels`, bottom first; none for a single level.
      log_likelihood: (x, decoded) -> [batch], such as those in `ops.likelihood`.
      beta: >= 0, weight of the divergences, such as a warm-up; 1 is the bound.
      free_nats: >= 0, of each level; published, 2. None for the bound itself.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats.

    Raises:
      ValueError: shapes that do not fit together; as many priors as encoders are not
        there; a negative number. TypeError: integer inputs; a `where` that is not bool.

    Source: Havtorn et al., "Hierarchical VAEs Know What They Don't Know", 2021,
      https://arxiv.org/abs/2102.08248, with free nats as in the authors' code; that
      they are of means over the batch, and q has no path around z_{l-1}, is ours.
    """
    who = "hierarchical_elbo"
    checks.non_negative(who, beta=beta)
    if free_nats is not None:
        checks.non_negative(who, free_nats=free_nats)
    latent_levels.same_number(who, encoders, priors)
    checks.same_shape(who, rank=2, mean=mean, log_var=log_var)
    checks.rows(who, jnp.shape(mean)[0], x=x)
    checks.floating(who, x=x, mean=mean, log_var=log_var)
    where = checked_where(who, where, jnp.shape(mean)[:1])
    x, mean, log_var = (present(to_float(a), where) for a in (x, mean, log_var))
    levels = latent_levels.draw(
        key, mean, log_var, encoders, where=where, axis_name=axis_name
    )
    log_p = likelihood.by_row(log_likelihood, x, decode(levels[0][0]), where)
    loss = masked_mean(-log_p, where=where, axis_name=axis_name)
    some = num_present(where, axis_name) > 0
    for terms in latent_levels.excess(levels, priors):
        units = masked_mean(terms, where=where, axis_name=axis_name)  # [dim]
        if free_nats is not None:
            floored = jnp.maximum(units, free_nats / len(units))
            units = jnp.where(some, floored, 0)
        loss = loss + beta * jnp.sum(units)
    return loss
