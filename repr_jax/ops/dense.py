"""Starts of dense layers, for networks that an estimator fits."""

from collections.abc import Sequence

import jax
from jax import Array
from jax.typing import DTypeLike


def he_normal(
    key: Array,
    sizes: Sequence[int],
    *,
    dtype: DTypeLike = "float32",
    stack: Sequence[int] = (),
) -> tuple[Array, ...]:
    """Kernels N(0, 2 / inputs), [*stack, inputs, outputs] for each two sizes in turn.

    Source: He et al., "Delving Deep into Rectifiers", 2015, eq. 10,
      https://arxiv.org/abs/1502.01852.
    """
    keys = jax.random.split(key, len(sizes) - 1)
    return tuple(
        jax.random.normal(k, (*stack, n, m), dtype) * (2 / n) ** 0.5
        for k, n, m in zip(keys, sizes, sizes[1:])
    )
