"""Losses with labels against float64 loops, and what labels must not do."""

import math
from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses

flow_con = jax.jit(losses.flow_con)
discriminative = jax.jit(losses.discriminative, static_argnames="num_classes")

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


def test_sup_con_of_two_classes_of_identical_rows_by_hand():
    labels = np.array([0, 0, 1, 1])
    with jax.enable_x64(True):
        x = np.repeat(np.eye(2, 5), 2, axis=0)
        value = jax.jit(losses.sup_con)(x, labels, temperature=0.07)
        np.testing.assert_allclose(value, 1.24975e-6, rtol=1e-5)


def test_labels_must_be_integers_one_a_row():
    with pytest.raises(TypeError, match="sup_con: expected labels of integers; got fl"):
        losses.sup_con(draw(), LABELS.astype("f"))
    with pytest.raises(ValueError, match="sup_con: expected labels of shape"):
        losses.sup_con(draw(), LABELS[:-1])


@pytest.mark.parametrize(
    "loss", [losses.sup_con, losses.triplet_hardest, losses.triplet_semi_hard]
)
def test_classes_of_64_bits_are_not_merged(loss):
    far = np.array([1, 1, 2**32 + 1, 2**32 + 1, 7, 7, 9, 9])

    def of(labels):  # of numpy within a program
        return jax.jit(lambda x: loss(x, labels))(draw())

    expected = of(np.array([0, 0, 1, 1, 2, 2, 3, 3]))
    assert of(far) == expected
    with jax.enable_x64(True):
        np.testing.assert_allclose(of(far), expected, rtol=1e-6)


def flow_con_from_the_paper(log_probs, labels, sharpness, temperature):
    """With the row's own density, which cancels; a loop a sum."""
    rows, terms = range(len(labels)), []
    for i in rows:
        pair = [sharpness * (log_probs[i, j] + log_probs[i, i]) for j in rows]
        score = [math.exp(v - max(pair)) / temperature for v in pair]
        log_z = math.log(sum(math.exp(score[j]) for j in rows if j != i))
        same = [score[j] - log_z for j in rows if j != i and labels[j] == labels[i]]
        if same:
            terms.append(-sum(same) / len(same))
    return np.mean(terms)


@pytest.mark.parametrize(("sharpness", "temperature"), [(0.5, 0.1), (1.5, 0.3)])
def test_flow_con_matches_the_paper(sharpness, temperature):
    log_probs = np.random.default_rng(0).normal(size=(8, 8)) - 3
    expected = flow_con_from_the_paper(log_probs, LABELS, sharpness, temperature)
    options = dict(sharpness=sharpness, temperature=temperature)
    found = jax.jit(partial(losses.flow_con, **options))(log_probs, LABELS)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    moved = log_probs + np.arange(8.0)[:, None]  # a constant a row
    np.testing.assert_allclose(flow_con(moved, LABELS, **options), expected, rtol=1e-5)


def test_flow_con_has_the_stated_value_and_one_density_for_all_by_hand():
    log_probs = np.random.default_rng(14).normal(size=(6, 6)) - 3
    labels = np.arange(6) % 2
    found = flow_con(log_probs, labels, sharpness=0.5, temperature=0.1)
    np.testing.assert_allclose(found, 5.368497, rtol=1e-5)
    np.testing.assert_allclose(-np.diag(log_probs).mean(), 2.515263, rtol=1e-6)
    same = flow_con(np.full((6, 6), -7.0), labels)
    np.testing.assert_allclose(same, math.log(5), rtol=1e-5)
    with pytest.raises(ValueError, match=r"flow_con: expected log_probs of shape"):
        losses.flow_con(log_probs[:, :5], labels)


def discriminative_from_the_paper(x, labels, pull, push, weight, length):
    classes = [c for c in range(4) if (labels == c).any()]
    means = {c: x[labels == c].mean(axis=0) for c in classes}
    total = 0.0
    for c in classes:
        away = [np.linalg.norm(row - means[c]) for row in x[labels == c]]
        total += np.mean([max(0, a - pull) ** 2 for a in away]) / len(classes)
        total += length * np.linalg.norm(means[c]) / len(classes)
        for other in set(classes) - {c}:
            gap = 2 * push - np.linalg.norm(means[c] - means[other])
            total += weight * max(0, gap) ** 2 / len(classes) / (len(classes) - 1)
    return total


