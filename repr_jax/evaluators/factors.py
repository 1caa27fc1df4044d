"""Which factors can be read off the encodings of pictures and of sentences.

As `latents`, for data whose factors are named one by one, some of them classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from repr_jax.data.multimodal3dident import CONTINUOUS, NUM_CLASSES
from repr_jax.estimators import kernel_ridge
from repr_jax.evaluators import latents, linear_probe
from repr_jax.evaluators.common import Evaluation, collect_targets, needs, subsets
from repr_jax.ops.numerics import l2_normalize


def class_probes(
    fit, test, *, num_classes, kernel_rows, num_rounds, network_steps, seed
):
    """{"factor/probe": test accuracy}; fit, test: (x, dict of classes) of an encoding.

    Three probes: multinomial logistic regression; the class of the largest prediction
    of Gaussian kernel ridge regression to one-hot codes, its gamma and penalty chosen
    as in `latents`; likewise a small network on request.
    """
    x, x_test = latents.standardized(fit[0], test[0])
    codes = [np.eye(n)[fit[1][name]] for name, n in num_classes.items()]
    y = np.concatenate(codes, axis=1)
    ends = np.cumsum([code.shape[1] for code in codes])
    some = np.random.default_rng(seed).permutation(len(x))[:kernel_rows]
    search = kernel_ridge.search(x[some], y[some], num_rounds=num_rounds)
    if network_steps:
        of_network = latents.network(x, y, x_test, num_steps=network_steps, seed=seed)
    found = {}
    for name, code, end in zip(num_classes, codes, ends):
        column, truth = slice(end - code.shape[1], end), test[1][name]
        found[f"{name}/linear"] = linear_probe.score(x, fit[1][name], x_test, truth)
        numbers = kernel_ridge.best(search, column)
        scores = {"kernel": latents.kernel(x[some], code[some], x_test, *numbers)}
        if network_steps:
            scores["network"] = of_network[:, column]
        for probe, score in scores.items():
            right = np.argmax(np.asarray(score), axis=1) == truth
            found[f"{name}/{probe}"] = float(np.mean(right))
    return found


def share_of_groups(values: np.ndarray, groups: np.ndarray) -> float:
    """R2 of predicting values by the mean of their group; both [rows]."""
    total = np.var(values)
    count = np.bincount(groups)
    means = np.bincount(groups, values) / np.maximum(count, 1)
    return float(1 - np.mean((values - means[groups]) ** 2) / total)


@needs("represent")
def evaluate(
    trained,
    dataset,
    *,
    continuous: Sequence[str] = CONTINUOUS,
    num_classes: Mapping[str, int] = NUM_CLASSES,
    max_fit: int = 10_000,
    max_test: int = 10_000,
    kernel_rows: int = 1_500,
    num_rounds: int = 1,
    network_steps: int = 0,
    unit_length: bool = False,
    batch_size: int = 256,
    seed: int = 0,
) -> Evaluation:
    """What probes can tell of every factor, from each modality's encoding alone.

    Probes are fitted to the evaluated split "train", on encodings standardised by it,
    and scored on the test split, with the running means of batch normalization.

    Args:
      trained: Trained, with modalities.
      dataset: Dataset whose batches have the factors, [batch] each.
      continuous: names of factors that are numbers.
      num_classes: by name, of factors that are classes.
      max_fit, max_test: rows of the splits that are used.
      kernel_rows, num_rounds, network_steps, seed: see `latents.evaluate`.
      unit_length: scales encodings to length 1 beforehand. A loss of cosines sees no
        more of them, so their length may tell of anything.
      batch_size: rows encoded at a time.

    Returns:
      "r2/image/object_color/linear", "r2/image/object_color/kernel", ... of continuous
      factors, at most 1, 0 by chance; "accuracy/text/object_shape/linear", ... of
      classes, in [0, 1]; "chance/object_shape", ..., one in so many classes; and
      "given_xpos/object_color", the R2 of the hue given the place on the x axis: 8/9
      if the data's hue depends on it, else 0. An encoding of the content alone cannot
      tell more of the hue.

    Source: protocol of Daunhawer et al., "Identifiability Results for Multimodal
      Contrastive Learning", 2023, https://arxiv.org/abs/2303.09166, code. There the
      networks stay in training mode while they are probed, and a network classifies
      where kernel regression does here.
    """
    options = dict(
        kernel_rows=kernel_rows,
        num_rounds=num_rounds,
        network_steps=network_steps,
        seed=seed,
    )
    targets = (*continuous, *num_classes)
    found = {f"chance/{name}": 1.0 / n for name, n in num_classes.items()}
    for modality, present in subsets(trained.modalities).items():
        if np.sum(present) > 1:
            continue
        both = []
        for split, limit in (("train", max_fit), ("test", max_test)):
            both.append(
                collect_targets(
                    trained, dataset, split, batch_size, targets, present, limit
                )
            )
        if unit_length:
            both = [(np.asarray(l2_normalize(x)), y) for x, y in both]
        numbers = [
            (x, {name: y[name][:, None] for name in continuous}) for x, y in both
        ]
        scores = latents.probes(*numbers, **options)
        found |= {f"r2/{modality}/{key}": value for key, value in scores.items()}
        scores = class_probes(*both, num_classes=num_classes, **options)
        found |= {f"accuracy/{modality}/{key}": value for key, value in scores.items()}
    of_test = both[1][1]
    if {"object_color", "object_xpos"} <= set(of_test):
        found["given_xpos/object_color"] = share_of_groups(
            of_test["object_color"], of_test["object_xpos"]
        )
    return Evaluation(found)
