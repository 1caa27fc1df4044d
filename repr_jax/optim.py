"""Optimizers with their learning-rate schedule, as optax transformations."""

import optax


def adam(
    *,
    learning_rate: float,
    warmup_steps: int = 0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Adam at a constant rate after a linear warm-up from 0.

    Args:
      learning_rate: > 0, the rate after the warm-up.
      warmup_steps: >= 0, steps of the warm-up.
      b1, b2, eps: decays of the two moments, and the term added to the root.
      clip_norm: > 0, the largest norm of a gradient; None clips nothing.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015,
      algorithm 1, https://arxiv.org/abs/1412.6980.
    """
    _positive("adam", learning_rate=learning_rate)
    rate = learning_rate
    if warmup_steps:
        rate = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    return _clipped(optax.adam(rate, b1=b1, b2=b2, eps=eps), clip_norm)


def adam_cosine(
    *,
    peak: float,
    num_steps: int,
    warmup_steps: int = 0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Adam at a rate that rises to `peak` linearly and falls to 0 along a cosine.

    Args:
      peak: > 0, the highest learning rate.
      num_steps: > warmup_steps, the steps of the whole run.
      warmup_steps, b1, b2, eps, clip_norm: as in `adam`.

    Source: Loshchilov and Hutter, "SGDR", 2017, eq. 5 without restarts,
      https://arxiv.org/abs/1608.03983.
    """
    _positive("adam_cosine", peak=peak, num_steps=num_steps)
    if warmup_steps >= num_steps:
        raise ValueError(
            f"adam_cosine: expected warmup_steps below num_steps; got {warmup_steps} "
            f"and {num_steps}."
        )
    rate = optax.warmup_cosine_decay_schedule(
        0.0 if warmup_steps else peak, peak, warmup_steps, num_steps
    )
    return _clipped(optax.adam(rate, b1=b1, b2=b2, eps=eps), clip_norm)


def _clipped(optimizer, clip_norm):
    if clip_norm is None:
        return optimizer
    _positive("clip_norm", clip_norm=clip_norm)
    return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)


def _positive(who, **numbers):
    for name, value in numbers.items():
        if not value > 0:
            raise ValueError(f"{who}: expected {name} > 0; got {value}.")
