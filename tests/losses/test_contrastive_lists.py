"""Histograms, negatives before positives, ranked lists: loops, by hand, invariances."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses

LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 2])  # 3 is alone
histogram = jax.jit(losses.histogram, static_argnames="num_bins")
pnp = jax.jit(losses.pnp, static_argnames="penalty")
ranked = jax.jit(losses.ranked_list)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape or (8, 4))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def histogram_in_loops(x, labels, num_bins):
    s, rows, shares = unit(x) @ unit(x).T, range(len(x)), []
    for same in (True, False):
        values = [
            s[i, j] for i in rows for j in range(i) if (labels[i] == labels[j]) == same
        ]
        h = np.zeros(num_bins + 1)
        for value in values:
            place = (value + 1) * num_bins / 2
            low = int(place)
            h[low] += 1 - (place - low)
            h[low + 1] += place - low
        shares.append(h / len(values))
    positive, negative = shares
    return sum(n * positive[: b + 1].sum() for b, n in enumerate(negative))


def pnp_in_loops(x, labels, temperature, penalty):
    s, rows, terms = unit(x) @ unit(x).T, range(len(x)), []
    for i in rows:
        own = [p for p in rows if labels[p] == labels[i]]
        far = [n for n in rows if labels[n] != labels[i]]
        before = [
            sum(1 / (1 + math.exp((s[i, p] - s[i, n]) / temperature)) for n in far)
            for p in own
        ]
        if len(own) > 1:
            terms.append(np.mean([penalty(r) for r in before]))
    return np.mean(terms)


def ranked_in_loops(x, labels, boundary, margin, near_t, far_t, balance):
    x, rows, terms = unit(x), range(len(x)), []
    for i in rows:
        d = {j: math.dist(x[i], x[j]) for j in rows if j != i}
        near = [d[j] - boundary + margin for j in d if labels[j] == labels[i]]
        far = [boundary - d[j] for j in d if labels[j] != labels[i]]
        parts = []
        for gaps, t in ((near, near_t), (far, far_t)):
            gaps = np.array([gap for gap in gaps if gap > 0] or [0.0])
            w = np.exp(t * gaps)
            parts.append((w * gaps).sum() / w.sum())
        terms.append((1 - balance) * parts[0] + balance * parts[1])
    return np.mean(terms)


@pytest.mark.parametrize("num_bins", [1, 7, 40])
def test_histograms_match_the_paper(num_bins):
    expected = histogram_in_loops(draw(), LABELS, num_bins)
    found = histogram(np.float32(draw()), LABELS, num_bins=num_bins)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("temperature", [0.03, 0.4])
def test_negatives_before_positives_match_the_paper(temperature):
    for penalty in (jnp.log1p, lambda r: r, lambda r: 1 - (1 + r) ** -2):
        expected = pnp_in_loops(draw(), LABELS, temperature, penalty)
        found = pnp(
            np.float32(draw()), LABELS, temperature=temperature, penalty=penalty
        )
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "numbers",
    [(1.2, 0.4, 0.0, 10.0, 0.5), (1.0, 0.2, 3.0, 0.0, 0.3), (1.5, 1, 1, 1, 1)],
)
def test_ranked_lists_match_the_paper(numbers):
    names = ("boundary", "margin", "positive_temperature", "negative_temperature")
    options = dict(zip((*names, "balance"), map(float, numbers), strict=True))
    expected = ranked_in_loops(draw(), LABELS, *numbers)
    found = ranked(np.float32(draw()), LABELS, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_values_by_hand():
    """All rows equal, of two classes of two: one positive, two negatives each."""
    x, labels = np.ones((4, 2), "f"), np.array([0, 0, 1, 1])
    np.testing.assert_allclose(histogram(x, labels, num_bins=10), 1, rtol=1e-5)
    found = pnp(x, labels, penalty=jnp.log1p)  # each negative is half before
    np.testing.assert_allclose(found, math.log(2), rtol=1e-6)
    np.testing.assert_allclose(ranked(x, labels), 0.5 * 1.2, rtol=1e-6)
    apart = np.float32([[1, 0], [1, 0], [-1, 0], [-1, 0]])
    assert histogram(apart, labels, num_bins=10) < 1e-6
    assert ranked(apart, labels) == 0
    np.testing.assert_allclose(pnp(apart, labels, penalty=jnp.log1p), 0, atol=1e-6)


def test_histograms_tell_how_often_a_negative_is_more_similar():
    """Of many bins it is the share of pairs of pairs in the wrong order."""
    x, labels = draw(24, 3, seed=1), np.arange(24) // 6
    s, once = unit(x) @ unit(x).T, np.tril(np.ones((24, 24), bool), -1)
    same = labels[:, None] == labels
    near, far = s[once & same], s[once & ~same]
    wrong = np.mean(far[:, None] > near[None])
    found = histogram(np.float32(x), labels, num_bins=400)
    np.testing.assert_allclose(found, wrong, atol=0.01)


def test_negatives_behind_all_positives_do_not_matter_in_what_order():
    angles = np.array([0, 0.1, 0.2, 1.5, 2.0, 2.5])
    labels = np.array([0, 0, 0, 1, 1, 1])
    other = angles + np.array([0, 0, 0, 0.9, 0.7, -0.6])
    values = [
        pnp(np.float32(np.stack([np.cos(a), np.sin(a)], 1)), labels)
        for a in (angles, other)
    ]
    assert max(values) < 1e-6


def test_a_hot_list_looks_at_its_worst_row_alone():
    x = np.float32(draw())
    cold, hot = (
        ranked(x, LABELS, balance=1.0, negative_temperature=t) for t in (0.0, 1e3)
    )
    s = unit(x) @ unit(x).T
    other = LABELS[:, None] != LABELS
    nearest = np.sqrt(2 - 2 * np.max(np.where(other, s, -1), axis=1))
    np.testing.assert_allclose(hot, np.maximum(1.2 - nearest, 0).mean(), rtol=1e-3)
    assert cold < hot


def test_rows_of_one_class_alone_have_no_negative():
    x = np.float32(draw(4, 3))
    for loss in (histogram, pnp):
        value, gradient = jax.value_and_grad(loss)(x, np.zeros(4, int))
        assert value == 0 and not gradient.any()
        assert loss(x, np.arange(4)) == 0
