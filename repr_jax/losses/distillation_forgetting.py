"""Losses that forget examples without labels, by what a frozen extractor said of them.

Alternate `forget_extract` and `forget_align`, a batch each. Remaining and forgotten
rows have masks of their own. The authors sum over rows; here rows are averaged, so that
learning rates are theirs times the number of rows.

Source: Shen et al., "Label-Agnostic Forgetting: A Supervision-Free Unlearning in Deep
  Models", 2024, https://arxiv.org/abs/2404.00506, in the form of the authors' code.
"""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, log_mean_exp, masked_mean, num_present
from repr_jax.ops.similarity import cosine, negative_squared_distance


def forget_extract(
    remain: Array,
    remain_reconstructed: Array,
    forget: Array,
    forget_reconstructed: Array,
    *,
    where: Array | None = None,
    forget_where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Remaining features like those that were, forgotten ones unlike: two frozen VAEs.

    mean_r phi(|h_r(g) - g|^2) - mean_f phi(|h_f(g) - g|^2), phi(m) = exp(m / (m + 1)):
    h_r and h_f rebuild the features that the original extractor had of remaining and of
    forgotten rows. The gradient also passes through them.

    Args:
      remain, remain_reconstructed: [batch, dim] float, g and h_r(g); the authors' VAEs
        end in a sigmoid, for features in [0, 1].
      forget, forget_reconstructed: [forgotten, dim], g and h_f(g).
      where, forget_where: [batch], [forgotten] bool, False for absent rows.
      axis_name: the mapped axis the batches are split over; None if they are whole.

    Returns:
      float32 scalar in (1 - e, e - 1); equal sets cancel.

    Raises:
      ValueError: two arrays of a kind differ in shape or are not of rank 2.
    """
    who = "forget_extract"
    remaining = dict(remain=remain, remain_reconstructed=remain_reconstructed)
    forgotten = dict(forget=forget, forget_reconstructed=forget_reconstructed)
    kept = _bounded(who, where, axis_name, **remaining)
    return kept - _bounded(who, forget_where, axis_name, **forgotten)


def forget_align(
    remain: Array,
    remain_original: Array,
    forget: Array,
    forget_original: Array,
    *,
    temperature: float | Array = 5.0,
    where: Array | None = None,
    forget_where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Remaining features point where they did, forgotten ones elsewhere.

    mean_r (1 - cos(g_r, g0_r)) - log sum_f exp((1 - cos(g_f, g0_f)) / temperature). The
    temperature divides the distances of forgotten rows only.

    Args:
      remain, remain_original: [batch, dim] float, g and what the original extractor
        says, without gradient.
      forget, forget_original: [forgotten, dim], the same.
      temperature: > 0; 5 or 20 in the code.
      where, forget_where, axis_name: as of `forget_extract`.

    Returns:
      float32 scalar; 0 without a remaining row, and of the first term without a
      forgotten one.

    Raises:
      ValueError: as `forget_extract`, or temperature is not above 0.
    """
    who = "forget_align"
    checks.positive(who, temperature=temperature)
    remaining = dict(remain=remain, remain_original=remain_original)
    forgotten = dict(forget=forget, forget_original=forget_original)
    kept, where = _turned(who, where, **remaining)
    gone, forget_where = _turned(who, forget_where, **forgotten)
    count = num_present(forget_where, axis_name)
    moved = log_mean_exp(gone / temperature, where=forget_where, axis_name=axis_name)
    moved = jnp.where(count > 0, moved + jnp.log(jnp.maximum(count, 1)), 0)
    return masked_mean(kept - moved, where=where, axis_name=axis_name)


def _bounded(who, where, axis_name, **arrays):
    """Mean over present rows of phi, in [1, e)."""
    x, y, where = checked_rows(who, where, **arrays)
    square = -negative_squared_distance.of_rows(x, y)
    return masked_mean(jnp.exp(square / (square + 1)), where=where, axis_name=axis_name)


def _turned(who, where, **arrays):
    """1 - cos of each row with what it was."""
    x, original, where = checked_rows(who, where, **arrays)
    x, original = (cosine.prepare(a) for a in (x, lax.stop_gradient(original)))
    return 1 - cosine.of_rows(x, original), where
