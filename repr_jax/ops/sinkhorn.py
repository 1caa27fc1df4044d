"""Sinkhorn's algorithm in the log domain: assignments whose marginals are prescribed.

A split batch has the plan of the whole: columns are summed over all devices.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, log_mean_exp, num_present, present
from repr_jax.ops.numerics import stored, to_float


def log_plan(
    scores: Array,
    *,
    num_half_steps: int,
    row_mass: Array | None = None,
    column_mass: Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Logarithm of a plan s_ij + u_i + v_j whose rows have exactly their masses.

    From u = v = 0 half steps alternate between u, which gives rows their masses, and v,
    which gives columns theirs; the last one is over rows. Differentiable.

    Args:
      scores: [rows, columns] float, minus the cost over the strength of the entropy.
      num_half_steps: >= 1; six are the three steps of SwAV.
      row_mass: [rows] > 0; None for 1 over the number of present rows.
      column_mass: [columns] > 0; None for 1 over the number of columns.
      where: [rows] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the rows are split over; None if they are whole.

    Returns:
      [rows, columns], of total mass 1 by default; in absent rows the lowest finite
      number, whose exponential is 0.

    Raises:
      ValueError: scores are not of rank 2, or a mass does not fit them.

    Source: Cuturi, "Sinkhorn Distances: Lightspeed Computation of Optimal Transport",
      2013, algorithm 1, https://arxiv.org/abs/1306.0895.
    """
    who = "log_plan"
    checks.count(who, num_half_steps=num_half_steps)
    scores, where = checked_rows(who, where, scores=scores)
    count = jnp.maximum(num_present(where, axis_name), 1).astype(scores.dtype)
    log_rows = _log_mass(who, row_mass, len(scores), count, row_mass=row_mass)
    columns = jnp.asarray(scores.shape[1], scores.dtype)
    log_columns = _log_mass(
        who, column_mass, scores.shape[1], columns, column_mass=column_mass
    )

    def over_rows(v):
        return log_rows - jax.nn.logsumexp(scores + v[None], axis=1)

    def over_columns(u):
        mean = log_mean_exp(scores + u[:, None], where=where, axis_name=axis_name)
        return log_columns - mean - jnp.log(count)

    if num_half_steps % 2:
        v = jnp.zeros_like(scores[0])
    else:
        v = over_columns(jnp.zeros_like(scores[:, 0]))
    v = lax.fori_loop(
        0, (num_half_steps - 1) // 2, lambda _, v: over_columns(over_rows(v)), v
    )
    shares = jax.nn.log_softmax(scores + v[None], axis=1)  # exact, unlike s + u + v
    plan = log_rows[:, None] + shares
    return jnp.where(where[:, None], plan, jnp.finfo(plan.dtype).min)


def balanced_assignment(
    scores: Array,
    *,
    epsilon: float | Array = 0.05,
    num_steps: int = 3,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Soft assignments to prototypes that all get about the same share of the rows.

    Sinkhorn's algorithm on exp(scores / epsilon): prototypes are scaled to equal sums,
    then rows to sum 1, `num_steps` times. No gradient.

    Args:
      scores: [rows, prototypes] float, such as cosines.
      epsilon: > 0, strength of the entropy: the higher, the softer.
      num_steps: >= 1, each over prototypes and then rows.
      where, axis_name: as in `log_plan`.

    Returns:
      [rows, prototypes], rows that sum to 1; zeros in absent rows.

    Source: Caron et al., "Unsupervised Learning of Visual Features by Contrasting
      Cluster Assignments", 2020, eq. 4 and 5, https://arxiv.org/abs/2006.09882. There
      exp(scores / epsilon) itself is scaled, which overflows above 88 epsilon.
    """
    checks.count("balanced_assignment", num_steps=num_steps)
    checks.positive("balanced_assignment", epsilon=epsilon)
    scores, where = checked_rows("balanced_assignment", where, scores=scores)
    log_q = log_plan(
        lax.stop_gradient(scores / epsilon),
        num_half_steps=2 * num_steps,
        where=where,
        axis_name=axis_name,
    )
    return present(jnp.exp(log_q) * num_present(where, axis_name), where)


def balanced_by_place(
    scores: Array,
    *,
    epsilon: float | Array = 0.06,
    num_steps: int = 3,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`balanced_assignment` over the batch, of each place in the images by itself.

    So no prototype can stand for a place. Targets of `losses.ibot`, with temperature =
    0.12; the prototypes of CAPI are learned by the same loss of the target's logits.

    Args:
      scores: [batch, place, prototypes] float, logits of the target network.

    Returns:
      [batch, place, prototypes], of sum 1 in each place; zeros in absent images.

    Source: Darcet et al., "Cluster and Predict Latent Patches for Improved Masked Image
      Modeling", 2025, https://arxiv.org/abs/2502.08769.
    """
    who = "balanced_by_place"
    scores, where = checked_rows(who, where, rank=3, scores=scores)
    options = dict(epsilon=epsilon, num_steps=num_steps)

    def of_place(scores):
        split = dict(where=where, axis_name=axis_name)
        return balanced_assignment(scores, **options, **split)

    return jax.vmap(of_place, in_axes=1, out_axes=1)(scores)


def transport_price(
    a: Array, b: Array, *, epsilon: float | Array = 0.1, num_steps: int = 100
) -> Array:
    """Cost sum_ij p_ij |a_i - b_j|^2 of the entropic plan p between two sets of points.

    p is `log_plan` of minus the cost over epsilon, of uniform masses, each step over
    the points of a and then those of b. The price is without the entropy.
    Differentiable.

    Args:
      a, b: [points, dim] float; the numbers of points may differ.
      epsilon: > 0, strength of the entropy, in the units of the cost.
      num_steps: >= 1.

    Returns:
      [] >= 0; 0 for sets that are one point, of equal sets above 0.

    Raises:
      ValueError: shapes or numbers that do not fit. TypeError: no floats.

    Source: Cuturi, as of `log_plan`.
    """
    who = "transport_price"
    checks.count(who, num_steps=num_steps)
    checks.positive(who, epsilon=epsilon)
    checks.same_shape(who, rank=2, a=a)
    checks.shape(who, (*jnp.shape(b)[:1], jnp.shape(a)[1]), b=b)
    checks.floating(who, a=a, b=b)
    a, b = to_float(a), to_float(b)
    cost = jnp.sum((b[:, None] - a[None]) ** 2, axis=2)  # a plan ends with its rows
    scores = stored(-cost / epsilon)  # rounded once: exp of a difference follows
    plan = log_plan(scores, num_half_steps=2 * num_steps)
    return jnp.sum(jnp.exp(plan) * cost)


def _log_mass(who, mass, size, count, **named):
    """[size] logarithms of the masses; of 1 / count each for None."""
    if mass is None:
        return jnp.full((size,), -jnp.log(count))
    checks.shape(who, (size,), **named)
    checks.floating(who, **named)
    return jnp.log(to_float(mass))
