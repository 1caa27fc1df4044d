"""Penalties against float64 loops, by hand, and where they push."""

from functools import partial
from statistics import NormalDist

import jax
import numpy as np
import pytest

from repr_jax import losses

codebook_diversity, soft_orthogonality = map(
    jax.jit, (losses.codebook_diversity, losses.soft_orthogonality)
)
local_dimension = jax.jit(losses.local_dimension, static_argnames="num_neighbors")


def shares(logits):
    p = np.exp(logits)
    return p / p.sum(axis=-1, keepdims=True)


def test_codebook_diversity_matches_the_paper_and_has_the_stated_value():
    rng = np.random.default_rng(27)
    rng.normal(size=(2, 2, 6, 3))  # of the contrastive term
    p = shares(rng.normal(size=(2, 7, 4)))
    total = 0.0
    for group in p:
        mean = sum(group) / len(group)
        total += sum(v * np.log(v) for v in mean)
    np.testing.assert_allclose(codebook_diversity(p), total / 8, rtol=1e-5)
    np.testing.assert_allclose(codebook_diversity(p), -0.3411216, rtol=1e-5)


def test_codebooks_are_most_diverse_if_entries_are_used_as_often():
    even = np.tile(np.eye(4, dtype="f"), (2, 3, 1))  # each entry, by a quarter of rows
    np.testing.assert_allclose(codebook_diversity(even), -np.log(4) / 4, rtol=1e-6)
    one = even * 0 + np.eye(4, dtype="f")[0]
    assert codebook_diversity(one) == 0
    random = shares(np.random.default_rng(0).normal(size=(2, 9, 4)))
    assert -np.log(4) / 4 < codebook_diversity(random) < 0
    with pytest.raises(ValueError, match="codebook_diversity: expected one shape of r"):
        losses.codebook_diversity(even[0])


def ldreg_in_loops(x, k, power):
    logs = []
    for i, row in enumerate(x):
        away = sorted(np.linalg.norm(row - y) for j, y in enumerate(x) if j != i)[:k]
        mean = np.mean(away[:-1])
        logs.append(abs(np.log(mean / (away[-1] - mean))))
    return -(np.mean(np.array(logs) ** power) ** (1 / power))


@pytest.mark.parametrize(("power", "stated"), [(1.0, -0.7323275), (2.0, -0.8281844)])
def test_local_dimension_matches_the_paper_and_has_the_stated_values(power, stated):
    x = np.random.default_rng(4).normal(size=(12, 3))
    for k in (3, 5, 11):
        expected = ldreg_in_loops(x, k, power)
        found = local_dimension(x, num_neighbors=k, power=power)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    found = local_dimension(x, num_neighbors=5, power=power)
    np.testing.assert_allclose(found, stated, rtol=1e-5)
    moved = local_dimension(9 * x + 3, num_neighbors=5, power=power)
    np.testing.assert_allclose(moved, stated, rtol=1e-4)


def test_local_dimension_by_hand_without_a_gradient_of_neighbors():
    """Of the row 0 the distances are 1 and 3, of 1 they are 1 and 2, of 3 2 and 3."""
    x = np.array([[0.0], [1.0], [3.0]], "f")
    found = local_dimension(x, num_neighbors=2)
    np.testing.assert_allclose(found, -(np.log(2) + 0 + np.log(2)) / 3, rtol=1e-6)

    def of_first(x):
        where = np.array([True, True, True, False])
        return losses.local_dimension(x, num_neighbors=2, where=where)

    gradient = jax.jit(jax.grad(of_first))(np.append(x, [[9.0]], axis=0).astype("f"))
    # of the row 0 d = 1/2, log d = log a - log(b - a), |log d| = -log d
    first = -(-1 / 1) / 3  # a = 1 grows as x_0 falls, and b - a stays
    np.testing.assert_allclose(gradient[0, 0], -first, rtol=1e-5)
    assert gradient[3, 0] == 0
    with pytest.raises(ValueError, match="local_dimension: expected batch >= 4; got 3"):
        losses.local_dimension(x, num_neighbors=3)
    with pytest.raises(ValueError, match="local_dimension: expected power - 1 >= 0"):
        losses.local_dimension(x, num_neighbors=2, power=0.5)


@pytest.mark.parametrize(
    ("threshold", "stated"), [(0.0, 1.000519), (1.0, 0.5016934), (4.0, 0.0)]
)
def test_soft_orthogonality_has_the_stated_values(threshold, stated):
    w = np.eye(3) + 0.3 * np.random.default_rng(49).normal(size=(3, 3))
    norm = np.sqrt(((w.T @ w - np.eye(3)) ** 2).sum())
    np.testing.assert_allclose(norm, 1.000564, rtol=1e-6)
    expected = norm / (1 + np.exp(-10 * (norm - threshold)))
    found = soft_orthogonality(w, threshold=threshold)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(found, stated, rtol=1e-5, atol=1e-6)


def test_a_rotation_costs_nothing_and_a_steep_gate_all_beyond_the_threshold():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    np.testing.assert_allclose(soft_orthogonality(turn, threshold=0.5), 0, atol=1e-5)
    double = 2 * np.eye(4, dtype="f")  # |3 I| = 6, by hand
    for threshold, expected in ((5.0, 6.0), (7.0, 0.0)):
        found = soft_orthogonality(double, threshold=threshold, sharpness=100.0)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="soft_orthogonality: expected threshold >= 0"):
        losses.soft_orthogonality(turn, threshold=-1)


