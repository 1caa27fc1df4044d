"""Several centers a class: loops, by hand, and what one center gives."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses

sparse = jax.jit(losses.sparse_centers)
sub_center, soft_triple = map(jax.jit, (losses.sub_center_arcface, losses.soft_triple))
LABELS = np.array([0, 1, 2, 0, 1])
PAIRS = ((0, 1), (0, 2), (1, 2))


def draw(centers=3):
    rng = np.random.default_rng(6)
    return rng.normal(size=(5, 4)), rng.normal(size=(3, centers, 4))


def in_loops(x, centers, of_class, moved, scale):
    """-log softmax of the cosine of each class, that of the own one moved."""
    x, centers = (a / np.linalg.norm(a, axis=-1, keepdims=True) for a in (x, centers))
    total = 0.0
    for row, label in zip(x, LABELS):
        cosines = [of_class([c @ row for c in own]) for own in centers]
        cosines[label] = moved(cosines[label])
        logits = [scale * c for c in cosines]
        total += math.log(sum(math.exp(z - logits[label]) for z in logits))
    return total / len(x)


@pytest.mark.parametrize(("margin", "scale"), [(0.0, 5.0), (0.4, 30.0)])
def test_losses_match_the_papers(margin, scale):
    x, centers = draw()
    options = dict(margin=margin, scale=scale)

    def turned(c):
        return math.cos(math.acos(c) + margin)  # no angle is beyond pi - margin here

    found = sub_center(x, LABELS, centers, **options)
    expected = in_loops(x, centers, max, turned, scale)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for temperature in (0.1, 0.7):

        def relaxed(cosines, temperature=temperature):
            shares = np.exp(np.array(cosines) / temperature)
            return shares @ cosines / shares.sum()

        found = soft_triple(x, LABELS, centers, temperature=temperature, **options)
        expected = in_loops(x, centers, relaxed, lambda c: c - margin, scale)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_values_by_hand():
    """All centers are equal: three classes, one of them behind by the margin."""
    x, centers = np.ones((5, 4), "f"), np.ones((3, 2, 4), "f")
    expected = math.log(1 + 2 * math.exp(20 * 0.01))
    np.testing.assert_allclose(soft_triple(x, LABELS, centers), expected, rtol=1e-5)
    found = sub_center(x, LABELS, centers, margin=0.5, scale=1.0)
    expected = math.log(1 + 2 * math.exp(1 - math.cos(0.5)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_with_one_center_they_are_the_losses_of_one_center():
    x, centers = draw(1)
    found = sub_center(x, LABELS, centers)
    np.testing.assert_allclose(
        found, losses.arcface(x, LABELS, centers[:, 0]), rtol=1e-6
    )
    found = soft_triple(x, LABELS, centers, margin=0.2)
    expected = losses.cosface(x, LABELS, centers[:, 0], margin=0.2, scale=20.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_only_the_nearest_center_of_a_class_moves():
    x, centers = draw()
    gradient = jax.grad(sub_center, argnums=2)(np.float32(x[:1]), LABELS[:1], centers)
    assert (np.abs(gradient).max(axis=2) > 0).sum(axis=1).max() == 1
    every = jax.grad(soft_triple, argnums=2)(np.float32(x[:1]), LABELS[:1], centers)
    assert (np.abs(every[0]).max(axis=1) > 0).all()


def test_centers_of_another_rank_are_refused():
    x, centers = draw()
    with pytest.raises(ValueError, match="soft_triple: expected one shape of rank 3"):
        losses.soft_triple(x, LABELS, centers[0])


@pytest.mark.parametrize("num", [2, 3])
def test_distances_of_centers_match_the_paper(num):
    centers = draw(num)[1]
    unit, total = centers / np.linalg.norm(centers, axis=2, keepdims=True), 0.0
    for own in unit:
        for a in range(num):
            total += sum(math.sqrt(2 - 2 * own[a] @ own[b]) for b in range(a))
    expected = total / (3 * num * (num - 1))
    np.testing.assert_allclose(sparse(np.float32(centers)), expected, rtol=1e-5)


def test_centers_that_meet_cost_nothing_and_opposite_ones_1():
    centers = np.array([[[2, 0], [1, 0]], [[0, 3], [0, -1]]], "f")
    np.testing.assert_allclose(sparse(centers), (0 + 2 / 2) / 2, rtol=1e-6)
    assert sparse(centers[:, :1]) == 0


def test_the_compiled_gradient_of_centers_is_that_of_the_loops():
    centers, step = draw(3)[1], 1e-3
    found = jax.jit(jax.grad(losses.sparse_centers))(np.float32(centers))

    def value(place, by):
        moved = centers.copy()
        moved[place] += by
        unit = moved / np.linalg.norm(moved, axis=2, keepdims=True)
        pairs = [np.linalg.norm(c[a] - c[b]) for c in unit for a, b in PAIRS]
        return np.mean(pairs) / 2

    expected = np.zeros_like(centers)
    for place in np.ndindex(centers.shape):
        expected[place] = (value(place, step) - value(place, -step)) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
