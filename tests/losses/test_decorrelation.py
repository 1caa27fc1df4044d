"""Barlow Twins and VICReg: loops, oracles, by hand, properties."""

import jax
import numpy as np
import pytest

from repr_jax import losses

barlow_twins, prompt_orthogonality, vicreg, vicreg_variance = map(
    jax.jit,
    (
        losses.barlow_twins,
        losses.prompt_orthogonality,
        losses.vicreg,
        losses.vicreg_variance,
    ),
)


def barlow_twins_from_the_paper(a, b, weight):
    """Eqs. 1 and 2, with the variance's epsilon of batch normalization."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    a, b = ((x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5) for x in (a, b))
    n, dim, total = len(a), a.shape[1], 0.0
    for k in range(dim):
        for other in range(dim):
            c = sum(a[i, k] * b[i, other] for i in range(n)) / n
            total += (1 - c) ** 2 if k == other else weight * c**2
    return total


@pytest.mark.parametrize("weight", [0.0, 5e-3, 1.0])
def test_barlow_twins_matches_the_paper(weight):
    a, b = np.random.default_rng(0).normal(3.0, 2.0, size=(2, 9, 5)).astype(np.float32)
    actual = jax.jit(losses.barlow_twins)(a, b, off_diagonal_weight=weight)
    expected = barlow_twins_from_the_paper(a, b, weight)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e15, 1e20])
def test_large_views_have_the_correlations_of_small_ones(scale):
    a, b = np.random.default_rng(0).normal(size=(2, 40, 3)).astype("f")
    a[:, 0] = 3.0  # constant: its correlations are 0
    expected = barlow_twins(a, b, epsilon=1e-12)
    found = jax.jit(losses.barlow_twins)(a * scale, b * scale)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_value_of_barlow_twins_by_lightly():
    rng = np.random.default_rng(65)
    view_a = rng.normal(size=(6, 3))
    view_b = view_a + 0.5 * rng.normal(size=(6, 3))
    value = barlow_twins(view_a, view_b)
    np.testing.assert_allclose(value, 0.06520473, rtol=1e-5)


def test_barlow_twins_by_hand():
    """Two features that are each other's opposite: C is 1 and -1 everywhere."""
    x = np.array([[1.0, -1.0], [-1.0, 1.0]], np.float32)
    value = barlow_twins(x, x, off_diagonal_weight=0.25, epsilon=0.0)
    np.testing.assert_allclose(value, 2 * 0.25, rtol=1e-6)


def test_shift_and_scale_of_a_feature_do_not_matter_and_collapse_costs_one_each():
    a, b = np.random.default_rng(1).normal(size=(2, 50, 4)).astype(np.float32)
    scale, shift = np.array([1, 10, 5, 2], "f"), np.array([0, 5, -3, 1], "f")
    value = barlow_twins(a, b)
    moved = barlow_twins(a * scale + shift, b)
    np.testing.assert_allclose(moved, value, rtol=1e-4)
    constant = np.ones((50, 4), "f")
    np.testing.assert_allclose(barlow_twins(constant, constant), 4.0)


def vicreg_from_the_paper(a, b, weights, epsilon=1e-4):
    """Eqs. 1 to 6 in loops, the variance term halved as in the authors' code."""
    n, dim = a.shape
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    invariance = sum((a[i, k] - b[i, k]) ** 2 for i, k in np.ndindex(n, dim)) / n / dim
    variance = covariance = 0.0
    for x in (a, b):
        x = x - x.mean(axis=0)
        for k in range(dim):
            for other in range(dim):
                c = sum(x[i, k] * x[i, other] for i in range(n)) / (n - 1)
                if k == other:
                    variance += max(0.0, 1 - np.sqrt(c + epsilon)) / dim
                else:
                    covariance += c**2 / dim
    return weights @ np.array([invariance, variance / 2, covariance])


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 0.0, 3.0)])
def test_vicreg_matches_the_paper(scale, weights):
    rng = np.random.default_rng(2)
    a, b = (scale * rng.normal(1.0, size=(2, 9, 5))).astype(np.float32)
    names = ("invariance_weight", "variance_weight", "covariance_weight")
    actual = jax.jit(losses.vicreg)(a, b, **dict(zip(names, weights)))
    expected = vicreg_from_the_paper(a, b, np.array(weights))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_value_of_vicreg_by_lightly():
    rng = np.random.default_rng(65)
    view_a = rng.normal(size=(6, 3))
    view_b = view_a + 0.5 * rng.normal(size=(6, 3))
    np.testing.assert_allclose(vicreg(view_a, view_b), 11.41466, rtol=1e-5)


