"""Losses with stored negatives against float64 loops; what gets a gradient."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses


def draw(*batches, dim=4):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(batch, dim)).astype("f") for batch in batches]


def unit(x):
    return x.astype(float) / np.linalg.norm(x.astype(float), axis=1, keepdims=True)


def moco_from_the_paper(queries, keys, queue, *, temperature):
    """He et al., eq. 1: the positive is among the candidates."""
    terms = []
    for query, key in zip(unit(queries), unit(keys)):
        candidates = [key, *unit(queue)]
        scores = [math.exp(query @ k / temperature) for k in candidates]
        terms.append(-math.log(scores[0] / sum(scores)))
    return np.mean(terms)


def instance_discrimination_from_the_paper(x, bank, index, *, temperature):
    """Wu et al., eq. 2 and 3."""
    terms = []
    for row, i in zip(unit(x), index):
        scores = [math.exp(stored @ row / temperature) for stored in unit(bank)]
        terms.append(-math.log(scores[i] / sum(scores)))
    return np.mean(terms)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_losses_match_their_papers(temperature):
    queries, keys, queue = draw(6, 6, 9)
    expected = moco_from_the_paper(queries, keys, queue, temperature=temperature)
    actual = jax.jit(losses.moco)(queries, keys, queue, temperature=temperature)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    x, bank = draw(6, 9)
    index = np.array([3, 0, 8, 8, 5, 1])
    expected = instance_discrimination_from_the_paper(
        x, bank, index, temperature=temperature
    )
    loss = jax.jit(losses.instance_discrimination)
    actual = loss(x, bank, index, temperature=temperature)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_equal_rows_by_hand():
    same = np.ones((9, 4), "f")
    moco = jax.jit(losses.moco)
    np.testing.assert_allclose(moco(same[:6], same[:6], same), math.log(10), rtol=1e-6)
    filled = np.arange(9) < 2
    actual = moco(
        same[:6], same[:6], np.where(filled[:, None], same, np.nan), queue_where=filled
    )
    np.testing.assert_allclose(actual, math.log(3), rtol=1e-6)
    index = np.arange(6)
    actual = jax.jit(losses.instance_discrimination)(same[:6], same, index)
    np.testing.assert_allclose(actual, math.log(9), rtol=1e-6)


def test_only_the_online_network_gets_a_gradient():
    arrays = draw(6, 6, 9)
    gradient = jax.jit(jax.grad(losses.moco, argnums=(0, 1, 2)))(*arrays)
    assert np.abs(gradient[0]).max() > 1e-3
    assert (gradient[1] == 0).all() and (gradient[2] == 0).all()
    x, bank = draw(6, 9)
    loss = jax.jit(jax.grad(losses.instance_discrimination, argnums=(0, 1)))
    gradient = loss(x, bank, np.arange(6))
    assert np.abs(gradient[0]).max() > 1e-3
    assert (gradient[1] == 0).all()


def test_wrong_storage_is_refused():
    x, bank, keys = draw(6, 9, 5)
    with pytest.raises(TypeError, match=r"instance_.*: expected index of integers"):
        losses.instance_discrimination(x, bank, np.arange(6.0))
    with pytest.raises(ValueError, match=r"instance_.*: expected index of shape"):
        losses.instance_discrimination(x, bank, np.arange(5))
    with pytest.raises(ValueError, match="moco: expected one shape of rank 2"):
        losses.moco(x, keys, bank)
    with pytest.raises(ValueError, match="moco: expected queue of shape"):
        losses.moco(x, x, bank[:, :3])
    with pytest.raises(ValueError, match=r"instance_.*: expected bank of shape"):
        losses.instance_discrimination(x, bank[:, :3], np.arange(6))
    with pytest.raises(TypeError, match="moco: expected queue of floats"):
        losses.moco(x, x, bank.astype(int))


def nnclr_from_the_paper(predictions, targets, queue, temperature):
    """Dwibedi et al., eqs. 1 and 2: the neighbors ask, among all predictions."""
    terms = []
    for i, target in enumerate(unit(targets)):
        neighbor = max(unit(queue), key=lambda row: row @ target)
        scores = [math.exp(neighbor @ p / temperature) for p in unit(predictions)]
        terms.append(-math.log(scores[i] / sum(scores)))
    return np.mean(terms)


def test_nnclr_matches_the_paper_and_has_the_stated_value():
    rng, loss = np.random.default_rng(66), jax.jit(losses.nnclr)
    rows = [rng.normal(size=(size, 3)) for size in (5, 5, 9)]
    for temperature in (0.1, 1.0):
        expected = nnclr_from_the_paper(*rows, temperature)
        found = loss(*rows, temperature=temperature)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(loss(*rows), 6.550375, rtol=1e-5)
    filled = np.arange(9) % 2 == 0
    expected = nnclr_from_the_paper(*rows[:2], rows[2][filled], 0.1)
    found = loss(*rows, queue_where=filled)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    nothing = loss(*rows, queue_where=filled & False)
    np.testing.assert_allclose(nothing, math.log(5), rtol=1e-6)


def test_nnclr_moves_predictions_alone_and_sees_targets_by_their_neighbors():
    predictions, targets, queue = draw(5, 5, 9)
    nearest = np.argmax(unit(targets) @ unit(queue).T, axis=1)
    evaluate = jax.jit(jax.value_and_grad(losses.nnclr, argnums=(0, 1, 2)))
    value, gradients = evaluate(predictions, targets, queue)
    assert [bool((g != 0).any()) for g in gradients] == [True, False, False]
    expected = jax.jit(losses.info_nce)(queue[nearest], predictions)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="nnclr: expected queue of shape"):
        losses.nnclr(predictions, targets, queue[:, 1:])
