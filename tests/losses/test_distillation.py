"""SimSiam, BYOL, DINO: loops, oracles, by hand, and targets without gradient."""

from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops.sinkhorn import balanced_assignment

byol, cross_view, dino, negative_cosine = map(
    jax.jit, (losses.byol, losses.cross_view, losses.dino, losses.negative_cosine)
)


def cosine(a, b):
    return np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b))


def softmax(x):
    e = np.exp(np.asarray(x, np.float64) - np.max(x))
    return e / e.sum()


def dino_from_the_paper(online, targets, center, temperature, target_temperature):
    """Algorithm 1: a loop over views of both networks, without equal ones."""
    total, count = 0.0, 0
    for j, target in enumerate(targets):
        for i, view in enumerate(online):
            if i == j:
                continue
            for b in range(online.shape[1]):
                t = softmax((target[b] - center) / target_temperature)
                total -= np.sum(t * np.log(softmax(view[b] / temperature)))
            count += online.shape[1]
    return total / count


def test_negative_cosine_and_byol_match_the_papers():
    rng = np.random.default_rng(0)
    p, t = rng.normal(size=(2, 7, 5)).astype("f")
    mean = np.mean([cosine(a, b) for a, b in zip(p, t)])
    np.testing.assert_allclose(negative_cosine(p, t), -mean, rtol=1e-5)
    np.testing.assert_allclose(byol(p, t), 2 - 2 * mean, rtol=1e-5)


def test_value_of_byol_in_float64():
    rng = np.random.default_rng(66)
    value = byol(rng.normal(size=(5, 3)), rng.normal(size=(5, 3)))
    np.testing.assert_allclose(value, 2.056885, rtol=1e-6)


def test_by_hand_equal_orthogonal_and_opposite_directions():
    a, b = np.eye(2, dtype="f")[[0, 1]], 5 * np.eye(2, dtype="f")[[1, 0]]
    for target, cos in ((3 * a, 1), (b, 0), (-a, -1)):
        np.testing.assert_allclose(negative_cosine(a, target), -cos)
        np.testing.assert_allclose(byol(a, target), 2 - 2 * cos)


@pytest.mark.parametrize("num_views", [2, 4])
@pytest.mark.parametrize("temperatures", [(0.1, 0.04), (0.5, 0.2)])
def test_dino_matches_the_paper(num_views, temperatures):
    rng = np.random.default_rng(1)
    online = rng.normal(size=(num_views, 5, 6)).astype("f")
    targets = rng.normal(size=(2, 5, 6)).astype("f")
    center = rng.normal(size=6).astype("f")
    names = ("temperature", "target_temperature")
    keywords = dict(zip(names, temperatures))
    actual = dino(online, targets, center, **keywords)
    expected = dino_from_the_paper(online, targets, center, *temperatures)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_values_of_dino_centered_and_balanced():
    rng = np.random.default_rng(30)
    online, targets = rng.normal(size=(3, 4, 5)), rng.normal(size=(2, 4, 5))
    center = 0.1 * rng.normal(size=5)
    centered = dino(online, targets, center, target_temperature=0.07)
    np.testing.assert_allclose(centered, 8.11797, rtol=1e-5)
    balanced = jax.jit(partial(balanced_assignment, epsilon=0.07))
    codes = np.stack([balanced(t) for t in targets])
    np.testing.assert_allclose(cross_view(online, codes), 9.791912, rtol=1e-4)


def test_dino_by_hand():
    """Equal logits, whatever the targets; and targets that are sure."""
    zeros = np.zeros((3, 2, 4), "f")
    sure = 100 * np.eye(4, dtype="f")[[[0, 1], [2, 3]]]
    value = dino(zeros, sure, np.zeros(4, "f"))
    np.testing.assert_allclose(value, np.log(4), rtol=1e-6)
    # Both views are sure of their own prototype, 0.1 / temperature above the others.
    online = 0.1 * np.eye(4, dtype="f")[[[0, 0], [0, 0]]]
    same = dino(online, 1000 * online, np.zeros(4, "f"), temperature=0.1)
    np.testing.assert_allclose(same, np.log(1 + 3 * np.exp(-1)), rtol=1e-6)


