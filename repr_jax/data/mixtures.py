"""Points of mixtures of Gaussians in the plane, whose modes can be counted."""

import numpy as np

from repr_jax.data.dataset import SPLITS, Dataset, check_seed, of_rows
from repr_jax.ops import checks


def ring_centers(num_modes: int = 8, radius: float = 2.0) -> np.ndarray:
    """[num_modes, 2] float32: the means of `ring`, the first at (radius, 0)."""
    angle = 2 * np.pi * np.arange(num_modes) / num_modes
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def ring(
    *,
    num_modes: int = 8,
    radius: float = 2.0,
    spread: float = 0.02,
    num_examples: int = 10_000,
    seed: int = 0,
) -> Dataset:
    """Gaussians of one width, their means evenly spaced on a circle.

    A batch has "x" float32 [batch, 2], "label" int32 [batch], the mode, and in
    evaluation "where" bool [batch].

    Args:
      num_modes: >= 1. radius: > 0, of the circle.
      spread: > 0, the standard deviation of each coordinate.
      num_examples: >= 1, rows of each split.

    Raises:
      ValueError, TypeError: a number out of range.
    """
    who = "mixtures.ring"
    checks.count(who, num_modes=num_modes, num_examples=num_examples)
    checks.positive(who, radius=radius, spread=spread)
    check_seed(who, seed)
    centers, points, labels = ring_centers(num_modes, radius), {}, {}
    for number, split in enumerate(SPLITS):
        rng = np.random.default_rng((seed, number))
        labels[split] = rng.integers(num_modes, size=num_examples).astype(np.int32)
        noise = spread * rng.normal(size=(num_examples, 2)).astype(np.float32)
        points[split] = centers[labels[split]] + noise

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {"x": points[split][rows], "label": labels[split][rows]}

    return of_rows(who, take, dict.fromkeys(SPLITS, num_examples), seed=seed)
