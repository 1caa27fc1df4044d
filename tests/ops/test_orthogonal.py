"""Orthogonal matrices against float64, by hand, and what they keep."""

import jax
import numpy as np
import pytest

from repr_jax.ops import orthogonal

rotation, polar, transformed_basis = map(
    jax.jit, (orthogonal.rotation, orthogonal.polar, orthogonal.transformed_basis)
)
newton_schulz = jax.jit(orthogonal.newton_schulz, static_argnames="num_steps")


def exponential(a):
    """The series, of a matrix halved ten times."""
    a, total, power = a / 1024, np.eye(len(a)), np.eye(len(a))
    for k in range(1, 12):
        power = power @ a / k
        total = total + power
    for _ in range(10):
        total = total @ total
    return total


def test_they_equal_definitions_and_have_the_stated_values():
    a = np.random.default_rng(10).normal(size=(3, 3))
    upper = np.triu(a, 1)
    expected = exponential(upper - upper.T)
    np.testing.assert_allclose(rotation(a), expected, rtol=1e-4, atol=1e-6)
    stated = [0.4841157, -0.548656, -0.681622]
    np.testing.assert_allclose(rotation(a)[0], stated, rtol=1e-4)
    u, _, vt = np.linalg.svd(a)
    np.testing.assert_allclose(polar(a), u @ vt, rtol=1e-4, atol=1e-6)
    stated = [-0.3605721, -0.1730114, -0.916545]
    np.testing.assert_allclose(polar(a)[0], stated, rtol=1e-4)
    found = newton_schulz(a, num_steps=15)
    np.testing.assert_allclose(found, polar(a), rtol=1e-4, atol=1e-5)


def test_rotations_keep_lengths_and_sides():
    for dim in (2, 5):
        a = np.random.default_rng(dim).normal(size=(dim, dim))
        turn = np.asarray(rotation(a), float)
        np.testing.assert_allclose(turn @ turn.T, np.eye(dim), atol=1e-5)
        np.testing.assert_allclose(np.linalg.det(turn), 1, rtol=1e-5)
    np.testing.assert_array_equal(rotation(np.zeros((3, 3))), np.eye(3))
    quarter = np.array([[0.0, np.pi / 2], [0.0, 0.0]])
    np.testing.assert_allclose(rotation(quarter), [[0, 1], [-1, 0]], atol=1e-6)


def test_polar_ignores_scale_and_finds_a_rotation():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    rows = rng.normal(size=(9, 4))
    np.testing.assert_allclose(polar(rows.T @ (rows @ turn)), turn, atol=1e-5)
    wide = rng.normal(size=(3, 5))
    np.testing.assert_allclose(polar(1e3 * wide), polar(wide), atol=1e-5)
    np.testing.assert_allclose(
        newton_schulz(wide, num_steps=20), polar(wide), atol=1e-4
    )
    with pytest.raises(ValueError, match=r"rotation: expected a of shape \(3, 3\)"):
        orthogonal.rotation(np.ones((3, 4)))
    with pytest.raises(TypeError, match="polar: expected m of floats; got int"):
        orthogonal.polar(np.ones((3, 4), int))


def test_a_transformed_basis_has_the_stated_row_and_loses_nothing():
    rng = np.random.default_rng(47)
    small, new = rng.normal(size=(3, 2)), rng.normal(size=(3, 4))
    first, second = (rotation(rng.normal(size=(n, n))) for n in (4, 3))
    found = transformed_basis(new, small, first, second)
    stated = [-1.391754, 1.984341, -0.6453543, 0.8560085, 1.614401, -0.6081849]
    np.testing.assert_allclose(found[0], stated, rtol=1e-4)
    np.testing.assert_allclose((found**2).sum(axis=1), 10, rtol=1e-5)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (small, new)]
    back = np.concatenate([found[:, :3] @ second, found[:, 3:]], axis=1)
    np.testing.assert_allclose(back[:, :2], unit[0], atol=1e-5)
    np.testing.assert_allclose(back[:, 2:] @ first / 3, unit[1], atol=1e-5)
    with pytest.raises(ValueError, match=r"transformed_basis: expected extra \+ dim"):
        orthogonal.transformed_basis(new, small, first, np.eye(7))
