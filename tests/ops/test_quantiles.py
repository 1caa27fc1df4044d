import jax
import numpy as np
import pytest

from repr_jax.ops import quantiles

conformal = jax.jit(quantiles.conformal, static_argnames="miscoverage")


def test_values_of_an_independent_program():
    scores = np.random.default_rng(9).normal(size=19)
    found = conformal(scores, miscoverage=0.1)
    np.testing.assert_allclose(found, 1.410423, rtol=1e-6)
    assert conformal(scores, miscoverage=0.04) == np.inf
    assert conformal(scores, miscoverage=0.05) == np.float32(scores.max())


@pytest.mark.parametrize(("alpha", "rank"), [(0.1, 9), (0.2, 8), (0.5, 5), (0.7, 3)])
def test_whole_ranks_are_not_rounded_up(alpha, rank):
    """Of 9 scores: 10 (1 - alpha), which is 3.0000000000000004 for 0.7."""
    assert conformal(np.arange(1.0, 10), miscoverage=alpha) == rank


def test_absent_scores_are_deleted_and_nan_is_largest():
    scores = np.random.default_rng(0).normal(size=20)
    where = np.arange(20) % 3 > 0
    expected = conformal(scores[where], miscoverage=0.2)
    spoiled = np.where(where, scores, np.nan)
    assert conformal(spoiled, miscoverage=0.2, where=where) == expected
    assert conformal(np.array([np.nan, 1.0, 2.0]), miscoverage=0.5) == 2
    assert conformal(scores, miscoverage=0.5, where=np.zeros(20, bool)) == np.inf


def test_coverage_is_in_the_promised_interval():
    draws = np.random.default_rng(0).normal(size=(4000, 25)).astype("f")
    limits = jax.jit(jax.vmap(lambda s: quantiles.conformal(s, miscoverage=0.1)))
    covered = np.mean(draws[:, 24] <= np.asarray(limits(draws[:, :24])))
    assert 0.9 - 0.015 < covered < 0.9 + 1 / 25 + 0.015


def test_bins_of_equal_mass_by_hand():
    """The ranks 0 to 4 of 3 bins start at 0, 1 and 3; equal values keep their order."""
    values = np.array([5.0, 2.0, np.nan, 2.0, 9.0, 1.0])
    where = ~np.isnan(values)
    bins = jax.jit(quantiles.equal_mass_bins, static_argnames="num_bins")
    found = np.asarray(bins(values, num_bins=3, where=where))
    np.testing.assert_array_equal(found[where], [2, 1, 1, 2, 0])
    assert found[2] == 2


def test_errors():
    with pytest.raises(ValueError, match=r"miscoverage in \(0, 1\); got 1"):
        quantiles.conformal(np.ones(3), miscoverage=1)
    with pytest.raises(TypeError, match="scores of floats"):
        quantiles.conformal(np.ones(3, int), miscoverage=0.1)
