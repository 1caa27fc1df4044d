"""The gap of bounds over subsets, in closed form, by other means, and by training."""

import functools

import numpy as np
import pytest

from experiments.papers import linear_gaussian
from experiments.papers.linear_gaussian import Model, Posterior
from repr_jax import losses
from repr_jax.ops import subsets

# private weight: E log p(x), gap of a single view
KNOWN = {
    0.0: (-3.387183, 0.250000),
    1.0: (-3.877598, 0.833333),
    2.0: (-4.615551, 2.416667),
    4.0: (-5.726703, 8.472222),
}
MEMBERS = subsets.non_empty(2)


def random_model():
    rng = np.random.default_rng(0)
    weights = tuple(rng.normal(size=(n, 4)) for n in (2, 3, 1))
    return Model(weights, 0.7)


@pytest.mark.parametrize("own", KNOWN)
def test_two_views_have_the_known_gaps(own):
    model = linear_gaussian.two_views(own)
    evidence, single = KNOWN[own]
    gaps = [linear_gaussian.gap(model, members) for members in MEMBERS]
    np.testing.assert_allclose(linear_gaussian.log_evidence(model), evidence, atol=1e-6)
    np.testing.assert_allclose(gaps, [single, single, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    "own, entropy", [(0.0, 1.621671), (1.0, 1.909353), (2.0, 2.300733), (4.0, 2.862579)]
)
def test_the_gap_is_not_what_a_view_leaves_open_of_the_other(own, entropy):
    """H(x_2 | x_1) added to the bound exceeds E log p(x): it is no bound of the gap."""
    variance = 2 + own**2  # of a view; their covariance is 1
    left = variance - 1 / variance
    np.testing.assert_allclose(
        0.5 * np.log(2 * np.pi * np.e * left), entropy, atol=1e-6
    )
    model = linear_gaussian.two_views(own)
    weights = np.concatenate(model.weights)
    covariance = weights @ weights.T + np.eye(2)
    np.testing.assert_allclose(covariance, [[variance, 1], [1, variance]], atol=1e-12)
    gap = linear_gaussian.gap(model, MEMBERS[0])
    if own == 1:
        bound = linear_gaussian.log_evidence(model) - gap + entropy
        np.testing.assert_allclose(bound, -2.801578, atol=1e-5)
        assert bound > linear_gaussian.log_evidence(model)


def test_two_views_have_best_posteriors_of_independent_dimensions():
    covariance = linear_gaussian.best(linear_gaussian.two_views(2.0), (1, 0)).covariance
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-12)


def test_the_gap_is_what_the_best_bound_misses_and_falls_with_more_views():
    model = random_model()
    evidence = linear_gaussian.log_evidence(model)
    gaps = {}
    for members in subsets.non_empty(3):
        gap = linear_gaussian.gap(model, members)
        bound = linear_gaussian.bound(model, linear_gaussian.best(model, members))
        np.testing.assert_allclose(evidence - bound, gap, atol=1e-9)
        gaps[tuple(members)] = gap
    assert abs(gaps[True, True, True]) < 1e-9 < gaps[True, True, False]
    for a, of_a in gaps.items():
        for b, of_b in gaps.items():
            if all(y or not x for x, y in zip(a, b)):  # a is part of b
                assert of_a >= of_b - 1e-9


def test_no_other_posterior_of_a_subset_has_a_larger_bound():
    model, rng = random_model(), np.random.default_rng(1)
    members = (True, False, True)
    best = linear_gaussian.best(model, members)
    seen = np.repeat(members, [2, 3, 1])
    for _ in range(20):
        matrix = best.matrix + 0.1 * rng.normal(size=best.matrix.shape) * seen
        root = np.eye(4) + 0.1 * rng.normal(size=(4, 4))
        other = Posterior(matrix, root @ best.covariance @ root.T)
        assert linear_gaussian.bound(model, other) < linear_gaussian.bound(model, best)


def test_the_bound_is_the_mean_over_samples_of_the_model():
    model, rng = random_model(), np.random.default_rng(2)
    posterior = Posterior(0.1 * rng.normal(size=(4, 6)), np.diag([0.5, 1.0, 0.3, 2.0]))
    weights, count = np.concatenate(model.weights), 200_000
    x = rng.normal(size=(count, 4)) @ weights.T + 0.7 * rng.normal(size=(count, 6))
    mean, variance = x @ posterior.matrix.T, np.diag(posterior.covariance)
    z = mean + np.sqrt(variance) * rng.normal(size=mean.shape)
    log_p = -0.5 * np.sum(((x - z @ weights.T) / 0.7) ** 2, axis=1)
    log_p -= 6 * np.log(0.7 * np.sqrt(2 * np.pi))
    kl = 0.5 * np.sum(variance + mean**2 - 1 - np.log(variance), axis=1)
    values = log_p - kl
    error = values.std() / np.sqrt(count)
    assert abs(values.mean() - linear_gaussian.bound(model, posterior)) < 4 * error


def test_training_ends_at_the_closed_form():
    """The mixture by the loss itself; every subset with a posterior of its own."""
    model = linear_gaussian.two_views(1.0)
    train = functools.partial(linear_gaussian.train, model, num_steps=600)
    evidence = linear_gaussian.log_evidence(model)

    def gaps(encoders, members):
        found = linear_gaussian.posteriors(model, encoders, members)
        return [evidence - linear_gaussian.bound(model, one) for one in found]

    loss = linear_gaussian.of_experts(model, losses.moe_elbo)
    mixture = gaps(train(loss, 2), MEMBERS[:2])
    np.testing.assert_allclose(mixture, KNOWN[1.0][1], atol=2e-3)
    loss = linear_gaussian.of_each_subset(model, MEMBERS)
    free = gaps(train(loss, 3), MEMBERS)
    np.testing.assert_allclose(np.mean(free), 2 / 3 * KNOWN[1.0][1], atol=2e-3)
    assert min(*mixture, *free) > -1e-9


def test_products_are_those_of_the_experts_and_of_the_prior_in_the_full_set():
    experts = [
        Posterior(np.array([[1.0, 0.0]]), np.array([[2.0]])),
        Posterior(np.array([[0.0, 3.0]]), np.array([[1.0]])),
    ]
    *singles, both = linear_gaussian.products(experts)
    for single, expert in zip(singles, experts):
        np.testing.assert_allclose(single.matrix, expert.matrix)
        np.testing.assert_allclose(single.covariance, expert.covariance)
    np.testing.assert_allclose(both.covariance, [[0.4]])
    np.testing.assert_allclose(both.matrix, [[0.2, 1.2]])
