"""TURTLE: the labeling of rows that linear classifiers of their features learn best.

No labels are needed, only how many classes there are. Features come from one frozen
model or from several; a labeling is linear in each and averaged over all.
"""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.estimators import logistic
from repr_jax.losses import clustering
from repr_jax.metrics import accuracy
from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where
from repr_jax.ops.numerics import argmax, to_float


class Turtle(NamedTuple):
    """softmax(features_r weights_r + biases_r), averaged over r, labels the rows."""

    weights: tuple[Array, ...]  # of each space of features, [dim_r, class]
    biases: tuple[Array, ...]  # of each space, [class]
    losses: Array  # [num_steps], `losses.turtle` before each step


class _Linear(NamedTuple):
    """Of one space: logits are x directions / |directions| * scales + biases."""

    directions: Array  # [dim, class]
    scales: Array | None  # [class], None if directions are not normalized
    biases: Array  # [class]


def fit(
    key: Array,
    features: Sequence[Array],
    *,
    num_classes: int,
    num_steps: int = 6000,
    num_inner_steps: int = 10,
    batch_size: int = 10_000,
    entropy_weight: float = 10.0,
    learning_rate: float = 1e-3,
    inner_learning_rate: float = 1e-3,
    where: Array | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Turtle:
    """Adam on `losses.turtle`, with new classifiers fitted to the labeling each step.

    A step draws a linear classifier of each space at random, fits it to the labeling
    by num_inner_steps of Adam on the cross-entropy, and then moves the labeling once.
    The weights of the labeling are normalized: direction and length of the column of
    each class are moved apart. All defaults are the authors'.

    Args:
      key: PRNG key, of first weights, of classifiers and of batches.
      features: of each space [rows, dim_r] float, as they come from frozen models; the
        learning rates suit entries of about 1.
      num_classes: > 1.
      num_steps, num_inner_steps: updates of the labeling, and of classifiers in each.
      batch_size: rows drawn at each step, without replacement; all if there are fewer.
      entropy_weight: >= 0, for classes of equal size. The paper writes gamma.
      learning_rate, inner_learning_rate: > 0, of Adam, for labeling and classifiers.
      where: [rows] bool, False for absent rows, which are left out before the start.
      progress: called with (steps done, steps in all), at most twenty times.

    Raises:
      ValueError: features that are not [rows, dim] with the same rows, or none, or not
        finite; numbers out of range. TypeError: integers in features; an array in place
        of a sequence of them; a `where` that is not bool.

    Source: as `losses.turtle`.
    """
    from repr_jax import optim

    who = "turtle.fit"
    features = _features(who, features, where=where)
    checks.count(who, minimum=2, num_classes=num_classes)
    counts = dict(num_inner_steps=num_inner_steps, batch_size=batch_size)
    checks.count(who, num_steps=num_steps, **counts)
    checks.non_negative(who, entropy_weight=entropy_weight)
    rates = dict(learning_rate=learning_rate, inner_learning_rate=inner_learning_rate)
    checks.positive(who, **rates)
    start_key, key = jax.random.split(key)
    state = _start(start_key, features, num_classes, num_steps)
    numbers = (entropy_weight, learning_rate, inner_learning_rate)

    def run(state, until):
        return _descend(state, features, key, until, *numbers, **counts)

    state = optim.in_chunks(run, state, num_steps=num_steps, progress=progress)
    biases = tuple(linear.biases for linear in state.params)
    return Turtle(tuple(map(_weights, state.params)), biases, state.losses)


def logits(turtle: Turtle, features: Sequence[Array]) -> Array:
    """Log of the mean probability: of each space [batch, dim_r] -> [batch, class].

    log((1 / R) sum_r softmax(features_r weights_r + biases_r)), so that softmax of the
    logits is the labeling itself. Which logits of TURTLE others feed to hierarchies,
    these or a mean of logits, is not known to us.
    """
    features = _features("turtle.logits", features, turtle.weights)
    log_p = [
        jax.nn.log_softmax(_product(x, weights) + biases[None], axis=-1)
        for x, weights, biases in zip(features, turtle.weights, turtle.biases)
    ]
    return jax.nn.logsumexp(jnp.stack(log_p), axis=0) - jnp.log(len(log_p))


def assign(turtle: Turtle, features: Sequence[Array]) -> Array:
    """The most probable class: of each space [batch, dim_r] -> [batch] int32.

    ValueError for features that are not finite; in traced code such a row gets -1.
    """
    return argmax(logits(turtle, features))


def generalization_score(
    turtle: Turtle,
    features: Sequence[Array],
    *,
    num_folds: int = 10,
    penalty: float = 1.0,
    seed: int = 0,
) -> float:
    """How well linear classifiers of held-out rows agree with the labeling.

    Cross-validated accuracy of logistic regression to the classes that `assign` gives,
    averaged over folds and spaces. It needs no labels: of several fits, with other keys
    or numbers, that of the highest score is the one to keep. One warning says how many
    of the regressions had not converged; their accuracy counts as it is.

    Args:
      turtle: what to judge.
      features: of each space [rows, dim_r] float.
      num_folds: > 1, of equal size, in random order.
      penalty: > 0, of `logistic.fit`.
      seed: of the order.

    Returns:
      in [0, 1], 1 is best. A labeling with a single class has 1, too.

    Raises:
      ValueError: features of other shapes than those fitted; numbers out of range.

    Source: as `losses.turtle`; ten folds and C = 1 are those of the authors' code.
    """
    who = "turtle.generalization_score"
    features = _features(who, features, turtle.weights)
    checks.count(who, minimum=2, num_folds=num_folds)
    labels = assign(turtle, features)
    num_classes = len(turtle.biases[0])
    order = np.random.default_rng(seed).permutation(len(labels))
    scores, late = [], []
    for x in features:
        for rows in np.array_split(order, num_folds):
            held = np.zeros(len(labels), bool)
            held[rows] = True
            fitted = logistic.fit(
                x, labels, num_classes=num_classes, penalty=penalty, where=~held
            )
            late += [] if fitted.converged else [float(fitted.gradient)]
            found = logistic.predict(fitted, x)
            scores.append(accuracy(found[rows], labels[rows]))
    if late:
        warnings.warn(
            f"{who}: {len(late)} of {len(scores)} logistic regressions had not "
            f"converged (gradient {max(late):.1e}).",
            stacklevel=2,
        )
    return float(np.mean(scores))


@functools.partial(jax.jit, static_argnums=(2, 3))
def _start(key, features, num_classes, num_steps):
    """The labeling before the first step."""
    import optax

    from repr_jax import optim

    task = _draw(key, features, num_classes)
    task = tuple(
        linear._replace(scales=jnp.linalg.norm(linear.directions, axis=0))
        for linear in task
    )
    return optim.start_descent(task, optax.adam(1.0), num_steps=num_steps)


def _draw(key, features, num_classes):
    """A linear map of each space, uniform up to 1 / sqrt(dim) as PyTorch draws them."""

    def one(key, dim):
        keys, bound = jax.random.split(key), dim**-0.5
        draw = functools.partial(jax.random.uniform, minval=-bound, maxval=bound)
        return _Linear(
            draw(keys[0], (dim, num_classes)), None, draw(keys[1], (num_classes,))
        )

    keys = jax.random.split(key, len(features))
    return tuple(one(k, x.shape[1]) for k, x in zip(keys, features))


def _weights(linear):
    if linear.scales is None:
        return linear.directions
    return (
        linear.directions
        * (linear.scales / jnp.linalg.norm(linear.directions, axis=0))[None]
    )


def _product(x, weights):
    return jnp.matmul(x, weights, precision=jax.lax.Precision.HIGHEST)


def _logits(linears, columns):
    """[space, class, batch] of features [dim_r, batch], an order that CPUs like."""
    return jnp.stack(
        [
            _product(_weights(linear).T, x) + linear.biases[:, None]
            for linear, x in zip(linears, columns)
        ]
    )


@functools.partial(jax.jit, static_argnames=("num_inner_steps", "batch_size"))
def _descend(
    state,
    features,
    key,
    until,
    entropy_weight,
    learning_rate,
    inner_learning_rate,
    *,
    num_inner_steps,
    batch_size,
):
    """The state after `until` updates of the labeling."""
    import optax

    from repr_jax import optim

    rows, num_classes = len(features[0]), len(state.params[0].biases)
    columns = tuple(x.T for x in features)

    def classifiers(key, x, task):
        """Fitted to the labeling, from a new draw."""
        labels = jnp.mean(jax.nn.softmax(_logits(task, x), axis=1), axis=0)

        def loss(linears, extras, key, step):
            log_p = jax.nn.log_softmax(_logits(linears, x), axis=1)
            return -jnp.sum(labels[None] * log_p) / labels.shape[1], extras

        linears, inner = (
            _draw(key, features, num_classes),
            optax.adam(inner_learning_rate),
        )
        start = optim.start_descent(linears, inner, num_steps=num_inner_steps)
        options = dict(key=key, optimizer=inner, until=num_inner_steps)
        return optim.descend(loss, start, **options).params

    def loss(task, extras, key, step):
        batch_key, inner_key = jax.random.split(key)
        x = columns
        if batch_size < rows:
            drawn = jax.random.permutation(batch_key, rows)[:batch_size]
            x = tuple(a[drawn].T for a in features)
        fixed = jax.lax.stop_gradient(task)
        logits = (_logits(task, x), _logits(classifiers(inner_key, x, fixed), x))
        logits = (jnp.swapaxes(a, 1, 2) for a in logits)
        return clustering.turtle(*logits, entropy_weight=entropy_weight), extras

    outer = optax.adam(learning_rate)
    return optim.descend(loss, state, key=key, optimizer=outer, until=until)


def _features(who, features, weights=None, where=None):
    """The spaces in float32, checked against each other and the weights of a fit.

    With `where`, their present rows alone.
    """
    if not isinstance(features, tuple | list):
        raise TypeError(
            f"{who}: expected features a tuple of arrays, one for each space; got "
            f"{type(features).__name__}."
        )
    wanted = 1 if weights is None else len(weights)
    if len(features) < wanted or (weights is not None and len(features) > wanted):
        raise ValueError(
            f"{who}: expected features of {wanted} spaces; got {len(features)}."
        )
    if where is not None:
        where = np.asarray(checked_where(who, where, jnp.shape(features[0])[:1]))
    for r, x in enumerate(features):
        name = {f"features[{r}]": x}
        checks.same_shape(who, rank=2, **name)
        checks.floating(who, **name)
        checks.finite(who, where=where, **name)
        checks.rows(who, len(features[0]), **name)
        if weights is not None:
            checks.shape(who, (len(x), len(weights[r])), **name)
    if where is not None:
        features = [x[where] for x in features]
    return tuple(to_float(x) for x in features)
