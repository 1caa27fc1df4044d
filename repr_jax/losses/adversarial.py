"""Losses of two networks, one of which tells what the other made from what is real.

They take the discriminator's logits, [batch], higher for what it takes for real. A loss
of the generator moves the generator alone, one of the discriminator the discriminator:
an experiment gives each its own part of the parameters.
"""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, checked_where, masked_mean, present
from repr_jax.ops.numerics import to_float


def gan_discriminator(
    real: Array,
    fake: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of telling real rows from generated ones.

    mean_i [ softplus(-real_i) + softplus(fake_i) ].

    Args:
      real, fake: [batch] float, logits of real and of generated rows.
      where: [batch] bool, False for absent rows of both; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats, >= 0; 2 log 2 if it cannot tell them apart.

    Raises:
      ValueError: the two differ in shape or are not [batch].

    Source: Goodfellow et al., "Generative Adversarial Networks", 2014, eq. 1,
      https://arxiv.org/abs/1406.2661.
    """
    real, fake, where = checked_rows(
        "gan_discriminator", where, rank=1, real=real, fake=fake
    )
    terms = jax.nn.softplus(-real) + jax.nn.softplus(fake)
    return masked_mean(terms, where=where, axis_name=axis_name)


def gan_generator(
    fake: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """Cross-entropy of being taken for real: the form that does not saturate.

    mean_i softplus(-fake_i).

    Args:
      fake: [batch] float, logits of generated rows.
      where, axis_name: as in `gan_discriminator`.

    Returns:
      float32 scalar in nats, >= 0.

    Raises:
      ValueError: fake is not [batch].

    Source: Goodfellow et al., 2014, section 3, https://arxiv.org/abs/1406.2661.
    """
    fake, where = checked_rows("gan_generator", where, rank=1, fake=fake)
    return masked_mean(jax.nn.softplus(-fake), where=where, axis_name=axis_name)


def hinge_discriminator(
    real: Array,
    fake: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Margins of telling real rows from generated ones.

    mean_i [ max(0, 1 - real_i) + max(0, 1 + fake_i) ], >= 0. Arguments and errors are
    those of `gan_discriminator`.

    Source: Lim and Ye, "Geometric GAN", 2017, https://arxiv.org/abs/1705.02894.
    """
    real, fake, where = checked_rows(
        "hinge_discriminator", where, rank=1, real=real, fake=fake
    )
    terms = jax.nn.relu(1 - real) + jax.nn.relu(1 + fake)
    return masked_mean(terms, where=where, axis_name=axis_name)


def hinge_generator(
    fake: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """-mean_i fake_i, any real number; arguments as `gan_generator`.

    Source: Lim and Ye, "Geometric GAN", 2017, https://arxiv.org/abs/1705.02894.
    """
    fake, where = checked_rows("hinge_generator", where, rank=1, fake=fake)
    return masked_mean(-fake, where=where, axis_name=axis_name)


def gradient_penalty(
    gradients: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """Half the mean squared norm of the discriminator's gradient at real rows: R1.

    1/2 mean_i |gradient_i|^2.

    Args:
      gradients: [batch, ...] float, of the logit of row i with respect to row i.
      where, axis_name: as in `gan_discriminator`.

    Returns:
      float32 scalar, >= 0. The loss adds it times a weight, such as 10.

    Raises:
      ValueError: gradients is a scalar.

    Source: Mescheder, Geiger and Nowozin, "Which Training Methods for GANs do actually
      Converge?", 2018, eq. 9, https://arxiv.org/abs/1801.04406.
    """
    checks.floating("gradient_penalty", gradients=gradients)
    if jnp.ndim(gradients) == 0:
        raise ValueError("gradient_penalty: expected gradients [batch, ...]; got [].")
    where = checked_where("gradient_penalty", where, gradients.shape[:1])
    gradients = present(to_float(gradients), where).reshape(len(gradients), -1)
    halves = jnp.sum(gradients**2, axis=1) / 2
    return masked_mean(halves, where=where, axis_name=axis_name)