def test_the_center_takes_away_what_all_targets_share():
    rng = np.random.default_rng(2)
    online, targets = rng.normal(size=(2, 2, 3, 4)).astype("f")
    shared = np.array([3.0, 0.0, -1.0, 2.0], "f")
    expected = dino(online, targets, np.zeros(4, "f"))
    moved = dino(online, targets + shared, shared)
    np.testing.assert_allclose(moved, expected, rtol=1e-4)


def test_targets_get_no_gradient():
    rng = np.random.default_rng(3)
    p, t = rng.normal(size=(2, 4, 3)).astype("f")
    online, targets = rng.normal(size=(2, 2, 4, 3)).astype("f")
    calls = (
        (losses.negative_cosine, (p, t)),
        (losses.byol, (p, t)),
        (losses.cross_view, (online, targets)),
        (losses.dino, (online, targets, np.zeros(3, "f"))),
    )
    for loss, arrays in calls:
        own, target = jax.jit(jax.grad(loss, argnums=(0, 1)))(*arrays)
        assert np.any(own) and not np.any(target), loss
    by_center = jax.jit(jax.grad(losses.dino, argnums=2))
    assert not np.any(by_center(online, targets, np.zeros(3, "f")))


def test_shapes_that_do_not_fit_are_named():
    views = np.zeros((3, 4, 5), "f")
    with pytest.raises(ValueError, match=r"dino: expected online .*\(1, 4, 5\)"):
        losses.dino(views[:1], views[:1], np.zeros(5, "f"))
    with pytest.raises(ValueError, match=r"cross_view: expected .* or fewer; got"):
        losses.cross_view(views[:2], views)
    with pytest.raises(ValueError, match=r"dino: expected center of shape \(5,\)"):
        losses.dino(views, views, np.zeros(4, "f"))
    with pytest.raises(ValueError, match="byol: expected one shape of rank 2"):
        losses.byol(views[0], views[0, :, :2])


ibot = jax.jit(losses.ibot)


def patches():
    rng = np.random.default_rng(31)
    online, targets = rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 4)) / 0.07
    targets = np.exp(targets - targets.max(axis=-1, keepdims=True))
    mask = np.zeros((2, 5), bool)
    mask[0, [1, 3, 4]] = mask[1, 2] = True
    return online, targets / targets.sum(axis=-1, keepdims=True), mask


def ibot_in_loops(online, targets, mask, temperature):
    images = []
    for logits, q, hidden in zip(online, targets, mask):
        terms = []
        for p in np.flatnonzero(hidden):
            share = np.exp(logits[p] / temperature)
            terms.append(-sum(q[p] * np.log(share / share.sum())))
        images += [np.mean(terms)] if terms else []
    return np.mean(images)


def test_ibot_matches_the_paper_and_has_the_stated_value():
    online, targets, mask = patches()
    for temperature in (0.1, 1.0):
        expected = ibot_in_loops(online, targets, mask, temperature)
        found = ibot(online, targets, mask, temperature=temperature)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(ibot(online, targets, mask), 10.47842, rtol=1e-5)
    first = mask & (np.arange(2) == 0)[:, None]  # an image without a mask
    expected = ibot_in_loops(online, targets, first, 0.1)
    np.testing.assert_allclose(ibot(online, targets, first), expected, rtol=1e-5)


def test_ibot_of_equal_logits_by_hand_and_visible_patches_and_targets_stay():
    online, targets, mask = patches()
    found = ibot(0 * online, targets, mask)
    np.testing.assert_allclose(found, np.log(4), rtol=1e-6)
    same = ibot(np.log(targets + 1e-30), targets, mask, temperature=1.0)
    entropy = -(targets * np.log(targets + 1e-30)).sum(axis=-1)
    expected = (entropy[0, mask[0]].mean() + entropy[1, 2]) / 2
    np.testing.assert_allclose(same, expected, rtol=1e-4)
    slope = jax.jit(jax.grad(losses.ibot, argnums=(0, 1)))
    by_online, by_targets = slope(online.astype("f"), targets.astype("f"), mask)
    assert (np.asarray(by_online) != 0).any(axis=-1).tolist() == mask.tolist()
    assert not np.any(by_targets)
    with pytest.raises(ValueError, match=r"ibot: expected mask of shape \(2, 5\); got"):
        losses.ibot(online, targets, mask[:, 1:])


