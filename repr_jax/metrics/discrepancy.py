"""How far shares of classes are from a target, with intervals that hold the truth.

A bootstrap around what was seen never covers exact fairness: measures are at least 0,
and chance adds to them. The reflected bootstrap does so for chi2 and kl, and for the
other two misses it one time in four. So laws are simulated on a path from the fair one
through what was seen and beyond, and the interval has the true values of those under
which what was seen is no rarity. With 1,400 samples of 7 classes, intervals of 95 %
held the truth in 92 to 99 % of the cases, at exact fairness as elsewhere.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from repr_jax.ops import checks

NUM_STEPS = 41  # of a path


class Model(NamedTuple):
    """What was seen of K classes, and how it would come about under other laws."""

    seen: np.ndarray  # [K] estimated parameters: probabilities, or accuracies
    fair: np.ndarray  # [K] parameters of a fair law
    target: np.ndarray  # [K] what shares are compared with
    totals: float | np.ndarray  # the samples behind a parameter
    statistic: float  # chi-square, K - 1 degrees of freedom, of being fair
    shares_of: Callable  # [..., K] parameters -> shares
    draw: Callable  # rng, laws [n, K], num_draws -> shares [n, num_draws, K]
    law: Callable  # [K] any numbers -> the nearest parameters of that kind
    alone: Callable  # class, amount -> [K] direction that moves its parameter alone


def discrepancies(shares: ArrayLike, target: ArrayLike | None = None) -> dict:
    """How far shares p of K classes are from a target q, by four measures.

    chi2: sum (p - q)^2 / q, at most K - 1 for q = 1 / K; chebyshev: max |p - q|, at
    most 1 - 1 / K; tv: sum |p - q|, at most 2 (1 - 1 / K), without the half of total
    variation, as the authors report it; kl: sum p log(p / q), at most log K.

    Args:
      shares: [..., K] float, >= 0, of sum 1.
      target: [K] float, > 0, of sum 1; 1 / K each if None.

    Returns:
      {"chi2", "chebyshev", "tv", "kl"}: float64 [...], >= 0, 0 for p = q.

    Raises:
      ValueError: fewer than two classes; entries that are not as above.
    """
    who = "discrepancies"
    p = checked_shares(who, shares)
    return measures(p, checked_target(who, target, p.shape[-1]))


def uniformity_gap(counts: ArrayLike) -> np.ndarray:
    """mean_a |p_a - 1 / A| of counts of A attributes: how far a histogram is from even.

    The `tv` of `discrepancies` over A. The mean over prompts is the benchmark's number;
    outputs without a label are left out before.

    Args:
      counts: [..., A] >= 0, not all 0.

    Returns:
      float64 [...] in [0, 2 (A - 1) / A^2]; 0 is even, the other one attribute alone.

    Raises:
      ValueError: fewer than two attributes; a negative count; no count at all.

    Source: Cho, Zala and Bansal, "DALL-Eval: Probing the Reasoning Skills and Social
      Biases of Text-to-Image Generation Models", 2023 (their MAD),
      https://arxiv.org/abs/2202.04053.
    """
    counts = np.asarray(counts, np.float64)
    total = counts.sum(axis=-1, keepdims=True)
    if not (np.all(counts >= 0) and np.all(total > 0)):
        raise ValueError(
            f"uniformity_gap: expected counts >= 0, not all 0; got {counts}."
        )
    return discrepancies(counts / total)["tv"] / counts.shape[-1]


def measured(
    who: str, model: Model, *, level: float, num_draws: int, seed: int
) -> dict[str, float]:
    """`name`, `name/low`, `name/high` and `name/floor` of each of `measures`.

    There are two paths, one straight through what was seen, one on which only the class
    farthest from fair moves; an interval holds both of theirs. What is nearer to fair
    than half of fair models are counts as the median of these, so that no interval is
    empty. The floor is the quantile `level` under the fair law.

    Raises:
      ValueError: level not in (0, 1), or num_draws < 1.
    """
    checks.count(who, num_draws=num_draws)
    if not 0 < level < 1:
        raise ValueError(f"{who}: expected level in (0, 1); got {level}.")
    rng, tail = np.random.default_rng(seed), (1 - level) / 2
    observed = measures(model.shares_of(model.seen), model.target)
    null = measures(model.draw(rng, model.fair[None], num_draws)[0], model.target)
    directions, steps = _paths(model)
    ends = {name: [] for name in observed}
    for direction in directions:
        laws = np.stack([model.law(model.fair + t * direction) for t in steps])
        values = measures(model.shares_of(laws), model.target)
        drawn = measures(model.draw(rng, laws, num_draws), model.target)
        for name, d in observed.items():
            at_least = np.mean(drawn[name] >= d - 1e-12, axis=1)
            near = max(d, np.median(null[name]))
            at_most = np.mean(drawn[name] <= near + 1e-12, axis=1)
            low = _crossing(values[name], at_least, tail)
            high = _crossing(values[name][::-1], at_most[::-1], tail)
            ends[name] += [low, high]
    found = {}
    for name, d in observed.items():
        found[name] = float(d)
        found[f"{name}/low"], found[f"{name}/high"] = min(ends[name]), max(ends[name])
        found[f"{name}/floor"] = float(np.quantile(null[name], level))
    return found


def _paths(model: Model) -> tuple[list[np.ndarray], np.ndarray]:
    """Directions [K] away from fair, and steps along them, 1 for what was seen.

    Directions are no shorter than chance makes them.
    """
    degrees = len(model.seen) - 1
    away = model.seen - model.fair
    farthest = np.argmax(np.abs(model.shares_of(model.seen) - model.target))
    if model.statistic < 1e-9:  # seen is fair: one class moves by what chance does
        variance = model.fair * (1 - model.fair) + 1 / model.totals
        spread = np.sqrt(degrees * variance / model.totals)
        sign = 1 if model.fair[farthest] < 0.5 else -1  # where there is more room
        alone = away = model.alone(farthest, sign * spread[farthest])
    else:
        away *= max(degrees / model.statistic, 1) ** 0.5
        alone = model.alone(farthest, away[farthest])
    reach = 3 * max(2, (degrees + 1) ** 0.5)
    reach /= max(model.statistic, degrees) ** 0.5
    return [away, alone], np.linspace(max(0, 1 - reach), 1 + reach, NUM_STEPS)


def _crossing(values: np.ndarray, rates: np.ndarray, tail: float) -> float:
    """The first of values at which a rate, rising but for noise, reaches the tail."""
    reached = np.flatnonzero(rates >= tail)
    if not len(reached):
        return float(values[-1])
    first = reached[0]
    if first == 0:
        return float(values[0])
    before, after = rates[first - 1], rates[first]
    part = (tail - before) / (after - before)
    return float(values[first - 1] + part * (values[first] - values[first - 1]))


def measures(p: np.ndarray, q: np.ndarray) -> dict[str, np.ndarray]:
    """As `discrepancies`, unchecked."""
    away = p - q
    ratio = np.where(p > 0, p, q) / q
    return {
        "chi2": np.sum(away**2 / q, axis=-1),
        "chebyshev": np.max(np.abs(away), axis=-1),
        "tv": np.sum(np.abs(away), axis=-1),
        "kl": np.maximum(np.sum(p * np.log(ratio), axis=-1), 0),
    }


def checked_shares(who: str, shares: ArrayLike) -> np.ndarray:
    """[..., K] in float64; ValueError unless >= 0 and of sum 1, of two classes."""
    p = np.asarray(shares, np.float64)
    if p.ndim < 1 or p.shape[-1] < 2:
        raise ValueError(f"{who}: expected shares [..., 2 or more]; got {p.shape}.")
    if not (np.all(p >= 0) and np.allclose(p.sum(axis=-1), 1, atol=1e-6)):
        raise ValueError(f"{who}: expected shares >= 0 of sum 1; got {p}.")
    return p


def checked_target(who: str, target: ArrayLike | None, size: int) -> np.ndarray:
    """[K] in float64, 1 / K each for None; ValueError unless > 0 and of sum 1."""
    if target is None:
        return np.full(size, 1 / size)
    target = np.asarray(target, np.float64)
    checks.shape(who, (size,), target=target)
    if not (np.all(target > 0) and np.isclose(target.sum(), 1, atol=1e-6)):
        raise ValueError(f"{who}: expected a target > 0 of sum 1; got {target}.")
    return target
