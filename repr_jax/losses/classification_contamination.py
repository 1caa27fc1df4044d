"""Losses of an anomaly detector on data of which some share is anomalous, unlabeled."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_rows, gather_rows, masked_mean, num_present
from repr_jax.ops.pairs import row_index


def soft_outlier(
    normal_loss: Array,
    anomaly_loss: Array,
    *,
    ratio: float | Array,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """The rows most like anomalies count half as such, the others as normal.

    mean_i of (L_n + L_a) / 2 for the floor(ratio n) rows of largest L_n - L_a, else of
    L_n. The same of rows with an answer y is mean_i (1 - y) L_n + y L_a; alternate.

    Args:
      normal_loss: [batch] float, L_n, large for what is not normal; also the score.
      anomaly_loss: [batch] float, L_a, large for what is no anomaly, such as 1 / L_n.
      ratio: in [0, 1], such as `estimators.diverse_query.contamination`.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar; the mean of L_n for a ratio of 0. Which rows is without gradient.

    Raises:
      ValueError: the two differ in shape or are not [batch].

    Source: Li et al., "Deep Anomaly Detection under Labeling Budget Constraints", 2023
      (SOEL), https://arxiv.org/abs/2302.07832; Qiu et al., "Latent Outlier Exposure for
      Anomaly Detection with Contaminated Data", 2022, https://arxiv.org/abs/2202.08088.
      The authors' code loses a row to rounding.
    """
    who = "soft_outlier"
    checks.fraction(who, ratio=ratio)
    normal, anomaly, where = checked_rows(
        who, where, rank=1, normal_loss=normal_loss, anomaly_loss=anomaly_loss
    )
    count = jnp.floor(ratio * num_present(where, axis_name) + 1e-4)
    alike = lax.stop_gradient(jnp.where(where, normal - anomaly, -jnp.inf))
    every = gather_rows(alike, axis_name)
    rank = jnp.argsort(jnp.argsort(-every))[row_index(where, axis_name)]
    terms = jnp.where(rank < count, (normal + anomaly) / 2, normal)
    terms = jnp.where(jnp.isnan(anomaly), anomaly, terms)
    return masked_mean(terms, where=where, axis_name=axis_name)
