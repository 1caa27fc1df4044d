"""How often classes are right. Classes are integers; `where` marks present rows."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where, masked_mean
from repr_jax.ops.numerics import same_class


def accuracy(
    predictions: Array,
    labels: Array,
    *,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Fraction of examples whose predicted class is their label.

    Args:
      predictions: [batch] int.
      labels: [batch] int.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in [0, 1], 1 is all right; 0 if no row is present.

    Raises:
      ValueError: the two differ in shape or are not [batch].
      TypeError: floats; a `where` that is not bool.
    """
    checks.same_shape("accuracy", rank=1, predictions=predictions, labels=labels)
    checks.integers("accuracy", predictions=predictions, labels=labels)
    where = checked_where("accuracy", where, jnp.shape(labels))
    right = same_class(predictions, labels).astype(jnp.float32)
    return masked_mean(right, where=where, axis_name=axis_name)


def macro_accuracy(
    predictions: Array,
    labels: Array,
    *,
    where: Array | None = None,
) -> float:
    """Mean over the classes of the labels of each one's `accuracy`; on the host.

    Args:
      predictions, labels, where: as in `accuracy`.

    Returns:
      in [0, 1], 1 is all right; 1 / C for one guess for all, of C classes, however
      unequal. A class that is no present row's label does not count; 0 of no row.

    Raises:
      as `accuracy`.
    """
    checks.same_shape("macro_accuracy", rank=1, predictions=predictions, labels=labels)
    checks.integers("macro_accuracy", predictions=predictions, labels=labels)
    where = np.asarray(checked_where("macro_accuracy", where, jnp.shape(labels)))
    predictions, labels = np.asarray(predictions)[where], np.asarray(labels)[where]
    rates = [np.mean(predictions[labels == c] == c) for c in np.unique(labels)]
    return float(np.mean(rates)) if rates else 0.0


def agreement(
    predictions: Array, *, where: Array | None = None, axis_name: str | None = None
) -> Array:
    """Fraction of examples on which all judges name the same class.

    Args:
      predictions: [judge, batch] int, what each judge says.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in [0, 1], 1 is full agreement. Judges that guess uniformly
      among C classes give C^-(judges - 1); 0 if no row is present.

    Raises:
      ValueError: predictions is not [judge, batch].
      TypeError: floats; a `where` that is not bool.
    """
    checks.same_shape("agreement", rank=2, predictions=predictions)
    checks.integers("agreement", predictions=predictions)
    where = checked_where("agreement", where, jnp.shape(predictions)[1:])
    same = jnp.all(same_class(predictions, predictions[:1]), axis=0).astype(jnp.float32)
    return masked_mean(same, where=where, axis_name=axis_name)
