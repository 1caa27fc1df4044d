"""Which modes of a known mixture a generator covers, and how closely."""

from collections.abc import Callable

import jax
import numpy as np

from repr_jax import figures, metrics
from repr_jax.evaluators.common import Evaluation, Picture, batches, needs


@needs("generate")
def evaluate(
    trained,
    dataset,
    *,
    centers: Callable,
    radius: float,
    entry: str = "x",
    num_samples: int = 2_500,
    batch_size: int = 256,
    seed: int = 0,
) -> Evaluation:
    """Counts generated samples near the modes of the mixture that made the data.

    Args:
      trained: Trained, which generates points in the plane.
      dataset: Dataset.
      centers: () -> [num_modes, 2], such as `mixtures.ring_centers`.
      radius: > 0, within which a sample is near: see `metrics.near_a_mode`.
      entry: name of what is generated.
      num_samples: >= 1, how many are drawn.
      batch_size: rows at a time.
      seed: of the noise.

    Returns:
      "modes", of those that have one sample or more nearby; "high_quality", the share
      of samples that are near one, in [0, 1]; higher is better for both. A picture of
      real and generated points.
    """
    centers = np.asarray(centers())
    real = next(batches(dataset, "test", num_samples, limit=num_samples))
    template = next(batches(dataset, "test", batch_size, limit=batch_size))
    made = []
    for n in range(-(-num_samples // batch_size)):
        key = jax.random.fold_in(jax.random.key(seed), n)
        made.append(np.asarray(trained.outputs["generate"](template, key)[entry]))
    made = np.concatenate(made)[:num_samples]
    counts = np.asarray(metrics.near_a_mode(made, centers, radius=radius))
    numbers = {
        "modes": float(np.sum(counts > 0)),
        "high_quality": float(np.sum(counts) / len(made)),
    }
    points = {"real": real[entry][real["where"]], "generated": made}
    caption = (
        "Test examples and as many generated ones. Every cluster of the real points "
        "should have generated ones, and none should lie in between."
    )
    picture = Picture("Generated points", caption, figures.plane(points))
    return Evaluation(numbers, {"points": picture}, headline=tuple(numbers))
