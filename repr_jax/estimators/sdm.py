"""Similarity-distance-magnitude: how far a classifier's training data support it.

`fit` keeps the training rows; `measure` says of other rows how many of their nearest
training rows agree (q) and how close the nearest is (d), `probabilities` puts both into
the softmax, and `fit_region` finds what to accept. Nothing has a gradient: fit again
after each epoch of `losses.sdm`.

Source: Schmaltz, "Similarity-Distance-Magnitude Activations", 2025,
  https://arxiv.org/abs/2509.12760, as in the author's code. The region here leaves out
  the code's trained rescaling of outputs.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import ArrayLike

from repr_jax.ops import checks
from repr_jax.ops.batch import by_block, checked_queries, finite_rows, present
from repr_jax.ops.numerics import to_float
from repr_jax.ops.sdm import scales
from repr_jax.ops.similarity import negative_squared_distance


class SDM(NamedTuple):
    """What was fitted."""

    x: Array  # [rows, dim], the training rows
    support: Array  # [rows] int, the label of rows predicted right, -1 of others
    distances: Array  # [num_classes, rows] ascending, from the rows of each label that
    # have a match to their nearest other row; inf behind them
    counts: Array  # [num_classes] int, how many those are
    where: Array  # [rows] bool
    num_matches: Array  # [rows] int, q of the training rows
    closeness: Array  # [rows], d of the training rows


class Region(NamedTuple):
    """What to accept."""

    least: float  # similarity; inf to reject everything
    thresholds: np.ndarray  # [num_classes] of the predicted class's output


def fit(
    x: Array,
    labels: Array,
    predictions: Array,
    *,
    num_classes: int,
    max_matches: int = 25,
    where: Array | None = None,
) -> SDM:
    """Keeps training rows, and how far those with a match are from one another.

    Args:
      x: [batch, dim] float, features.
      labels: [batch] int in [0, num_classes).
      predictions: [batch] int, the classifier's.
      max_matches: >= 1, as many nearest rows are looked at.
      where: [batch] bool, False for absent rows; None if all are present.

    Raises:
      ValueError: shapes that do not fit, fewer than two rows, x not finite (traced,
        such a row is as good as absent), labels out of range.
      TypeError: integers in x, others in labels.
    """
    who = "sdm.fit"
    x, where = finite_rows(who, where, x=x)
    checks.shape(who, where.shape, labels=labels, predictions=predictions)
    checks.integers(who, labels=labels, predictions=predictions)
    checks.count(who, minimum=2, rows=len(x), num_classes=num_classes)
    checks.count(who, max_matches=max_matches)
    checks.within(who, num_classes, where=where, labels=labels)
    labels, predictions = jnp.asarray(labels), jnp.asarray(predictions)
    most = min(max_matches, len(x) - 1)
    return _fit(x, labels, predictions, where, num_classes, most)


def measure(
    sdm: SDM, x: Array, predictions: Array, *, max_matches: int = 25
) -> tuple[Array, Array]:
    """How many nearest training rows agree, and how close the nearest is.

    q counts, from the nearest on and at most max_matches, rows that were predicted
    right and as this row is, until one was not. d is the least, over the classes, of
    the share of the class's distances that are no smaller than the distance here; 0 if
    a class has none.

    Args:
      x: [batch, dim] float, rows that were not fitted.
      predictions: [batch] int.

    Returns:
      [batch] int q; [batch] d in [0, 1].

    Raises:
      ValueError: shapes that do not fit, or x is not finite; traced, such a row has
        q = d = 0.
    """
    who = "sdm.measure"
    x = checked_queries(who, sdm.x.shape[1:], x=x)
    checks.shape(who, x.shape[:1], predictions=predictions)
    checks.integers(who, predictions=predictions)
    most = min(max_matches, len(sdm.x))
    return _measure(sdm, x, jnp.asarray(predictions), most)


def probabilities(logits: Array, num_matches: Array, closeness: Array) -> Array:
    """[batch, num_classes] softmax of log(2 + q) d logits; the largest stays so."""
    scale = scales(jnp.asarray(num_matches), jnp.asarray(closeness))
    return jax.nn.softmax(scale[:, None] * to_float(logits), axis=-1)


def fit_region(
    similarity: ArrayLike,
    outputs: ArrayLike,
    labels: ArrayLike,
    *,
    confidence: float = 0.95,
) -> Region:
    """The least similarity above which every class is right often enough.

    Going up the similarities of calibration rows, the first at or above which the
    sorted outputs of each class for its own rows have at least `confidence` at the
    place floor((1 - confidence) n), from 0; that entry is the class's threshold, 0 for
    a class without rows. On the host.

    Args:
      similarity: [rows] float, such as log(2 + q) times the share of a class's outputs
        that are no larger than this row's (our reading of the code).
      outputs: [rows, num_classes], `probabilities`.
      labels: [rows] int in [0, num_classes).
      confidence: above 1 / num_classes and below 1; alpha.
    """
    who = "sdm.fit_region"
    outputs, labels = np.asarray(outputs, np.float64), np.asarray(labels)
    similarity = np.asarray(similarity, np.float64)
    checks.same_shape(who, rank=2, outputs=outputs)
    checks.shape(who, outputs.shape[:1], similarity=similarity, labels=labels)
    checks.finite(who, similarity=similarity, outputs=outputs)
    checks.within(who, outputs.shape[1], labels=labels)
    num = outputs.shape[1]
    if not 1 / num < confidence < 1:
        raise ValueError(
            f"{who}: expected confidence in (1 / {num}, 1); got {confidence}."
        )
    own = outputs[np.arange(len(outputs)), labels]
    for least in np.unique(similarity):
        kept = similarity >= least
        thresholds = np.zeros(num)
        for label in np.unique(labels[kept]):
            values = np.sort(own[kept & (labels == label)])
            place = int(np.floor((1 - confidence) * len(values) + 1e-9))
            thresholds[label] = values[place]
            if values[place] < confidence:
                break
        else:
            return Region(float(least), thresholds)
    return Region(float("inf"), np.zeros(num))


def accept(region: Region, similarity: ArrayLike, outputs: ArrayLike) -> np.ndarray:
    """[rows] bool: similar enough, and the predicted class's output high enough."""
    outputs = np.asarray(outputs)
    best = outputs.argmax(axis=1)
    high = outputs.max(axis=1) >= region.thresholds[best]
    return high & (np.asarray(similarity) >= region.least)


