"""Components of a mixture that rows do not need, against float64 loops."""

import math

import numpy as np
import pytest

from repr_jax.estimators import cluster_pruning
from repr_jax.ops import gaussian

DIM = 2


def draw(*, centers, rows=60, seed=0):
    """Log densities [rows, component] of rows near the first three centers."""
    rng = np.random.default_rng(seed)
    z = centers[np.arange(rows) % 3] + 0.3 * rng.normal(size=(rows, DIM))
    distance = ((z[:, None] - centers[None]) ** 2).sum(-1)
    return (-0.5 * distance - math.log(2 * math.pi)).astype(np.float32)


CENTERS = np.array([[4, 0], [0, 4], [-4, -4], [4.2, 0], [9, 9.0]])


def in_loops(log_density, log_weights, beta):
    """Criterion by number of components, and which are kept at each."""
    log_density = log_density.astype(np.float64)
    kept, found = list(range(len(log_weights))), {}
    while len(kept) >= 2:
        weights = np.exp([log_weights[c] for c in kept])
        weights /= weights.sum()
        total, members = 0.0, dict.fromkeys(kept, 0)
        for row in log_density:
            joint = np.array([w * math.exp(row[c]) for w, c in zip(weights, kept)])
            odds = joint / joint.sum()
            entropy = -sum(p * math.log(p) for p in odds if p > 0)
            total += beta * entropy / math.log(len(kept)) - math.log(joint.sum()) / DIM
            members[kept[int(np.argmax(odds))]] += 1
        found[len(kept)] = total / len(log_density), set(kept)
        kept.remove(min(kept, key=lambda c: (members[c], c)))
    return found


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_the_criterion_is_that_of_the_paper(beta):
    log_density = draw(centers=CENTERS)
    log_weights = np.float32([0.0, 0.5, -0.5, 0.2, 1.0])
    found = cluster_pruning.fit(log_density, log_weights, dim=DIM, beta=beta)
    expected = in_loops(log_density, log_weights, beta)
    for number, (value, _) in expected.items():
        np.testing.assert_allclose(found.criterion[number], value, rtol=1e-5)
    best = min(expected, key=lambda number: (expected[number][0], number))
    assert set(np.flatnonzero(found.kept)) == expected[best][1]
    weights = np.exp(found.log_weights)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-6)
    assert (weights[~np.asarray(found.kept)] == 0).all()


def test_a_double_and_an_empty_component_go():
    """Of five components two are near one another, and one is far from all rows."""
    found = cluster_pruning.fit(draw(centers=CENTERS), np.zeros(5, "f"), dim=DIM)
    assert np.sum(found.kept) == 3 and not found.kept[4]
    assert bool(found.kept[0]) != bool(found.kept[3])
    assert np.isinf(found.criterion[:2]).all()
    rows = cluster_pruning.assign(found, draw(centers=CENTERS))
    assert len(np.unique(rows[:3])) == 3
    np.testing.assert_array_equal(rows, np.tile(rows[:3], 20))


def test_components_that_are_all_alike_leave_two():
    """No row tells them apart: the entropy is whole, the fewest of equals remain."""
    found = cluster_pruning.fit(np.zeros((7, 4), "f"), np.zeros(4, "f"), dim=3)
    np.testing.assert_allclose(found.criterion[2:], 1.0, rtol=1e-6)
    assert np.sum(found.kept) == 2


def test_one_component_left_of_two_is_no_number():
    """Rows of one component alone: no entropy, and no 0/0."""
    z = np.zeros((3, DIM), "f")
    density = np.stack([gaussian.log_prob(z, m) for m in (0.0, 50.0)], axis=1)
    found = cluster_pruning.fit(density, np.zeros(2, "f"), dim=DIM)
    expected = (DIM / 2 * math.log(2 * math.pi) + math.log(2)) / DIM
    np.testing.assert_allclose(found.criterion[2], expected, rtol=1e-6)


def test_what_it_refuses():
    for log_density, log_weights, message in (
        (np.zeros((3, 1), "f"), np.zeros(1, "f"), "components >= 2; got 1"),
        (np.zeros((3, 2), "f"), np.zeros(3, "f"), r"log_weights of shape \(2,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            cluster_pruning.fit(log_density, log_weights, dim=1)
    with pytest.raises(ValueError, match="dim >= 1; got 0"):
        cluster_pruning.fit(np.zeros((3, 2), "f"), np.zeros(2, "f"), dim=0)
