"""Losses of model updates against float64 loops, by hand, and what they leave alone."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import simplex

hoc, hoc_strict = jax.jit(losses.hoc), jax.jit(losses.hoc_strict)
LABELS = np.arange(5) % 3


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def draw():
    rng = np.random.default_rng(48)
    return unit(rng.normal(size=(5, 3))), unit(rng.normal(size=(5, 3)))


def in_loops(new, old, labels, temperature, strict):
    """Biondi et al., HOC; masked pairs are exp(0) in the authors' code."""
    terms, rows = [], range(len(new))
    for i in rows:
        logits = [old[i] @ new[j] / temperature for j in rows]
        far = [math.exp(logits[j]) for j in rows if labels[j] != labels[i]]
        total = sum(far) + (0 if strict else len(rows) - len(far))
        if total:
            terms.append(math.log(total) - logits[i])
    return np.mean(terms)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("labels", [LABELS, np.array([0, 0, 0, 0, 1])])
def test_hoc_matches_the_paper(temperature, labels):
    new, old = draw()
    for loss, strict in ((hoc, False), (hoc_strict, True)):
        expected = in_loops(new, old, labels, temperature, strict)
        found = loss(3 * new, 2 * old, labels, temperature=temperature)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_hoc_has_the_stated_values_and_some_by_hand():
    new, old = draw()
    np.testing.assert_allclose(hoc(new, old, LABELS), 6.349708, rtol=1e-5)
    np.testing.assert_allclose(hoc_strict(new, old, LABELS), 6.332672, rtol=1e-5)
    same = np.ones((4, 2), "f")
    one = np.zeros(4, int)
    np.testing.assert_allclose(hoc(same, same, one), math.log(4) - 10, rtol=1e-5)
    assert hoc_strict(same, same, one) == 0  # nothing to tell apart
    found = hoc_strict(same, same, np.arange(4))
    np.testing.assert_allclose(found, math.log(3), rtol=1e-5)


@pytest.mark.parametrize("name", ["hoc", "hoc_strict"])
def test_old_features_have_no_gradient_and_new_ones_approach_them(name):
    loss = getattr(losses, name)
    new, old = (x.astype("f") for x in draw())
    by_new, by_old = jax.jit(jax.grad(loss, argnums=(0, 1)))(new, old, LABELS)
    assert (by_old == 0).all()
    moved = unit(new - 0.1 * by_new)
    assert (moved * old).sum() > (new * old).sum()
    with pytest.raises(ValueError, match=f"{name}: expected one shape of rank 2; got"):
        loss(new, old[:, 1:], LABELS)
    with pytest.raises(TypeError, match=f"{name}: expected labels of integers; got fl"):
        loss(new, old, LABELS / 2)


def test_vertices_on_the_simplex_are_as_far_as_can_be_and_the_least_of_hoc():
    corners = np.asarray(simplex.vertices(3))
    found = hoc_strict(corners, corners, np.arange(3))
    expected = math.log(2) + 10 * (-1 / 2 - 1)  # cosines of -1/2 and of 1
    np.testing.assert_allclose(found, expected, rtol=1e-5)
