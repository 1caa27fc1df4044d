"""Which factors can be read off the encodings of pictures and of sentences.

As `latents`, for data whose factors are named one by one, some of them classes. Probes
are fitted to the evaluated split "train", on encodings standardized by it, and scored
on the test split, with the running means of batch normalization.

Source: protocol of Daunhawer et al., "Identifiability Results for Multimodal
  Contrastive Learning", 2023, https://arxiv.org/abs/2303.09166, code. There the
  networks stay in training mode while they are probed, and a network classifies where
  kernel regression does here.
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from repr_jax import metrics
from repr_jax.data.multimodal3dident import CONTINUOUS, NUM_CLASSES
from repr_jax.estimators import kernel_ridge
from repr_jax.evaluators import latents, linear_probe
from repr_jax.evaluators.common import Evaluation, needs
from repr_jax.ops.numerics import argmax, l2_normalize


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
        linear = linear_probe.score(x, fit[1][name], x_test, truth)
        found[f"{name}/linear"] = linear.accuracy
        numbers = kernel_ridge.best(search, column)
        scores = {"kernel": latents.kernel(x[some], code[some], x_test, *numbers)}
        if network_steps:
            scores["network"] = of_network[:, column]
        for probe, score in scores.items():
            right = np.asarray(argmax(np.asarray(score))) == truth
            found[f"{name}/{probe}"] = float(np.mean(right))
    return found


def share_of_groups(values: np.ndarray, groups: np.ndarray) -> float:
    """`metrics.r2` of predicting values by the mean of their group; both [rows]."""
    count = np.bincount(groups)
    means = np.bincount(groups, values) / np.maximum(count, 1)
    return float(metrics.r2(means[groups].astype(values.dtype), values))


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
      classes, in [0, 1], one in so many by chance; and "given_xpos/object_color", the
      R2 of the hue given the place on the x axis: 8/9 if the data's hue depends on it,
      else 0. An encoding of the content alone cannot tell more of the hue.
    """
    options = dict(
        kernel_rows=kernel_rows,
        num_rounds=num_rounds,
        network_steps=network_steps,
        seed=seed,
    )
    rows = dict(max_fit=max_fit, max_test=max_test, batch_size=batch_size)
    targets = (*continuous, *num_classes)
    r2, accuracy, given = {}, {}, {}
    for name, *both in latents.encoded(trained, dataset, targets, **rows):
        if unit_length:
            both = [(np.asarray(l2_normalize(x)), y) for x, y in both]
        scores = latents.probes(
            *map(functools.partial(only, continuous), both), **options
        )
        r2 |= {f"{name}/{key}": value for key, value in scores.items()}
        scores = class_probes(*both, num_classes=num_classes, **options)
        accuracy |= {f"{name}/{key}": value for key, value in scores.items()}
        of_test = both[1][1]
        if {"object_color", "object_xpos"} <= set(of_test):
            share = share_of_groups(of_test["object_color"], of_test["object_xpos"])
            given["given_xpos/object_color"] = share
    return summary(r2, accuracy, given, num_classes)


def only(names, encoding):
    """The encoding and these of its targets, as columns [rows, 1]."""
    x, y = encoding
    return x, {name: y[name][:, None] for name in names}


def summary(r2, accuracy, given, num_classes) -> Evaluation:
    """Numbers with their chance levels, and a table for each of two kinds of score."""
    chance = {f"r2/{key}": 0.0 for key in r2}
    chance |= {
        f"accuracy/{key}": 1 / num_classes[key.split("/")[1]] for key in accuracy
    }
    numbers = {f"r2/{key}": value for key, value in r2.items()}
    numbers |= {f"accuracy/{key}": value for key, value in accuracy.items()}
    tables = []
    if accuracy:
        levels = ", ".join(f"{1 / n:.3f} ({name})" for name, n in num_classes.items())
        note = (
            "Accuracy on test examples of telling the class of a factor from the "
            f"encoding of one modality. Chance: {levels}."
        )
        tables.append(latents.by_factor("Factors that are classes", note, accuracy))
    if r2:
        note = latents.ABOUT
        if given:
            (share,) = given.values()
            note += f" The place on the x axis alone tells {share:.3f} of object_color."
        tables.append(latents.by_factor("Factors that are numbers", note, r2))
    first = next(iter(num_classes), None)
    headline = [key for key in numbers if key.endswith(f"/{first}/kernel")]
    return Evaluation(numbers | given, {}, tables, chance, headline)
