import jax
import numpy as np
import pytest

from repr_jax.ops import concepts

directions = jax.jit(concepts.pairwise_directions)
onto, away = jax.jit(concepts.onto), jax.jit(concepts.away)


def nearest_mean(bank, queries, k):
    """The mean of the k smallest cosine distances to rows of the bank."""
    bank, queries = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (bank, queries)
    )
    return np.sort(1 - queries @ bank.T, axis=1)[:, :k].mean(axis=1)


def draw():
    rng = np.random.default_rng(28)
    return [rng.normal(size=(n, 5)) for n in (2, 3, 20, 2)]


def test_scores_of_an_independent_program():
    a, b, x, q = draw()
    basis = np.asarray(concepts.basis(directions(a, b), 2))
    expected = (onto, [0.1704112, 0.1955946]), (away, [0.3403083, 0.234295])
    for part, values in expected:
        found = nearest_mean(*(np.asarray(part(rows, basis)) for rows in (x, q)), 4)
        np.testing.assert_allclose(found, values, rtol=1e-4)


def test_the_parts_add_up_and_are_orthogonal():
    a, _, x, _ = draw()
    basis = np.asarray(concepts.basis(directions(a), 1))
    along, across = (np.asarray(part(x, basis)) for part in (onto, away))
    np.testing.assert_allclose(along + across, x, atol=1e-6)
    np.testing.assert_allclose(across @ basis.T, 0, atol=1e-6)
    np.testing.assert_allclose(onto(along, basis), along, atol=1e-6)
    with pytest.raises(ValueError, match="num_components up to 1; got 2"):
        concepts.basis(directions(a), 2)


def test_directions_are_on_one_side():
    prompts = np.array([[0.0, 0], [1, 0], [3, 0]])
    found = directions(prompts)
    np.testing.assert_array_equal(found, [[-1, 0], [-3, 0], [-2, 0]])
    found = directions(prompts[:1], np.array([[1.0, 1], [-2, 0]]))
    np.testing.assert_array_equal(found, [[-1, -1], [-2, 0]])
