"""Losses of classifiers that are shown outliers, or find them, while they train.

Logits are [batch, num_classes] float, labels [batch] int. Outliers are rows of their
own, as many as one likes, and `outliers_where` marks their present ones; without any,
their term is 0. Other errors: ValueError for shapes that do not fit together, TypeError
for integers in place of floats and labels that are none.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.losses.classification import cross_entropy, soft_cross_entropy
from repr_jax.ops import checks, lagrangian
from repr_jax.ops.batch import (
    checked_rows,
    checked_where,
    masked_mean,
    num_present,
    present,
)
from repr_jax.ops.numerics import one_hot, to_float
from repr_jax.ops.uncertainty import energy, log_shares


def outlier_exposure(
    logits: Array,
    labels: Array,
    outlier_logits: Array,
    *,
    outlier_weight: float | Array = 0.5,
    where: Array | None = None,
    outliers_where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of the labels, and of outliers to equal shares of all classes.

    CE(logits, labels) + outlier_weight mean_i [ logsumexp(o_i) - mean_c o_ic ], o the
    logits of outliers.

    Args:
      logits, labels: of the inliers.
      outlier_logits: [outliers, num_classes] float.
      outlier_weight: >= 0. The paper writes lambda.
      where, outliers_where: bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats.

    Source: Hendrycks, Mazeika and Dietterich, "Deep Anomaly Detection with Outlier
      Exposure", 2019, https://arxiv.org/abs/1812.04606.
    """
    who = "outlier_exposure"
    checks.floating(who, logits=logits)
    checks.non_negative(who, outlier_weight=outlier_weight)
    outliers, outliers_where = checked_rows(
        who, outliers_where, outlier_logits=outlier_logits
    )
    uniform = jnp.full_like(outliers, 1 / outliers.shape[1])
    exposure = soft_cross_entropy(
        outliers, uniform, where=outliers_where, axis_name=axis_name
    )
    own = cross_entropy(logits, labels, where=where, axis_name=axis_name)
    return own + outlier_weight * exposure


