"""Logits of classes without any data, from the weights of a classifier."""

import numpy as np

from repr_jax.ops import checks


def class_vector_logits(kernel, bias, *, length: float) -> np.ndarray:
    """[K, K] float64: a linear classifier's logits of its own class vectors.

    logits_ij = length * w_i . w_j / |w_i| + b_j: a tree without any data (ours), of one
    row for each class. With no bias row i is of class i if no other vector reaches
    further into its direction.

    Args:
      kernel: [dim, K] float, a vector w for each class in its columns.
      bias: [K] float.
      length: > 0, of the rows, as long as the features that the classifier is used to.
        The longer, the nearer to 1 are confidences, of which `fit` keeps float32:
        where many are within 1e-7 of 1, the order of such classes is lost.

    Raises:
      ValueError: shapes do not fit, a vector is zero, or length is not above 0.
    """
    who = "class_vector_logits"
    kernel, bias = np.asarray(kernel, np.float64), np.asarray(bias, np.float64)
    checks.same_shape(who, rank=2, kernel=kernel)
    checks.shape(who, kernel.shape[1:], bias=bias)
    checks.positive(who, length=length)
    norm = np.linalg.norm(kernel, axis=0)
    if not np.all(norm > 0):
        raise ValueError(f"{who}: expected vectors; that of {norm.argmin()} is zero.")
    return length * (kernel / norm).T @ kernel + bias
