"""Does a conditional generator, such as an upsampler, treat classes alike?

    table = metrics.contingency(labels, made, num_clusters=7, num_classes=7)
    metrics.rdp(table), metrics.pr(table)

`labels` are classes of originals x and `made` those that a classifier sees in what was
generated of their measurements y, so that rows of a table are classes of originals and
columns classes of what was made of them. Four notions of Jalal et al.:

  rdp   representation demographic parity: P(made k | original k) is equal for all k.
  pr    proportional representation: P(made k) = P(original k).
  cpr   conditional proportional representation: P(made k | y) = P(original k | y).
  ucpr  the same for a y that tells nothing about the class: P(made k | y) = 1 / K.

Each gives shares p of the classes, which are compared with a target q, 1 / K each if
none is given. 0 is fair and not by itself good: who guesses a class at random is fair.
On the host, in float64.

Source: Laszkiewicz et al., "Benchmarking the Fairness of Image Upsampling Methods",
  2024, https://arxiv.org/abs/2401.13555; the notions: Jalal et al., "Fairness for Image
  Generation with Uncertain Sensitive Attributes", 2021,
  https://arxiv.org/abs/2106.12182. Intervals, floors and `cpr` are ours.
"""

import numpy as np
from numpy.typing import ArrayLike

from repr_jax.metrics import significance
from repr_jax.metrics.clustering import check_table, entropy
from repr_jax.metrics.discrepancy import (
    Model,
    checked_shares,
    checked_target,
    measured,
)
from repr_jax.ops import checks


def rdp_shares(table: ArrayLike) -> np.ndarray:
    """[K] float64, accuracy of class k over the sum of all: equal under RDP.

    With nothing right accuracies are equal, and shares are 1 / K.

    Args:
      table: [K, K] counts; every class has originals.
    """
    right, totals = _right(_square("rdp_shares", table))
    return _relative(right / totals)


def pr_shares(table: ArrayLike) -> np.ndarray:
    """[K] float64, the share of each class among what was made.

    Args:
      table: [rows, K] counts; rows may be classes of originals or inputs.
    """
    table = check_table("pr_shares", table)
    return table.sum(axis=0) / table.sum()


