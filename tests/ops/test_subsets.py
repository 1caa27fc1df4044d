import itertools
import math
from functools import partial

import jax
import numpy as np
import pytest

from repr_jax.ops import gaussian, subsets
from repr_jax.ops.batch import row_keys


@partial(jax.jit, static_argnames="prior_expert")
def mean_kl(mean, log_var, where, prior_expert="full"):
    members = subsets.non_empty(len(mean))
    return subsets.mean_kl(
        mean, log_var, where, prior_expert=prior_expert, members=members
    )


posterior = jax.jit(subsets.posterior, static_argnames="prior_expert")
product_of_experts = jax.jit(gaussian.product_of_experts, static_argnames="prior")


def has_prior(subset, num_modalities, prior_expert):
    if prior_expert == "full":
        return len(subset) == num_modalities
    return prior_expert == "all"


def mean_kl_in_loops(mean, log_var, where, prior_expert):
    """[batch], one subset and one latent at a time in float64."""
    num_modalities, batch, dim = mean.shape
    result = np.zeros(batch)
    for row in range(batch):
        kls = []
        for size in range(1, num_modalities + 1):
            for subset in itertools.combinations(range(num_modalities), size):
                if not all(where[m, row] for m in subset):
                    continue
                kl = 0.0
                for d in range(dim):
                    prior = has_prior(subset, num_modalities, prior_expert)
                    precision, weighted = float(prior), 0.0
                    for m in subset:
                        one = math.exp(-float(log_var[m, row, d]))
                        precision += one
                        weighted += one * float(mean[m, row, d])
                    fused = weighted / precision
                    kl += 0.5 * (1 / precision - 1 + math.log(precision) + fused**2)
                kls.append(kl)
        result[row] = sum(kls) / max(len(kls), 1)
    return result


@pytest.mark.parametrize("num_modalities, count", [(1, 1), (2, 3), (3, 7), (5, 31)])
def test_non_empty_has_each_subset_once_by_size(num_modalities, count):
    members = subsets.non_empty(num_modalities)
    assert members.shape == (count, num_modalities)
    assert len(np.unique(members, axis=0)) == count
    sizes = members.sum(axis=1)
    assert (np.diff(sizes) >= 0).all()
    for size in range(1, num_modalities + 1):
        assert (sizes == size).sum() == math.comb(num_modalities, size)
    np.testing.assert_array_equal(members[:num_modalities], np.eye(num_modalities))
    assert members[-1].all()


def test_valid_subsets_are_those_of_the_observed():
    members = subsets.non_empty(4)
    where = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]], bool)
    allowed = subsets.valid(members, where)
    np.testing.assert_array_equal(allowed.sum(axis=0), 2 ** where.sum(axis=0) - 1)
    assert not (members[:, :, None] & ~where[None] & allowed[:, None]).any()


def drawn_codes(way, where, members):
    """[rows] the subset of each, as the bits of a number."""

    def draw(key, where):
        uniform = way(key, where.any(axis=0))
        return subsets.choose(uniform, members, subsets.valid(members, where))

    drawn = np.asarray(jax.jit(draw)(jax.random.key(0), where))
    assert not (drawn & ~where).any()
    return drawn.T @ (1 << np.arange(len(where)))


@pytest.mark.parametrize("way", [subsets.independent, subsets.stratified])
@pytest.mark.parametrize(
    "observed", [(1, 1, 1, 1, 1), (1, 0, 1, 1, 0), (0, 0, 0, 1, 0)]
)
def test_drawn_subsets_are_uniform_over_the_valid(observed, way):
    rows = 6_200
    where = np.repeat(np.array(observed, bool)[:, None], rows, axis=1)
    codes = drawn_codes(way, where, subsets.non_empty(5))
    codes = np.bincount(codes, minlength=32)
    valid = 2 ** sum(observed) - 1
    counts = codes[codes > 0]
    assert codes[0] == 0 and len(counts) == valid
    sigma = math.sqrt(rows / valid * (1 - 1 / valid))
    allowed = 4 * sigma if way is subsets.independent else 1
    assert (abs(counts - rows / valid) <= allowed).all()


def test_a_stratified_row_draws_every_subset_alike_over_keys():
    """Uniform for each row, though the rows of a batch share the subsets out."""
    rows = np.array([True, False, True, True])
    keys = jax.random.split(jax.random.key(0), 4_000)
    drawn = jax.jit(jax.vmap(lambda key: subsets.stratified(key, rows)))(keys)
    for row in (0, 2, 3):
        counts = np.bincount((7 * np.asarray(drawn[:, row])).astype(int), minlength=7)
        assert (abs(counts - 4_000 / 7) < 4 * math.sqrt(4_000 / 7)).all()
    thirds = np.sort((3 * np.asarray(drawn[:, rows])).astype(int), axis=1)
    np.testing.assert_array_equal(thirds, np.tile(np.arange(3), (4_000, 1)))
    assert (drawn[:, 1] < 1).all()


def test_rows_whose_random_numbers_are_equal_still_share_the_subsets_out(monkeypatch):
    """Among thousands of float32 numbers some are equal."""
    monkeypatch.setattr(
        subsets, "independent", lambda key, rows, _: np.zeros(len(rows))
    )
    rows = np.array([True, True, False, True, True])
    drawn = jax.jit(lambda key: subsets.stratified(key, rows))(jax.random.key(0))
    drawn = np.asarray(drawn)[rows]
    np.testing.assert_allclose(np.diff(drawn), 0.25, atol=1e-6)


