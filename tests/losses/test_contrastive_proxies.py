"""Proxies against float64 loops, by hand, and what the batch adds to a softmax."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses

proxy_anchor = jax.jit(losses.proxy_anchor)
unified_negatives = jax.jit(losses.unified_negatives)
manifold_similarity = jax.jit(losses.manifold_similarity)
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


def walk(x, proxies, alpha, temperature):
    """Where walks end, step by step: (1 - alpha) sum_t alpha^t S^t, in float64."""
    nodes = np.concatenate([x, proxies])
    c, n = cosines(nodes, nodes), len(nodes)
    w = np.array(
        [
            [math.exp(max(0, c[i, j]) / temperature) * (i != j) for j in range(n)]
            for i in range(n)
        ]
    )
    s = np.array(
        [
            [w[i, j] / math.sqrt(w[i].sum() * w[j].sum()) for j in range(n)]
            for i in range(n)
        ]
    )
    total, power = np.zeros((n, n)), np.eye(n)
    for _ in range(2000):
        total, power = total + (1 - alpha) * power, alpha * s @ power
    return total


def manifold_from_the_paper(x, labels, proxies, alpha, temperature, margin, weight):
    """The authors' loops, with a margin."""
    ends, b, total, rows = walk(x, proxies, alpha, temperature), len(x), 0.0, 0
    alike = cosines(ends, ends)
    for i in range(b):
        if not 0 <= labels[i] < len(proxies):
            continue
        rows += 1
        for scores, factor in ((ends, 1.0), (alike, weight)):
            gaps = [
                scores[i, b + k] - scores[i, b + labels[i]] + margin
                for k in range(len(proxies))
                if k != labels[i]
            ]
            above = sum(math.exp(gap) for gap in gaps if gap > 0)
            total += factor * math.log(1 + above)
    return total / rows


@pytest.mark.parametrize(
    ("alpha", "temperature", "margin", "weight"),
    [(0.8, 0.05, 5e-4, 1.0), (0.95, 0.5, 0.1, 0.3), (0.0, 0.5, 0.1, 1.0)],
)
def test_manifold_similarity_matches_the_authors_loops(
    alpha, temperature, margin, weight
):
    options = dict(temperature=temperature, margin=margin, context_weight=weight)
    for seed, labels in ((38, LABELS), (40, np.array([0, 1, 2, 3, 9, -1]))):
        x, proxies = draw(seed)
        expected = manifold_from_the_paper(
            x, labels, proxies, alpha, temperature, margin, weight
        )
        found = manifold_similarity(x, labels, proxies, walk_rate=alpha, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_manifold_similarity_of_equal_nodes_by_hand():
    """No proxy is nearer than another: margins alone."""
    x, proxies = np.ones((3, 2), "f"), np.ones((4, 2), "f")
    options = dict(margin=0.1, context_weight=2.0)
    found = manifold_similarity(x, np.arange(3), proxies, **options)
    expected = 3 * math.log(1 + 3 * math.exp(0.1))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_walk_reaches_the_proxy_of_a_row_by_way_of_its_neighbors():
    """Two arcs of one length: cosines of their last rows prefer the wrong proxy."""
    angles = np.deg2rad([20, 40, 60, 80, -30])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("f")
    ends = np.deg2rad([0, 130])
    proxies = np.stack([np.cos(ends), np.sin(ends)], axis=1).astype("f")
    labels = np.zeros(5, int)
    assert cosines(x, proxies)[3, 1] > cosines(x, proxies)[3, 0]
    options = dict(temperature=0.05, margin=0.0, context_weight=0.0)
    near = manifold_similarity(x, labels, proxies, walk_rate=0.1, **options)
    far = manifold_similarity(x, labels, proxies, walk_rate=0.99, **options)
    assert near > 0 and far == 0


def test_rows_of_no_proxy_are_nodes_that_move_others():
    x, proxies = draw()
    labels = np.array([0, 1, 2, 3, -1, -1])
    gradient = jax.jit(jax.grad(losses.manifold_similarity))(x, labels, proxies)
    assert np.abs(gradient).sum(axis=1).all()
    alone = manifold_similarity(x[:4], labels[:4], proxies)
    assert abs(manifold_similarity(x, labels, proxies) - alone) > 1e-4
    with pytest.raises(ValueError, match="manifold_similarity: expected 1 - walk_rate"):
        losses.manifold_similarity(x, labels, proxies, walk_rate=1.0)
