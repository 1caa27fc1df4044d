"""Losses with labels against float64 loops, and what labels must not do."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses

pytestmark = pytest.mark.usefixtures("quick_compilation")
LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 2])  # 3 is alone


def draw(dim=4):
    return np.random.default_rng(0).normal(size=(len(LABELS), dim)).astype("f")


def sup_con_from_the_paper(x, labels, *, temperature):
    """Khosla et al., eq. 2, averaged over the anchors that have a positive."""
    z = x.astype(float) / np.linalg.norm(x.astype(float), axis=1, keepdims=True)
    score = [[math.exp(a @ b / temperature) for b in z] for a in z]
    terms, rows = [], range(len(z))
    for i in rows:
        positives = [p for p in rows if p != i and labels[p] == labels[i]]
        total = sum(score[i][a] for a in rows if a != i)
        if positives:
            logs = [math.log(score[i][p] / total) for p in positives]
            terms.append(-sum(logs) / len(positives))
    return np.mean(terms)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_sup_con_matches_the_paper(temperature):
    expected = sup_con_from_the_paper(draw(), LABELS, temperature=temperature)
    actual = jax.jit(losses.sup_con)(draw(), LABELS, temperature=temperature)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_a_label_per_example_makes_sup_con_nt_xent():
    a, b = draw(), draw()[::-1]
    labels = np.arange(8)
    both = np.concatenate([a, b]), np.concatenate([labels, labels])
    actual = jax.jit(losses.sup_con)(*both)
    np.testing.assert_allclose(actual, jax.jit(losses.nt_xent)(a, b), rtol=1e-6)


def test_sup_con_of_equal_rows_and_renamed_labels_by_hand():
    sup_con = jax.jit(losses.sup_con)
    same = np.ones((8, 3), "f")
    np.testing.assert_allclose(sup_con(same, LABELS), math.log(7), rtol=1e-6)
    renamed = np.array([7, -1, 100, 5])[LABELS]
    assert sup_con(draw(), renamed) == sup_con(draw(), LABELS)
    value, gradient = jax.jit(jax.value_and_grad(losses.sup_con))(draw(), np.arange(8))
    assert value == 0  # nobody has a positive
    assert (gradient == 0).all()


def test_labels_must_be_integers_one_a_row():
    with pytest.raises(TypeError, match="sup_con: expected labels of integers; got fl"):
        losses.sup_con(draw(), LABELS.astype("f"))
    with pytest.raises(ValueError, match="sup_con: expected labels of shape"):
        losses.sup_con(draw(), LABELS[:-1])
