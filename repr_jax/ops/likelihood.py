"""Log densities of data given what a decoder returned, in nats.

Every function takes x and decoded of one shape [batch, ...] and returns [batch]: the
sum over the trailing axes. Floats only, float32 inside (float64 is kept). ValueError
if the shapes differ, TypeError for integers. One whose decoder does not return the mean
of x, but logits, has a function `mean` of them as its attribute, see `mean_of`.
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.batch import present
from repr_jax.ops.numerics import to_float


def gaussian(x: Array, decoded: Array, *, scale: float | Array = 1.0) -> Array:
    """log N(x; decoded, scale^2); scale > 0 is a standard deviation."""
    x, decoded = _pair("likelihood.gaussian", x, decoded, scale)
    distance = jnp.clip((x - decoded) / scale, -1e16, 1e16)  # squares fit float32
    return _total(-0.5 * distance**2 - jnp.log(scale) - 0.5 * math.log(2 * math.pi))


def laplace(x: Array, decoded: Array, *, scale: float | Array = 0.75) -> Array:
    """log Laplace(x; decoded, scale); scale > 0 is the mean absolute deviation.

    0.75 is the published scale of images in MMVAE, mmJSD and MoPoE; a perfect
    reconstruction then has log density -log(1.5) an element.
    """
    x, decoded = _pair("likelihood.laplace", x, decoded, scale)
    return _total(-jnp.abs(x - decoded) / scale - jnp.log(2.0 * scale))


def bernoulli(x: Array, logits: Array) -> Array:
    """x * log p + (1 - x) * log(1 - p), p = sigmoid(logits), x in [0, 1]."""
    x, logits = _pair("likelihood.bernoulli", x, logits)
    return _total(x * logits - jax.nn.softplus(logits))


def categorical(x: Array, logits: Array) -> Array:
    """Sum of log softmax(logits)[class]; x is one-hot over the last axis."""
    x, logits = _pair("likelihood.categorical", x, logits)
    return _total(x * jax.nn.log_softmax(logits, axis=-1))


def words(x: Array, logits: Array, *, end: int) -> Array:
    """As `categorical`, of text [batch, length, words] that word number `end` ends.

    What follows it is zeros in x, which does not count, so that there the logits may be
    anything; the mean is zeros after the first word whose most likely value is `end`.
    """
    if not 0 <= end < x.shape[-1]:
        raise ValueError(
            f"likelihood.words: expected end in [0, {x.shape[-1]}); got {end}."
        )
    return categorical(x, logits)


def _until_end(logits: Array, *, end: int) -> Array:
    ends = jnp.argmax(logits, axis=-1) == end
    after = jnp.cumsum(ends, axis=-1) > ends  # of an earlier word
    return jnp.where(after[..., None], 0.0, jax.nn.softmax(logits, axis=-1))


bernoulli.mean = jax.nn.sigmoid
categorical.mean = jax.nn.softmax
words.mean = _until_end


def mean_of(log_likelihood: Callable[[Array, Array], Array]) -> Callable:
    """decoded -> the mean of x: `log_likelihood.mean` of it, or itself without one.

    log_likelihood: a function of this form; keywords that are bound to it are those of
    its `mean` too.
    """
    function = getattr(log_likelihood, "func", log_likelihood)
    if not hasattr(function, "mean"):
        return lambda decoded: decoded
    return functools.partial(function.mean, **getattr(log_likelihood, "keywords", {}))


def by_size(shapes: Sequence[tuple[int, ...]]) -> tuple[float, ...]:
    """Weights that give every modality the say of the largest: max_n dim_n / dim_m.

    shapes: of one example of each modality. For `likelihood_weights`: with weights
    other than 1 a loss bounds no likelihood, so evaluate with 1.
    """
    sizes = [math.prod(shape) for shape in shapes]
    if not sizes or min(sizes) < 1:
        raise ValueError(f"likelihood.by_size: expected shapes of sizes; got {shapes}.")
    return tuple(max(sizes) / size for size in sizes)


def by_row(
    log_likelihood: Callable[[Array, Array], Array],
    x: Array,
    decoded: Array,
    where: Array,
) -> Array:
    """log p(x | decoded) of the present rows, 0 for absent ones: [..., batch].

    x: [batch, ...]; decoded: the same with any number of sample axes in front; where:
    [batch]. Whatever the absent rows hold, nothing of it reaches value or gradient.
    """

    def score(decoded):
        log_p = log_likelihood(present(x, where), present(decoded, where))
        return present(log_p, where)

    for _ in range(decoded.ndim - x.ndim):
        score = jax.vmap(score)
    return score(to_float(decoded))


def _pair(who, x, decoded, scale=1.0):
    checks.same_shape(who, x=x, decoded=decoded)
    checks.floating(who, x=x, decoded=decoded)
    checks.positive(who, scale=scale)
    return to_float(x), to_float(decoded)


def _total(terms):
    return jnp.sum(terms, axis=tuple(range(1, terms.ndim)))
