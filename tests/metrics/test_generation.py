import jax
import numpy as np
import pytest

from repr_jax import metrics


def test_samples_are_counted_at_their_nearest_mode():
    centers = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 9.0]], np.float32)
    samples = np.array(
        [[0.1, 0.0], [0.4, 0.0], [0.45, 0.0], [1.2, 0.0], [5.0, 5.0], [np.nan, 0.0]],
        "f",
    )
    found = jax.jit(metrics.near_a_mode, static_argnames="radius")(
        samples, centers, radius=0.42
    )
    np.testing.assert_array_equal(found, [2, 1, 0])


def test_other_widths_are_refused():
    with pytest.raises(ValueError, match="near_a_mode: expected"):
        metrics.near_a_mode(np.ones((2, 3)), np.ones((2, 2)), radius=1.0)


def clouds(seed, count=400, dim=3):
    return np.random.default_rng(seed).normal(size=(count, dim))


def test_frechet_of_equal_sets_is_0_and_of_a_shift_its_square():
    x = clouds(0) @ np.array([[2.0, 1, 0], [0, 1, 0], [0, 0, 1e-4]])
    shift = np.array([3.0, 0, 4])
    assert metrics.frechet_distance(x, x) == pytest.approx(0, abs=1e-7)
    assert metrics.frechet_distance(x, x[::-1] + shift) == pytest.approx(25, rel=1e-7)
    assert metrics.frechet_distance(x[:, :1], x[:, :1] + 2) == pytest.approx(4)


@pytest.mark.parametrize(("seed", "expected"), [(0, 2.502806), (1, 8.181287)])
def test_frechet_of_two_gaussians_of_full_covariance(seed, expected):
    """The arrays are drawn in a fixed order, of which most are not for this test."""
    normal = np.random.default_rng(seed).standard_normal
    for shape in ((2, 2), (3, 2), (1, 2), 2, 3, 1, (4, 2), (4, 3), (4, 1)):
        normal(shape)
    for shape in ((3, 4, 2), (3, 4, 2), (4, 2), (4, 2), (4, 2), (4, 2)):
        normal(shape)
    for shape in ((2, 1), (3, 1), (1, 1), (3, 4, 1), (3, 4, 1)):
        normal(shape)
    lower = 0.3 * normal((3, 2, 2))
    diagonals = [np.exp(0.3 * normal(2)) for _ in range(3)]
    normal((3, 2))
    means = normal((4, 2))
    roots = [np.tril(a, -1) + np.diag(d) for a, d in zip(lower, diagonals)]
    found = metrics.frechet_of_gaussians(
        means[0], roots[0] @ roots[0].T, means[1], roots[1] @ roots[1].T
    )
    assert found == pytest.approx(expected, abs=1e-6)


def test_frechet_of_matrices_that_commute():
    """Of diagonal ones sum_i (sd_i - sd'_i)^2."""
    found = metrics.frechet_of_gaussians(
        np.zeros(2), np.diag([4.0, 0]), np.zeros(2), np.diag([1.0, 9])
    )
    assert found == pytest.approx((2 - 1) ** 2 + 3**2)


def curve_in_loops(real, made, num_angles):
    precision, recall = [], []
    for angle in np.linspace(1e-10, np.pi / 2 - 1e-10, num_angles):
        slope = np.tan(angle)
        precision.append(sum(min(slope * p, q) for p, q in zip(real, made)))
        recall.append(sum(min(p, q / slope) for p, q in zip(real, made)))
    return precision, recall


def test_prd_is_that_of_the_paper():
    real, made = np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.1, 0.6, 0.0, 0.3])
    found = metrics.prd(40 * real, 10 * made, num_angles=101)
    np.testing.assert_allclose(found, curve_in_loops(real, made, 101), atol=1e-9)
    assert found[0][-1] == pytest.approx(0.7)  # of what is made, where there is real
    assert found[1][0] == pytest.approx(0.8)  # of what is real, where there is made


def test_prd_of_equal_distributions_has_a_ceiling():
    same = np.array([3, 1, 6])
    curve = metrics.prd(same, same)
    assert np.mean(curve) == pytest.approx(0.72042, abs=1e-5)
    fine = np.mean(metrics.prd(same, same, num_angles=100_001))
    assert fine == pytest.approx(0.5 + np.log(2) / np.pi, abs=1e-5)
    for beta in (8, 1 / 8):
        assert metrics.largest_f(*curve, beta=beta) == pytest.approx(1)


def test_prd_tells_lost_modes_from_invented_ones():
    both, one = np.array([1.0, 1]), np.array([1.0, 0])
    for real, made, weak in ((both, one, 8), (one, both, 1 / 8)):
        curve = metrics.prd(real, made)
        assert metrics.largest_f(*curve, beta=1 / weak) > 0.98
        assert metrics.largest_f(*curve, beta=weak) < 0.51
    assert np.max(metrics.prd(one, one[::-1])) == 0


def balls_in_loops(centers, x, k):
    inside = 0
    for row in x:
        for center in centers:
            away = np.sort(np.linalg.norm(centers - center, axis=1))[k]  # 0 is itself
            if np.linalg.norm(row - center) <= away:
                inside += 1
                break
    return inside / len(x)


def test_neighbors_are_those_of_the_paper():
    real, made = clouds(0, 60, 2), 1.5 + clouds(1, 50, 2)
    for k in (1, 3):
        found = metrics.neighbor_precision_recall(real, made, num_neighbors=k)
        expected = balls_in_loops(real, made, k), balls_in_loops(made, real, k)
        assert found == pytest.approx(expected)
        assert 0.1 < min(found) < 1


def test_neighbors_of_equal_and_of_distant_sets():
    x = 1e3 + clouds(0, 1100, 4)  # more than a block
    assert metrics.neighbor_precision_recall(x, x) == (1, 1)
    assert metrics.neighbor_precision_recall(x, x + 100) == (0, 0)
    precision, recall = metrics.neighbor_precision_recall(x, 1e3 + 0 * x)
    assert (precision, recall) == (1, 0)  # all the same, where much is real


@pytest.mark.parametrize(
    ("name", "x", "y", "options"),
    [
        ("frechet_distance", np.ones((2, 3)), np.ones((2, 2)), {}),
        ("frechet_distance", np.ones((1, 3)), np.ones((2, 3)), {}),
        ("frechet_distance", np.full((2, 3), np.nan), np.ones((2, 3)), {}),
        ("neighbor_precision_recall", np.ones((3, 2)), np.ones((9, 2)), {}),
        ("prd", np.ones(3), np.ones(2), {}),
        ("prd", np.ones(3), np.zeros(3), {}),
        ("largest_f", np.ones(3), np.ones(2), dict(beta=1)),
    ],
)
def test_other_arrays_are_refused(name, x, y, options):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        getattr(metrics, name)(x, y, **options)