@functools.partial(jax.jit, static_argnums=(4, 5))
def _fit(x, labels, predictions, where, num_classes, most):
    support = jnp.where(where & (labels == predictions), labels, -1)
    rows = jnp.arange(len(x))
    matches, nearest = _look(x, support, where, x, predictions, rows, most)
    mine = (labels[None] == jnp.arange(num_classes)[:, None]) & (matches > 0)[None]
    mine &= where[None]
    distances = jnp.sort(jnp.where(mine, nearest[None], jnp.inf), axis=1)
    counts = jnp.sum(mine, axis=1)
    closeness = present(_closeness(distances, counts, nearest), where)
    matches = present(matches, where)
    return SDM(x, support, distances, counts, where, matches, closeness)


@functools.partial(jax.jit, static_argnums=3)
def _measure(sdm, x, predictions, most):
    good = jnp.all(jnp.isfinite(x), axis=1)
    x = present(x, good)
    none = jnp.full(len(x), -1)  # no fitted row is the row itself
    parts = sdm.x, sdm.support, sdm.where, x, predictions, none, most
    matches, nearest = _look(*parts)
    closeness = _closeness(sdm.distances, sdm.counts, nearest)
    return present(matches, good), present(closeness, good)


def _look(bank, support, where, x, predictions, own, most):
    """[batch] runs of agreeing rows, and distances to the nearest; own is left out."""

    def of_block(block):
        x, predictions, own = block
        near = negative_squared_distance.of_pairs(x, bank)
        left_out = ~where[None] | (own[:, None] == jnp.arange(len(bank))[None])
        near, rows = lax.top_k(jnp.where(left_out, -jnp.inf, near), most)
        agree = (support[rows] == predictions[:, None]) & jnp.isfinite(near)
        run = jnp.sum(jnp.cumprod(agree, axis=1), axis=1)
        away = jnp.sum((x - bank[rows[:, 0]]) ** 2, axis=1)  # by direct difference
        return run, jnp.where(jnp.isfinite(near[:, 0]), jnp.sqrt(away), jnp.inf)

    return by_block(of_block, (x, predictions, own), size=512)


def _closeness(distances, counts, nearest):
    find = jax.vmap(lambda row: jnp.searchsorted(row, nearest, side="left"))
    below = jnp.minimum(find(distances), counts[:, None])  # [num_classes, batch]
    shares = 1 - below / jnp.maximum(counts, 1)[:, None]
    return jnp.min(jnp.where(counts[:, None] > 0, shares, 0), axis=0)
