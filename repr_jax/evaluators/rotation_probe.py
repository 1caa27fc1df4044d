"""Can a linear probe tell how an image was turned? It ranks encoders without labels."""

import numpy as np

from repr_jax.data.pretext import rotations
from repr_jax.evaluators import linear_probe
from repr_jax.evaluators.common import Evaluation, Table, batches, needs

TURNS = 4


@needs("represent")
def evaluate(
    trained,
    dataset,
    *,
    image: str = "image",
    max_train: int = 2_000,
    max_test: int | None = 2_000,
    inverse_penalty: float = 1.0,
    batch_size: int = 256,
) -> Evaluation:
    """Accuracy on turned test images of a linear classifier of frozen features.

    Encoders trained with different augmentations are ranked by it (`metrics.spearman`
    with a labeled probe says how well). Leave out those trained on turned images, which
    make the probe worse whatever they are worth; a 6 and a 9, or a 0, cannot be told.

    Args:
      trained: Trained.
      dataset: Dataset with square images.
      image: the entry of a batch that is [batch, side, side, channels].
      max_train, max_test: images, drawn at random, each turned four ways; None for all.
      inverse_penalty, batch_size: as in `linear_probe`.

    Returns:
      "accuracy", in [0, 1]; chance is 1/4.

    Source: Reed et al., "SelfAugment: Automatic Augmentation Policies for
      Self-Supervised Learning", 2021, https://arxiv.org/abs/2009.07724.
    """

    def features(split, limit):
        x, y = [], []
        for batch in batches(dataset, split, batch_size, limit=limit):
            where, num = np.asarray(batch["where"]), len(batch["where"])
            images, turns = (np.asarray(a) for a in rotations(batch[image]))
            for turn in range(TURNS):
                rows = slice(turn * num, (turn + 1) * num)
                found = trained.outputs["represent"]({**batch, image: images[rows]})
                x.append(np.asarray(found, np.float32)[where])
                y.append(turns[rows][where])
        return np.concatenate(x), np.concatenate(y)

    train, test = features("train", max_train), features("test", max_test)
    score = linear_probe.score(*train, *test, inverse_penalty=inverse_penalty)
    note = "Accuracy of a linear classifier of the four rotations of test images."
    note += linear_probe.unfinished([score])
    rows = [("rotations", score.accuracy, 1 / TURNS)]
    table = Table("Rotation probe", note, ("", "accuracy", "chance"), rows)
    numbers, chance = {"accuracy": score.accuracy}, {"accuracy": 1 / TURNS}
    return Evaluation(numbers, {}, (table,), chance, ("accuracy",))
