"""One small classifier of digits, trained by whatever loss a method has.

Dense layers on 14 x 14 pixels: a run is one compiled loop, so that a table of methods
takes minutes. Rows are drawn from a list of those that are kept, so that leaving rows
out compiles nothing again.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.papers.checks import toys
from repr_jax import losses, optim
from repr_jax.ops import ema
from repr_jax.ops.numerics import l2_normalize, pairwise_dot

WIDTHS = (196, 256, 128, 10)
BATCH_SIZE = 128
PEAK = 1e-3  # of Adam's rate, which falls to 0


class Data(NamedTuple):
    """Digits with their true labels, rows flat."""

    x: np.ndarray  # [train, 196]
    y: np.ndarray  # [train]
    test_x: np.ndarray  # [test, 196]
    test_y: np.ndarray  # [test]


class Rows(NamedTuple):
    """What is trained on."""

    x: Array  # [batch, 196]
    y: Array  # [batch] int, as given
    order: Array  # [batch] int, rows that are kept first, those of a class together
    counts: Array  # [10] int, kept rows of each class


class Method(NamedTuple):
    """An objective, and how the trained network is asked. Hashable: compiled once."""

    objective: Callable  # (params, extras, rows, key, progress in [0, 1)) -> a number
    answer: Callable = toys.apply  # (params, x) -> [batch, 10], the largest is chosen
    start: Callable = lambda params: ()  # extras of the first parameters
    after_update: Callable | None = None  # as of `optim.descend`


def load(data_dir: str, num_train: int | None, num_test: int | None) -> Data:
    """The first digits of the package's, or of all in data_dir; None for all of them.

    Raises:
      FileNotFoundError: MNIST is not prepared in data_dir.
    """
    found = []
    for split, limit in (("train", num_train), ("test", num_test)):
        x, y = toys.digits(split, data_dir=data_dir)
        found += toys.some(x, y, range(10), len(x) if limit is None else limit)
    return Data(*found)


def rows_of(x, y, kept=None) -> Rows:
    """Rows with given labels, of which those where `kept` ([batch] bool) are drawn."""
    kept = np.ones(len(y), bool) if kept is None else np.asarray(kept)
    order = np.lexsort((y, ~kept))
    counts = np.bincount(y[kept], minlength=WIDTHS[-1])
    return Rows(*map(jnp.asarray, (x, y, order, counts)))


def draw(key: Array, rows: Rows, size: int = BATCH_SIZE) -> tuple[Array, Array]:
    """Random kept rows and their labels."""
    places = jax.random.randint(key, (size,), 0, jnp.sum(rows.counts))
    chosen = rows.order[places]
    return rows.x[chosen], rows.y[chosen]


def draw_balanced(key: Array, rows: Rows) -> tuple[Array, Array]:
    """As `draw`, each class as often, which must have a row."""
    class_key, row_key = jax.random.split(key)
    classes = jax.random.randint(class_key, (BATCH_SIZE,), 0, len(rows.counts))
    within = jax.random.uniform(row_key, (BATCH_SIZE,)) * rows.counts[classes]
    before = jnp.cumsum(rows.counts) - rows.counts
    chosen = rows.order[before[classes] + within.astype(jnp.int32)]
    return rows.x[chosen], rows.y[chosen]


@functools.partial(jax.jit, static_argnames=("method", "num_steps"))
def train(seed: Array, rows: Rows, method: Method, *, num_steps: int):
    """The parameters after `num_steps` updates: layers of `toys.dense`."""
    start_key, key = jax.random.split(jax.random.key(seed))
    params = toys.dense(start_key, WIDTHS)
    optimizer = optim.adam_cosine(peak=PEAK, num_steps=num_steps)
    extras = method.start(params)
    state = optim.start_descent(params, optimizer, num_steps=num_steps, extras=extras)

    def loss(params, extras, key, step):
        return method.objective(params, extras, rows, key, step / num_steps), extras

    return optim.descend(
        loss,
        state,
        key=key,
        optimizer=optimizer,
        until=num_steps,
        after_update=method.after_update,
    ).params


@functools.lru_cache(maxsize=1)
def without_labels(seed: int, data_dir: str, num_rows: int | None, num_steps: int):
    """The parameters of a network that SimCLR trained on the first digits."""
    images, _ = toys.digits("train", data_dir=data_dir)
    return toys.simclr(seed, images[:num_rows], num_steps)


def predictions(method: Method, params, x) -> np.ndarray:
    """[batch] classes."""
    return np.argmax(np.asarray(jax.jit(method.answer)(params, x)), axis=1)


def cosines(params, x) -> Array:
    """[batch, 10], of the layer before the last and the columns of the last kernel."""
    units, (kernel, _) = toys.hidden(params, x), params[-1]
    return pairwise_dot(l2_normalize(units), l2_normalize(kernel.T))


def of_logits(loss: Callable, draw: Callable = draw) -> Method:
    """By a loss of (logits, labels)."""

    def objective(params, extras, rows, key, progress):
        x, y = draw(key, rows)
        return loss(toys.apply(params, x), y)

    return Method(objective)


CROSS_ENTROPY = of_logits(losses.cross_entropy)


def _distilled(params, target, rows, key, progress):
    x, y = draw(key, rows)
    units, of_target = toys.hidden(params, x), toys.hidden(target, x)
    logits, soft = toys.apply(params, x), jax.nn.softmax(toys.apply(target, x))
    batch = losses.relation_distillation(units, of_target)
    channel = losses.channel_distillation(units, of_target)
    kl = losses.soft_cross_entropy(logits, soft)  # and the target's entropy
    return losses.cross_entropy(logits, y) + 5 * kl + 10 * batch + 10 * channel


def _averaged(params, target, step):
    decay = jnp.minimum(0.999, (1 + step) / (10 + step))
    return params, ema.update(target, params, decay=decay)


# Cross-entropy beside a moving average of the network, weights of its code
RELATIONS = Method(_distilled, start=lambda params: params, after_update=_averaged)