def rdp(
    table: ArrayLike, *, level: float = 0.95, num_draws: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Representation demographic parity: `rdp_shares` against equal shares.

    Args:
      table: [K, K] counts, originals in rows; every class has one or more.
      level: in (0, 1), of the intervals, which hold a measure's true value.
      num_draws: simulated tables for each law that an interval considers.
      seed: of these.

    Returns:
      for each name of `discrepancies`: `name`; `name/low` and `name/high`, the interval
      of `discrepancy.measured`; `name/floor`, below which lie `level` of the values
      of a model of equal accuracies. "p_value": of equal accuracies, by
      `significance.homogeneity` of right and wrong. "accuracy": the mean over classes.

    Raises:
      ValueError: not such a table.
    """
    who = "rdp"
    table = _square(who, table)
    right, totals = _right(table)
    order = np.lexsort((right, totals))  # numbers of classes make no difference
    right, totals = right[order], totals[order]
    accuracy = right / totals
    fair = np.full(len(right), right.sum() / totals.sum())

    def draw(rng: np.random.Generator, laws: np.ndarray, num_draws: int) -> np.ndarray:
        size = (len(laws), num_draws, len(totals))
        counts = rng.binomial(totals.astype(int), laws[:, None], size=size)
        return _relative(counts / totals)

    def law(x: np.ndarray) -> np.ndarray:
        return np.clip(x, 0, 1)

    def alone(index: int, amount: float) -> np.ndarray:
        return amount * np.eye(len(totals))[index]

    test = significance.homogeneity(np.stack([right, totals - right], axis=1))
    target = np.full(len(right), 1 / len(right))
    model = Model(
        accuracy, fair, target, totals, test.statistic, _relative, draw, law, alone
    )
    found = measured(who, model, level=level, num_draws=num_draws, seed=seed)
    return {**found, "p_value": test.p_value, "accuracy": float(np.mean(accuracy))}


def pr(
    table: ArrayLike,
    *,
    target: ArrayLike | None = None,
    level: float = 0.95,
    num_draws: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """Proportional representation: `pr_shares` against the shares of the originals.

    Rows of the table are taken for independent. If the numbers of originals of each
    class are fixed, as in a balanced test set, counts vary less than that, and tests
    and intervals are on the safe side.

    Args:
      table: [rows, K] counts.
      target: [K] > 0 of sum 1, the shares among originals; 1 / K each if None, which
        is right for a balanced test set.
      level, num_draws, seed: as in `rdp`.

    Returns:
      as `rdp`, without the accuracy; "p_value" is of `significance.goodness_of_fit`;
      and "chi2/unbiased": chi2 less what chance adds to it, sum p (1 - p) / q / (n -
      1), which may be negative.

    Raises:
      ValueError: not such a table, or fewer than two samples.
    """
    return _pr("pr", table, target, level, num_draws, seed)


def ucpr(
    counts: ArrayLike, *, level: float = 0.95, num_draws: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Uninformative conditional proportional representation, and diversity.

    Args:
      counts: [inputs, K] counts: the classes that were made of each input, in several
        draws. Inputs are to tell nothing about the class, such as averages of faces.
        Draws must be independent: a model that makes one image an input has as many
        samples as inputs, see `num_distinct`.
      level, num_draws, seed: as in `rdp`.

    Returns:
      as `pr`, of all inputs together, "p_value" being that of the pooled counts; and
      "p_value/inputs": of every input being uniform; "p_value/homogeneity": of all
      inputs having one law, small if they do tell something. The three are to be
      corrected together, by `significance.holm`. "entropy": the mean over inputs of
      the entropy of the classes, in [0, log K] nats; "coverage": the mean number of
      classes that an input gave, in [1, K].

    Raises:
      ValueError: not such counts, or an input without a draw.
    """
    who = "ucpr"
    counts = check_table(who, counts)
    totals = counts.sum(axis=1)
    if not np.all(totals > 0):
        raise ValueError(f"{who}: expected draws of every input; got totals {totals}.")
    fits = [significance.goodness_of_fit(row) for row in counts]
    inputs = significance.sum_of_tests(fits)
    homogeneous = significance.homogeneity(counts)
    return {
        **_pr(who, counts, None, level, num_draws, seed),
        "p_value/inputs": inputs.p_value,
        "p_value/homogeneity": homogeneous.p_value,
        "entropy": float(np.mean([entropy(row / row.sum()) for row in counts])),
        "coverage": float(np.mean(np.sum(counts > 0, axis=1))),
    }


def cpr(counts: ArrayLike, posterior: ArrayLike) -> dict[str, float]:
    """Conditional proportional representation, where the posterior is known.

    Args:
      counts: [inputs, K] counts of the classes made of each y, as many draws S of each
        y, two or more.
      posterior: [inputs, K] float, P(original k | y), of sum 1.

    Returns:
      "gap": mean over y of sum_k |f - r|, f the shares of the draws, in [0, 2); it is
      biased upwards by few draws. "square": mean of sum_k (f - r)^2 - f (1 - f) / (S -
      1), without bias, 0 on average for a posterior sampler, and negative at times.

    Raises:
      ValueError: shapes differ; draws as many not, or fewer than two.
    """
    who = "cpr"
    counts, r = check_table(who, counts), np.asarray(posterior, np.float64)
    checks.same_shape(who, rank=2, counts=counts, posterior=r)
    if not (np.all(r >= 0) and np.allclose(r.sum(axis=1), 1, atol=1e-4)):
        raise ValueError(f"{who}: expected a posterior >= 0 of sum 1 in every row.")
    draws = counts.sum(axis=1)
    if np.any(draws != draws[0]) or draws[0] < 2:
        raise ValueError(
            f"{who}: expected as many draws of every input, 2 or more; got from "
            f"{draws.min():g} to {draws.max():g}."
        )
    f = counts / draws[0]
    square = np.sum((f - r) ** 2 - f * (1 - f) / (draws[0] - 1), axis=1)
    gap = np.sum(np.abs(f - r), axis=1)
    return {"gap": float(np.mean(gap)), "square": float(np.mean(square))}


def corrected_shares(shares: ArrayLike, confusion: ArrayLike) -> np.ndarray:
    """Shares of true classes, of shares that a classifier with known errors sees.

    confusion^-T shares, negative entries set to 0, scaled to the sum 1.

    Args:
      shares: [K] float >= 0 of sum 1.
      confusion: [K, K], row i the probabilities of the answers to a real example of
        class i, on held-out data; a table of counts will do.

    Raises:
      ValueError: shapes differ; not such shares; a class without an example; a singular
        confusion.
    """
    who = "corrected_shares"
    table = _square(who, confusion)
    shares = checked_shares(who, shares)
    checks.shape(who, table.shape[:1], shares=shares)
    rates = table / _right(table)[1][:, None]
    if np.linalg.cond(rates) > 1e6:
        raise ValueError(f"{who}: expected a confusion that can be inverted.")
    return _simplex(np.linalg.solve(rates.T, shares))


def num_distinct(samples: ArrayLike) -> np.ndarray:
    """[inputs] int: how many different samples each input has; 1 for a function of it.

    samples: [inputs, draws, ...] arrays, equal only if every element is.
    """
    samples = np.asarray(samples)
    if samples.ndim < 3:
        raise ValueError(
            f"num_distinct: expected [inputs, draws, ...]; got {samples.shape}."
        )
    flat = samples.reshape(*samples.shape[:2], -1)
    checks.finite("num_distinct", samples=flat)
    return np.array([len(np.unique(row, axis=0)) for row in flat])


def _pr(
    who: str,
    table: ArrayLike,
    target: ArrayLike | None,
    level: float,
    num_draws: int,
    seed: int,
) -> dict[str, float]:
    table = check_table(who, table)
    counts, total = table.sum(axis=0), int(table.sum())
    target = checked_target(who, target, len(counts))
    if total < max(len(counts), 2):
        raise ValueError(
            f"{who}: expected as many samples as classes or more; got {total} samples "
            f"and {len(counts)} classes."
        )
    order = np.lexsort((counts, target))  # numbers of classes make no difference
    counts, target = counts[order], target[order]
    shares = counts / total

    def draw(rng: np.random.Generator, laws: np.ndarray, num_draws: int) -> np.ndarray:
        size = (len(laws), num_draws)
        return rng.multinomial(total, laws[:, None], size=size) / total

    def alone(index: int, amount: float) -> np.ndarray:
        here = np.eye(len(target))[index]
        return amount * (here - (1 - here) * target / (1 - target[index]))

    test = significance.goodness_of_fit(counts, target)
    model = Model(
        shares, target, target, total, test.statistic, np.asarray, draw, _simplex, alone
    )
    found = measured(who, model, level=level, num_draws=num_draws, seed=seed)
    chance = np.sum(shares * (1 - shares) / target) / (total - 1)
    found["chi2/unbiased"] = found["chi2"] - float(chance)
    return {**found, "p_value": test.p_value}


def _relative(accuracy: np.ndarray) -> np.ndarray:
    """[..., K] over its sum; 1 / K where all are 0."""
    total = np.sum(accuracy, axis=-1, keepdims=True)
    even = np.full_like(accuracy, 1 / accuracy.shape[-1])
    return np.where(total > 0, accuracy / np.where(total > 0, total, 1), even)


def _simplex(p: np.ndarray) -> np.ndarray:
    p = np.maximum(p, 0)
    return p / p.sum()


def _square(who: str, table: ArrayLike) -> np.ndarray:
    table = check_table(who, table)
    if table.shape[0] != table.shape[1] or len(table) < 2:
        raise ValueError(
            f"{who}: expected a square table of 2 classes or more; got {table.shape}."
        )
    empty = np.flatnonzero(table.sum(axis=1) == 0)
    if len(empty):
        raise ValueError(
            f"{who}: expected originals of every class; {empty[0]} has none."
        )
    return table


def _right(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[K] counts on the diagonal, and totals of rows."""
    return np.diagonal(table), table.sum(axis=1)
