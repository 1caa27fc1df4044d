"""Linear predictors of BYOL in closed form, from the batch and without gradient.

z and targets are [batch, dim] float: projections of the online network and targets of
the target network. A predictor is [dim, dim]; predictions are z @ predictor, and
`losses.byol` compares them with the targets. Time dim^3 a step. With fewer rows than
dimensions only `ridge` is well defined.

Source: Richemond et al., "The Edge of Orthogonality: A Simple View of What Makes BYOL
  Tick", 2023, https://arxiv.org/abs/2302.04817. Which closed forms stand here is our
  choice, not the paper's list.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, orthogonal
from repr_jax.ops.batch import checked_rows, num_present
from repr_jax.ops.numerics import pairwise_dot, to_float


def ridge(
    z: Array,
    targets: Array,
    *,
    penalty: float | Array = 0.1,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """(z^T z + penalty I)^-1 z^T targets, the best linear predictor; penalty > 0."""
    checks.positive("predictors.ridge", penalty=penalty)
    own, cross = _moments("predictors.ridge", z, targets, where, axis_name)
    system = own + penalty * jnp.eye(len(own), dtype=own.dtype)
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(system), cross)


def polar(
    z: Array,
    targets: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """u v^T of the singular vectors of z^T targets: the best orthogonal predictor."""
    _, cross = _moments("predictors.polar", z, targets, where, axis_name)
    return orthogonal.polar(cross)


def newton_schulz(
    z: Array,
    targets: Array,
    *,
    num_steps: int = 15,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`polar` by products alone: `ops.orthogonal.newton_schulz` of z^T targets."""
    _, cross = _moments("predictors.newton_schulz", z, targets, where, axis_name)
    return orthogonal.newton_schulz(cross, num_steps=num_steps)


def projector(
    z: Array,
    *,
    rank: int,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """The projection onto the `rank` first eigenvectors of z^T z."""
    checks.count("predictors.projector", rank=rank)
    own, _ = _moments("predictors.projector", z, z, where, axis_name)
    _, vectors = jnp.linalg.eigh(own)
    return pairwise_dot(vectors[:, -rank:], vectors[:, -rank:])


def moment(
    z: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """z^T z / batch, [dim, dim], for `direct`; 0 if no row is present."""
    z, where = checked_rows("predictors.moment", where, z=z)
    own, _ = _moments("predictors.moment", z, z, where, axis_name)
    return own / jnp.maximum(num_present(where, axis_name), 1)


def direct(
    running: Array, *, epsilon: float | Array = 0.01, floor: float = 1e-4
) -> Array:
    """q diag(sqrt(l / max l) + epsilon) q^T of the eigenvectors of the running moment.

    running: [dim, dim], the moving average of `moment` by `ops.ema`, decay 0.3 in the
    code that we follow. No eigenvalue of the predictor is below floor.

    Source: Tian, Chen and Ganguli, "Understanding Self-Supervised Learning Dynamics
      without Contrastive Pairs" (DirectPred), 2021, https://arxiv.org/abs/2102.06810.
    """
    who = "predictors.direct"
    checks.same_shape(who, rank=2, running=running)
    checks.floating(who, running=running)
    checks.non_negative(who, epsilon=epsilon)
    values, vectors = jnp.linalg.eigh(lax.stop_gradient(to_float(running)))
    largest = jnp.max(values)
    shares = jnp.maximum(values, 0) / jnp.where(largest > 0, largest, 1)
    gains = jnp.maximum(jnp.sqrt(shares) + epsilon, floor)
    return pairwise_dot(vectors * gains[None], vectors)


def _moments(who, z, targets, where, axis_name):
    """z^T z and z^T targets over the whole batch."""
    z, targets, where = checked_rows(who, where, z=z, targets=targets)
    z, targets = lax.stop_gradient((z, targets))
    found = pairwise_dot(z.T, z.T), pairwise_dot(z.T, targets.T)
    return found if axis_name is None else lax.psum(found, axis_name)