def test_vicreg_is_its_terms_by_hand():
    """Two rows and two equal features of variance 2, which covary by 2."""
    x = np.array([[1.0, 1.0], [-1.0, -1.0]], np.float32)
    np.testing.assert_allclose(jax.jit(losses.vicreg_invariance)(x, x + 0.5), 0.25)
    np.testing.assert_allclose(jax.jit(losses.vicreg_covariance)(x), 2 * 2.0**2 / 2)
    assert vicreg_variance(x) == 0
    small = vicreg_variance(0.1 * x, epsilon=0.0)
    np.testing.assert_allclose(small, 1 - np.sqrt(0.02), rtol=1e-6)
    value = vicreg(x, x + 0.5)
    np.testing.assert_allclose(value, 25 * 0.25 + 2 * 4.0, rtol=1e-6)


def test_collapse_costs_vicreg_all_of_its_variance():
    constant = np.full((50, 4), 3.0, "f")
    value = vicreg(constant, constant)
    np.testing.assert_allclose(value, 25 * (1 - 0.01), rtol=1e-5)
    one = vicreg_variance(constant[:1])
    np.testing.assert_allclose(one, 0.99, rtol=1e-5)  # a single row has no spread


def test_prompt_orthogonality_of_an_independent_program_and_by_hand():
    prompts = np.random.default_rng(32).normal(size=(3, 4))
    found = jax.jit(losses.prompt_orthogonality)(prompts)
    np.testing.assert_allclose(found, 0.2068663, rtol=1e-5)
    assert prompt_orthogonality(5 * np.eye(4)) == 0
    same = prompt_orthogonality(np.ones((4, 2)))
    np.testing.assert_allclose(same, 3 / 4, rtol=1e-6)


def test_prompt_orthogonality_matches_loops():
    prompts = np.random.default_rng(0).normal(size=(5, 3))
    unit = prompts / np.linalg.norm(prompts, axis=1, keepdims=True)
    total = sum((unit[i] @ unit[j]) ** 2 for i in range(5) for j in range(5) if i != j)
    found = prompt_orthogonality(prompts)
    np.testing.assert_allclose(found, total / 25, rtol=1e-5)


batch_barlow = jax.jit(losses.batch_barlow)


def batch_barlow_in_loops(predictions, targets, weight):
    heads = []
    for p, t in zip(predictions, targets):
        total = 0.0
        for i in range(len(p)):
            for j in range(len(t)):
                length = np.linalg.norm(p[i]) * np.linalg.norm(t[j])
                c = p[i] @ t[j] / length
                total += (1 - c) ** 2 if i == j else weight * c**2
        heads.append(total / len(p))
    return np.mean(heads)


def test_batch_barlow_matches_the_paper_and_has_the_stated_values():
    rng = np.random.default_rng(32)
    predictions = np.concatenate([rng.normal(size=(2, 5, 3)), np.zeros((2, 5, 1))], 2)
    targets = rng.normal(size=(2, 5, 4))
    for weight in (0.01, 0.5):
        expected = batch_barlow_in_loops(predictions, targets, weight)
        found = batch_barlow(predictions, targets, off_diagonal_weight=weight)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    found = batch_barlow(predictions, targets)
    np.testing.assert_allclose(found, 0.9764437, rtol=1e-5)
    scale = 2.0 ** np.arange(10).reshape(2, 5, 1)
    np.testing.assert_allclose(batch_barlow(scale * predictions, targets), found, 1e-5)
    both = predictions.reshape(10, 4), targets.reshape(10, 4)
    cosine = jax.jit(losses.negative_cosine)(*both)
    np.testing.assert_allclose(cosine, -0.1578899, rtol=1e-5)


def test_batch_barlow_by_hand_and_without_a_gradient_of_targets():
    axes = np.eye(3, 4, dtype="f")[None]
    assert batch_barlow(5 * axes, 2 * axes) == 0
    same = np.ones((1, 3, 4), "f")
    np.testing.assert_allclose(batch_barlow(same, same), 2 * 0.01, rtol=1e-4)
    slope = jax.jit(jax.grad(losses.batch_barlow, argnums=(0, 1)))
    by_predictions, by_targets = slope(same, axes)
    assert (by_targets == 0).all() and (by_predictions != 0).any()
    with pytest.raises(ValueError, match="batch_barlow: expected one shape of rank 3"):
        losses.batch_barlow(same[0], axes[0])
