"""Tests and intervals against values by hand, scipy's, and simulated error rates."""

import numpy as np
import pytest
from scipy import stats

from repr_jax import metrics

K = 7


def test_goodness_of_fit_is_pearsons():
    counts = np.array([320, *[180] * 6])
    found = metrics.goodness_of_fit(counts)
    assert found.statistic == pytest.approx(84) and found.degrees == 6
    assert found.p_value == pytest.approx(5.3e-16, rel=0.01) and not found.simulated
    # The reference code takes the known law for a second sample: about half of it.
    second = np.stack([counts, np.full(K, 200)])
    assert metrics.homogeneity(second).statistic == pytest.approx(34.0081, abs=1e-4)
    assert metrics.homogeneity(second).p_value == pytest.approx(6.7e-6, rel=0.01)
    target = np.array([0.2, 0.3, 0.5])
    expected = stats.chisquare([30, 40, 30], 100 * target)
    found = metrics.goodness_of_fit([30, 40, 30], target)
    assert found[::2] == pytest.approx(tuple(expected))


def test_homogeneity_is_scipys():
    right = np.round(200 * np.linspace(0.9, 0.3, K))
    found = metrics.homogeneity(np.stack([right, 200 - right], axis=1))
    assert found.statistic == pytest.approx(233.3333, abs=1e-4) and found.degrees == 6
    table = np.random.default_rng(0).integers(5, 40, (4, 3))
    expected = stats.chi2_contingency(table, correction=False)
    found = metrics.homogeneity(np.insert(table, 1, 0, axis=1))  # an empty column
    assert found[:3] == pytest.approx((expected[0], expected[2], expected[1]))
    assert metrics.homogeneity([[3, 0], [5, 0]]).p_value == 1


def test_small_cells_are_simulated():
    found = metrics.goodness_of_fit([3, 1, 0])
    exact = stats.multinomial(4, [1 / 3] * 3)
    tables = [(a, b, 4 - a - b) for a in range(5) for b in range(5 - a)]
    as_large = [t for t in tables if sum(x * x for x in t) >= 10]
    expected = sum(exact.pmf(t) for t in as_large)
    assert found.simulated and found.p_value == pytest.approx(expected, abs=0.02)
    table = [[3, 1], [0, 4]]
    found = metrics.homogeneity(table)
    assert found.simulated
    assert found.p_value == pytest.approx(stats.fisher_exact(table).pvalue, abs=0.02)


def test_tests_reject_as_often_as_they_say():
    rng = np.random.default_rng(0)
    counts = rng.multinomial(700, np.full(K, 1 / K), size=1000)
    p = np.array([metrics.goodness_of_fit(c).p_value for c in counts])
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.021)
    right = rng.binomial(100, 0.7, size=(1000, K))
    p = [metrics.homogeneity(np.stack([r, 100 - r], 1)).p_value for r in right]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.021)


def test_sums_of_tests():
    counts = np.array([[10, 14], [20, 30], [7, 7]])
    found = metrics.sum_of_tests([metrics.goodness_of_fit(c) for c in counts])
    statistic = 16 / 24 + 100 / 50
    assert found.statistic == pytest.approx(statistic) and found.degrees == 3
    assert found.p_value == pytest.approx(stats.chi2.sf(statistic, 3))
    with pytest.raises(ValueError, match="sum_of_tests"):
        metrics.sum_of_tests([])


def test_mcnemar_looks_at_pairs_that_differ():
    right = np.zeros((2, 100), bool)
    right[0, :40], right[1, 30:50] = True, True  # 30 and 10 alone
    found = metrics.mcnemar(*right)
    assert found.statistic == pytest.approx(400 / 40)
    assert found.p_value == pytest.approx(stats.chi2.sf(10, 1))
    few = metrics.mcnemar([True] * 5 + [False], [False] * 5 + [True])
    assert few.p_value == pytest.approx(2 * 7 / 64)
    assert metrics.mcnemar(right[0], right[0]).p_value == 1
    with pytest.raises(TypeError, match="mcnemar"):
        metrics.mcnemar([1, 0], [True, False])


def test_signed_ranks():
    x = np.array([1.0, 2.0, 3.0, 4.0, 9.0])
    y = np.array([0.0, 4.0, 0.0, 0.0, 9.0])  # differences 1, -2, 3, 4 and none
    p_value, effect = metrics.signed_rank(x, y)
    assert effect == pytest.approx((1 + 3 + 4 - 2) / 10)
    assert p_value == pytest.approx(stats.wilcoxon(x[:4], y[:4]).pvalue)
    assert metrics.signed_rank(x, x) == (1, 0)
    assert metrics.signed_rank(x + 1, x)[1] == 1
    with pytest.raises(ValueError, match="signed_rank: expected x finite"):
        metrics.signed_rank(np.array([np.nan]), np.ones(1))


def test_holm_by_hand():
    found = metrics.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert list(found) == ["a", "b", "c", "d"]
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert metrics.holm({"a": 0.6, "b": 0.9}) == {"a": 1, "b": 1}
    assert metrics.holm({}) == {}
    with pytest.raises(ValueError, match="holm"):
        metrics.holm({"a": 1.5})


def test_wilson_is_scipys():
    low, high = metrics.wilson([0, 100, 200], 200)
    for k, ends in zip((0, 100, 200), zip(low, high)):
        exact = stats.binomtest(k, 200).proportion_ci(method="wilson")
        assert ends == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert (high[1] - low[1]) / 2 == pytest.approx(0.069, abs=5e-4)
    with pytest.raises(ValueError, match="wilson"):
        metrics.wilson(3, 2)


def test_the_smallest_chi2_is_found_as_often_as_wanted():
    for num in (700, 1400):
        chi2 = metrics.smallest_chi2(num, K)
        away = np.array([1, -1, 1, -1, 1, -1, 0])
        law = 1 / K + away * (chi2 / (K * np.sum(away**2))) ** 0.5
        assert metrics.discrepancies(law)["chi2"] == pytest.approx(chi2)
        counts = np.random.default_rng(0).multinomial(num, law, size=1500)
        p = [metrics.goodness_of_fit(c).p_value for c in counts]
        assert np.mean(np.array(p) < 0.05) == pytest.approx(0.8, abs=0.035)
    assert metrics.smallest_chi2(2800, K) == pytest.approx(chi2 / 2)
    with pytest.raises(ValueError, match="expected level < power"):
        metrics.smallest_chi2(10, 2, level=0.5, power=0.4)


def test_what_is_no_count_is_refused():
    for bad in ([0, 0], [1, -1], [0.5, 0.5], [np.nan, 1]):
        with pytest.raises(ValueError, match="goodness_of_fit: expected whole"):
            metrics.goodness_of_fit(bad)
    with pytest.raises(ValueError, match="homogeneity: expected no row of zeros"):
        metrics.homogeneity([[1, 2], [0, 0]])


@pytest.mark.parametrize("target", [[1, 1, 1], [0.5, 0.5, np.nan], [0, 0.5, 0.5]])
def test_a_target_that_is_no_law_is_refused(target):
    with pytest.raises(ValueError, match="goodness_of_fit: expected a target > 0 of"):
        metrics.goodness_of_fit([1, 2, 3], target)


def test_tests_of_one_class_say_nothing_together():
    assert metrics.sum_of_tests([metrics.goodness_of_fit([5])] * 3).p_value == 1