def test_a_row_without_modalities_draws_nothing():
    where = np.zeros((2, 3), bool)
    assert not drawn_codes(subsets.independent, where, subsets.non_empty(2)).any()


def test_thinning_drops_at_its_rate_and_never_all():
    rows, rate = 20_000, 0.6
    where = np.repeat([[True], [False], [True]], rows, axis=1)
    where[:, 0] = False
    keys = row_keys(jax.random.key(0), np.ones(rows, bool))
    kept = np.asarray(jax.jit(partial(subsets.thin, drop_rate=rate))(keys, where))
    assert not kept[:, 0].any() and not (kept & ~where).any()
    assert kept[:, 1:].any(axis=0).all()
    share = kept[[0, 2], 1:].mean(axis=1)  # kept, or the one of two that remains
    expected = 1 - rate + rate * rate / 2
    assert (abs(share - expected) < 4 * 0.5 / math.sqrt(rows)).all()
    none = jax.jit(partial(subsets.thin, drop_rate=0.0))(keys, where)
    np.testing.assert_array_equal(none, where)


@pytest.mark.parametrize("prior_expert", subsets.PRIOR_EXPERTS)
def test_posterior_has_the_prior_where_it_is_said_to(prior_expert):
    mean, log_var = np.random.default_rng(0).normal(size=(2, 3, 7, 2)).astype("f")
    members = subsets.non_empty(3)
    fused = posterior(mean, log_var, members.T, prior_expert=prior_expert)
    fused = np.asarray(fused)
    for row, member in enumerate(members):
        prior = has_prior(np.flatnonzero(member), 3, prior_expert)
        alone = product_of_experts(mean[member, row], log_var[member, row], prior=prior)
        np.testing.assert_allclose(fused[0, row], alone[0], rtol=1e-5)
        np.testing.assert_allclose(fused[1, row], alone[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("prior_expert", subsets.PRIOR_EXPERTS)
@pytest.mark.parametrize("num_modalities", [1, 3, 4])
def test_mean_kl_matches_the_loops(num_modalities, prior_expert):
    rng = np.random.default_rng(num_modalities)
    mean, log_var = rng.normal(size=(2, num_modalities, 6, 3)).astype("f")
    where = rng.random((num_modalities, 6)) < 0.7
    where[:, 0], where[:, 1] = True, False
    actual = mean_kl(mean, log_var, where, prior_expert=prior_expert)
    expected = mean_kl_in_loops(mean, log_var, where, prior_expert)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "prior_expert, expected", [("full", 2.097191), ("none", 2.637238)]
)
def test_mean_kl_by_hand(prior_expert, expected):
    """N(1, 2) and N(3, 1): .653426 and 4.5; 2.758288 or, with prior, 1.138145."""
    mean = np.array([[[1.0]], [[3.0]]], "f")
    log_var = np.log(np.array([[[2.0]], [[1.0]]], "f"))
    actual = mean_kl(mean, log_var, np.ones((2, 1), bool), prior_expert=prior_expert)
    np.testing.assert_allclose(actual, [expected], atol=1e-5)


def test_gradient_of_mean_kl_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    mean, log_var = rng.normal(size=(2, 3, 4, 2)).astype("f")
    where = np.ones((3, 4), bool)
    members = subsets.non_empty(3)

    def plain(mean, log_var):
        kls = []
        for member in members:
            row = np.repeat(member[:, None], 4, axis=1)
            kls.append(gaussian.kl(*subsets.posterior(mean, log_var, row)).sum())
        return sum(kls) / len(members)

    def fast(mean, log_var):
        return mean_kl(mean, log_var, where).sum()

    expected = jax.jit(jax.grad(plain, argnums=(0, 1)))(mean, log_var)
    actual = jax.jit(jax.grad(fast, argnums=(0, 1)))(mean, log_var)
    for a, b in zip(actual, expected):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num_modalities", [2, 3, 5])
def test_a_product_of_equal_experts_divides_their_variance(num_modalities):
    """So the KL of a subset of size s from one of its members is known."""
    zero = np.zeros((num_modalities, 1, 1), "f")
    everyone = np.ones((num_modalities, 1), bool)
    fused = posterior(zero, zero, everyone, prior_expert="none")
    np.testing.assert_allclose(np.exp(fused[1]), [[1 / num_modalities]], rtol=1e-6)
    expected = {2: 0.096574, 3: 0.215973, 5: 0.404719}[num_modalities]
    np.testing.assert_allclose(jax.jit(gaussian.kl)(*fused), [expected], atol=1e-6)


@pytest.mark.parametrize("size", [0.0, 1e4, -1e4])
def test_mean_kl_is_finite_with_gradient_far_out(size):
    mean = np.full((3, 2, 4), size, "f")
    where = np.ones((3, 2), bool)
    for mixed in (mean, mean * np.array([1, -1, 0.5], "f")[:, None, None]):
        value, gradient = jax.jit(
            jax.value_and_grad(lambda *a: mean_kl(*a, where).sum(), argnums=(0, 1))
        )(mean, mixed)
        assert np.isfinite(value)
        assert all(np.isfinite(g).all() for g in gradient)


def test_an_unknown_place_for_the_prior_is_refused():
    one = np.ones((2, 1, 1), "f")
    with pytest.raises(ValueError, match=r"subsets\.posterior: expected prior_expert"):
        subsets.posterior(one, one, np.ones((2, 1), bool), prior_expert="some")
    with pytest.raises(ValueError, match=r"subsets\.mean_kl: expected prior_expert"):
        mean_kl(one, one, np.ones((2, 1), bool), prior_expert="some")