def rows_of_length_1(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def relations_by_loops(z, t):
    def of(x):
        return rows_of_length_1(np.array([[a @ b for b in x] for a in x]))

    return sum(((a - b) ** 2).sum() for a, b in zip(of(z), of(t)))


def drawn_relations():
    rng = np.random.default_rng(62)
    return [rng.normal(size=shape) for shape in ((4, 3), (4, 3), (4, 5), (4, 5))]


def test_relations_match_loops_and_an_independent_program():
    z, target, logits, target_logits = drawn_relations()
    relation = jax.jit(losses.relation_distillation)
    channel = jax.jit(losses.channel_distillation)
    for expected in (relations_by_loops(z, target) / 4, 0.5756941):
        np.testing.assert_allclose(relation(z, target), expected, rtol=1e-5)
    for expected in (relations_by_loops(z.T, target.T) / 4, 1.252099):
        np.testing.assert_allclose(channel(z, target), expected, rtol=1e-5)
    e = np.exp(target_logits)
    q = e / e.sum(axis=1, keepdims=True)
    entropy = -(q * np.log(q)).sum(axis=1).mean()
    found = jax.jit(losses.soft_cross_entropy)(logits, q) - entropy  # a KL
    np.testing.assert_allclose(found, 0.5100743, rtol=1e-5)


def test_relations_know_neither_rotation_nor_scale_nor_width():
    z, target, wide, _ = drawn_relations()
    relation = jax.jit(losses.relation_distillation)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    found = relation(3 * z @ turn, target)
    np.testing.assert_allclose(found, relation(z, target), rtol=1e-5)
    np.testing.assert_allclose(relation(z, 2 * z @ turn), 0, atol=1e-5)
    assert relation(z, wide) > 0
    eye = np.eye(2)  # rows of [[1, 1], [1, 1]] / sqrt 2 against the identity
    by_hand = 2 - np.sqrt(2)
    np.testing.assert_allclose(relation(eye, eye * 0 + 1), by_hand, rtol=1e-5)
    for loss in (losses.relation_distillation, losses.channel_distillation):
        assert not np.any(jax.jit(jax.grad(loss, argnums=1))(z, target))
    with pytest.raises(ValueError, match="relation_distillation: expected targets wi"):
        losses.relation_distillation(z, target[:-1])


def rare_by_loops(online, targets, usage, temperature):
    weights, terms = [], []
    for row, q in zip(online / temperature, targets):
        log_z = np.log(np.exp(row - row.max()).sum()) + row.max()
        weights.append(sum(q / np.maximum(usage, 1e-6)))
        terms.append(-(q * (row - log_z)).sum())
    weights = np.array(weights) / np.mean(weights)
    return weights, np.mean(weights * terms)


def test_rare_prototypes_match_loops_and_an_independent_program():
    rng = np.random.default_rng(61)
    logits, online = rng.normal(size=(2, 6, 4))
    e = np.exp(logits / 0.1)
    targets = e / e.sum(axis=1, keepdims=True)
    usage = targets.mean(axis=0)
    weights, expected = rare_by_loops(online, targets, usage, 0.1)
    printed = [0.4555332, 0.5718073, 1.320929, 0.4841644, 1.500852, 1.666714]
    np.testing.assert_allclose(weights, printed, rtol=1e-5)
    rare = jax.jit(losses.rare_prototypes)
    for value in (expected, 5.952967):
        np.testing.assert_allclose(rare(online, targets, usage), value, rtol=1e-5)
    equal = rare(online, targets, np.full(4, 0.25))
    plain = jax.jit(losses.soft_cross_entropy)(online / 0.1, targets)
    np.testing.assert_allclose(equal, plain, rtol=1e-5)
    same = rare(0 * online, targets, usage)
    np.testing.assert_allclose(same, np.log(4), rtol=1e-5)
    gradient = jax.jit(jax.grad(losses.rare_prototypes, argnums=(1, 2)))
    assert not any(np.any(g) for g in gradient(online, targets, usage))
    with pytest.raises(ValueError, match=r"rare_prototypes: expected usage of shape"):
        losses.rare_prototypes(online, targets, usage[:2])
