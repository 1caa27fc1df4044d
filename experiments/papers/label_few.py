"""A few labels a class, and many rows without: the part `few` of `imperfect_labels`.

All methods see the same rows. The graph and kernel methods compare rows by pixels or by
features that SimCLR learned from the same rows without labels, of unit length. With d
the median squared distance of a row to its tenth neighbor, gamma is 1 / d, and 10 / d
of label propagation, whose widths on digits are as narrow in Zhou et al. (from memory);
at 1 / d a trial on 400 rows took all digits for one class.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers import label_training as training
from experiments.papers.checks import toys
from experiments.papers.label_training import Data, Method
from repr_jax import losses, metrics
from repr_jax.data import augment
from repr_jax.estimators import (
    label_propagation,
    logistic,
    low_density,
    spectral_kernel,
)
from repr_jax.ops.similarity import negative_squared_distance

SETTINGS = {"1 label": 1, "2 labels": 2, "5 labels": 5, "10 labels": 10}  # a class
LABELED, UNLABELED = 64, 192  # rows of a step
NEIGHBOR = 10


def weak(key, x):
    """Digits moved by up to a pixel."""
    return _moved(key, x, shift=0.07, zoom=0.0, contrast=0.0)


def strong(key, x):
    """Digits moved, zoomed and changed in contrast, a fifth of the pixels 0."""
    keys = jax.random.split(key)
    x = _moved(keys[0], x, shift=0.15, zoom=0.3, contrast=0.5)
    return jnp.where(jax.random.bernoulli(keys[1], 0.2, x.shape), 0.0, x)


def _moved(key, x, **numbers):
    images = x.reshape(len(x), 14, 14, 1)
    moved = augment.jitter(key, images, brightness=0.0, fill=0.0, **numbers)
    return moved.reshape(x.shape)


def _of_labels(params, rows, key):
    keys = jax.random.split(key)
    x, y = training.draw(keys[0], rows, LABELED)
    return losses.cross_entropy(toys.apply(params, weak(keys[1], x)), y)


def _supervised(params, extras, rows, key, progress):
    return _of_labels(params, rows, key)


def _with_views(params, extras, rows, key, progress, other_view):
    """Rows without labels are all rows: whether one has a label is not looked at."""
    keys = jax.random.split(key, 4)
    (x,) = toys.batch(keys[0], rows.x, size=UNLABELED)
    view = weak(keys[1], x)
    other = view if other_view is None else other_view(keys[2], x)
    logits, of_other = (toys.apply(params, v) for v in (view, other))
    return _of_labels(params, rows, keys[3]) + losses.fixmatch(logits, of_other)


NETWORKS = {
    "cross-entropy": Method(_supervised),
    "pseudo-labels": Method(functools.partial(_with_views, other_view=None)),
    "FixMatch": Method(functools.partial(_with_views, other_view=strong)),
}


def probe(x, labels, test_x) -> np.ndarray:
    """Classes by a logistic regression on the labeled rows alone."""
    known = labels >= 0
    fitted = logistic.fit(x[known], labels[known], num_classes=10)
    return logistic.predict(fitted, test_x)


def propagation(x, labels, test_x) -> np.ndarray:
    """Classes by `estimators.label_propagation`."""
    fitted = label_propagation.fit(x, labels, num_classes=10, gamma=10 * gamma_of(x))
    return label_propagation.predict(fitted, test_x)


def spectral(x, labels, test_x) -> np.ndarray:
    """Classes by `estimators.spectral_kernel`, with the inverse Laplacian."""
    known = labels >= 0
    y = np.float32(np.eye(10)[labels] - 0.1)
    transform = spectral_kernel.inverse_laplacian
    options = dict(transform=transform, gamma=gamma_of(x))
    fitted = spectral_kernel.fit(x, known, y, **options)
    return np.argmax(np.asarray(spectral_kernel.predict(fitted, test_x)), axis=1)


def hyperplanes(x, labels, test_x) -> np.ndarray:
    """Classes by `estimators.low_density`, one against the rest."""
    known, scores = labels >= 0, []
    for digit in range(10):
        signs = np.where(known, np.where(labels == digit, 1, -1), 0)
        fitted = low_density.fit(x, signs, steps_per_round=50)
        scores.append(low_density.score(fitted, test_x))
    return np.argmax(np.stack(scores), axis=0)


PIXELS, FEATURES = "pixels", "SimCLR"
FITTED: dict[str, tuple[Callable, str]] = {
    f"{name}, {what}": (function, what)
    for what in (PIXELS, FEATURES)
    for name, function in {
        "logistic regression": probe,
        "label propagation": propagation,
        "spectral kernel": spectral,
    }.items()
} | {f"low density, {FEATURES}": (hyperplanes, FEATURES)}
METHODS = (*NETWORKS, *FITTED)


def gamma_of(x) -> float:
    """1 / d, see the module."""
    squares = -np.asarray(negative_squared_distance.of_pairs(x, x))
    place = min(NEIGHBOR, len(x) - 1)  # the nearest is the row itself
    return float(1 / np.median(np.partition(squares, place, axis=1)[:, place]))


def labeled(y, count: int, seed: int) -> np.ndarray:
    """[batch] bool, `count` rows of each class."""
    order = np.random.default_rng((seed, 1)).permutation(len(y))
    found = np.zeros(len(y), bool)
    for digit in range(10):
        found[order[y[order] == digit][:count]] = True
    return found


def measure(
    setting: str, seed: int, data: Data, *, data_dir: str, num_steps: int, folder
) -> dict[str, float]:
    """Accuracies of all methods with so many labels. Writes nothing in the folder."""
    known = labeled(data.y, SETTINGS[setting], seed)
    rows, found = training.rows_of(data.x, data.y, known), {}
    for name, method in NETWORKS.items():
        params = training.train(seed, rows, method, num_steps=num_steps)
        found[name] = training.predictions(method, params, data.test_x)
    network = training.without_labels(seed, data_dir, len(data.x), num_steps)
    inputs = {PIXELS: (data.x, data.test_x)}
    inputs[FEATURES] = tuple(
        toys.unit(np.asarray(toys.hidden(network, x))) for x in inputs[PIXELS]
    )
    labels = np.where(known, data.y, -1)
    for name, (function, what) in FITTED.items():
        x, test_x = inputs[what]
        found[name] = np.asarray(function(x, labels, test_x))
    return {
        f"accuracy/{name}": float(metrics.accuracy(told, data.test_y))
        for name, told in found.items()
    }
