"""Estimators of which labels are wrong: loops, values by hand, planted errors."""

import jax
import numpy as np
import pytest

from repr_jax.estimators import (
    confident_learning,
    loss_mixture,
    relation_graph,
    separation,
)

confident = jax.jit(confident_learning.fit)
suspected = jax.jit(confident_learning.suspected)
mixture = jax.jit(loss_mixture.fit, static_argnames="num_steps")
clean_probability = jax.jit(loss_mixture.clean_probability)
responsibilities = jax.jit(loss_mixture.responsibilities)
label_scores = jax.jit(
    relation_graph.label_scores, static_argnames=("chunk_size", "power")
)


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def planted(share=0.25, num=120):
    """Three clouds, wrong labels, and a network that is right of most rows."""
    rng = np.random.default_rng(0)
    kinds = np.arange(num) % 3
    x = 4 * np.eye(3, 5)[kinds] + rng.normal(size=(num, 5))
    p = softmax(2 * np.eye(3)[kinds] + 0.5 * rng.normal(size=(num, 3)))
    wrong = rng.random(num) < share
    return x, p, np.where(wrong, (kinds + 1) % 3, kinds), wrong


def confident_by_loops(p, labels):
    count = p.shape[1]
    thresholds = [p[labels == k, k].mean() for k in range(count)]
    joint, flagged = np.zeros((count, count)), []
    for i, row in enumerate(p):
        reached = [k for k in range(count) if row[k] >= thresholds[k]]
        if reached:
            best = max(reached, key=lambda k: row[k])
            joint[labels[i], best] += 1
            flagged += [i] if best != labels[i] else []
    return thresholds, joint, flagged


def test_confident_learning_is_that_of_loops_and_of_an_independent_program():
    rng, labels = np.random.default_rng(71), np.arange(12) % 3
    p = softmax(2 * rng.normal(size=(12, 3)) + 1.5 * np.eye(3)[labels])
    thresholds, joint, flagged = confident_by_loops(p, labels)
    found = confident(p, labels)
    for expected in (thresholds, [0.5360176, 0.5703866, 0.4806634]):
        np.testing.assert_allclose(found.thresholds, expected, rtol=1e-5)
    np.testing.assert_array_equal(joint, [[3, 0, 0], [1, 3, 0], [2, 1, 1]])
    np.testing.assert_array_equal(found.joint, joint)
    assert flagged == [2, 5, 7, 11]
    assert np.flatnonzero(suspected(found, p, labels)).tolist() == flagged


def test_confident_learning_by_hand_and_a_class_without_rows():
    """Thresholds 0.7 and 0.6; the third row is confidently of the other class."""
    p = np.array([[0.8, 0.2, 0], [0.6, 0.4, 0], [0.75, 0.25, 0], [0.05, 0.95, 0]])
    labels = np.array([0, 0, 1, 1])
    found = confident(p, labels)
    np.testing.assert_allclose(found.thresholds, [0.7, 0.6, np.inf], rtol=1e-6)
    np.testing.assert_array_equal(found.joint, [[1, 0, 0], [1, 1, 0], [0, 0, 0]])
    same = confident(np.full((7, 2), 0.3), np.zeros(7, int))  # equal to the mean
    assert same.joint[0, 0] == 7


def test_confident_learning_finds_planted_errors():
    _, p, labels, wrong = planted()
    found = np.asarray(suspected(confident(p, labels), p, labels))
    assert wrong[found].mean() > 0.9
    assert found[wrong].mean() > 0.8


def test_confident_learning_wants_probabilities_and_labels_of_them():
    p = np.full((4, 2), 0.5)
    with pytest.raises(ValueError, match=r"fit: expected probabilities in \[0, 1\]"):
        confident_learning.fit(3 * p, np.zeros(4, int))
    with pytest.raises(ValueError, match=r"expected labels in \[0, 2\); got 2 in ro"):
        confident_learning.fit(p, np.array([0, 1, 2, 0]))
    with pytest.raises(TypeError, match=r"fit: expected labels of integers; got flo"):
        confident_learning.fit(p, np.zeros(4))


