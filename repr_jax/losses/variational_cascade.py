"""The loss of two VAEs of which the second rebuilds what the first left out."""

import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks, gaussian
from repr_jax.ops.batch import checked_rows, masked_mean


def cvad(
    x: Array,
    reconstruction: Array,
    mean: Array,
    log_var: Array,
    second_mean: Array,
    second_log_var: Array,
    *,
    beta: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Squared error of a reconstruction and divergences of two latents, by value.

    mean_i [ |x_i - reconstruction_i|^2 + beta (KL_i + second KL_i) ] / dim, dim the
    number of values of a row, KL from N(mean, exp log_var) to N(0, I). Of one row alone
    it is CVAD's score of reconstruction, with z the means.

    The other score is of a network that tells x from its reconstruction when this is
    trained: `gan_discriminator` of minus its logits, which are above 0 for what it
    takes for a reconstruction. `metrics.minmax_combine` puts the two together.

    Args:
      x, reconstruction: [batch, ...] float, the latter from samples of both latents.
      mean, log_var, second_mean, second_log_var: [batch, dim of the latent] float.
      beta: >= 0; 1 is ours.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar >= 0.

    Raises:
      ValueError: shapes that do not fit together; a negative beta. TypeError: integer
        inputs.

    Source: Guo et al., "CVAD: A Generic Medical Anomaly Detector Based on Cascade VAE",
      2021, https://arxiv.org/abs/2110.15811, as in the authors' code.
    """
    who = "cvad"
    checks.non_negative(who, beta=beta)
    x, reconstruction, where = checked_rows(
        who, where, rank=jnp.ndim(x), x=x, reconstruction=reconstruction
    )
    terms = jnp.sum((x - reconstruction).reshape(len(where), -1) ** 2, axis=1)
    latents = (
        dict(mean=mean, log_var=log_var),
        dict(second_mean=second_mean, second_log_var=second_log_var),
    )
    for latent in latents:
        checks.rows(who, len(where), **latent)
        *posterior, _ = checked_rows(who, where, **latent)
        terms = terms + beta * gaussian.kl(*posterior)
    dim = x.size // len(where)
    return masked_mean(terms, where=where, axis_name=axis_name) / dim
