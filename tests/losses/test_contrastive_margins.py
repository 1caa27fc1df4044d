"""Ranking with a margin a pair: loops, independent values, and the limits."""

import jax
import numpy as np
import pytest

from repr_jax import losses

hardest = jax.jit(losses.soft_margin_ranking)
average = jax.jit(losses.soft_margin_ranking_average, static_argnames="chunk_size")


def draw():
    a, b = np.random.default_rng(58).normal(size=(2, 4, 3))
    return a, b, np.array([1, 0.5, 0, 0.8])


def from_the_paper(a, b, clean, margin, over):
    """`over` is max or mean, over all columns, the row's own at 0."""
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    total, rows = 0.0, range(len(a))
    for i in rows:
        m = margin * (10 ** clean[i] - 1) / 9
        for x, y in ((a, b), (b, a)):
            hinges = [max(0, m + x[i] @ y[j] - a[i] @ b[i]) for j in rows if j != i]
            total += over([*hinges, 0.0])
    return total / len(a)


@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_soft_margins_match_the_paper(margin):
    expected = from_the_paper(*draw(), margin, max)
    np.testing.assert_allclose(hardest(*draw(), margin=margin), expected, rtol=1e-5)
    expected = from_the_paper(*draw(), margin, np.mean)
    found = average(*draw(), margin=margin)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    blocks = average(*draw(), margin=margin, chunk_size=3)
    np.testing.assert_allclose(blocks, expected, rtol=1e-5)


def test_soft_margins_have_the_values_of_an_independent_program():
    np.testing.assert_allclose(hardest(*draw()), 0.8795047, rtol=1e-5)
    np.testing.assert_allclose(average(*draw()), 0.3654857, rtol=1e-5)


def test_equal_rows_by_hand_and_pairs_that_rank_well():
    ones = np.ones((3, 2))
    np.testing.assert_allclose(hardest(ones, ones, np.ones(3)), 0.4, rtol=1e-5)
    np.testing.assert_allclose(average(ones, ones, np.ones(3)), 0.8 / 3, rtol=1e-5)
    np.testing.assert_allclose(hardest(ones, ones, np.zeros(3)), 0, atol=1e-6)
    assert hardest(np.eye(3), np.eye(3), np.ones(3)) == 0
    loss = jax.jit(jax.grad(losses.soft_margin_ranking, argnums=2))
    assert not loss(*draw()).any()


def test_a_share_for_each_pair_is_wanted():
    a, b, clean = draw()
    with pytest.raises(ValueError, match=r"soft_margin_ranking: expected clean with 4"):
        losses.soft_margin_ranking(a, b, clean[:-1])
