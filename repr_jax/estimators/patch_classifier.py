"""Anomalous patches of images, by a dense network that saw some of both kinds: SEMLP.

For defects that are known from other objects: patches of several objects, with masks of
their defects, train one network, which then scores an object that it has not seen.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import by_row, draw_places, finite_rows
from repr_jax.ops.dense import he_normal
from repr_jax.ops.numerics import to_float


class PatchClassifier(NamedTuple):
    """What was fitted: ReLU layers, the last of one output."""

    kernels: tuple[Array, ...]  # [inputs, outputs] of each layer
    biases: tuple[Array, ...]  # [outputs] of each layer
    losses: Array  # [num_steps], mean cross-entropy of each batch, nats


def fit(
    key: Array,
    x: Array,
    anomalous: Array,
    *,
    widths: tuple[int, ...] = (128,),
    num_steps: int = 1000,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    where: Array | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PatchClassifier:
    """Descends the binary cross-entropy of single patches with marks of a mask.

    mean_i [ log(1 + exp z_i) - y_i z_i ], z_i the logit of patch i and y_i in {0, 1}.

    Args:
      key: PRNG key, of the network's start and the batches.
      x: [patches, dim] float, features of patches of all images, of a scale of about 1.
      anomalous: [patches] bool.
      widths: of the hidden layers, ReLU after each.
      num_steps: of Adam, at a constant rate.
      batch_size: patches of a step, drawn with replacement.
      learning_rate: > 0.
      where: [patches] bool, False for absent rows; None if all are present.
      progress: called with (steps done, steps in all) now and then.

    Raises:
      ValueError: x is not [patches, dim], or not finite (where traced, such a row is
        absent); anomalous does not fit; numbers out of range.
      TypeError: integers in x; `anomalous` or `where` that is not bool.

    Source: "Domain-independent detection of known anomalies", 2024, its Spatial
      Embedding MLP, https://arxiv.org/abs/2407.02910. Widths, steps and rates are ours;
      so is leaving out where in the image a patch lies, which we could not confirm.
    """
    from repr_jax import optim

    who = "patch_classifier.fit"
    checks.count(who, num_steps=num_steps, batch_size=batch_size)
    for width in widths:
        checks.count(who, width=width)
    checks.positive(who, learning_rate=learning_rate)
    x, where = finite_rows(who, where, x=x)
    checks.shape(who, where.shape, anomalous=anomalous)
    checks.boolean(who, anomalous=anomalous)
    start_key, key = jax.random.split(key)
    rows, state = _start(start_key, x, anomalous, where, tuple(widths), num_steps)

    def run(state, until):
        return _descend(state, *rows, key, until, learning_rate, batch_size=batch_size)

    state = optim.in_chunks(run, state, num_steps=num_steps, progress=progress)
    return PatchClassifier(*state.params, state.losses)


def patch_scores(fitted: PatchClassifier, patches: Array) -> Array:
    """[..., patches, dim] -> [..., patches] logits, above 0 for what is anomalous.

    Raises:
      ValueError: patches are of another dim, or not finite; where traced, they score
        NaN. TypeError: integers.
    """
    who = "patch_classifier"
    checks.floating(who, patches=patches)
    shape = (*jnp.shape(patches)[:-1], fitted.kernels[0].shape[0])
    checks.shape(who, shape, patches=patches)
    checks.finite(who, patches=patches)
    logits = functools.partial(_logits, fitted.kernels, fitted.biases)
    return by_row(logits, to_float(patches))


def score(fitted: PatchClassifier, patches: Array) -> Array:
    """[images, patches, dim] -> [images], the largest of `patch_scores`."""
    return jnp.max(patch_scores(fitted, patches), axis=-1)


def _logits(kernels, biases, x):
    for n, (kernel, bias) in enumerate(zip(kernels, biases)):
        x = x if n == 0 else jax.nn.relu(x)
        x = jnp.matmul(x, kernel, precision=lax.Precision.HIGHEST) + bias[None]
    return x[:, 0]


@functools.partial(jax.jit, static_argnums=(4, 5))
def _start(key, x, anomalous, where, widths, num_steps):
    """Rows, present ones first, and their number; the descent before its first step."""
    import optax

    from repr_jax import optim

    kernels = he_normal(key, (x.shape[1], *widths, 1), dtype=x.dtype)
    biases = tuple(jnp.zeros(m, x.dtype) for m in (*widths, 1))
    state = optim.start_descent((kernels, biases), optax.adam(1.0), num_steps=num_steps)
    order = jnp.argsort(~where, stable=True)
    return (x[order], jnp.asarray(anomalous)[order], jnp.sum(where)), state


@functools.partial(jax.jit, static_argnames="batch_size")
def _descend(state, x, anomalous, count, key, until, learning_rate, *, batch_size):
    """The state after `until` steps."""
    import optax

    from repr_jax import optim

    def loss(params, extras, key, step):
        rows = draw_places(key, count, batch_size)
        signed = _logits(*params, x[rows])
        signed = jnp.where(anomalous[rows], -signed, signed)
        return jnp.mean(jax.nn.softplus(signed)), extras

    optimizer = optax.adam(learning_rate)
    return optim.descend(loss, state, key=key, optimizer=optimizer, until=until)
