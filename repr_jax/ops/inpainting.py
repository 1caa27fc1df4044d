"""Anomalies as what an inpainting network would not have painted, and masks for it."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float


def inpaint_iterations(
    inpaint: Callable[[Array, Array], Array],
    images: Array,
    *,
    threshold: float | Array,
    num_rounds: int = 5,
) -> tuple[Array, Array]:
    """Masks what differs from the inpainted image, and inpaints again without it.

    From the empty mask: painted = inpaint(images (1 - mask), mask), then mask = |images
    - painted| > threshold, num_rounds times. Each mask replaces the one before; the
    rounds, and the union or replacement of masks, are our reading.

    Args:
      inpaint: images with zeros where masked, and the bool mask, -> images.
      images: [...] float.
      threshold: of the residual; our reading takes the 97.5 % quantile in training.
      num_rounds: >= 1.

    Returns:
      mask, bool as images; |images - painted| of the last round, the score of a pixel.

    Source: Astaraki et al., "AutoPaint: A Self-Inpainting Method for Unsupervised
      Anomaly Detection", 2023, https://arxiv.org/abs/2305.12358.
    """
    checks.floating("inpaint_iterations", images=images)
    checks.count("inpaint_iterations", num_rounds=num_rounds)
    images = to_float(images)
    mask = jnp.zeros(images.shape, bool)
    for _ in range(num_rounds):
        painted = inpaint(jnp.where(mask, 0, images), mask)
        residual = jnp.abs(images - painted)
        mask = residual > threshold
    return mask, residual


def checkerboards(num: int, height: int, width: int, *, block: int = 8) -> np.ndarray:
    """[num, height, width] bool of blocks in turn, the colors swapped in every second.

    True is what is known: of two boards that follow each other, each pixel is in one.

    Args:
      num, height, width: >= 1.
      block: >= 1, pixels on a side; blocks at the lower and right edges may be cut.

    Source: Liu et al., "Unsupervised Out-of-Distribution Detection with Diffusion
      Inpainting", 2023, https://arxiv.org/abs/2302.10326: 8 x 8 blocks, 10 boards.
    """
    checks.count("checkerboards", num=num, height=height, width=width, block=block)
    row, column = np.indices((height, width)) // block
    board = np.arange(num)[:, None, None] + (row + column)[None]
    return board % 2 == 0