def mixture_by_loops(losses, num_steps, floor=5e-4):
    u = (losses - losses.min()) / (losses.max() - losses.min())
    means, variances, weights = [0.0, 1.0], [u.var() + floor] * 2, [0.5, 0.5]
    for _ in range(num_steps):
        table = []
        for value in u:
            parts = [
                w * np.exp(-((value - m) ** 2) / (2 * v)) / np.sqrt(v)
                for m, v, w in zip(means, variances, weights)
            ]
            table.append(np.array(parts) / sum(parts))
        table = np.array(table)
        weights = table.mean(axis=0)
        means = table.T @ u / table.sum(axis=0)
        variances = [table[:, k] @ (u - means[k]) ** 2 for k in range(2)]
        variances = np.array(variances) / table.sum(axis=0) + floor
    return means, variances, weights


def test_a_loss_mixture_is_that_of_loops_and_of_an_independent_program():
    rng = np.random.default_rng(2)
    losses = np.exp(rng.normal(size=20)) + 4 * (np.arange(20) % 4 == 0)
    found = mixture(losses, num_steps=10)
    expected = mixture_by_loops(losses, 10)
    for a, b in zip(found[2:], expected):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    np.testing.assert_allclose(found.means, [0.06575746, 0.4679635], rtol=1e-4)
    np.testing.assert_allclose(found.variances, [0.002474023, 0.06070921], rtol=1e-4)
    shares = np.asarray(responsibilities(found, losses))
    np.testing.assert_allclose(shares[:2, 0], [0, 0.9666868], rtol=1e-4, atol=1e-7)
    clean = np.asarray(clean_probability(found, losses))
    assert clean[0] < 1e-6
    assert clean[1] == 1  # below the lower mean
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)


def test_scaled_losses_have_one_mixture_and_equal_ones_are_clean():
    losses = np.concatenate([np.linspace(0, 1, 9), np.linspace(4, 5, 6)])
    clean = clean_probability(mixture(losses), losses)
    np.testing.assert_allclose(clean[:9], 1, atol=1e-4)
    np.testing.assert_allclose(clean[9:], 0, atol=1e-4)
    other = 7 + 3 * losses
    found = clean_probability(mixture(other), other)
    np.testing.assert_allclose(found, clean, rtol=1e-3, atol=1e-6)
    same = np.full(5, 0.3)
    np.testing.assert_array_equal(clean_probability(mixture(same), same), 1)
    nobody = mixture(same, where=np.zeros(5, bool))
    assert all(np.isfinite(x).all() for x in nobody)
    with pytest.raises(ValueError, match=r"loss_mixture\.fit: expected floor > 0"):
        loss_mixture.fit(losses, floor=0.0)


def relations_by_loops(x, p, labels, power):
    k = [[max(0, a @ b) * (q @ r) for b, r in zip(x, p)] for a, q in zip(x, p)]
    k = np.array([[0 if v < 0.03 else v**power for v in row] for row in k])
    r = np.where(labels[:, None] == labels[None], k, -k)
    scores = r.sum(axis=1)
    noisy = scores / np.abs(scores).max() < -0.05
    return noisy, scores - 2 * r[:, noisy].sum(axis=1)


def drawn_relations():
    rng = np.random.default_rng(57)
    x, p = unit(rng.normal(size=(8, 3))), softmax(2 * rng.normal(size=(8, 3)))
    queries = unit(rng.normal(size=(2, 3))), softmax(2 * rng.normal(size=(2, 3)))
    return x, p, np.arange(8) % 3, *queries


def test_relations_are_those_of_loops_and_of_an_independent_program():
    x, p, labels, *queries = drawn_relations()
    flagged, refined = relations_by_loops(x, p, labels, 4)
    fitted = relation_graph.fit(3 * x, p)
    found = label_scores(fitted, labels)
    assert np.flatnonzero(found.flagged).tolist() == [6]
    np.testing.assert_array_equal(found.flagged, flagged)
    np.testing.assert_allclose(found.scores, refined, rtol=1e-4)
    printed = [0.0333172, 0.1022628, 0.02792481, 0.1241857]
    printed += [1.115703, 0.05462679, -0.6404456, 0.1601897]
    np.testing.assert_allclose(found.scores, printed, rtol=1e-4)
    outlier = jax.jit(relation_graph.score)(fitted, *queries)
    np.testing.assert_allclose(outlier, [-0.5608727, -0.6678043], rtol=1e-5)
    blocks = label_scores(fitted, labels, chunk_size=3)
    np.testing.assert_allclose(blocks.scores, found.scores, rtol=1e-5)


