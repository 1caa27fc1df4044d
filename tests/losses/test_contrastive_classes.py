"""Losses of latent classes against loops, by hand, and the order of their theory."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import links

block = jax.jit(losses.block_contrastive, static_argnames="link")
many = jax.jit(losses.many_negatives, static_argnames="link")
LINKS = [links.hinge, links.logistic]


def of_differences(link, v):
    """Arora et al., section 2: of one or several."""
    if link is links.hinge:
        return max(0, 1 + max(-x for x in v))
    return math.log2(1 + sum(math.exp(-x) for x in v))


def draw():
    rng = np.random.default_rng(16)
    return (rng.normal(size=s) for s in ((4, 3), (4, 2, 3), (4, 2, 3)))


@pytest.mark.parametrize("link", LINKS)
def test_losses_match_the_paper(link):
    anchors, positives, negatives = draw()
    blocks, several = [], []
    for x, p, n in zip(anchors, positives, negatives):
        blocks.append(of_differences(link, [x @ (sum(p) / 2 - sum(n) / 2)]))
        several.append(of_differences(link, [x @ (p[0] - other) for other in n]))
    found = block(anchors, positives, negatives, link=link)
    np.testing.assert_allclose(found, np.mean(blocks), rtol=1e-5)
    found = many(anchors, positives[:, 0], negatives, link=link)
    np.testing.assert_allclose(found, np.mean(several), rtol=1e-5)


def test_losses_have_the_stated_values():
    x, p, n = draw()
    np.testing.assert_allclose(block(x, p, n, link=links.hinge), 2.164674, rtol=1e-5)
    np.testing.assert_allclose(block(x, p, n), 2.185496, rtol=1e-5)
    np.testing.assert_allclose(many(x, p[:, 0], n), 3.439925, rtol=1e-5)


@pytest.mark.parametrize("link", LINKS)
def test_equal_rows_cost_1_and_blocks_at_most_their_single_rows(link):
    same = np.ones((4, 2, 3), "f")
    np.testing.assert_allclose(block(same[:, 0], same, same, link=link), 1, rtol=1e-6)
    found = many(same[:, 0], same[:, 0], same[:, :1], link=link)
    np.testing.assert_allclose(found, 1, rtol=1e-6)
    x, p, n = draw()
    singles = [many(x, p[:, b], n[:, b : b + 1], link=link) for b in range(2)]
    assert block(x, p, n, link=link) <= np.mean(singles) + 1e-6


def test_rows_apart_by_hand():
    x, p, n = np.array([[[2.0]], [[1.0]], [[0.75]]], "f")
    found = block(x, p[:, None], n[:, None], link=links.hinge)
    np.testing.assert_allclose(found, 1 - 2 * 0.25, rtol=1e-6)
    found = many(x, p, n[:, None])
    np.testing.assert_allclose(found, math.log2(1 + math.exp(-0.5)), rtol=1e-6)


def test_bad_arguments_are_named():
    x, p, n = draw()
    with pytest.raises(ValueError, match="block_contrastive: expected positives of sh"):
        losses.block_contrastive(x, p[:, 0], n)
    with pytest.raises(ValueError, match="many_negatives: expected rows of negatives"):
        losses.many_negatives(x, x, n[:, :0])
    with pytest.raises(TypeError, match="many_negatives: expected negatives of floats"):
        losses.many_negatives(x, x, n > 0)
