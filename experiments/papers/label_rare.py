"""Rare classes: the part `rare` of `imperfect_labels`.

Classes have n, n r^(-1/9), ..., n / r rows, r the imbalance; which digits are rare is
drawn with the seed. Test digits are of all classes alike.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers import label_training as training
from experiments.papers.checks import toys
from experiments.papers.label_training import (
    CROSS_ENTROPY,
    RELATIONS,
    Data,
    Method,
    Rows,
    of_logits,
)
from repr_jax import losses, metrics
from repr_jax.estimators import logistic
from repr_jax.ops import class_weights, label_mixing
from repr_jax.ops.numerics import one_hot

SETTINGS = {"imbalance 10": 10, "imbalance 100": 100}
GROUPS = {"head": slice(0, 3), "middle": slice(3, 7), "tail": slice(7, 10)}
COLUMNS = ("balanced", *GROUPS)
BETA = 0.9999  # of effective numbers
DEFERRED = 0.8  # of the steps, after which LDAM's weights count
PLAIN, RELATED = "cross-entropy", "relation distillation"
ADJUSTED = "cross-entropy, logits adjusted afterwards"
REFITTED = "{}, balanced head refitted"


def each(loss, x, y):
    """[batch] values of a loss that is a mean over the rows."""
    return jax.vmap(lambda a, b: loss(a[None], b[None]))(x, y)


def weighted(values, weights, y):
    """Their mean, weighted by class."""
    return jnp.sum(values * weights[y]) / jnp.sum(weights[y])


def _weighted(params, extras, rows, key, progress):
    x, y = training.draw(key, rows)
    weights = class_weights.effective_number(rows.counts, BETA)
    values = each(losses.cross_entropy, toys.apply(params, x), y)
    return weighted(values, weights, y)


def _focal(params, extras, rows, key, progress):
    """Of each class against the rest, summed over the classes."""
    x, y = training.draw(key, rows)
    logits, targets = toys.apply(params, x), one_hot(y, 10, dtype=bool)
    return 10 * losses.focal_binary(logits.ravel(), targets.ravel())


def _adjusted(params, extras, rows, key, progress):
    x, y = training.draw(key, rows)
    return losses.logit_adjusted(toys.apply(params, x), y, rows.counts)


def _no_margin(params, extras, rows, key, progress):
    x, y = training.draw(key, rows)
    return losses.cross_entropy(30 * training.cosines(params, x), y)  # LDAM's scale


def _ldam(params, extras, rows, key, progress, deferred):
    x, y = training.draw(key, rows)
    weights = class_weights.effective_number(rows.counts, BETA)
    weights = jnp.where(progress < deferred, 1.0, weights)

    def loss(cosines, labels):
        return losses.ldam(cosines, labels, rows.counts)

    return weighted(each(loss, training.cosines(params, x), y), weights, y)


def _spliced(params, extras, rows, key, progress):
    """Upper halves of digits on lower halves of others; the rarer label wins."""
    keys = jax.random.split(key)
    x, y = training.draw(keys[0], rows)
    other, other_y = training.draw(keys[1], rows)
    images, others = (rows.reshape(-1, 14, 14) for rows in (x, other))
    x = label_mixing.splice(images, others, jnp.arange(14) < 7, axis=1)
    share = label_mixing.rebalanced_share(rows.counts, y, other_y)
    own, of_other = (one_hot(labels, 10, dtype=x.dtype) for labels in (y, other_y))
    targets = share[:, None] * own + (1 - share)[:, None] * of_other
    return losses.soft_cross_entropy(toys.apply(params, x.reshape(-1, 196)), targets)


TRAINED = {
    PLAIN: CROSS_ENTROPY,
    "classes drawn alike": of_logits(losses.cross_entropy, training.draw_balanced),
    "classes weighted by effective number": Method(_weighted),
    "focal, one class against the rest": Method(_focal),
    "logit-adjusted (balanced softmax)": Method(_adjusted),
    "cosines without a margin": Method(_no_margin, training.cosines),
    "LDAM": Method(functools.partial(_ldam, deferred=1.0), training.cosines),
    "LDAM, deferred weights": Method(
        functools.partial(_ldam, deferred=DEFERRED), training.cosines
    ),
    "spliced halves, the rarer label wins": Method(_spliced),
    RELATED: RELATIONS,
}
METHODS = (
    *TRAINED,
    ADJUSTED,
    REFITTED.format(PLAIN),
    REFITTED.format(RELATED),
)


def long_tailed(y, imbalance: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """[batch] bool, the rows that are kept; [10] classes, the most frequent first."""
    rng = np.random.default_rng((seed, 1))
    classes, order = rng.permutation(10), rng.permutation(len(y))
    most, kept = np.bincount(y, minlength=10).min(), np.zeros(len(y), bool)
    for place, digit in enumerate(classes):
        count = max(1, round(most * imbalance ** (-place / 9)))
        kept[order[y[order] == digit][:count]] = True
    return kept, classes


def refitted(params, rows: Rows, test_x) -> np.ndarray:
    """Classes by a logistic regression on the features, all classes of one weight."""
    kept = rows.order[: int(rows.counts.sum())]
    x, y = toys.hidden(params, rows.x[kept]), rows.y[kept]
    weights = (len(y) / 10 / rows.counts)[y]
    head = logistic.fit(x, y, num_classes=10, weights=weights)
    return np.asarray(logistic.predict(head, toys.hidden(params, test_x)))


def scores(told, data: Data, classes) -> dict[str, float]:
    """The numbers of COLUMNS."""
    found = {"balanced": metrics.macro_accuracy(told, data.test_y)}
    for name, places in GROUPS.items():
        some = np.isin(data.test_y, classes[places])
        found[name] = metrics.macro_accuracy(told[some], data.test_y[some])
    return found


def measure(
    setting: str, seed: int, data: Data, *, data_dir: str, num_steps: int, folder
) -> dict[str, float]:
    """Every number of an imbalance and seed. Writes nothing in the folder."""
    kept, classes = long_tailed(data.y, SETTINGS[setting], seed)
    rows, networks, told = training.rows_of(data.x, data.y, kept), {}, {}
    for name, method in TRAINED.items():
        networks[name] = training.train(seed, rows, method, num_steps=num_steps)
        told[name] = training.predictions(method, networks[name], data.test_x)
    shares = np.asarray(rows.counts / rows.counts.sum())
    logits = np.asarray(toys.apply(networks[PLAIN], data.test_x))
    told[ADJUSTED] = np.argmax(logits - np.log(shares), axis=1)
    for name in (PLAIN, RELATED):
        told[REFITTED.format(name)] = refitted(networks[name], rows, data.test_x)
    return {
        f"{column}/{name}": value
        for name in METHODS
        for column, value in scores(told[name], data, classes).items()
    }