def test_relations_of_one_label_by_hand_and_of_absent_rows():
    x, p = np.array([[1.0, 0], [0, 2], [3, 0]]), np.full((3, 2), 0.5)
    same = label_scores(relation_graph.fit(x, p), np.zeros(3, int), power=2.0)
    np.testing.assert_allclose(same.scores, [0.5, 0.25, 0.5], rtol=1e-6)
    other = label_scores(relation_graph.fit(x, p), np.array([0, 0, 1]), power=2.0)
    np.testing.assert_allclose(other.scores, [0, 0.25, 0], atol=1e-6)
    x, p, labels, *_ = drawn_relations()
    where = np.arange(8) != 6
    spoiled = np.where(where[:, None], x, np.nan)
    found = label_scores(relation_graph.fit(spoiled, p, where=where), labels)
    expected = label_scores(relation_graph.fit(x[where], p[where]), labels[where])
    np.testing.assert_allclose(found.scores[where], expected.scores, rtol=1e-5)
    assert found.scores[6] == 0


def test_relations_find_labels_that_the_network_has_memorized():
    x, p, labels, wrong = planted()
    memorized = softmax(6 * np.eye(3)[labels] + np.log(p))
    scores = label_scores(relation_graph.fit(x, memorized), labels).scores
    right, mistaken = np.asarray(scores)[~wrong], np.asarray(scores)[wrong]
    assert np.mean(right[:, None] > mistaken[None]) > 0.95
    assert memorized.argmax(axis=1).tolist() == labels.tolist()


def test_relations_want_labels_of_the_fitted_rows():
    x, p, labels, *_ = drawn_relations()
    fitted = relation_graph.fit(x, p)
    with pytest.raises(ValueError, match=r"label_scores: expected labels of shape"):
        relation_graph.label_scores(fitted, labels[:-1])
    with pytest.raises(ValueError, match=r"fit: expected probabilities with 8 rows"):
        relation_graph.fit(x, p[:-1])


def test_a_boundary_separates_what_losses_are_sure_of():
    rng = np.random.default_rng(59)
    losses = np.concatenate([rng.exponential(0.3, 12), 2 + rng.exponential(0.5, 6)])
    clean = np.asarray(clean_probability(mixture(losses), losses))
    np.testing.assert_allclose(clean[[0, 1, 12, 13]], [1, 1, 0, 0], atol=1e-3)
    assert np.flatnonzero(clean < 0.05).tolist() == [12, 13, 14, 15, 16, 17]
    fit = jax.jit(separation.fit)
    kinds = np.arange(90) % 3 == 2
    x = rng.normal(size=(90, 4)) + 5 * np.outer(kinds, [1, 0, 0, 0])
    losses = np.where(kinds, 3, 0.3) + 0.1 * rng.normal(size=90)
    losses[:6] = 2.9  # rows with wrong labels in the clean cloud, and easy noise
    losses[89] = 0.3
    fitted = fit(x, losses)
    assert (np.asarray(separation.noisy(fitted, x)) == kinds).mean() > 0.95
    other = fit(x, 4 * losses + 1)
    np.testing.assert_array_equal(
        separation.noisy(other, x), separation.noisy(fitted, x)
    )
    with pytest.raises(ValueError, match=r"separation\.fit: expected losses with 90"):
        separation.fit(x, losses[:-1])


def test_both_kinds_have_one_weight_in_the_boundary():
    """Copies of clean rows move nothing: the weight of a kind is its own."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(9, 2)), rng.normal(size=(9, 2)) + 1])
    losses = np.where(np.arange(18) < 9, 0.1, 2.0)
    once = separation.fit(x, losses, penalty=1e-3)
    both = np.concatenate([x, x[:9]]), np.concatenate([losses, losses[:9]])
    twice = separation.fit(*both, penalty=1e-3)
    np.testing.assert_allclose(once.weights, twice.weights, rtol=0.02, atol=0.02)
