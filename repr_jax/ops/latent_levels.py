"""Latents above latents: what a posterior draws, bottom first, and a prior expects.

Level 1 is the bottom, which alone is decoded; the prior of the top level is N(0, I).
`encoders` are q(z_2 | z_1), q(z_3 | z_2), ..., `priors` are p(z_1 | z_2), p(z_2 | z_3),
..., one fewer than levels: each a function of a latent [rows, dim], row by row, that
returns (mean, log_var) of a Gaussian, [rows, dim of the level] each.
"""

from collections.abc import Callable, Sequence

import jax
from jax import Array

from repr_jax.ops import checks, gaussian
from repr_jax.ops.batch import by_row, row_keys
from repr_jax.ops.numerics import to_float

Pair = tuple[Array, Array]  # mean, log_var
Conditional = Callable[[Array], Pair]


def same_number(
    who: str, encoders: Sequence[Conditional], priors: Sequence[Conditional]
) -> None:
    """ValueError unless there is a prior below every encoder."""
    if len(encoders) != len(priors):
        raise ValueError(
            f"{who}: expected as many priors as encoders of levels above the bottom; "
            f"got {len(priors)} and {len(encoders)}."
        )


def draw(
    key: Array,
    mean: Array,
    log_var: Array,
    encoders: Sequence[Conditional],
    *,
    where: Array,
    num_samples: int | None = None,
    axis_name: str | None = None,
) -> list[tuple[Array, Array]]:
    """By level (z, log q(z | below) of each unit), both [(num_samples,) batch, dim].

    mean, log_var: [batch, dim], of the bottom. where: [batch] bool, as in `row_keys`.
    """
    keys = jax.random.split(key, len(encoders) + 1)
    rows = [row_keys(level_key, where, axis_name) for level_key in keys]
    z = gaussian.sample(rows[0], mean, log_var, num_samples)
    levels = [(z, by_unit(z, mean, log_var))]
    for encoder, level_keys in zip(encoders, rows[1:]):
        posterior = given(encoder, z)
        z = gaussian.sample(level_keys, *posterior)
        levels.append((z, by_unit(z, *posterior)))
    return levels


def excess(
    levels: Sequence[tuple[Array, Array]], priors: Sequence[Conditional]
) -> list[Array]:
    """By level log q(z | below) - log p(z | above) of each unit: KLs in expectation."""
    z = [each for each, _ in levels]
    expected = [by_unit(a, *given(p, b)) for a, p, b in zip(z, priors, z[1:])]
    expected.append(by_unit(z[-1]))
    return [log_q - log_p for (_, log_q), log_p in zip(levels, expected)]


def given(conditional: Conditional, z: Array) -> Pair:
    """(mean, log_var) of each row of z, [..., batch, dim] with any axes of samples."""
    mean, log_var = by_row(conditional, z)
    checks.same_shape("latent_levels", mean=mean, log_var=log_var)
    return to_float(mean), to_float(log_var)


def by_unit(z: Array, mean: float | Array = 0.0, log_var: float | Array = 0.0) -> Array:
    """[..., dim] log densities of the single units of z."""
    mean, log_var = gaussian.like(z, mean, log_var)
    return gaussian.log_prob(*(a[..., None] for a in (z, mean, log_var)))
