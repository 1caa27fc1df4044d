"""Labels that are predictions: loops, independent values, and what gets no gradient."""

import math
from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses

fixmatch = jax.jit(losses.fixmatch)
selective = jax.jit(losses.selective_pseudo_label)
agreeing_kl = jax.jit(losses.agreeing_kl)
pseudo_class = jax.jit(losses.pseudo_class)


def softmax(row):
    e = np.exp(np.asarray(row) - np.max(row))
    return e / e.sum()


def draw(seed, *scales, rows=6, classes=3):
    rng = np.random.default_rng(seed)
    return [scale * rng.normal(size=(rows, classes)) for scale in scales]


def selective_from_the_paper(local, other, strong, threshold):
    """Mean cross-entropy, mean consistency, and the labels."""
    surprise, consistency, labels = 0.0, 0.0, []
    for a, b, s in zip(local, other, strong):
        p, q = softmax(a), softmax(b)
        expert = p if p.max() >= q.max() else q
        labels.append(int(expert.argmax()))
        if expert.max() >= threshold:
            surprise -= math.log(softmax(s)[labels[-1]])
        if p.argmax() == q.argmax():
            consistency += sum(v * math.log(v / u) for u, v in zip(p, q))
    return surprise / len(strong), consistency / len(strong), labels


@pytest.mark.parametrize("threshold", [0.3, 0.8, 0.95])
def test_fixmatch_matches_the_paper(threshold):
    weak, strong = draw(69, 2, 1)
    expected = selective_from_the_paper(weak, weak, strong, threshold)[0]
    found = fixmatch(weak, strong, threshold=threshold)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    same = selective(weak, weak, strong, threshold=threshold)
    np.testing.assert_allclose(same, expected, rtol=1e-5)


def test_fixmatch_has_the_value_of_an_independent_program_and_by_hand():
    weak, strong = draw(69, 2, 1)
    np.testing.assert_allclose(
        fixmatch(weak, strong, threshold=0.8), 0.7240288, rtol=1e-5
    )
    assert sum(softmax(row).max() >= 0.8 for row in weak) == 3
    sure = np.array([[9.0, 0, 0], [1, 0, 0]])  # of two rows one is sure
    found = fixmatch(sure, np.zeros((2, 3)))
    np.testing.assert_allclose(found, math.log(3) / 2, rtol=1e-6)
    assert fixmatch(0 * weak, strong) == 0


def test_the_weak_views_get_no_gradient():
    weak, strong = draw(69, 2, 1)
    loss = partial(losses.fixmatch, threshold=0.5)
    of_weak, of_strong = jax.jit(jax.grad(loss, argnums=(0, 1)))(weak, strong)
    assert not of_weak.any()
    assert of_strong.any()
    of_global = jax.jit(jax.grad(losses.agreeing_kl, argnums=1))(weak, strong)
    assert not of_global.any()


def test_the_surer_network_labels_as_in_loops_and_in_an_independent_program():
    local, other, strong = draw(52, 2, 2, 1)
    surprise, consistency, labels = selective_from_the_paper(local, other, strong, 0.6)
    assert labels == [2, 2, 2, 2, 0, 2]
    found = selective(local, other, strong, threshold=0.6)
    for expected in (surprise, 1.029555):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    for expected in (consistency, 0.0834894):
        np.testing.assert_allclose(agreeing_kl(local, other), expected, rtol=1e-5)
    np.testing.assert_allclose(agreeing_kl(local, local + 3), 0, atol=1e-6)
    opposed = np.eye(2) * 5
    assert agreeing_kl(opposed, opposed[::-1].copy()) == 0  # they nowhere agree


def test_pseudo_classes_match_loops_and_an_independent_program():
    rng = np.random.default_rng(58)
    rng.normal(size=(2, 4, 3))
    images, captions = rng.normal(size=(2, 4, 5))
    surprise = entropy = 0.0
    for a, b in zip(images, captions):
        p = softmax(a)
        surprise -= math.log(p[b.argmax()]) / 4
        entropy -= (p * np.log(p)).sum() / 4
    np.testing.assert_allclose(entropy, 1.205702, rtol=1e-6)
    found = pseudo_class(images, captions, entropy_weight=0.0)
    for expected in (surprise, 1.792355):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    weighted = pseudo_class(images, captions, entropy_weight=0.7)
    np.testing.assert_allclose(weighted, surprise - 0.7 * entropy, rtol=1e-5)
    same = pseudo_class(0 * images, captions, entropy_weight=0.25)
    np.testing.assert_allclose(same, 0.75 * math.log(5), rtol=1e-6)
    gradient = jax.jit(jax.grad(losses.pseudo_class, argnums=1))(images, captions)
    assert not gradient.any()


def test_logits_of_one_shape_and_a_share_are_wanted():
    weak, strong = draw(69, 2, 1)
    with pytest.raises(ValueError, match="fixmatch: expected one shape of rank 2"):
        losses.fixmatch(weak, strong[:-1])
    with pytest.raises(ValueError, match=r"fixmatch: expected threshold in \[0, 1\]"):
        losses.fixmatch(weak, strong, threshold=1.5)