def mixture_outlier_exposure(
    logits: Array,
    labels: Array,
    mixed_logits: Array,
    share: float | Array,
    *,
    mixed_weight: float | Array = 1.0,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of the labels, and of mixtures with outliers to softened labels.

    CE(logits, labels) + mixed_weight soft CE(mixed_logits, share onehot(labels) + (1 -
    share) / num_classes).

    Args:
      logits, labels: of the inliers.
      mixed_logits: [batch, num_classes] of row i mixed with an outlier, as by
        `data.augment.mix` or `data.augment.cut_mix`.
      share: of the inlier, in [0, 1]: one for all, or [batch]. The paper's lambda.
      mixed_weight: >= 0. The paper writes beta.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats.

    Source: Zhang et al., "Mixture Outlier Exposure: Towards Out-of-Distribution
      Detection in Fine-grained Environments", 2023,
      https://arxiv.org/abs/2106.03917.
    """
    who = "mixture_outlier_exposure"
    checks.same_shape(who, rank=2, logits=logits, mixed_logits=mixed_logits)
    checks.floating(who, logits=logits, mixed_logits=mixed_logits)
    checks.non_negative(who, mixed_weight=mixed_weight)
    checks.shape(who, jnp.shape(logits)[:1], labels=labels)
    if jnp.ndim(share):
        checks.shape(who, jnp.shape(logits)[:1], share=share)
    num_classes = jnp.shape(logits)[1]
    share = jnp.broadcast_to(to_float(share), jnp.shape(logits)[:1])[:, None]
    targets = one_hot(labels, num_classes, dtype=share.dtype)
    targets = share * targets + (1 - share) / num_classes
    options = dict(where=where, axis_name=axis_name)
    mixed = soft_cross_entropy(mixed_logits, targets, **options)
    return cross_entropy(logits, labels, **options) + mixed_weight * mixed


def energy_margins(
    logits: Array,
    labels: Array,
    outlier_logits: Array,
    *,
    inlier_margin: float = -25.0,
    outlier_margin: float = -5.0,
    energy_weight: float | Array = 0.1,
    where: Array | None = None,
    outliers_where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy, energies of inliers below one margin, of outliers above another.

    CE(logits, labels) + energy_weight ( mean_in max(0, E - inlier_margin)^2 + mean_out
    max(0, outlier_margin - E)^2 ), E = -logsumexp(logits).

    Args:
      logits, labels: of the inliers.
      outlier_logits: [outliers, num_classes] float.
      inlier_margin, outlier_margin: in nats, the first below the second.
      energy_weight: >= 0.
      where, outliers_where: bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar.

    Source: Liu et al., "Energy-based Out-of-distribution Detection", 2020,
      https://arxiv.org/abs/2010.03759; the margins are those of public code.
    """
    who = "energy_margins"
    checks.non_negative(who, energy_weight=energy_weight)
    inliers, own_where = checked_rows(who, where, logits=logits)
    outliers, outliers_where = checked_rows(
        who, outliers_where, outlier_logits=outlier_logits
    )
    above = jax.nn.relu(energy(inliers) - inlier_margin) ** 2
    below = jax.nn.relu(outlier_margin - energy(outliers)) ** 2
    margins = masked_mean(above, where=own_where, axis_name=axis_name)
    margins += masked_mean(below, where=outliers_where, axis_name=axis_name)
    own = cross_entropy(logits, labels, where=where, axis_name=axis_name)
    return own + energy_weight * margins


def energy_margin_outliers(
    logits: Array,
    labels: Array,
    wild_logits: Array,
    slope: Array,
    offset: Array,
    multipliers: Array,
    weights: Array,
    *,
    margin: float | Array,
    loss_tolerance: float | Array,
    false_alarm: float | Array = 0.05,
    where: Array | None = None,
    wild_where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Finds outliers in unlabeled data, with few false alarms and a good fit.

    mean_wild sigmoid(-(slope (e - margin) + offset)) + sum_k penalty(c_k,
    multipliers_k, weights_k), e = logsumexp(logits), c of `energy_margin_constraints`
    and the penalty of `ops.lagrangian`.

    Args:
      logits, labels: of the inliers.
      wild_logits: [wild, num_classes] float, of rows of which some are inliers.
      slope, offset: [] learned; a and b.
      multipliers, weights: [2] float, of the false alarms and of the fit. They start at
        0 and 1; `ops.lagrangian.update` moves the first, and a weight grows by half
        where its constraint is violated, both once an epoch by averages over it.
      margin: eta <= 0: how much deeper inliers are than the threshold of wild rows.
        Released runs have -10; the command line's default of public codes, 1, is on the
        wrong side. 0 is WOODS.
      loss_tolerance: >= 0; the paper has twice the cross-entropy of the pretrained
        network over its training rows.
      false_alarm: in (0, 1). The paper writes alpha.
      where, wild_where: bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar.

    Source: Bai et al., "Feed Two Birds with One Scone: Exploiting Wild Data for Both
      Out-of-Distribution Generalization and Detection", 2023,
      https://arxiv.org/abs/2306.09158; Katz-Samuels et al., "Training OOD Detectors in
      their Natural Habitats", 2022, https://arxiv.org/abs/2202.03299.
    """
    who = "energy_margin_outliers"
    checks.floating(who, logits=logits)
    wild, wild_where = checked_rows(who, wild_where, wild_logits=wild_logits)
    checks.floating(who, multipliers=multipliers, weights=weights)
    checks.shape(who, (2,), multipliers=multipliers, weights=weights)
    missed = jax.nn.sigmoid(-(slope * (-energy(wild) - margin) + offset))
    constraints = energy_margin_constraints(
        logits,
        labels,
        slope,
        offset,
        loss_tolerance=loss_tolerance,
        false_alarm=false_alarm,
        where=where,
        axis_name=axis_name,
    )
    penalties = lagrangian.penalty(constraints, multipliers, weights)
    some = num_present(checked_where(who, where, jnp.shape(labels)), axis_name) > 0
    found = masked_mean(missed, where=wild_where, axis_name=axis_name)
    return found + jnp.where(some, jnp.sum(penalties), 0)


def energy_margin_constraints(
    logits: Array,
    labels: Array,
    slope: Array,
    offset: Array,
    *,
    loss_tolerance: float | Array,
    false_alarm: float | Array = 0.05,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """[2], each <= 0 where it is met: mean_in sigmoid(slope e + offset) - false_alarm,
    and CE(logits, labels) - loss_tolerance. Arguments of `energy_margin_outliers`."""
    who = "energy_margin_constraints"
    inliers, own_where = checked_rows(who, where, logits=logits)
    alarms = jax.nn.sigmoid(-slope * energy(inliers) + offset)
    alarm = masked_mean(alarms, where=own_where, axis_name=axis_name) - false_alarm
    fit = cross_entropy(logits, labels, where=where, axis_name=axis_name)
    return jnp.stack([alarm, fit - loss_tolerance])


def background_outliers(
    cell_logits: Array,
    id_logits: Array,
    labels: Array,
    *,
    threshold: float = 0.99,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Tells cells of a feature map that show the class from those of the background.

    mean over cells with p >= threshold of -log sigmoid(id) + mean over cells with p <=
    1 - threshold of -log sigmoid(-id), p the share of the image's class.

    Others are ignored. The cross-entropy of the pooled features is added outside, and
    a row is scored by -sigmoid(id) max p of them.

    Args:
      cell_logits: [batch, height, width, num_classes] float, of the classifier on each
        cell; without gradient.
      id_logits: [batch, height, width] float, of a second head.
      labels: [batch] int.
      threshold: in [1/2, 1], one for both kinds.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats; a kind of cell that is missing adds 0.

    Source: Pei, "Image Background Serves as Good Proxy for Out-of-distribution Data",
      2023, https://arxiv.org/abs/2307.00519; one threshold and equal weights are those
      of a public implementation, where a missing kind adds NaN.
    """
    who = "background_outliers"
    cell_logits, where = checked_rows(who, where, rank=4, cell_logits=cell_logits)
    checks.floating(who, id_logits=id_logits)
    checks.shape(who, cell_logits.shape[:3], id_logits=id_logits)
    checks.shape(who, where.shape, labels=labels)
    checks.integers(who, labels=labels)
    if not 0.5 <= threshold <= 1:
        raise ValueError(f"{who}: expected threshold in [1/2, 1]; got {threshold}.")
    id_logits = present(to_float(id_logits), where)
    p = jax.nn.softmax(lax.stop_gradient(cell_logits), axis=-1)
    wanted = one_hot(labels, p.shape[-1], dtype=p.dtype)[:, None, None]
    p = jnp.sum(p * wanted, axis=-1)
    p = jnp.where(jnp.any(jnp.isnan(cell_logits), axis=-1), jnp.nan, p)
    there = where[:, None, None]
    inside = there & ~(p < threshold)  # a cell of NaN is not passed over
    outside = there & (p <= 1 - threshold)
    own = jnp.where(jnp.isnan(p), jnp.nan, jax.nn.softplus(-id_logits))
    loss = masked_mean(own, where=inside, axis_name=axis_name)
    away = jax.nn.softplus(id_logits)
    return loss + masked_mean(away, where=outside, axis_name=axis_name)


def textual_outliers(
    inliers: Array,
    outliers: Array,
    class_texts: Array,
    outlier_texts: Array,
    *,
    temperature: float | Array = 0.01,
    gamma: float = 1.0,
    where: Array | None = None,
    outliers_where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Learns directions for what is of no class, from texts alone.

    1/2 mean_in -log(1 - p_out) + 1/2 sum_j c_j (-log p_out), p_out the share of the
    outlier texts in softmax(cosines / temperature), c_j in proportion to (1 -
    p_out)^gamma of outlier j over the whole batch, without gradient.

    Args:
      inliers: [batch, dim] float, embedded texts of the classes.
      outliers: [outliers, dim] float, embedded words.
      class_texts: [num_classes, dim] float, frozen by the caller.
      outlier_texts: [directions, dim] float, learned. All four are of any scale.
      temperature: > 0.
      gamma: >= 0; 0 is the plain mean, more weighs words that are hard.
      where, outliers_where: bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats.

    Source: Lee et al., "Textual Training for the Hassle-Free Removal of Unwanted Visual
      Data: Case Studies on OOD and Hateful Image Detection", 2024,
      https://arxiv.org/abs/2409.19840.
    """
    who = "textual_outliers"
    inliers, where = checked_rows(who, where, inliers=inliers)
    outliers, outliers_where = checked_rows(who, outliers_where, outliers=outliers)
    checks.positive(who, temperature=temperature)
    checks.non_negative(who, gamma=gamma)
    texts = dict(class_texts=class_texts, outlier_texts=outlier_texts)
    log_in, _ = log_shares(who, inliers, temperature=temperature, **texts)
    hard, log_out = log_shares(who, outliers, temperature=temperature, **texts)
    hard = jnp.where(outliers_where, gamma * lax.stop_gradient(hard), -jnp.inf)
    highest = jnp.max(hard, initial=jnp.finfo(hard.dtype).min)
    highest = highest if axis_name is None else lax.pmax(highest, axis_name)
    weights = jnp.exp(hard - highest)
    options = dict(where=outliers_where, axis_name=axis_name)
    over = masked_mean(weights, **options)
    words = masked_mean(-weights * log_out, **options) / jnp.where(over == 0, 1, over)
    texts = masked_mean(-log_in, where=where, axis_name=axis_name)
    return 0.5 * texts + 0.5 * words