@pytest.mark.parametrize("margins", [(0.5, 1.5, 1.0, 0.001), (0.1, 0.4, 2.0, 0.3)])
def test_discriminative_matches_the_paper(margins):
    labels = np.where(LABELS == 1, -1, LABELS)  # rows of no class, and one empty class
    expected = discriminative_from_the_paper(draw().astype(float), labels, *margins)
    names = ("pull_margin", "push_margin", "push_weight", "length_weight")
    loss = partial(losses.discriminative, num_classes=4, **dict(zip(names, margins)))
    np.testing.assert_allclose(jax.jit(loss)(draw(), labels), expected, rtol=1e-5)


def test_classes_within_and_beyond_the_margins_cost_their_lengths():
    x = np.array([[0.0, 0.4], [0.0, -0.4], [4.0, 0.0]], np.float32)
    labels = np.array([0, 0, 1])
    found = discriminative(x, labels, num_classes=2, length_weight=0.5)
    np.testing.assert_allclose(found, 0.5 * (0 + 4) / 2, rtol=1e-6)
    same = discriminative(0 * x, labels, num_classes=2)
    np.testing.assert_allclose(same, 9, rtol=1e-6)


gated_pairs = jax.jit(losses.gated_pairs)


def gated_pairs_in_loops(queries, keys, gates, labels, partners, temperature):
    """One positive pair after the other, each among the negatives of its row."""
    q, k = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, keys))
    terms, rows = [], range(len(q))
    for i in rows:
        logits = [sum(gates[i] ** 2 * q[i] * k[n]) / temperature for n in rows]
        far = [n for n in rows if labels[n] not in (labels[i], partners[i])]
        total = sum(math.exp(logits[n]) for n in far)
        for p in rows:
            if labels[p] == partners[i]:
                near = math.exp(logits[p])
                terms.append(-math.log(near / (near + total)))
    return np.mean(terms)


def gates_and_pairs():
    rng = np.random.default_rng(21)
    queries, keys, gates = (rng.normal(size=(6, 4)) for _ in range(3))
    pairs = dict(labels=np.arange(6) % 3, partners=np.array([1, 0, 2, 2, 1, 0]))
    return dict(queries=queries, keys=keys, gates=1 / (1 + np.exp(-gates)), **pairs)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_gated_pairs_match_the_paper(temperature):
    rows = gates_and_pairs()
    expected = gated_pairs_in_loops(*rows.values(), temperature)
    found = gated_pairs(**rows, temperature=temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    if temperature == 0.1:
        np.testing.assert_allclose(found, 1.858099, rtol=1e-5)
    rows["partners"] = np.array([1, 0, 9, 2, 7, 0])  # no row has these
    expected = gated_pairs_in_loops(*rows.values(), temperature)
    found = gated_pairs(**rows, temperature=temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_open_gates_and_own_classes_make_pairs_of_one_class():
    """Of equal rows by hand: four negatives and a positive, whichever it is."""
    rows = gates_and_pairs() | dict(gates=np.ones((6, 4)), partners=np.arange(6) % 3)
    same = rows | dict(queries=np.ones((6, 4)), keys=np.ones((6, 4)))
    np.testing.assert_allclose(gated_pairs(**same), math.log(5), rtol=1e-6)
    shut = rows | dict(gates=np.zeros((6, 4)))
    np.testing.assert_allclose(gated_pairs(**shut), math.log(5), rtol=1e-6)
    assert gated_pairs(**rows | dict(partners=np.full(6, 5))) == 0  # no positive
    far = rows | dict(labels=2**40 + rows["labels"], partners=2**40 + rows["partners"])
    expected = gated_pairs(**rows)
    whole = jax.jit(partial(losses.gated_pairs, **far))()
    np.testing.assert_allclose(whole, expected, rtol=1e-6)
    rest = {name: x for name, x in rows.items() if name != "partners"}
    traced = jax.jit(lambda partners: losses.gated_pairs(**rest, partners=partners))
    np.testing.assert_allclose(traced(rows["partners"]), expected, rtol=1e-6)


def test_a_closed_dimension_has_no_gradient():
    rows = gates_and_pairs()
    rows["gates"] = rows["gates"] * [1, 1, 0, 1]
    slope = jax.jit(jax.grad(lambda k: losses.gated_pairs(**rows | dict(keys=k))))
    unit_slope = slope(np.eye(6, 4, dtype="f"))[2]
    assert unit_slope[2] == 0  # of a key along that dimension: only its length
    with pytest.raises(TypeError, match="gated_pairs: expected partners of integers"):
        losses.gated_pairs(**rows | dict(partners=np.ones(6)))
