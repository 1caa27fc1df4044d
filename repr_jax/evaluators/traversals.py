"""Pictures of walks through latent space, decoded into every modality at once."""

import jax
import numpy as np

from repr_jax import figures
from repr_jax.evaluators.common import (
    Evaluation,
    Picture,
    batches,
    examples,
    labels_of,
    needs,
    rows_with,
)

ALONG = (
    "Directions of latent space",
    "Each block takes the latent of one test example and moves it along one direction "
    "of large variance, from {0} standard deviations below the mean of all to {0} "
    "above; the other directions stay. The frame marks the column nearest to the "
    "example itself. A row a view. Look for what changes along a row, and whether it "
    "changes in all views alike.",
)
BETWEEN = (
    "Between two examples",
    "Each block walks in a straight line from the latent of one test example to that "
    "of another, whose decodings are the first and the last column. A row a view. Look "
    "for the place where one class becomes the other: views of one column should agree "
    "there, and look like images in between.",
)


def directions(z, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [dim], principal axes [count, dim] and standard deviations [count] of z."""
    z = np.asarray(z, np.float64)
    mean = np.mean(z, axis=0)
    _, scale, axes = np.linalg.svd(z - mean, full_matrices=False)
    return mean, axes[:count], scale[:count] / np.sqrt(len(z))


def along(z, mean, axis, spread, offsets) -> tuple[np.ndarray, int]:
    """[offset, dim], z at mean + offset * spread on the axis; which is nearest to z."""
    place = (z - mean) @ axis
    walk = z + (offsets * spread - place)[:, None] * axis
    return walk, int(np.argmin(np.abs(offsets * spread - place)))


@needs("latents", "decode")
def evaluate(
    trained,
    dataset,
    *,
    num_directions: int = 4,
    num_pairs: int = 4,
    num_steps: int = 11,
    reach: float = 2.5,
    batch_size: int = 256,
    seed: int = 0,
) -> Evaluation:
    """Draws walks along directions of large variance, and between test examples.

    Args:
      trained: Trained, with `latents`, samples [batch, dim] of the posterior of all
        that is given, and `decode`, {name: array} of the entry "z" of a batch; images
        [batch, height, width, 1 or 3] are drawn.
      dataset: Dataset; examples are of different classes, if it has a `label`.
      num_directions: principal axes of the latents of a batch of test examples.
      num_pairs: walks between examples. num_steps: > 1, columns.
      reach: > 0, standard deviations to each side of the mean.
      batch_size: random test rows that the directions are those of, at least num_steps.
      seed: of the latents.

    Returns:
      Pictures "directions" and "between", if the model decodes images. No numbers.

    Raises:
      ValueError: num_steps above batch_size or below 2; fewer than two rows with data.
    """
    if not 1 < num_steps <= batch_size:
        expected = "expected num_steps from 2 to batch_size"
        raise ValueError(f"traversals: {expected}; got {num_steps}.")
    batch = next(batches(dataset, "test", batch_size, limit=batch_size))
    key = jax.random.key(seed)
    z = np.asarray(trained.outputs["latents"](batch, key), np.float64)
    where = rows_with(batch)
    if np.sum(where) < 2:
        raise ValueError("traversals: expected two test rows or more; got fewer.")
    rows = examples(labels_of(batch, trained.prepare(batch)), where, 2 * num_pairs)
    mean, axes, spreads = directions(z[where], num_directions)
    offsets = np.linspace(-reach, reach, num_steps)
    pairs = enumerate(zip(rows[: len(rows) // 2], rows[::-1]), start=1)
    walks = {
        "directions": [
            (f"axis {n}", *along(z[rows[0]], mean, axis, spread, offsets))
            for n, (axis, spread) in enumerate(zip(axes, spreads), start=1)
        ],
        "between": [
            (f"pair {n}", np.linspace(z[a], z[b], num_steps), None)
            for n, (a, b) in pairs
        ],
    }
    text = {"directions": (ALONG[0], ALONG[1].format(reach)), "between": BETWEEN}
    pictures = {}
    for name, parts in walks.items():
        blocks = [decoded(trained, batch, key, *part) for part in parts]
        if blocks and all(blocks):
            pictures[name] = Picture(*text[name], figures.mosaic(blocks))
    return Evaluation({}, pictures)


def decoded(trained, batch, key, label, walk, own) -> list[figures.Row]:
    """A row of images for each modality of them, of latents [step, dim].

    own: the column to frame; None frames none.
    """
    padded = np.zeros((len(batch["where"]), walk.shape[1]), np.float32)
    padded[: len(walk)] = walk
    made = trained.outputs["decode"]({**batch, "z": padded}, key)
    images = {name: np.asarray(x)[: len(walk)] for name, x in made.items()}
    frames = {} if own is None else {own: figures.GIVEN}
    return [
        figures.Row(f"{label}, {name}", x, frames=frames)
        for name, x in images.items()
        if x.ndim == 4
    ]
