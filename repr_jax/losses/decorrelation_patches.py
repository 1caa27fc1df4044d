"""Matched patches of two views agree, and their features vary by themselves."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.losses.decorrelation import vicreg
from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows
from repr_jax.ops.matching import nearest_patches


def vicreg_local(
    patches_a: Array,
    patches_b: Array,
    places_a: Array,
    places_b: Array,
    *,
    num_matches: tuple[int, int] = (20, 4),
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 0.5,
    epsilon: float = 1e-4,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`vicreg` of patches matched by features, and of patches matched by place.

    Sum over features and places of half of [ V(matches of a in b) + V(matches of b in
    a) ], V the mean over matches, the closest with the closest, of `vicreg` over the
    batch. Matches are those of `ops.matching.nearest_patches`. The loss of two views is
    0.75 vicreg(covariance_weight=0.5) of pooled features + 0.25 the mean of this of (a,
    b) and of (b, a).

    Args:
      patches_a, patches_b: [batch, patch, dim] float, of two views; their numbers of
        patches may differ.
      places_a, places_b: [batch, patch, n] float, where in the image each patch is.
      num_matches: how many patches of a and of b are matched.
      invariance_weight, variance_weight, covariance_weight, epsilon: of `vicreg`. The
        authors' code counts covariances half as much as that of VICReg.
      where: [batch] bool, False for absent images; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar, >= 0.

    Raises:
      ValueError: shapes that do not fit. TypeError: integers.

    Source: Bardes, Ponce and LeCun, "VICRegL: Self-Supervised Learning of Local Visual
      Features", 2022, https://arxiv.org/abs/2210.01571, as in the authors' code, but
      for the order of matches, which decides what is compared over the batch.
    """
    a, b, where = _checked(where, a=(patches_a, places_a), b=(patches_b, places_b))
    loss = partial(
        vicreg,
        invariance_weight=invariance_weight,
        variance_weight=variance_weight,
        covariance_weight=covariance_weight,
        epsilon=epsilon,
        where=where,
        axis_name=axis_name,
    )
    total = 0.0
    for x, y, num in ((a, b, num_matches[0]), (b, a, num_matches[1])):
        for by_x, by_y in zip(x, y):  # features, places
            found = nearest_patches(by_x, by_y, num_matches=num)
            matched = [_taken(*both) for both in zip((x[0], y[0]), found)]
            total += jnp.mean(jax.vmap(loss, in_axes=1)(*matched)) / 2
    return total


def _checked(where, **views):
    """(patches, places) of each view, zero where absent; where."""
    who, checked = "vicreg_local", []
    for name, (patches, places) in views.items():
        named = {f"patches_{name}": patches}
        patches, where = checked_rows(who, where, rank=3, **named)
        named = {f"places_{name}": places}
        places, _ = checked_rows(who, where, rank=3, **named)
        checks.shape(who, (*patches.shape[:2], places.shape[2]), **named)
        lost = jnp.any(jnp.isnan(places), axis=-1, keepdims=True)
        checked.append((jnp.where(lost, jnp.nan, patches), places))
    return *checked, where


def _taken(patches, places):
    """[batch, num, dim], the patches at [batch, num] places."""
    return jnp.take_along_axis(patches, places[:, :, None], axis=1)
