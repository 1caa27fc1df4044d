"""Fairness of conditional generators against values by hand and simulated truths."""

import numpy as np
import pytest

from repr_jax import metrics

K = 7
MEASURES = ("chi2", "chebyshev", "tv", "kl")
SKEWED = np.array([0.82, *[0.03] * 6])
SKEWED_FOUND = (3.7446, 0.677143, 1.354286, 1.152)
ONE = (6, 6 / 7, 12 / 7, np.log(7))
RAMP = np.linspace(0.9, 0.3, K)
# Originals in rows, of classes at -2, 0 and 2 with a standard deviation of 0.6, seen
# with noise of 1: what an exact posterior sampler makes, by its prior.
BALANCED = [
    [0.721701, 0.252121, 0.026178],
    [0.252121, 0.495758, 0.252121],
    [0.026178, 0.252121, 0.721701],
]
BIASED = [
    [0.918300, 0.068341, 0.013359],
    [0.546730, 0.252986, 0.200285],
    [0.106868, 0.200285, 0.692847],
]


def values(found):
    return [found[name] for name in MEASURES]


def table_of(right, totals=200):
    """Originals of K classes of which so many are right, the rest one class further."""
    table = np.diag(right)
    k = np.arange(len(right))
    table[k, (k + 1) % len(right)] += totals - np.asarray(right)
    return table


def covered(found, truth):
    low, high = (
        [found[f"{name}/{end}"] for name in MEASURES] for end in ("low", "high")
    )
    truth = np.array(values(truth))
    return (np.array(low) <= truth + 1e-12) & (truth <= np.array(high) + 1e-12)


def test_discrepancies_have_the_published_values():
    even = np.full(K, 1 / K)
    np.testing.assert_allclose(values(metrics.discrepancies(even)), 0, atol=1e-12)
    found = metrics.discrepancies(np.eye(K))
    for name, expected in zip(MEASURES, ONE):
        np.testing.assert_allclose(found[name], expected, rtol=1e-12)
    found = values(metrics.discrepancies(SKEWED))
    np.testing.assert_allclose(found, SKEWED_FOUND, rtol=2e-6)
    found = metrics.discrepancies(SKEWED, target=SKEWED)
    np.testing.assert_allclose(values(found), 0, atol=1e-12)
    found = metrics.discrepancies([0.5, 0.5], target=[0.8, 0.2])
    expected = (0.09 / 0.8 + 0.09 / 0.2, 0.3, 0.6, 0.5 * np.log(0.25 / 0.16))
    np.testing.assert_allclose(values(found), expected)


def test_perfect_and_constant_models():
    right = metrics.rdp(200 * np.eye(K, dtype=int), num_draws=50)
    same = metrics.pr(200 * np.eye(K, dtype=int), num_draws=50)
    for found in (right, same):
        np.testing.assert_allclose(values(found), 0, atol=1e-12)
        assert found["p_value"] == 1 and found["chi2/low"] < 1e-12
        assert 0 < found["chi2/high"] < 0.05
    assert right["accuracy"] == 1
    constant = np.zeros((K, K))
    constant[:, 2] = 200
    for notion in (metrics.rdp, metrics.pr):
        found = notion(constant, num_draws=50)
        np.testing.assert_allclose(values(found), ONE)
        assert found["p_value"] < 1e-12
    np.testing.assert_allclose(metrics.rdp_shares(np.eye(3)[[1, 2, 0]]), 1 / 3)


def test_a_model_that_ignores_its_input():
    table = np.outer(np.full(K, 10_000), SKEWED)  # each class gets the prior's shares
    for shares in (metrics.rdp_shares(table), metrics.pr_shares(table)):
        np.testing.assert_allclose(shares, SKEWED)
    guess = np.full((K, K), 100)
    for notion in (metrics.rdp, metrics.pr, metrics.ucpr):
        np.testing.assert_allclose(values(notion(guess, num_draws=20)), 0, atol=1e-12)
    assert metrics.rdp(guess, num_draws=20)["accuracy"] == pytest.approx(1 / K)


