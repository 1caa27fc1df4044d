"""Proxies against float64 loops, by hand, and what the batch adds to a softmax."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses

proxy_anchor = jax.jit(losses.proxy_anchor)
unified_negatives = jax.jit(losses.unified_negatives)
cosface = jax.jit(losses.cosface)
LABELS = np.array([0, 1, 2, 3, 0, 1])


def draw(seed=38):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(6, 3)), rng.normal(size=(4, 3))


def cosines(a, b):
    return np.array([[x @ y / math.sqrt(x @ x * (y @ y)) for y in b] for x in a])


def proxy_anchor_from_the_paper(x, labels, proxies, margin, alpha):
    """Eq. 4, over all proxies and those with rows."""
    c, pull, push = cosines(x, proxies), [], []
    for p in range(len(proxies)):
        own = [
            math.exp(-alpha * (c[i, p] - margin)) for i in range(6) if labels[i] == p
        ]
        far = [math.exp(alpha * (c[i, p] + margin)) for i in range(6) if labels[i] != p]
        pull += [math.log(1 + sum(own))] if own else []
        push.append(math.log(1 + sum(far)))
    return np.mean(pull) + np.mean(push)


@pytest.mark.parametrize(("margin", "sharpness"), [(0.1, 32.0), (0.3, 2.0)])
def test_proxy_anchor_matches_the_paper(margin, sharpness):
    x, proxies = draw()
    for labels in (LABELS, np.array([0, 1, 2, 0, 9, -1])):  # no row, and no class
        expected = proxy_anchor_from_the_paper(x, labels, proxies, margin, sharpness)
        found = proxy_anchor(x, labels, proxies, margin=margin, sharpness=sharpness)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_proxy_anchor_has_the_stated_value_and_one_by_hand():
    x, proxies = draw(67)
    found = proxy_anchor(x, np.arange(6) % 3, proxies)
    np.testing.assert_allclose(found, 46.37573, rtol=1e-5)
    x, proxies = np.eye(2, dtype="f"), np.eye(2, dtype="f")
    found = proxy_anchor(x, np.arange(2), proxies, margin=0.5, sharpness=2.0)
    expected = math.log1p(math.exp(-1)) + math.log1p(math.exp(1))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_proxy_without_rows_is_only_repelled():
    x, proxies = draw()
    gradient = jax.jit(jax.grad(losses.proxy_anchor, argnums=2))
    labels = np.arange(6) % 3
    moved = -gradient(x, labels, proxies)[3]
    nearest = x[np.argmax(cosines(x, proxies[3:])[:, 0])]
    assert moved @ nearest < 0


def unified_from_the_paper(x, labels, prototypes, margin, scale, whisker):
    """CosFace, whose sum also has the negative pairs of the batch; and their number."""
    own, among = cosines(x, prototypes), cosines(x, x)
    rows = range(len(x))
    pairs = [among[i, j] for i in rows for j in range(i) if labels[i] != labels[j]]
    kept, ordered = [], sorted(pairs)
    if pairs:
        low = ordered[int(0.25 * len(pairs))]
        high = ordered[int(0.75 * len(pairs))]
        reach = whisker * (high - low)
        kept = [c for c in pairs if low - reach <= c <= high + reach]
    total = 0.0
    for i in rows:
        target = scale * (own[i, labels[i]] - margin)
        logits = [scale * c for k, c in enumerate(own[i]) if k != labels[i]]
        logits += [scale * c for c in kept]
        total += math.log(1 + sum(math.exp(z - target) for z in logits))
    return total / len(x), len(kept)


@pytest.mark.parametrize("whisker", [0.0, 0.1, 1.5])
@pytest.mark.parametrize("scale", [1.0, 16.0])
def test_unified_negatives_match_the_paper(whisker, scale):
    x, prototypes = draw(3)
    options = dict(margin=0.4, scale=scale, whisker=whisker)
    expected, _ = unified_from_the_paper(x, LABELS, prototypes, **options)
    found = unified_negatives(x, LABELS, prototypes, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_unified_negatives_have_the_stated_values():
    x, prototypes = draw()
    options = dict(margin=0.4, scale=16.0)
    found = cosface(x, LABELS, prototypes, **options)
    np.testing.assert_allclose(found, 12.65264, rtol=1e-5)
    for whisker, expected in ((1.5, 17.71013), (0.1, 15.39968)):
        found = unified_negatives(x, LABELS, prototypes, whisker=whisker, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert unified_from_the_paper(x, LABELS, prototypes, 0.4, 16, 0.1)[1] == 7


def test_a_batch_of_one_class_has_no_unified_negatives():
    x, prototypes = draw()
    labels = np.zeros(6, int)
    expected = cosface(x, labels, prototypes, margin=0.5)
    found = unified_negatives(x, labels, prototypes)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_two_orthogonal_classes_by_hand():
    """Logits 3 - 1 and 0, and the one pair, whose cosine is 0."""
    x = np.eye(2, dtype="f")
    found = unified_negatives(x, np.arange(2), x, margin=1 / 3, scale=3.0)
    np.testing.assert_allclose(found, math.log1p(2 * math.exp(-2)), rtol=1e-6)


def test_bad_arguments_are_named():
    x, prototypes = draw()
    with pytest.raises(ValueError, match="proxy_anchor: expected sharpness > 0; got 0"):
        losses.proxy_anchor(x, LABELS, prototypes, sharpness=0)
    with pytest.raises(ValueError, match="unified_negatives: expected labels of shape"):
        losses.unified_negatives(x, LABELS[1:], prototypes)
