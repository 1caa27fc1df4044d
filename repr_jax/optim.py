"""Optimizers with their learning-rate schedule, as optax transformations.

Below them `descend`, the small loop of estimators that are fitted by descent.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from repr_jax.ops import checks


def adam(
    *,
    learning_rate: float,
    warmup_steps: int = 0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Adam at a constant rate after a linear warm-up from 0.

    Args:
      learning_rate: > 0, the rate after the warm-up.
      warmup_steps: >= 0, steps of the warm-up.
      b1, b2, eps: decays of the two moments, and the term added to the root.
      weight_decay: >= 0, decoupled (AdamW): times the rate and the parameter.
      clip_norm: > 0, the largest norm of a gradient; None clips nothing.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015,
      algorithm 1, https://arxiv.org/abs/1412.6980; Loshchilov and Hutter, "Decoupled
      Weight Decay Regularization", 2019, https://arxiv.org/abs/1711.05101.
    """
    checks.positive("adam", learning_rate=learning_rate)
    rate = learning_rate
    if warmup_steps:
        rate = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    return _clipped(_adam(rate, b1, b2, eps, weight_decay), clip_norm)


def adam_cosine(
    *,
    peak: float,
    num_steps: int,
    warmup_steps: int = 0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    excluded: str = "",
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Adam at a rate that rises to `peak` linearly and falls to 0 along a cosine.

    Args:
      peak: > 0, the highest learning rate.
      num_steps: > warmup_steps, the steps of the whole run.
      warmup_steps, b1, b2, eps, weight_decay, clip_norm: as in `adam`.
      excluded: a regular expression of parameter paths that get no decay, such as
        "(bias|scale)$"; "" for none.

    Source: Loshchilov and Hutter, "SGDR", 2017, eq. 5 without restarts,
      https://arxiv.org/abs/1608.03983.
    """
    rate = _warmup_cosine("adam_cosine", peak, num_steps, warmup_steps)
    return _clipped(_adam(rate, b1, b2, eps, weight_decay, excluded), clip_norm)


def sgd_cosine(
    *,
    peak: float,
    num_steps: int,
    warmup_steps: int = 0,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Gradient descent with momentum; rate and clipping as in `adam_cosine`.

    weight_decay: >= 0, of an L2 penalty: added to the gradient before the momentum.
    """
    rate = _warmup_cosine("sgd_cosine", peak, num_steps, warmup_steps)
    checks.non_negative("sgd_cosine", weight_decay=weight_decay, momentum=momentum)
    descent = optax.sgd(rate, momentum=momentum)
    if weight_decay:
        descent = optax.chain(optax.add_decayed_weights(weight_decay), descent)
    return _clipped(descent, clip_norm)


def lars_cosine(
    *,
    peak: float,
    num_steps: int,
    warmup_steps: int = 0,
    momentum: float = 0.9,
    weight_decay: float = 1e-6,
    trust_coefficient: float = 1e-3,
    excluded: str = r"(bias|scale)$",
    excluded_scale: float = 1.0,
) -> optax.GradientTransformation:
    """LARS, with the rate of `adam_cosine`: layer-wise rates for large batches.

    Args:
      peak, num_steps, warmup_steps: as in `adam_cosine`.
      momentum: in [0, 1).
      weight_decay: >= 0, added to the gradient.
      trust_coefficient: > 0, of the ratio of the norms of parameter and gradient.
      excluded: a regular expression of parameter paths that get neither decay nor a
        layer-wise rate: biases and the scales of normalization by default.
      excluded_scale: > 0, of their rate, relative to that of the others.

    Source: You, Gitman and Ginsburg, "Large Batch Training of Convolutional Networks",
      2017, https://arxiv.org/abs/1708.03888; exclusions as in Chen et al., "A Simple
      Framework for Contrastive Learning of Visual Representations", 2020, app. B.6.
    """
    rate = _warmup_cosine("lars_cosine", peak, num_steps, warmup_steps)
    checks.positive("lars_cosine", excluded_scale=excluded_scale)
    adapted = _all_but(excluded)
    lars = optax.lars(
        rate,
        weight_decay,
        weight_decay_mask=adapted,
        trust_coefficient=trust_coefficient,
        trust_ratio_mask=adapted,
        momentum=momentum,
    )
    if excluded_scale == 1:
        return lars

    def others(params):
        return jax.tree.map(lambda moves: not moves, adapted(params))

    return optax.chain(lars, optax.masked(optax.scale(excluded_scale), others))


def by_name(
    rules: Sequence[tuple[str, Mapping | Callable | None]],
) -> optax.GradientTransformation:
    """An optimizer for each group of parameters, by regular expressions of their paths.

    In a config:

        config.optimizer = dict(fn=optim.by_name, rules=(
            ("^encoder/", None),  # frozen
            ("bias$", dict(fn=optim.adam, learning_rate=1e-3)),
            ("", dict(fn=optim.adam, learning_rate=1e-4)),  # all others
        ))

    Args:
      rules: pairs of an expression and a choice or function that makes an optimizer, or
        None for parameters that stay as they are. The first rule whose expression is
        found in a path such as "encoder/Dense_0/kernel" decides. Norms that an
        optimizer clips are of its own group.

    Raises:
      ValueError: no rule fits a parameter, or a rule is the first of none.
    """
    from repr_jax.config import bind  # estimators that use `descend` need no config

    patterns = [re.compile(pattern) for pattern, _ in rules]

    def labels(params):
        unused = set(range(len(patterns)))

        def first(path):
            for number, pattern in enumerate(patterns):
                if pattern.search(path):
                    unused.discard(number)
                    return number
            raise ValueError(f"by_name: expected a rule for {path!r}; got none.")

        found = _by_path(params, first)
        if unused and jax.tree.leaves(params):
            listed = ", ".join(repr(patterns[n].pattern) for n in sorted(unused))
            raise ValueError(
                f"by_name: expected parameters for each rule; got none for {listed}."
            )
        return found

    def optimizer(number, make):
        if make is None:
            return optax.set_to_zero()
        return make() if callable(make) else bind(make, f"by_name: rule {number}")()

    optimizers = {n: optimizer(n, make) for n, (_, make) in enumerate(rules)}
    return optax.multi_transform(optimizers, labels)


def only(*, moves: str, optimizer: Mapping | Callable) -> optax.GradientTransformation:
    """Moves parameters whose paths hold the expression `moves`; all others stay.

    A second stage of training: `by_name` of these two groups, whose numbers can be set
    by name, as in --config.optimizer.optimizer.learning_rate=1e-4.

    Args:
      moves: a regular expression, such as "^encoders_".
      optimizer: a choice or function that makes the optimizer of what moves.

    Raises:
      ValueError: it is found in no path, or in all.
    """
    return by_name(((moves, optimizer), ("", None)))


def cyclical(*, period: int, rise: float = 0.5) -> Callable:
    """step -> factor that rises from 0 to 1 and stays, anew every `period` steps.

    A choice for `config.schedules`: KL weights that start again.

    Args:
      period: >= 1, steps of a cycle.
      rise: in (0, 1], the share of it in which the factor rises, linearly.

    Source: Fu et al., "Cyclical Annealing Schedule: A Simple Approach to Mitigating KL
      Vanishing", 2019, eqs. 6 and 7, https://arxiv.org/abs/1903.10145.
    """
    checks.count("cyclical", period=period)
    if not 0 < rise <= 1:
        raise ValueError(f"cyclical: expected rise in (0, 1]; got {rise}.")
    return lambda step: jnp.minimum(step % period / (rise * period), 1.0)


def _by_path(tree, function):
    """function("encoder/Dense_0/kernel") in place of every leaf."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: function(
            jax.tree_util.keystr(path, simple=True, separator="/")
        ),
        tree,
    )


def _all_but(excluded: str):
    """params -> True for each in whose path the expression is not found."""
    pattern = re.compile(excluded)

    def mask(params):
        return _by_path(params, lambda path: pattern.search(path) is None)

    return mask


def _adam(rate, b1, b2, eps, weight_decay, excluded=""):
    checks.non_negative("adam", weight_decay=weight_decay)
    if weight_decay:
        mask = _all_but(excluded) if excluded else None
        return optax.adamw(
            rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=mask
        )
    return optax.adam(rate, b1=b1, b2=b2, eps=eps)


def _warmup_cosine(who, peak, num_steps, warmup_steps):
    checks.positive(who, peak=peak, num_steps=num_steps)
    if warmup_steps >= num_steps:
        raise ValueError(
            f"{who}: expected warmup_steps below num_steps; got {warmup_steps} and "
            f"{num_steps}."
        )
    return optax.warmup_cosine_decay_schedule(
        0.0 if warmup_steps else peak, peak, warmup_steps, num_steps
    )


def _clipped(optimizer, clip_norm):
    if clip_norm is None:
        return optimizer
    checks.positive("clip_norm", clip_norm=clip_norm)
    return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)


# The small loop of estimators that are fitted by descent.


class Descent(NamedTuple):
    """Where a descent is, with all that it needs to go on."""

    step: Array  # [] int32, updates done
    params: Any
    extras: Any  # what changes but has no gradient, such as averages
    opt_state: Any
    losses: Array  # [num_steps] float32, each before its update


def start_descent(params, optimizer, *, num_steps: int, extras=()) -> Descent:
    """The state before the first of `num_steps` updates of any tree of arrays."""
    losses = jnp.zeros(num_steps)
    return Descent(jnp.int32(0), params, extras, optimizer.init(params), losses)


def descend(
    loss: Callable,
    state: Descent,
    *,
    key: Array,
    optimizer,
    until: int | Array,
    after_update: Callable | None = None,
) -> Descent:
    """Updates the state until `until` of them are done, in one program.

    Call it inside `jax.jit`, with the data and all numbers as arguments of the jitted
    function, so that a second fit of the same shapes compiles nothing.

    Args:
      loss: (params, extras, key, step) -> [] loss, extras. The key is the one below
        with the step folded in: what is drawn depends on (key, step) alone.
      state: from `start_descent`, or returned from here.
      key: PRNG key of the whole descent.
      optimizer: an optax transformation; its numbers may be traced.
      until: at most num_steps of `start_descent`; may be traced.
      after_update: (params, extras, step) -> params, extras, such as a projection or a
        moving average; None changes nothing.
    """
    gradient = jax.value_and_grad(loss, has_aux=True)

    def update(step, state):
        step_key = jax.random.fold_in(key, step)
        (value, extras), grads = gradient(state.params, state.extras, step_key, step)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        if after_update is not None:
            params, extras = after_update(params, extras, step)
        losses = state.losses.at[step].set(value)
        return Descent(step + 1, params, extras, opt_state, losses)

    until = jnp.asarray(until, jnp.int32)
    return jax.lax.fori_loop(state.step, until, update, state)


def in_chunks(
    run: Callable,
    state: Descent,
    *,
    num_steps: int,
    progress: Callable[[int, int], None] | None,
    num_chunks: int = 20,
) -> Descent:
    """The state after run(state, until) up to num_steps, at once without `progress`.

    progress: called with (updates done, updates in all) after each chunk.
    """
    every = num_steps if progress is None else -(-num_steps // num_chunks)
    for until in (*range(every, num_steps, every), num_steps):
        state = run(state, until)
        if progress is not None:
            jax.block_until_ready(state)
            progress(until, num_steps)
    return state