def test_a_ramp_of_accuracies():
    table = table_of(np.round(200 * RAMP).astype(int))
    shares = [0.214286, 0.190476, 0.166667, 0.142857, 0.119048, 0.095238, 0.071429]
    np.testing.assert_allclose(metrics.rdp_shares(table), shares, atol=1e-6)
    found = metrics.rdp(table, num_draws=50)
    expected = (1 / 9, 0.071429, 0.285714, 0.057543)
    np.testing.assert_allclose(values(found), expected, rtol=1e-5)


def test_counts_of_one_class_too_many():
    counts = np.array([320, *[180] * 6])
    found = metrics.pr(counts[None], num_draws=50)
    np.testing.assert_allclose(values(found)[:3], (0.06, 0.6 / 7, 1.2 / 7))
    assert found["p_value"] == pytest.approx(5.3e-16, rel=0.01)
    expected = 0.06 - 7 * (1 - np.sum((counts / 1400) ** 2)) / 1399
    assert found["chi2/unbiased"] == pytest.approx(expected)


def test_numbers_of_classes_make_no_difference():
    rng = np.random.default_rng(0)
    table = rng.integers(1, 40, (5, 5))
    order = rng.permutation(5)
    target = rng.dirichlet(np.ones(5))
    moved = table[order][:, order]
    options = dict(num_draws=50, seed=3)
    found = metrics.rdp(table, **options), metrics.pr(table, target=target, **options)
    other = (
        metrics.rdp(moved, **options),
        metrics.pr(moved, target=target[order], **options),
    )
    for a, b in zip(found, other):
        assert a == pytest.approx(b)


def test_an_exact_posterior_sampler_has_pr_and_not_rdp():
    table = np.round(1e6 * np.array(BALANCED))
    np.testing.assert_array_equal(table, table.T)
    assert metrics.pr(table, num_draws=20)["chi2"] == pytest.approx(0, abs=1e-9)
    assert metrics.rdp(table, num_draws=20)["chi2"] == pytest.approx(0.027152, abs=1e-5)
    table = np.round(1e6 * np.array(BIASED))
    shares = (0.523966, 0.173871, 0.302163)
    np.testing.assert_allclose(metrics.pr_shares(table), shares, atol=2e-6)
    assert metrics.pr(table, num_draws=20)["chi2"] == pytest.approx(0.188222, abs=1e-5)
    assert metrics.rdp(table, num_draws=20)["chi2"] == pytest.approx(0.197684, abs=1e-5)


def percentile(counts, rng):
    total = counts.sum()
    draws = rng.multinomial(total, counts / total, size=200) / total
    return np.quantile(metrics.discrepancies(draws)["chi2"], [0.025, 0.975])


@pytest.mark.parametrize(
    "law", [np.full(K, 1 / K), [0.18, *[0.82 / 6] * 6], [0.3, *[0.7 / 6] * 6], SKEWED]
)
def test_intervals_of_pr_hold_the_truth(law):
    """The first of these laws is fair, where a bootstrap never does."""
    rng, held, by_bootstrap = np.random.default_rng(0), [], []
    law = np.asarray(law)
    truth = metrics.discrepancies(law)
    for seed in range(100):
        counts = rng.multinomial(1400, law)
        found = metrics.pr(counts[None], num_draws=100, seed=seed)
        held.append(covered(found, truth))
        low, high = percentile(counts, rng)
        by_bootstrap.append(low <= truth["chi2"] + 1e-12 <= high)
    assert np.all(np.mean(held, axis=0) >= 0.88)  # three standard errors below 0.95
    assert (np.mean(by_bootstrap) == 0) == (truth["chi2"] < 1e-9)


