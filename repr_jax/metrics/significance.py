"""Is a difference more than chance? Tests and intervals of counts and of pairs.

On the host, in float64. p-values are of two sides where there are two.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from repr_jax.metrics.discrepancy import checked_target
from repr_jax.ops import checks

FEW = 5  # expected counts in a cell, below which chi-square laws are not trusted
NUM_TABLES, SEED = 10_000, 0  # simulated where they are not


class Test(NamedTuple):
    """What a test found."""

    statistic: float
    degrees: int  # of freedom, of the chi-square law
    p_value: float  # in (0, 1]
    simulated: bool  # is the p-value of simulated tables, since cells are small?


def goodness_of_fit(counts: ArrayLike, target: ArrayLike | None = None) -> Test:
    """Pearson's test that counts are of a known law, K - 1 degrees of freedom.

    sum (counts - n q)^2 / (n q) = n times the chi2 of `metrics.discrepancies`.

    Args:
      counts: [K] whole numbers >= 0.
      target: [K] > 0 of sum 1; 1 / K each if None.

    Raises:
      ValueError: not such counts, or all 0; not such a target.

    Source: the reference code of `fairness` tests against a second sample of the known
      law, which makes the statistic about half of this one.
    """
    who = "goodness_of_fit"
    counts = _counts(who, counts, rank=1)
    target = checked_target(who, target, len(counts))
    total, target = counts.sum(), target / target.sum()
    expected = total * target

    def statistic(counts: np.ndarray) -> np.ndarray:
        return np.sum((counts - expected) ** 2 / expected, axis=-1)

    def draw() -> np.ndarray:
        rng = np.random.default_rng(SEED)
        return statistic(rng.multinomial(int(total), target, size=NUM_TABLES))

    return _test(statistic(counts), len(counts) - 1, expected.min(), draw)


def homogeneity(table: ArrayLike) -> Test:
    """Pearson's test that all rows of a table have one law, (rows - 1) (columns - 1).

    Columns that are 0 throughout do not count. Tables with the same margins are
    simulated where cells are small.

    Args:
      table: [rows, columns] whole numbers >= 0, none of the rows all 0.

    Raises:
      ValueError: not such a table.
    """
    who = "homogeneity"
    table = _counts(who, table, rank=2)
    if not np.all(table.sum(axis=1) > 0):
        raise ValueError(f"{who}: expected no row of zeros; got {table.sum(axis=1)}.")
    table = table[:, table.sum(axis=0) > 0]
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    expected = rows[:, None] * columns[None] / table.sum()

    def statistic(table: np.ndarray) -> np.ndarray:
        return np.sum((table - expected) ** 2 / expected, axis=(-2, -1))

    def draw() -> np.ndarray:
        from scipy.stats import random_table

        law = random_table(rows.astype(int), columns.astype(int))
        return statistic(law.rvs(NUM_TABLES, random_state=SEED))

    degrees = (len(rows) - 1) * (len(columns) - 1)
    return _test(statistic(table), degrees, expected.min(), draw)


def sum_of_tests(tests: Sequence[Test]) -> Test:
    """All of independent tests at once: statistics and degrees of freedom add up."""
    from scipy.stats import chi2

    if not tests:
        raise ValueError("sum_of_tests: expected a test or more; got none.")
    statistic, degrees = (sum(t[i] for t in tests) for i in (0, 1))
    p_value = float(chi2.sf(statistic, degrees)) if degrees else 1.0
    return Test(statistic, degrees, p_value, False)


def mcnemar(right_a: ArrayLike, right_b: ArrayLike) -> Test:
    """Do two models, asked about the same examples, differ in accuracy?

    (b - c)^2 / (b + c) of the b examples that only the first has right and the c that
    only the second has; the exact binomial law for b + c < 25.

    Args:
      right_a, right_b: [examples] bool.

    Raises:
      ValueError: shapes differ. TypeError: not bool.

    Source: McNemar, "Note on the Sampling Error of the Difference between Correlated
      Proportions or Percentages", 1947 (from memory).
    """
    from scipy.stats import binomtest, chi2

    who = "mcnemar"
    a, b = np.asarray(right_a), np.asarray(right_b)
    checks.same_shape(who, rank=1, right_a=a, right_b=b)
    checks.boolean(who, right_a=a, right_b=b)
    first, second = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    total = first + second
    statistic = (first - second) ** 2 / max(total, 1)
    if total == 0:
        return Test(0.0, 1, 1.0, False)
    if total < 25:
        return Test(statistic, 1, float(binomtest(first, total).pvalue), False)
    return Test(statistic, 1, float(chi2.sf(statistic, 1)), False)


def signed_rank(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Wilcoxon's test that paired differences x - y lie evenly about 0.

    Pairs without a difference are left out.

    Returns:
      p_value, in (0, 1], 1 if nothing differs; effect, the rank-biserial correlation
      (W+ - W-) / (W+ + W-), in [-1, 1], 1 if x is larger in every pair.

    Raises:
      ValueError: not two [pairs] of finite numbers.
    """
    from scipy.stats import rankdata, wilcoxon

    who = "signed_rank"
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    checks.same_shape(who, rank=1, x=x, y=y)
    checks.finite(who, x=x)
    checks.finite(who, y=y)
    away = (x - y)[x != y]
    if not len(away):
        return 1.0, 0.0
    ranks = rankdata(np.abs(away))
    effect = np.sum(np.sign(away) * ranks) / np.sum(ranks)
    return float(wilcoxon(away).pvalue), float(effect)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values corrected for their number by Holm's method, in the order given.

    The i-th smallest of m times m - i + 1, at least what smaller ones became, at most
    1. Those at most alpha are significant together, at the level alpha.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979 (from
      memory).
    """
    found, least = {}, 0.0
    for i, name in enumerate(sorted(p_values, key=p_values.get)):
        p = p_values[name]
        checks.fraction("holm", **{name: p})
        least = max(least, min(p * (len(p_values) - i), 1.0))
        found[name] = least
    return {name: found[name] for name in p_values}


def wilson(successes: ArrayLike, total: ArrayLike, *, level: float = 0.95) -> tuple:
    """(low, high) of a probability, of successes among total; arrays as they broadcast.

    (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n).

    Raises:
      ValueError: not 0 <= successes <= total, total > 0; level not in (0, 1).

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical
      Inference", 1927 (from memory).
    """
    from scipy.stats import norm

    k, n = np.asarray(successes, np.float64), np.asarray(total, np.float64)
    _check_level("wilson", level=level)
    if not (np.all(n > 0) and np.all(k >= 0) and np.all(k <= n)):
        raise ValueError("wilson: expected 0 <= successes <= total, and total > 0.")
    z, p = norm.isf((1 - level) / 2), k / n
    middle = p + z**2 / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


def smallest_chi2(
    num_samples: int, num_classes: int, *, level: float = 0.05, power: float = 0.8
) -> float:
    """The least chi2 to a known law that so many samples tell from 0, by `power`.

    At it, `goodness_of_fit` rejects at `level` with probability `power`: n times it is
    the noncentrality of the statistic. For large samples: of 700 in 7 classes, a law
    with one class too many is found with 0.76 for a power of 0.8.

    Args:
      num_samples: n >= 1. num_classes: K >= 2.
      level, power: in (0, 1), level < power.

    Returns:
      a chi2 of `metrics.discrepancies`, > 0; it falls as 1 / n.
    """
    from scipy.optimize import brentq
    from scipy.stats import chi2, ncx2

    who = "smallest_chi2"
    checks.count(who, num_samples=num_samples)
    checks.count(who, minimum=2, num_classes=num_classes)
    _check_level(who, level=level, power=power)
    if not level < power:
        raise ValueError(f"{who}: expected level < power; got {level} and {power}.")
    degrees = num_classes - 1
    threshold = chi2.isf(level, degrees)

    def lacking(noncentrality: float) -> float:
        return ncx2.sf(threshold, degrees, noncentrality) - power

    most = 1.0
    while lacking(most) < 0:
        most *= 2
    return float(brentq(lacking, 1e-9, most, xtol=1e-9)) / num_samples


def _test(statistic, degrees, least, draw) -> Test:
    """With the law of the statistic by simulation if a cell expects less than FEW."""
    from scipy.stats import chi2

    statistic = float(statistic)
    if degrees == 0:
        return Test(statistic, 0, 1.0, False)
    if least >= FEW:
        return Test(statistic, degrees, float(chi2.sf(statistic, degrees)), False)
    as_large = np.sum(draw() >= statistic * (1 - 1e-9) - 1e-12)
    return Test(statistic, degrees, float((as_large + 1) / (NUM_TABLES + 1)), True)


def _counts(who: str, counts: ArrayLike, *, rank: int) -> np.ndarray:
    counts = np.asarray(counts, np.float64)
    checks.same_shape(who, rank=rank, counts=counts)
    whole = np.all(counts == np.floor(counts)) and np.all(counts >= 0)
    if not (whole and np.isfinite(counts).all() and counts.sum() > 0):
        raise ValueError(
            f"{who}: expected whole numbers >= 0, not all 0; got {counts}."
        )
    return counts


def _check_level(who: str, **levels: float) -> None:
    for name, level in levels.items():
        if not 0 < level < 1:
            raise ValueError(f"{who}: expected {name} in (0, 1); got {level}.")
