"""Training of encoders whose classes have boundaries on the sphere."""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.losses.classification import cross_entropy
from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, masked_mean, present
from repr_jax.ops.numerics import to_float
from repr_jax.ops.sinkhorn import transport_price


def aligned_spheres(
    features: Array,
    attributes: Array,
    decoded_features: Array,
    decoded_attributes: Array,
    logits: Array,
    labels: Array,
    feature_samples: Array,
    attribute_samples: Array,
    *,
    transport_weight: float | Array = 0.1,
    epsilon: float | Array = 0.1,
    num_steps: int = 100,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Rebuilding, classifying and aligning what two encoders say of a row.

    mean_i [ mean_z (|x_i - x(z)|_1 + |a_i - a(z)|_1 - log p(y_i | z))
    + transport_weight price_i ]

    Of the two z one is a latent of the row's features x, one of its attributes a; each
    is decoded to both. price_i is `ops.sinkhorn.transport_price` of samples of the two.

    Args:
      features: [batch, dim] float. attributes: [batch, num_attributes] float, those of
        the row's class.
      decoded_features: [batch, 2, dim] float, from the latent of the features and
        from that of the attributes. decoded_attributes: [batch, 2, num_attributes].
      logits: [batch, 2, num_classes] float, of the same latents.
      labels: [batch] int in [0, num_classes).
      feature_samples, attribute_samples: [batch, samples, latent_dim] float, of the
        two posteriors of the row, such as those of `ops.von_mises_fisher.sample`;
        published, 10 of each.
      transport_weight: >= 0. epsilon, num_steps: of the plan.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar >= 0; of a perfect decoder, equal logits and equal samples that
      each are one point, log(num_classes).

    Raises:
      ValueError: shapes that do not fit; numbers out of range. TypeError: no floats,
        labels that are no integers.

    Source: Chen et al., "A Boundary Based Out-of-Distribution Classifier for
      Generalized Zero-Shot Learning", 2020, https://arxiv.org/abs/2008.04872, as in the
      authors' code, which ends the plan's steps early; absolute differences are summed
      over a row's numbers here.
    """
    who = "aligned_spheres"
    checks.non_negative(who, transport_weight=transport_weight)
    features, where = checked_rows(who, where, features=features)
    attributes, _ = checked_rows(who, where, attributes=attributes)
    batch = len(where)
    pair = dict(decoded_features=features, decoded_attributes=attributes)
    decoded = dict(
        decoded_features=decoded_features, decoded_attributes=decoded_attributes
    )
    rebuilt = jnp.zeros(batch, features.dtype)
    for name, x in decoded.items():
        checks.floating(who, **{name: x})
        checks.shape(who, (batch, 2, pair[name].shape[1]), **{name: x})
        away = present(to_float(x), where) - pair[name][:, None]
        rebuilt += jnp.sum(jnp.abs(away), axis=2).mean(axis=1)
    checks.same_shape(who, rank=3, logits=logits)
    checks.rows(who, batch, logits=logits)
    checks.shape(who, (batch, 2, jnp.shape(logits)[2]), logits=logits)
    surprise = sum(
        cross_entropy(logits[:, n], labels, where=where, axis_name=axis_name) / 2
        for n in range(2)
    )
    checks.same_shape(
        who,
        rank=3,
        feature_samples=feature_samples,
        attribute_samples=attribute_samples,
    )
    checks.rows(who, batch, feature_samples=feature_samples)
    samples = (present(x, where) for x in (feature_samples, attribute_samples))
    prices = jax.vmap(
        lambda a, b: transport_price(a, b, epsilon=epsilon, num_steps=num_steps)
    )(*samples)
    rows = rebuilt + transport_weight * prices
    return masked_mean(rows, where=where, axis_name=axis_name) + surprise