def sigreg_in_loops(x, directions, num_knots, most):
    terms = []
    for direction in directions:
        projected = x @ (direction / np.linalg.norm(direction))
        knots = np.linspace(-most, most, 2 * num_knots - 1)
        away = [
            abs(np.mean(np.exp(1j * t * projected)) - np.exp(-(t**2) / 2)) ** 2
            * np.exp(-(t**2) / 2)
            for t in knots
        ]
        steps = np.diff(knots) / 2
        terms.append(len(x) * sum(steps * (np.add(away[1:], away[:-1]))))
    return np.mean(terms)


@pytest.mark.parametrize(("num_knots", "most"), [(17, 3.0), (5, 1.0), (2, 4.0)])
def test_sigreg_matches_the_paper(num_knots, most):
    rng = np.random.default_rng(8)
    x, directions = rng.normal(1.0, 2.0, size=(9, 3)), rng.normal(size=(6, 3))
    expected = sigreg_in_loops(x, directions, num_knots, most)
    found = losses.sigreg(x, directions, num_knots=num_knots, most=most)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_sigreg_is_small_of_normal_rows_and_known_of_zeros():
    rng = np.random.default_rng(8)
    x, directions = rng.normal(size=(500, 3)), rng.normal(size=(20, 3))
    normal = losses.sigreg(x, directions)
    assert normal < 1 < 20 < losses.sigreg(x + 1, directions)
    t = np.linspace(-3, 3, 1001)
    integral = 6 * np.mean((1 - np.exp(-(t**2) / 2)) ** 2 * np.exp(-(t**2) / 2))
    found = losses.sigreg(0 * x[:4], directions)
    np.testing.assert_allclose(found, 4 * integral, rtol=2e-3)
    by_x, by_direction = jax.grad(losses.sigreg, argnums=(0, 1))(x[:4], directions)
    assert by_x.any() and not by_direction.any()


def visreg_in_loops(x, directions, scale, shape, center):
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    rows, away = (x - mean) / (deviation + 1e-4), []
    for direction in directions:
        ordered = sorted(rows @ (direction / np.linalg.norm(direction)))
        for rank, value in enumerate(ordered, start=1):
            normal = NormalDist().inv_cdf(rank / (len(x) + 1))
            away.append((value - normal) ** 2)
    terms = np.mean((1 - deviation) ** 2), np.mean(away), np.mean(mean**2)
    return sum(weight * term for weight, term in zip((scale, shape, center), terms))


@pytest.mark.parametrize("weights", [(1, 1, 1), (0.5, 2, 0.1), (0, 1, 0)])
def test_visreg_matches_the_paper(weights):
    rng = np.random.default_rng(8)
    x, directions = rng.normal(1.0, 2.0, size=(9, 3)), rng.normal(size=(6, 3))
    expected = visreg_in_loops(x, directions, *weights)
    names = ("scale_weight", "shape_weight", "center_weight")
    found = losses.visreg(x, directions, **dict(zip(names, weights)))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_visreg_by_hand_and_at_collapse():
    """Equal rows are 1 from deviation 1, and 0 where a quantile should be."""
    rng = np.random.default_rng(8)
    x, directions = rng.normal(size=(4, 3)), rng.normal(size=(20, 3))
    quarters = np.array([NormalDist().inv_cdf(rank / 5) for rank in (1, 2, 3, 4)])
    found = losses.visreg(0 * x + 2, directions)
    np.testing.assert_allclose(found, 1 + 4 + np.mean(quarters**2), rtol=1e-5)
    by_x, by_direction = jax.grad(losses.visreg, argnums=(0, 1))(x, directions)
    assert by_x.any() and not by_direction.any()

    def scaled(loss):
        return jax.grad(lambda scale: loss(scale * x, directions))(1e-3)

    scale_alone = partial(losses.visreg, shape_weight=0, center_weight=0)
    assert scaled(scale_alone) < -1 and abs(scaled(losses.sigreg)) < 0.1  # no push


@pytest.mark.parametrize("seed", [0, 1])
def test_nearest_weights_match_the_paper_and_by_hand(seed):
    weights = np.random.default_rng(seed).normal(size=(6, 4))
    unit = [w / np.linalg.norm(w) for w in weights]
    nearest = [max(a @ b for b in unit if b is not a) for a in unit]
    found = jax.jit(losses.regular_face)(np.float32(weights))
    np.testing.assert_allclose(found, np.mean(nearest), rtol=1e-5)
    found = losses.regular_face(np.array([[2, 0], [0, 3], [-1, -1]], "f"))
    np.testing.assert_allclose(found, (0 + 0 - 0.5**0.5) / 3, rtol=1e-6)


def test_weights_on_a_simplex_are_as_far_from_each_other_as_can_be():
    simplex = np.eye(4, dtype="f") - 0.25
    found = losses.regular_face(simplex)
    np.testing.assert_allclose(found, -1 / 3, rtol=1e-5)
    moved = np.random.default_rng(0).normal(size=(4, 4)).astype("f")
    assert losses.regular_face(simplex + 0.1 * moved) > found
    assert losses.regular_face(simplex[:1]) == 0  # none is near to it