@pytest.mark.parametrize("accuracy", [np.full(K, 0.6), RAMP])
def test_intervals_of_rdp_hold_the_truth(accuracy):
    rng, held = np.random.default_rng(1), []
    truth = metrics.discrepancies(accuracy / accuracy.sum())
    for seed in range(80):
        table = table_of(rng.binomial(200, accuracy))
        found = metrics.rdp(table, num_draws=100, seed=seed)
        held.append(covered(found, truth))
    assert np.all(np.mean(held, axis=0) >= 0.875)


def test_what_chance_adds_is_known():
    """(K - 1) / n on average, and 95 % of fair models below the floor."""
    counts = np.random.default_rng(0).multinomial(1400, np.full(K, 1 / K), size=2000)
    chi2 = metrics.discrepancies(counts / 1400)["chi2"]
    assert np.mean(chi2) == pytest.approx(6 / 1400, rel=0.05)
    found = metrics.pr(counts[:1], num_draws=4000)
    assert found["chi2/floor"] == pytest.approx(0.00899, rel=0.05)
    unbiased = [metrics.pr(c[None], num_draws=1)["chi2/unbiased"] for c in counts[:200]]
    error = np.std(chi2) / 200**0.5
    assert abs(np.mean(unbiased)) < 3 * error


def test_few_samples_say_little():
    """One of each class, or two: the interval is wide, and never empty."""
    for each in (1, 2, 50):
        counts = np.full((1, 5), each)
        found = metrics.pr(counts, num_draws=200)
        assert found["chi2/low"] == pytest.approx(0, abs=1e-12)
        floor = found["chi2/floor"]
        assert floor / 4 < found["chi2/high"] < 6 * floor
    few, many = (metrics.rdp(np.full((4, 4), n), num_draws=200) for n in (2, 200))
    assert few["chi2/high"] > 20 * many["chi2/high"] > 0


def test_wider_levels_hold_more():
    table = table_of([150, 130, 140, 150, 160, 120, 140])
    narrow, wide = (metrics.rdp(table, level=x, num_draws=300) for x in (0.5, 0.99))
    for name in MEASURES:
        assert wide[f"{name}/low"] <= narrow[f"{name}/low"] <= narrow[name]
        assert narrow[f"{name}/low"] < narrow[f"{name}/high"] < wide[f"{name}/high"]


def test_ucpr_tells_shares_from_inputs_that_inform():
    even = np.full((K, K), 100)
    found = metrics.ucpr(even, num_draws=20)
    assert found["entropy"] == pytest.approx(np.log(K)) and found["coverage"] == K
    assert found["p_value/inputs"] == found["p_value/homogeneity"] == 1
    informed = metrics.ucpr(100 * np.eye(K), num_draws=20)
    np.testing.assert_allclose(values(informed), 0, atol=1e-12)  # fair on the whole
    assert informed["p_value"] == 1 and informed["p_value/inputs"] < 1e-12
    assert informed["p_value/homogeneity"] < 1e-12
    assert informed["entropy"] == 0 and informed["coverage"] == 1
    prior = metrics.ucpr(np.tile([82, *[3] * 6], (K, 1)), num_draws=20)
    np.testing.assert_allclose(values(prior), SKEWED_FOUND, rtol=2e-6)
    assert prior["p_value/homogeneity"] == 1 and prior["p_value/inputs"] < 1e-12


def test_cpr_is_zero_on_average_of_a_posterior_sampler():
    rng = np.random.default_rng(0)
    posterior = rng.dirichlet(np.ones(4), size=2000)
    counts = np.stack([rng.multinomial(5, p) for p in posterior])
    found = metrics.cpr(counts, posterior)
    assert abs(found["square"]) < 0.01 and found["gap"] > 0.3
    best = 5 * np.eye(4)[np.argmax(posterior, axis=1)]
    expected = np.mean(np.sum((best / 5 - posterior) ** 2, axis=1))
    assert metrics.cpr(best, posterior)["square"] == pytest.approx(expected)
    exact = metrics.cpr([[1, 3]], [[0.25, 0.75]])
    assert exact["gap"] == 0 and exact["square"] == pytest.approx(-2 * 0.1875 / 3)


