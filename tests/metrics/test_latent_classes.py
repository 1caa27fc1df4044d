"""Mean classifiers against loops over all tuples, and the bound that holds for them."""

import itertools
import math

import jax
import numpy as np
import pytest

from repr_jax import metrics
from repr_jax.ops import links

mean_classifier_loss = jax.jit(metrics.mean_classifier_loss, static_argnames="link")
PRIORS = np.array([0.5, 0.3, 0.2])


def draw(seed=17):
    """[class, row, dim]"""
    rows = np.random.default_rng(seed).normal(size=(3, 4, 2))
    return rows + 2 * np.array([[1, 0], [-1, 1], [0, -2]])[:, None]


def link_of(link, v):
    return max(0, 1 - v) if link is links.hinge else math.log2(1 + math.exp(-v))


def in_loops(x, priors, link):
    """Definition of the loss, and the unsupervised one of all tuples of rows."""
    classes, total, chance, unsupervised = range(len(x)), 0.0, 0.0, 0.0
    means = [rows.mean(axis=0) for rows in x]
    for c, d in itertools.product(classes, classes):
        weight = priors[c] * priors[d]
        terms = [
            link_of(link, a @ (p - n))
            for a, p, n in itertools.product(x[c], x[c], x[d])
        ]
        unsupervised += weight * np.mean(terms)
        if c != d:
            gaps = [link_of(link, a @ (means[c] - means[d])) for a in x[c]]
            total, chance = total + weight * np.mean(gaps), chance + weight
    return total / chance, unsupervised


@pytest.mark.parametrize("link", [links.hinge, links.logistic])
@pytest.mark.parametrize("seed", range(3))
def test_it_equals_loops_below_the_bound(link, seed):
    x, labels = draw(seed), np.repeat(np.arange(3), 4)
    expected, unsupervised = in_loops(x, PRIORS, link)
    found = mean_classifier_loss(x.reshape(-1, 2), labels, PRIORS, link=link)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert expected <= metrics.mean_classifier_bound(unsupervised, sum(PRIORS**2))


def test_it_has_the_stated_values():
    x, labels = draw(), np.repeat(np.arange(3), 4)
    value, unsupervised = in_loops(x, PRIORS, links.logistic)
    bound = metrics.mean_classifier_bound(unsupervised, sum(PRIORS**2))
    stated = [1.206864, 0.3756307, 1.333651]
    np.testing.assert_allclose([unsupervised, value, bound], stated, rtol=1e-6)
    found = mean_classifier_loss(x.reshape(-1, 2), labels, PRIORS)
    np.testing.assert_allclose(found, value, rtol=1e-5)


def test_absent_rows_and_empty_classes_do_not_count():
    x, labels = draw().reshape(-1, 2), np.repeat(np.arange(3), 4)
    expected, _ = in_loops(draw()[:2], PRIORS[:2], links.logistic)
    spoiled = np.where(labels[:, None] == 2, np.nan, x)
    found = mean_classifier_loss(spoiled, labels, PRIORS, where=labels < 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    nobody = np.zeros(12, int)
    assert mean_classifier_loss(x, nobody, PRIORS) == 0
    same = mean_classifier_loss(np.ones((12, 2)), labels, PRIORS)
    np.testing.assert_allclose(same, 1, rtol=1e-6)


def test_bad_arguments_are_named():
    x, labels = draw().reshape(-1, 2), np.repeat(np.arange(3), 4)
    with pytest.raises(TypeError, match="mean_classifier_loss: expected priors of"):
        metrics.mean_classifier_loss(x, labels, np.arange(3))
    with pytest.raises(ValueError, match="mean_classifier_loss: expected one shape of"):
        metrics.mean_classifier_loss(x[0], labels, PRIORS)
