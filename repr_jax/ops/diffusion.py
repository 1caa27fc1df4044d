"""Denoising diffusion: noise schedules, and samplers that ask a network for the noise.

x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) n, n standard normal, a_t the `alpha_bar` of time t
= 0 .. T - 1, which falls. `predict_noise(x, time)` is a network's estimate of n, time
an int32 scalar. A key for each row of the batch: a sample does not depend on the rows
beside it. Rows may have any shape.

Source: Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", 2020,
  https://arxiv.org/abs/2006.11239; Song, Meng and Ermon, "Denoising Diffusion Implicit
  Models", 2021, https://arxiv.org/abs/2010.02502.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import row_normal
from repr_jax.ops.numerics import to_float


def linear_alpha_bars(
    *, num_times: int = 1000, start: float = 1e-4, end: float = 0.02
) -> np.ndarray:
    """[num_times] float64: products of 1 - beta, beta linear from `start` to `end`.

    Both in (0, 1); the defaults are those of Ho et al., section 4.
    """
    checks.count("linear_alpha_bars", num_times=num_times)
    for name, beta in (("start", start), ("end", end)):
        if not 0 < beta < 1:
            raise ValueError(
                f"linear_alpha_bars: expected {name} in (0, 1); got {beta}."
            )
    return np.cumprod(1 - np.linspace(start, end, num_times))


def cosine_alpha_bars(*, num_times: int = 1000, offset: float = 0.008) -> np.ndarray:
    """[num_times] float64: f(t + 1) / f(0), f(t) = cos^2(pi / 2 (t / T + s) / (1 + s)).

    With each beta, 1 less the ratio of neighbors, at most 0.999; s is the offset, >= 0,
    T the number of times.

    Source: Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models",
      2021, eq. 17, https://arxiv.org/abs/2102.09672.
    """
    checks.count("cosine_alpha_bars", num_times=num_times)
    checks.non_negative("cosine_alpha_bars", offset=offset)
    t = np.arange(num_times + 1) / num_times
    f = np.cos(np.pi / 2 * (t + offset) / (1 + offset)) ** 2
    return np.cumprod(np.maximum(f[1:] / f[:-1], 0.001))


def add_noise(x: Array, noise: Array, alpha_bar: Array) -> Array:
    """x_t of x_0 = x and noise [batch, ...], alpha_bar [batch]."""
    shape = (-1,) + (1,) * (x.ndim - 1)
    alpha_bar = alpha_bar.reshape(shape)
    return jnp.sqrt(alpha_bar) * x + jnp.sqrt(1 - alpha_bar) * noise


def spaced_times(num_times: int, num_steps: int) -> np.ndarray:
    """[num_steps] int: 0, k, 2 k, ... of num_times, k = num_times // num_steps.

    Raises:
      ValueError: num_steps > num_times.
    """
    checks.count("spaced_times", num_steps=num_steps)
    checks.count("spaced_times", minimum=num_steps, num_times=num_times)
    return np.arange(num_steps) * (num_times // num_steps)


def sample(
    keys: Array,
    predict_noise: Callable,
    shape: tuple[int, ...],
    *,
    alpha_bars: np.ndarray,
    num_steps: int,
    eta: float = 0.0,
) -> Array:
    """Samples of the model by DDIM, with eta 0, to DDPM, with eta 1.

    From x = N(0, I) at the last of `spaced_times`, step by step to t'
      x' = sqrt(a') x_0 + sqrt(1 - a' - s^2) n + s N(0, I),
      s = eta sqrt((1 - a') / (1 - a)) sqrt(1 - a / a'),
    n the predicted noise, x_0 = (x - sqrt(1 - a) n) / sqrt(a), and a' = 1 at the end.

    Args:
      keys: [batch].
      predict_noise: (x [batch, *shape], time) -> [batch, *shape].
      shape: of a row.
      alpha_bars: [T] in (0, 1), falling.
      num_steps: from 1 to T.
      eta: in [0, 1].

    Returns:
      [batch, *shape] float32.

    Source: Song et al., eqs. 12 and 16.
    """
    checks.fraction("diffusion.sample", eta=eta)
    steps = steps_of(alpha_bars, num_steps)
    return _backwards(keys, predict_noise, shape, steps, eta, lambda x, *_: x)


def inpaint(
    keys: Array,
    predict_noise: Callable,
    x: Array,
    known: Array,
    *,
    alpha_bars: np.ndarray,
    num_steps: int,
    eta: float = 1.0,
) -> Array:
    """`sample`, with the known pixels put back before each step, at its level of noise.

    x_t <- sqrt(a) x + sqrt(1 - a) N(0, I) where known, noise fresh at each step; at the
    end they are those of x. The network is not told what is known, so that the law of
    the others is near the conditional one, but not it.

    Args:
      keys, predict_noise, alpha_bars, num_steps, eta: as of `sample`; 1 is DDPM.
      x: [batch, *shape] float, in the range the network was trained in; what is not
        known may hold anything.
      known: bool as x.

    Returns:
      [batch, *shape] float32, equal to x where known.

    Raises:
      ValueError: shapes or numbers that do not fit. TypeError: x of integers, known
        that is not bool.

    Source: Song et al., "Score-Based Generative Modeling through Stochastic
      Differential Equations", 2021, section 5, https://arxiv.org/abs/2011.13456.
    """
    who = "diffusion.inpaint"
    checks.fraction(who, eta=eta)
    checks.floating(who, x=x)
    checks.boolean(who, known=known)
    checks.shape(who, jnp.shape(x), known=known)
    checks.rows(who, len(keys), x=x)
    clean = jnp.where(known, to_float(x), 0)
    known_keys, keys = split(keys)

    def put_back(x: Array, alpha_bar: Array, number: Array) -> Array:
        noise = row_normal(fold(known_keys, number), clean.shape[1:])
        noisy = jnp.sqrt(alpha_bar) * clean + jnp.sqrt(1 - alpha_bar) * noise
        return jnp.where(known, noisy, x)

    steps = steps_of(alpha_bars, num_steps)
    found = _backwards(keys, predict_noise, clean.shape[1:], steps, eta, put_back)
    return jnp.where(known, clean, found)


def _backwards(keys, predict_noise, shape, steps, eta, before):
    """From noise to samples; before: (x, alpha_bar, number) -> x at each step."""
    start_keys, step_keys = split(keys)

    def step(x: Array, inputs: tuple) -> tuple[Array, None]:
        time, alpha_bar, following, number = inputs
        x = before(x, alpha_bar, number)
        guess = predict_noise(x, time)
        clean = (x - jnp.sqrt(1 - alpha_bar) * guess) / jnp.sqrt(alpha_bar)
        spread = eta * jnp.sqrt((1 - following) / (1 - alpha_bar))
        spread *= jnp.sqrt(1 - alpha_bar / following)
        direction = jnp.sqrt(jnp.maximum(1 - following - spread**2, 0)) * guess
        fresh = spread * row_normal(fold(step_keys, number), shape)
        return jnp.sqrt(following) * clean + direction + fresh, None

    return lax.scan(step, row_normal(start_keys, shape), steps)[0]


def steps_of(alpha_bars: np.ndarray, num_steps: int) -> tuple[Array, ...]:
    """(times, their alpha_bars, those that follow, numbers), [num_steps] each.

    From the last of `spaced_times` to the first, which 1 follows.

    Raises:
      ValueError: num_steps > T; alpha_bars that are not in (0, 1), or do not fall.
    """
    alpha_bars = np.asarray(alpha_bars, np.float64)
    checks.same_shape("steps_of", rank=1, alpha_bars=alpha_bars)
    falls = np.all(np.diff(alpha_bars) < 0)
    if not (falls and np.all(alpha_bars > 0) and np.all(alpha_bars < 1)):
        raise ValueError(
            f"steps_of: expected alpha_bars in (0, 1) that fall; got {alpha_bars}."
        )
    times = spaced_times(len(alpha_bars), num_steps)[::-1]
    here = alpha_bars[times]
    levels = (jnp.asarray(x, jnp.result_type(float)) for x in (here, [*here[1:], 1.0]))
    return (jnp.asarray(times, jnp.int32), *levels, jnp.arange(num_steps))


def split(keys: Array) -> tuple[Array, Array]:
    """Two keys of each: [batch] -> [batch], [batch]."""
    both = jax.vmap(jax.random.split)(keys)
    return both[:, 0], both[:, 1]


def fold(keys: Array, number: Array) -> Array:
    """[batch] keys, each with the number folded in."""
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)