def test_errors_of_a_classifier_are_undone():
    confusion = np.array([[0.9, 0.1], [0.2, 0.8]])
    np.testing.assert_allclose([0.5, 0.5] @ confusion, [0.55, 0.45])
    found = metrics.corrected_shares([0.55, 0.45], 1000 * confusion)
    np.testing.assert_allclose(found, 0.5)
    np.testing.assert_allclose(metrics.corrected_shares([1, 0], confusion), [1, 0])
    for accuracy, shrinks in ((0.9, 0.7803), (0.7, 0.4225)):
        wrong = (1 - accuracy) / (K - 1)
        confusion = wrong + (accuracy - wrong) * np.eye(K)
        seen = metrics.discrepancies(SKEWED @ confusion)["chi2"]
        assert seen / SKEWED_FOUND[0] == pytest.approx(shrinks, rel=1e-4)
        found = metrics.corrected_shares(SKEWED @ confusion, confusion)
        np.testing.assert_allclose(found, SKEWED)


@pytest.mark.parametrize("shares", [[np.nan, 1.0], [3.0, 1.0], [-0.5, 1.5]])
def test_what_are_no_shares_is_refused(shares):
    with pytest.raises(ValueError, match="corrected_shares: expected shares >= 0 of"):
        metrics.corrected_shares(shares, np.eye(2))


def test_samples_that_are_not_finite_are_not_counted_as_different():
    samples = np.zeros((2, 3, 4))
    samples[1] = np.nan
    with pytest.raises(
        ValueError, match=r"num_distinct: expected samples finite; .* 1"
    ):
        metrics.num_distinct(samples)


def test_a_function_of_its_input_has_one_sample():
    samples = np.random.default_rng(0).normal(size=(3, 5, 4, 4, 1))
    samples[1] = samples[1, :1]
    samples[2, 3] = samples[2, 0]
    np.testing.assert_array_equal(metrics.num_distinct(samples), [5, 1, 4])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.rdp(np.ones((3, 2))), "rdp: expected a square table"),
        (lambda: metrics.rdp(np.diag([1, 0, 2])), "rdp: expected originals of every"),
        (lambda: metrics.pr([[1, 1, 1, 0]]), "pr: expected as many samples as classes"),
        (lambda: metrics.pr([[1.5, 2]]), "expected whole numbers"),
        (lambda: metrics.pr(np.eye(3), target=[0.5, 0.5]), "expected target of shape"),
        (lambda: metrics.pr(np.eye(2), target=[0, 1]), "expected a target > 0"),
        (lambda: metrics.pr(np.eye(3), level=95), "expected level in"),
        (lambda: metrics.ucpr([[4, 4], [0, 0]]), "ucpr: expected draws of every input"),
        (
            lambda: metrics.cpr([[2, 1], [2, 2]], [[0.5, 0.5]] * 2),
            "cpr: expected as many",
        ),
        (lambda: metrics.cpr([[2, 1]], [[0.5, 0.6]]), "cpr: expected a posterior"),
        (lambda: metrics.discrepancies([0.5, 0.6]), "expected shares >= 0 of sum 1"),
        (lambda: metrics.corrected_shares([0.5, 0.5], np.ones((2, 2))), "inverted"),
        (lambda: metrics.num_distinct(np.ones((3, 2))), "num_distinct: expected"),
    ],
)
def test_what_is_no_table_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_uniformity_gap_by_an_independent_program_and_by_hand():
    counts = np.random.default_rng(53).integers(1, 20, size=4)
    np.testing.assert_allclose(metrics.uniformity_gap(counts), 0.1133721, rtol=1e-6)
    found = metrics.uniformity_gap([[9, 0, 0, 0], [2, 2, 2, 2]])
    np.testing.assert_allclose(found, [0.375, 0])
    with pytest.raises(ValueError, match="not all 0"):
        metrics.uniformity_gap([0, 0])
