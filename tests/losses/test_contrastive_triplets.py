"""Triplets: loops over all of them, by hand, and what their options change."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import mining
from repr_jax.ops.similarity import negative_distance

LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 2])  # 3 is alone
LINE = np.array([[0.0], [2.0], [1.0], [5.0]], "f")  # of classes 0, 0, 1, 1
TWO = np.array([0, 0, 1, 1])
OPTIONS = ("swap", "smooth", "non_zero")
triplet, triplet_all = (
    jax.jit(loss, static_argnames=(*OPTIONS, "similarity"))
    for loss in (losses.triplet, losses.triplet_all)
)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape or (8, 4)).astype("f")


def squared_distances(x):
    x = x.astype(float)
    return np.array([[((a - b) ** 2).sum() for b in x] for a in x])


def triplet_from_the_paper(anchors, positives, negatives, *, margin):
    """Schroff et al., section 3.1, averaged."""
    terms = []
    for a, p, n in zip(*(x.astype(float) for x in (anchors, positives, negatives))):
        terms.append(max(0, ((a - p) ** 2).sum() - ((a - n) ** 2).sum() + margin))
    return np.mean(terms)


def hardest_from_the_paper(x, labels, *, margin):
    """Hermans et al., eq. 5, with squared distances."""
    distance, rows, terms = squared_distances(x), range(len(x)), []
    for a in rows:
        same = [distance[a, p] for p in rows if p != a and labels[p] == labels[a]]
        others = [distance[a, n] for n in rows if labels[n] != labels[a]]
        if same and others:
            terms.append(max(0, margin + max(same) - min(others)))
    return np.mean(terms)


def semi_hard_from_the_paper(x, labels, *, margin):
    """Schroff et al., section 3.2: beyond the positive, and the nearest of those."""
    distance, rows, terms = squared_distances(x), range(len(x)), []
    for a in rows:
        for p in rows:
            beyond = [
                distance[a, n]
                for n in rows
                if labels[n] != labels[a] and distance[a, n] > distance[a, p]
            ]
            if p != a and labels[p] == labels[a] and beyond:
                terms.append(max(0, margin + distance[a, p] - min(beyond)))
    return np.mean(terms)


@pytest.mark.parametrize("margin", [0.0, 0.2, 3.0])
def test_triplets_match_their_papers(margin):
    triplets = np.random.default_rng(0).normal(size=(3, 6, 4)).astype("f")
    expected = triplet_from_the_paper(*triplets, margin=margin)
    actual = jax.jit(losses.triplet)(*triplets, margin=margin)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    for loss, reference in (
        (losses.triplet_hardest, hardest_from_the_paper),
        (losses.triplet_semi_hard, semi_hard_from_the_paper),
    ):
        expected = reference(draw(), LABELS, margin=margin)
        actual = jax.jit(loss)(draw(), LABELS, margin=margin)
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_triplets_on_a_line_by_hand():
    """Class 0 at 0 and 2, class 1 at 1 and 5: squared gaps to 0 are 4, 1 and 25."""
    x = np.array([[0.0], [2.0], [1.0], [5.0]], "f")
    labels = np.array([0, 0, 1, 1])
    # 4 - 1, 4 - 1, 16 - 1, 16 - 9; margin 1.
    actual = jax.jit(losses.triplet_hardest)(x, labels, margin=1.0)
    np.testing.assert_allclose(actual, (4 + 4 + 16 + 8) / 4, rtol=1e-6)
    # 0 has 25 beyond 4, 2 has 9 beyond 4, 1 has none beyond 16, 5 has 25 beyond 16.
    actual = jax.jit(losses.triplet_semi_hard)(x, labels, margin=6.0)
    np.testing.assert_allclose(actual, (0 + 1 + 0) / 3, rtol=1e-6)
    assert jax.jit(losses.triplet)(x[:1], x[2:3], x[1:2], margin=3.0) == 0
    assert jax.jit(losses.triplet)(x[:1], x[1:2], x[2:3], margin=3.0) == 6


def in_loops(triplets, *, margin, swap=False, smooth=False, non_zero=False, power=2):
    """Of (a, p, n) with distances to the power."""
    terms = []
    for a, p, n in triplets:
        a, p, n = (x.astype(float) for x in (a, p, n))
        far = math.dist(a, n) ** power
        far = min(far, math.dist(p, n) ** power) if swap else far
        gap = margin + math.dist(a, p) ** power - far
        terms.append(math.log1p(math.exp(gap)) if smooth else max(0, gap))
    return sum(terms) / (sum(t > 0 for t in terms) if non_zero else len(terms))


def places_of(labels):
    rows = range(len(labels))
    return [
        (i, p, n)
        for i in rows
        for p in rows
        for n in rows
        if p != i and labels[p] == labels[i] != labels[n]
    ]


@pytest.mark.parametrize(
    "on", [(), ("swap",), ("smooth",), ("non_zero",), ("swap", "non_zero"), OPTIONS]
)
def test_options_match_the_loops(on):
    options, x = dict.fromkeys(on, True), draw()
    triplets = draw(3, 6, 4)
    expected = in_loops(zip(*triplets), margin=0.7, **options)
    found = triplet(*triplets, margin=0.7, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    every = [(x[i], x[p], x[n]) for i, p, n in places_of(LABELS)]
    for power, rest in ((2, {}), (1, {"similarity": negative_distance})):
        expected = in_loops(every, margin=0.7, power=power, **options)
        found = triplet_all(x, LABELS, margin=0.7, **rest, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_all_triplets_of_a_line_by_hand():
    """Anchors 0, 2, 1, 5; squared distances 4, 4, 16, 16 to their positives."""
    hinges = [4 - 1, 0, 4 - 1, 0, 16 - 1, 16 - 1, 0, 16 - 9]
    found = triplet_all(LINE, TWO, margin=0.0)
    np.testing.assert_allclose(found, sum(hinges) / 8, rtol=1e-6)
    found = triplet_all(LINE, TWO, margin=0.0, non_zero=True)
    np.testing.assert_allclose(found, sum(hinges) / 5, rtol=1e-6)
    # The positive, at 2, is nearer to the negative, at 5, than the anchor, at 0.
    found = triplet(LINE[:1], LINE[1:2], LINE[3:], margin=6.0, swap=True)
    assert found == 6 + 4 - 9
    equal = np.ones((4, 3), "f")
    found = triplet_all(equal, TWO, margin=0.0, smooth=True)
    np.testing.assert_allclose(found, math.log(2), rtol=1e-6)


def test_triplets_that_are_left_out_do_not_count():
    x, kept = draw(), np.random.default_rng(1).random((8, 8, 8)) < 0.5
    every = [(x[i], x[p], x[n]) for i, p, n in places_of(LABELS) if kept[i, p, n]]
    found = triplet_all(x, LABELS, margin=0.7, triplet_where=kept)
    np.testing.assert_allclose(found, in_loops(every, margin=0.7), rtol=1e-5)
    with pytest.raises(
        ValueError, match="triplet_all: expected triplet_where of shape"
    ):
        losses.triplet_all(x, LABELS, triplet_where=kept[:4])
    with pytest.raises(TypeError, match="triplet_all: expected triplet_where bool"):
        losses.triplet_all(x, LABELS, triplet_where=kept.astype(int))


def test_triplets_that_are_satisfied_take_no_share_of_a_non_zero_mean():
    """One that violates the margin has the gradient that it has alone."""
    triplets = np.concatenate([draw(3, 1, 4), 9 * np.ones((3, 5, 4), "f")], axis=1)
    triplets[2, 1:] *= -1  # far away
    options = dict(margin=30.0, non_zero=True)
    alone, among = (
        jax.grad(losses.triplet)(*rows, **options)
        for rows in (triplets[:, :1], triplets)
    )
    np.testing.assert_allclose(among[:1], alone, rtol=1e-6)
    assert alone.any() and not among[1:].any()


def test_satisfied_triplets_have_no_gradient():
    x = np.array([[0.0], [0.1], [9.0], [9.1]], "f")
    labels = np.array([0, 0, 1, 1])
    for loss in (losses.triplet_hardest, losses.triplet_semi_hard, losses.triplet_all):
        value, gradient = jax.jit(jax.value_and_grad(loss))(x, labels)
        assert value == 0
        assert (gradient == 0).all()


def test_the_hardest_of_all_triplets_are_the_batch_hard_ones():
    x, found = draw(), mining.hardest(draw(), LABELS)
    kept = np.zeros((8, 8, 8), bool)
    for i in np.flatnonzero(found.where):
        kept[i, found.positive[i], found.negative[i]] = True
    for on in ("smooth", "non_zero"):
        expected = losses.triplet_hardest(x, LABELS, **{on: True})
        actual = triplet_all(x, LABELS, triplet_where=kept, **{on: True})
        np.testing.assert_allclose(actual, expected, rtol=1e-5)
