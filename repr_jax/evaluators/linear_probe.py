"""Linear classification of representations, for every subset of the modalities."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.sparse.linalg import cg

from repr_jax import metrics
from repr_jax.evaluators.common import collect, mean_by_views, subsets
from repr_jax.ops import checks


class Logistic(NamedTuple):
    """Multinomial logistic regression: logits = x @ weights + bias."""

    weights: Array  # [dim, class]
    bias: Array  # [class]
    num_steps: Array  # [] int32, Newton steps taken
    gradient: Array  # [], largest absolute entry of the gradient at the end


@functools.partial(jax.jit, static_argnames=("num_classes", "max_steps"))
def fit(
    x: Array,
    labels: Array,
    *,
    num_classes: int,
    inverse_penalty: float = 1.0,
    max_steps: int = 20,
    tolerance: float = 1e-7,
) -> Logistic:
    """L2-regularised logistic regression by Newton's method, from zero.

    mean_i CE(x_i W + b, y_i) + sum(W^2) / (2 inverse_penalty batch)

    The features are not scaled and the bias is not penalised. Newton's equations are
    solved by conjugate gradients. Convex: with the same penalty every converged solver
    has the same answer.

    Args:
      x: [batch, dim] float.
      labels: [batch] int in [0, num_classes), each class occurring.
      num_classes: > 1.
      inverse_penalty: > 0. Others write C.
      max_steps: the fit ends after so many steps at the latest.
      tolerance: the fit ends once no entry of the gradient exceeds it.

    Raises:
      ValueError: x is not [batch, dim], or labels has another number of rows.
    """
    checks.same_shape("linear_probe.fit", rank=2, x=x)
    checks.rows("linear_probe.fit", x.shape[0], labels=labels)
    x = x.astype(jnp.float32)
    target = jax.nn.one_hot(labels, num_classes)
    penalty = 1.0 / (inverse_penalty * len(x))

    def logits(theta):
        return x @ theta[0] + theta[1][None, :]

    def objective(theta):
        log_p = jax.nn.log_softmax(logits(theta), axis=-1)
        cross_entropy = -jnp.mean(jnp.sum(target * log_p, axis=-1))
        return cross_entropy + 0.5 * penalty * jnp.sum(theta[0] ** 2)

    gradient = jax.grad(objective)

    def step_length(theta, direction):
        """Of 1, 1/2, ..., 1/512, where the objective is flattest along the line."""
        here, along = logits(theta), logits(direction)
        product = jnp.sum(theta[0] * direction[0])
        square = jnp.sum(direction[0] ** 2)

        def slope(t):
            error = jax.nn.softmax(here + t * along, axis=-1) - target
            of_fit = jnp.mean(jnp.sum(error * along, axis=-1))
            return of_fit + penalty * (product + t * square)

        lengths = 0.5 ** jnp.arange(10.0)
        return lengths[jnp.argmin(jnp.abs(jax.lax.map(slope, lengths)))]

    def step(carry):
        theta, descent, count = carry
        _, curvature = jax.linearize(gradient, theta)
        direction, _ = cg(curvature, descent, tol=0.01, maxiter=100)
        length = step_length(theta, direction)
        theta = jax.tree.map(lambda a, b: a + length * b, theta, direction)
        return theta, jax.tree.map(jnp.negative, gradient(theta)), count + 1

    def largest(tree):
        return jnp.max(jnp.stack([jnp.max(jnp.abs(a)) for a in tree]))

    def unfinished(carry):
        return (carry[2] < max_steps) & (largest(carry[1]) > tolerance)

    theta = (jnp.zeros((x.shape[1], num_classes)), jnp.zeros(num_classes))
    start = (theta, jax.tree.map(jnp.negative, gradient(theta)), jnp.int32(0))
    (weights, bias), descent, count = jax.lax.while_loop(unfinished, step, start)
    return Logistic(weights, bias, count, largest(descent))


@jax.jit
def predict(probe: Logistic, x: Array) -> Array:
    """[batch, dim] -> [batch] int32, the most probable class."""
    return jnp.argmax(x @ probe.weights + probe.bias[None, :], axis=-1)


def stratified(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """[min(count, rows)] indices, drawn without replacement, classes in proportion."""
    order = np.random.default_rng(seed).permutation(len(labels))
    share = np.empty(len(labels))  # of its class drawn before a row is, in (0, 1)
    for name in np.unique(labels):
        mine = order[labels[order] == name]
        share[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return order[np.argsort(share[order], kind="stable")[:count]]


def score(x, y, x_test, y_test, *, inverse_penalty: float = 1.0) -> float:
    """Held-out accuracy in [0, 1] of the logistic regression fitted to (x, y)."""
    classes, y = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"linear_probe: expected labels of two or more classes; got {classes}."
        )
    probe = fit(x, y, num_classes=len(classes), inverse_penalty=inverse_penalty)
    predictions = classes[np.asarray(predict(probe, x_test))]
    return float(metrics.accuracy(predictions, y_test))


def evaluate(
    trained,
    dataset,
    *,
    num_train: int = 500,
    max_train: int = 10_000,
    inverse_penalty: float = 1.0,
    batch_size: int = 256,
    seed: int = 0,
) -> dict[str, float]:
    """Accuracy on the test split of a linear classifier of the posterior means.

    Multinomial logistic regression, L2 penalty with C = 1, features not scaled, fitted
    to the training split twice: to all of it, and to `num_train` rows as published.

    Args:
      trained: Trained.
      dataset: Dataset with a `label`.
      num_train: rows of the small fit, classes in proportion.
      max_train: rows of the large fit; a longer training split is thinned at random to
        so many, since all are encoded once for each of the 2^M - 1 subsets.
      inverse_penalty: C, > 0.
      batch_size: rows encoded at a time.
      seed: of the choice of the `num_train` rows.

    Returns:
      For every subset "linear_probe/m0+m1" (large fit) and "linear_probe_500/m0+m1"
      (small fit, named by its rows); means over the subsets of a size,
      "linear_probe/1_view", "linear_probe/2_views". Fractions in [0, 1]. Of a model
      with one input, {"accuracy": large fit, "accuracy_500": small fit}.

    Source: protocol of Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021,
      https://arxiv.org/abs/2105.02470. They draw the 500 rows with replacement.
    """
    large, small = {}, {}
    for name, present in (subsets(trained.modalities) or {"": None}).items():
        x, y = collect(trained, dataset, "train", batch_size, present, max_train)
        test = collect(trained, dataset, "test", batch_size, present)
        few = stratified(y, num_train, seed)
        large[name] = score(x, y, *test, inverse_penalty=inverse_penalty)
        small[name] = score(x[few], y[few], *test, inverse_penalty=inverse_penalty)
    if not trained.modalities:
        return {"accuracy": large[""], f"accuracy_{num_train}": small[""]}
    found = {}
    for title, scores in (
        ("linear_probe", large),
        (f"linear_probe_{num_train}", small),
    ):
        scores = scores | mean_by_views(scores)
        found |= {f"{title}/{name}": value for name, value in scores.items()}
    return found
