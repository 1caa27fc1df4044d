"""Pairs and triplets against float64 loops, by hand, and what makes them hard."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses

NAMES = ("contrastive_margin", "multi_similarity", "circle")
contrastive_margin, multi_similarity, circle = (
    jax.jit(getattr(losses, name)) for name in NAMES
)
triplet_ratio, local_triplet = map(
    jax.jit, (losses.triplet_ratio, losses.local_triplet)
)
LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 2])  # 3 is alone


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape or (8, 4))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def by_row(x, labels):
    """Of every row the cosines to the others of its class, and to other classes."""
    s, rows = unit(x) @ unit(x).T, range(len(x))
    for i in rows:
        same = [s[i, j] for j in rows if j != i and labels[j] == labels[i]]
        yield same, [s[i, j] for j in rows if labels[j] != labels[i]]


def margin_from_the_paper(x, labels, margin):
    terms = []
    for i in range(len(x)):
        for j in range(i):
            d = math.dist(x[i], x[j])
            alike = labels[i] == labels[j]
            terms.append(d**2 if alike else max(0, margin - d) ** 2)
    return np.mean(terms)


def multi_similarity_from_the_paper(x, labels, a, b, base):
    terms = []
    for same, others in by_row(x, labels):
        near = sum(math.exp(-a * (s - base)) for s in same)
        far = sum(math.exp(b * (s - base)) for s in others)
        terms.append(math.log(1 + near) / a + math.log(1 + far) / b)
    return np.mean(terms)


def circle_from_the_paper(x, labels, margin, scale):
    terms = []
    for same, others in by_row(x, labels):
        far = [max(0, s + margin) * (s - margin) for s in others]
        near = [max(0, 1 + margin - s) * (s - 1 + margin) for s in same]
        sums = sum(math.exp(scale * f) for f in far)
        sums *= sum(math.exp(-scale * n) for n in near)
        if same and others:
            terms.append(math.log(1 + sums))
    return np.mean(terms)


@pytest.mark.parametrize("margin", [0.3, 1.0, 4.0])
def test_pairs_match_their_papers(margin):
    x = draw()
    expected = margin_from_the_paper(x, LABELS, margin)
    found = contrastive_margin(x, LABELS, margin=margin)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    expected = circle_from_the_paper(x, LABELS, margin, 20.0)
    found = circle(x, LABELS, margin=margin, scale=20.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    numbers = dict(positive_sharpness=1 + margin, negative_sharpness=9.0, base=margin)
    expected = multi_similarity_from_the_paper(x, LABELS, *numbers.values())
    found = multi_similarity(x, LABELS, **numbers)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_pairs_have_the_stated_values():
    x, labels = draw(6, 3, seed=67), np.arange(6) % 3
    for loss, expected in (
        (multi_similarity, 1.311385),
        (circle, 214.8582),
        (contrastive_margin, 1.577654),
    ):
        np.testing.assert_allclose(loss(x, labels), expected, rtol=1e-5)


def test_pairs_on_a_line_by_hand():
    """Class 0 at 0 and 2, class 1 at 1 and 5, margin 3."""
    x = np.array([[0.0], [2.0], [1.0], [5.0]], "f")
    labels = np.array([0, 0, 1, 1])
    found = contrastive_margin(x, labels, margin=3.0)
    np.testing.assert_allclose(found, (4 + 16 + 4 + 0 + 4 + 0) / 6, rtol=1e-6)


def test_equal_rows_by_hand():
    same, labels = np.ones((4, 3), "f"), np.array([0, 0, 1, 1])
    found = circle(same, labels, margin=0.25, scale=4.0)  # 4 (1.25 .75 - .25 .25)
    expected = math.log1p(2 * math.exp(4 * (1.25 * 0.75 - 0.25 * 0.25)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    found = multi_similarity(same, labels)
    expected = math.log1p(math.exp(-1)) / 2 + math.log1p(2 * math.exp(25)) / 50
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_pairs_beyond_the_margin_have_no_gradient_and_weights_of_circle_have_none():
    x, labels = np.array([[0.0], [9.0]], "f"), np.arange(2)
    value, gradient = jax.jit(jax.value_and_grad(losses.contrastive_margin))(x, labels)
    assert value == 0 and (gradient == 0).all()
    # Of two rows of a class and one of another the circle's slope by angle, by hand.
    x = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], "f")
    labels = np.array([0, 0, 1])
    gradient = jax.jit(jax.grad(lambda x: losses.circle(x, labels, scale=1.0)))(x)
    s_p, s_n = 0.8, np.array([0.0, 0.6])
    w_p, w_n = 1.4 - s_p, s_n + 0.4
    logit = w_n * (s_n - 0.4) - w_p * (s_p - 0.6)
    share = 1 / (1 + np.exp(-logit)) / 2  # of two rows that have both kinds
    # d s_p and d s_n by the third row: only s_n depends on it
    tangents = [x[0] - 0 * x[2], x[1] - 0.6 * x[2]]
    expected = sum(s * w * t for s, w, t in zip(share, w_n, tangents))
    np.testing.assert_allclose(gradient[2], expected, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_rows_without_a_partner(name):
    value, gradient = jax.jit(jax.value_and_grad(getattr(losses, name)))(
        draw().astype("f"), np.zeros(8, int)
    )
    assert np.isfinite(value) and np.isfinite(gradient).all()
    if name == "circle":
        assert value == 0


def test_triplet_ratio_matches_the_paper_and_by_hand():
    for seed in (0, 37):
        triplets = draw(3, 5, 3, seed=seed)
        terms = []
        for a, p, n in zip(*triplets):
            near, far = math.exp(math.dist(a, p)), math.exp(math.dist(a, n))
            share = near / (near + far)
            terms.append(share**2 + (far / (near + far) - 1) ** 2)
        found = triplet_ratio(*triplets)
        np.testing.assert_allclose(found, np.mean(terms), rtol=1e-5)
    np.testing.assert_allclose(found, 0.7100546, rtol=1e-5)
    equal = np.array([[[0.0]], [[2.0]], [[-2.0]]], "f")
    assert triplet_ratio(*equal) == 0.5


def test_triplet_ratio_depends_on_the_difference_of_distances():
    near, far = (
        np.array([[0.0], [1.0], [3.0]], "f"),
        np.array([[0.0], [6.0], [8.0]], "f"),
    )
    values = [triplet_ratio(*(x[:, None] for x in line)) for line in (near, far)]
    np.testing.assert_allclose(*values, rtol=1e-6)


def descriptors(seed=40):
    rng = np.random.default_rng(seed)
    queries = unit(rng.normal(size=(6, 3)))
    positives = unit(queries[::-1] + 0.3 * rng.normal(size=(6, 3)))
    negatives = unit(rng.normal(size=(6, 3)))
    return queries, positives, negatives, rng.uniform(size=6)


def local_in_loops(queries, positives, negatives, attention, ratio, margin):
    matched, total = [], 0.0
    for p, row in enumerate(positives):
        away = [math.dist(row, q) for q in queries]
        first, second = sorted(away)[:2]
        q = away.index(first)
        back = [math.dist(queries[q], other) for other in positives]
        mutual = back.index(min(back)) == p
        high = sum(a > attention[p] for a in attention) < len(attention) / 2
        if mutual and first <= ratio * second and high:
            matched.append(p)
            repel = min(math.dist(queries[q], n) for n in negatives)
            total += max(0, first**2 - repel**2 + margin)
    return matched, total


@pytest.mark.parametrize("ratio", [0.5, 0.9, 1.0])
def test_local_triplets_match_the_paper(ratio):
    rows = [descriptors(seed) for seed in range(5)]
    options = dict(ratio=ratio, margin=1.0)
    expected = np.mean([local_in_loops(*row, **options)[1] for row in rows])
    found = local_triplet(*map(np.stack, zip(*rows)), **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_local_triplets_have_the_stated_value_and_ignore_scale():
    matched, total = local_in_loops(*descriptors(), ratio=0.9, margin=1.0)
    assert matched == [1, 3]
    np.testing.assert_allclose(total, 1.147003, rtol=1e-6)
    one = [x[None] for x in descriptors()]
    np.testing.assert_allclose(local_triplet(*one, margin=1.0), total, rtol=1e-5)
    longer = [3 * x for x in one[:3]]
    found = local_triplet(*longer, one[3], margin=1.0)
    np.testing.assert_allclose(found, total, rtol=1e-5)


def test_without_a_match_a_local_triplet_costs_nothing():
    same = np.ones((1, 4, 3), "f")  # every runner-up is as near as the nearest
    attention = np.ones((1, 4), "f")
    value, gradient = jax.jit(jax.value_and_grad(losses.local_triplet))(
        draw(1, 4, 3).astype("f"), same, same, attention
    )
    assert np.isfinite(value) and np.isfinite(gradient).all()
    far = np.array([[[1.0, 0.0], [0.0, 1.0]]], "f")
    assert local_triplet(far, far, -far, np.ones((1, 2), "f")) == 0


def test_bad_arguments_are_named():
    x = draw()
    with pytest.raises(TypeError, match="circle: expected labels of integers; got f"):
        losses.circle(x, LABELS / 2)
    with pytest.raises(ValueError, match="multi_similarity: expected negative_sharpn"):
        losses.multi_similarity(x, LABELS, negative_sharpness=0)
    with pytest.raises(ValueError, match="triplet_ratio: expected one shape of rank 2"):
        losses.triplet_ratio(x, x[:, :2], x)
    with pytest.raises(ValueError, match="local_triplet: expected attention of shape"):
        losses.local_triplet(x[None], x[None], x[None], x)
    with pytest.raises(ValueError, match="contrastive_margin: expected ring with"):
        losses.contrastive_margin(x, LABELS, ring=True)
