"""Pairs with many negatives, and with bounds: loops, by hand, what each measures."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops.similarity import cosine

nca = jax.jit(losses.nca, static_argnames="similarity")
lifted, angular, margin_of = (
    jax.jit(loss)
    for loss in (losses.lifted_structure, losses.angular, losses.distance_margin)
)
generalized, hinge = (
    jax.jit(loss, static_argnames="similarity")
    for loss in (losses.generalized_lifted, losses.pair_hinge)
)
tuplet, variance = map(jax.jit, (losses.tuplet_margin, losses.intra_pair_variance))
LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 2])  # 3 is alone


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape or (8, 4))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def pairs_of(labels):
    """(i, j, rows of other labels) of every pair of a class."""
    rows = range(len(labels))
    for i in rows:
        far = [n for n in rows if labels[n] != labels[i]]
        yield from ((i, j, far) for j in rows if j != i and labels[j] == labels[i])


def nca_in_loops(x, labels, temperature):
    terms = []
    for i in range(len(x)):
        p = {
            j: math.exp(-(math.dist(x[i], x[j]) ** 2) / temperature)
            for j in range(len(x))
            if j != i
        }
        own = sum(p[j] for j in p if labels[j] == labels[i])
        if own:
            terms.append(-math.log(own / sum(p.values())))
    return np.mean(terms)


def lifted_in_loops(x, labels, margin):
    terms = []
    for i, j, far in pairs_of(labels):
        total = sum(
            math.exp(margin - math.dist(x[k], x[n])) for k in (i, j) for n in far
        )
        terms.append(max(0, math.dist(x[i], x[j]) + math.log(total)) ** 2 / 2)
    return np.mean(terms)


def angular_in_loops(x, labels, angle):
    x, t, terms = unit(x), math.tan(angle) ** 2, []
    for i, j, far in pairs_of(labels):
        own = 2 * (1 + t) * x[i] @ x[j]
        total = sum(math.exp(4 * t * (x[i] + x[j]) @ x[n] - own) for n in far)
        terms.append(math.log(1 + total))
    return np.mean(terms)


def margin_in_loops(a, p, n, boundary, margin):
    terms = []
    for row, bound in zip(range(len(a)), boundary):
        terms.append(max(0, math.dist(a[row], p[row]) - bound + margin))
        terms.append(max(0, bound - math.dist(a[row], n[row]) + margin))
    return sum(terms) / sum(term > 0 for term in terms)


@pytest.mark.parametrize("number", [0.4, 1.0, 1.3])
def test_losses_match_the_papers(number):
    x, few = draw(), np.float32(draw())
    found = nca(few, LABELS, temperature=number)
    np.testing.assert_allclose(found, nca_in_loops(x, LABELS, number), rtol=1e-5)
    found = lifted(few, LABELS, margin=number)
    np.testing.assert_allclose(found, lifted_in_loops(x, LABELS, number), rtol=1e-5)
    found = angular(few, LABELS, angle=number)
    np.testing.assert_allclose(found, angular_in_loops(x, LABELS, number), rtol=1e-4)


@pytest.mark.parametrize(("boundary", "margin"), [(1.2, 0.2), (2.5, 0.9)])
def test_boundaries_match_the_paper(boundary, margin):
    a, p, n = draw(3, 6, 4)
    for bound in (boundary, boundary + np.linspace(-0.5, 0.5, 6)):
        expected = margin_in_loops(a, p, n, np.broadcast_to(bound, 6), margin)
        found = margin_of(a, p, n, boundary=bound, margin=margin)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_values_by_hand():
    """All rows equal, of two classes of two: one positive, two negatives each."""
    x, labels = np.ones((4, 3), "f"), np.array([0, 0, 1, 1])
    np.testing.assert_allclose(nca(x, labels), math.log(3), rtol=1e-6)
    expected = (1 + math.log(4)) ** 2 / 2
    np.testing.assert_allclose(lifted(x, labels), expected, rtol=1e-6)
    expected = math.log(1 + 2 * math.exp(8 - 4))  # tan^2 of 45 degrees is 1
    np.testing.assert_allclose(angular(x, labels), expected, rtol=1e-6)
    np.testing.assert_allclose(margin_of(x, x, x), 1.4, rtol=1e-6)  # of negatives alone


def test_with_one_positive_nca_is_the_supervised_contrastive_loss():
    x, labels = np.float32(draw()), np.arange(8) // 2
    found = nca(x, labels, similarity=cosine, temperature=0.3)
    expected = losses.sup_con(x, labels, temperature=0.3)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_classes_far_apart_cost_nothing():
    x = np.float32(draw() + 100 * np.eye(4)[LABELS])
    assert nca(x, LABELS) < 1e-6 and lifted(x, LABELS) == 0
    a = x[[0, 2, 5]]
    assert margin_of(a, a + 0.1, -a) == 0


def test_rows_of_one_class_alone_have_no_negative():
    x = np.float32(draw(4, 3))
    for loss in (nca, lifted, angular, generalized, tuplet):
        value, gradient = jax.value_and_grad(loss)(x, np.zeros(4, int))
        assert value == 0 and not gradient.any()
        assert loss(x, np.arange(4)) == 0


def generalized_in_loops(x, labels, margin):
    terms = []
    for i in range(len(x)):
        d = {j: math.dist(x[i], x[j]) for j in range(len(x)) if j != i}
        near = sum(math.exp(d[j]) for j in d if labels[j] == labels[i])
        far = sum(math.exp(margin - d[j]) for j in d if labels[j] != labels[i])
        if near and far:
            terms.append(max(0, math.log(near) + math.log(far)))
    return np.mean(terms)


def tuplet_in_loops(x, labels, margin, scale):
    s, terms = unit(x) @ unit(x).T, []
    for i, p, far in pairs_of(labels):
        own = math.cos(math.acos(s[i, p]) - margin)
        terms.append(math.log1p(sum(math.exp(scale * (s[i, n] - own)) for n in far)))
    return np.mean(terms)


def kinds_of(s, labels):
    """Similarities of pairs of one label, and of two."""
    rows = range(len(labels))
    pairs = [(i, j) for i in rows for j in rows if i != j]
    return (
        np.array([s[i, j] for i, j in pairs if (labels[i] == labels[j]) == same])
        for same in (True, False)
    )


@pytest.mark.parametrize("number", [0.1, 0.5, 1.3])
def test_tuplets_match_the_papers(number):
    x, few = draw(), np.float32(draw())
    found = generalized(few, LABELS, margin=number)
    expected = generalized_in_loops(x, LABELS, number)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for scale in (1.0, 8.0):
        found = tuplet(few, LABELS, margin=number, scale=scale)
        expected = tuplet_in_loops(x, LABELS, number, scale)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    near, far = kinds_of(unit(x) @ unit(x).T, LABELS)
    low = np.maximum(0, (1 - number) * near.mean() - near) ** 2
    high = np.maximum(0, far - (1 + number / 2) * far.mean()) ** 2
    slack = dict(positive_slack=number, negative_slack=number / 2)
    found = variance(few, LABELS, **slack)
    np.testing.assert_allclose(found, low.mean() + high.mean(), rtol=1e-4)


@pytest.mark.parametrize(("positive", "negative"), [(0.9, 0.5), (0.3, -0.2)])
def test_bounds_of_pairs_match_the_paper(positive, negative):
    x = draw()
    near, far = kinds_of(unit(x) @ unit(x).T, LABELS)
    low, high = positive - near[near < positive], far[far > negative] - negative
    found = hinge(
        np.float32(x),
        LABELS,
        positive_bound=positive,
        negative_bound=negative,
        positive_weight=2.0,
        negative_weight=0.5,
    )
    np.testing.assert_allclose(found, 2 * low.mean() + 0.5 * high.mean(), rtol=1e-5)


def test_values_of_equal_rows_by_hand():
    """All rows equal, of two classes of two: one positive, two negatives each."""
    x, labels = np.eye(3, dtype="f")[[0] * 4], np.array([0, 0, 1, 1])
    found = generalized(x, labels, margin=1.0)
    np.testing.assert_allclose(found, 1 + math.log(2), rtol=1e-6)
    found = tuplet(x, labels, margin=0.0, scale=5.0)
    np.testing.assert_allclose(found, math.log(3), rtol=1e-6)
    found = tuplet(x, labels, margin=math.pi / 2, scale=5.0)  # the angle is 0
    np.testing.assert_allclose(found, math.log1p(2 * math.exp(5)), rtol=1e-6)
    np.testing.assert_allclose(variance(x, labels), 0, atol=1e-12)
    np.testing.assert_allclose(hinge(x, labels), 0.5, rtol=1e-6)  # of negatives alone


def test_of_a_large_margin_and_one_positive_it_is_a_log_of_shares():
    """No hinge is at 0: as NCA, but for the positive in the denominator."""
    x, labels = np.float32(draw()), np.arange(8) // 2
    found = generalized(x, labels, margin=20.0)
    d = np.linalg.norm(x[:, None] - x[None], axis=2)
    same = labels[:, None] == labels
    far = np.log(np.sum(np.where(same, 0, np.exp(-d)), axis=1))
    own = d[np.arange(8), np.arange(8) ^ 1]
    np.testing.assert_allclose(found, np.mean(own + far) + 20, rtol=1e-5)


def test_slack_weighs_pairs_that_are_near_enough_less():
    """A positive within the margin has about the gradient of none."""
    angles = np.array([0, 0.3, 1.2], "f")
    x, labels = np.stack([np.cos(angles), np.sin(angles)], 1), np.array([0, 0, 1])
    length = [
        np.abs(jax.grad(losses.tuplet_margin)(x, labels, margin=m, scale=20.0)).max()
        for m in (0.0, 0.3)
    ]
    assert 0 < length[1] < length[0] / 2


def test_pairs_within_their_bounds_have_no_gradient_and_equal_ones_no_variance():
    x = np.float32(np.eye(4)[LABELS])
    for loss in (losses.pair_hinge, losses.intra_pair_variance):
        value, gradient = jax.value_and_grad(loss)(x, LABELS)
        np.testing.assert_allclose(value, 0, atol=1e-12)
        np.testing.assert_allclose(gradient, 0, atol=1e-6)
