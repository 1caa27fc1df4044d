"""Losses of trees against plain float64 loops, by hand, and what makes each of them."""

import jax
import numpy as np
import pytest

from repr_jax import losses

WHERE = np.array([True, False, True, True, True, False])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("f")


def ancestor_distance(x, y):
    """Chami et al. 2020: from the origin to the geodesic of two points of one norm."""
    a, b = np.linalg.norm(x), np.linalg.norm(y)
    between = np.arccos(x @ y / (a * b))
    ratio = a * (b**2 + 1) / (b * (a**2 + 1))
    angle = np.arctan((ratio - np.cos(between)) / np.sin(between))
    radius = np.sqrt(((a**2 + 1) / (2 * a * np.cos(angle))) ** 2 - 1)
    return 2 * np.arctanh(np.sqrt(radius**2 + 1) - radius)


def hyphc_from_the_paper(triplets, similarities, *, scale, temperature, where):
    """w_ij + w_ik + w_jk - sum of w times the softmax of distances, a triplet a row."""
    terms = []
    for r in np.flatnonzero(where):
        leaf = [t[r].astype(float) for t in triplets]
        leaf = [scale * x / np.sqrt(sum(x**2)) for x in leaf]
        pairs = ((0, 1), (0, 2), (1, 2))
        depth = [ancestor_distance(leaf[i], leaf[j]) for i, j in pairs]
        share = [np.exp(d / temperature) for d in depth]
        w = similarities[r].astype(float)
        terms.append(sum(w) - sum(a * b for a, b in zip(w, share)) / sum(share))
    return np.mean(terms)


@pytest.mark.parametrize("scale, temperature", [(0.9, 0.1), (0.3, 0.5)])
def test_hyphc_matches_the_paper(scale, temperature):
    triplets, similarities = normal(3, 6, 4), normal(6, 3, seed=1)
    options = dict(scale=scale, temperature=temperature, where=WHERE)
    expected = hyphc_from_the_paper(triplets, similarities, **options)
    actual = jax.jit(losses.hyphc)(*triplets, similarities, **options)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_hyphc_by_hand():
    """Three leaves alike in everything: each pair has a third."""
    angles = np.array([0, 2 * np.pi / 3, 4 * np.pi / 3])
    leaves = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None]
    similarities = np.array([[0.9, 0.3, 0.6]])
    np.testing.assert_allclose(losses.hyphc(*leaves, similarities), 1.2, rtol=1e-6)


def test_hyphc_leaves_out_the_similarity_of_the_deepest_pair():
    leaves = np.array([[[1.0, 0.0]], [[1.0, 0.1]], [[0.0, 1.0]]])
    similarities = np.array([[0.9, 0.3, 0.6]])
    value = losses.hyphc(*leaves, similarities, temperature=1e-3)
    np.testing.assert_allclose(value, 0.3 + 0.6, rtol=1e-6)


def test_hyphc_does_not_depend_on_the_order_of_a_triplet():
    a, b, c = normal(3, 6, 4)
    w = normal(6, 3, seed=1)
    one = losses.hyphc(a, b, c, w, temperature=0.2)
    other = losses.hyphc(c, a, b, w[:, [1, 2, 0]], temperature=0.2)
    np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(similarities=normal(6, 2)), r"expected similarities of shape \(6, 3\)"),
        (dict(third=normal(5, 4)), "expected one shape of rank 2"),
        (dict(temperature=0.0), "expected temperature > 0"),
        (dict(scale=-1.0), "expected scale > 0"),
        (dict(where=np.ones(5, bool)), r"expected where of shape \(6,\)"),
    ],
)
def test_errors_of_hyphc(change, message):
    arrays = dict(zip(("first", "second", "third"), normal(3, 6, 4)))
    with pytest.raises(ValueError, match=message):
        losses.hyphc(**{**arrays, "similarities": normal(6, 3), **change})
