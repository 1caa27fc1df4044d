"""Losses with stored negatives against float64 loops; what gets a gradient."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.losses.contrastive_memory import instance_normalizer


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
    assert np.max(np.abs(np.asarray(gradient[0]))) > 1e-3
    assert not np.any(gradient[1]) and not np.any(gradient[2])
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
    assert [bool(np.any(g)) for g in gradients] == [True, False, False]
    expected = jax.jit(losses.info_nce)(queue[nearest], predictions)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="nnclr: expected queue of shape"):
        losses.nnclr(predictions, targets, queue[:, 1:])


def instance_nce_in_loops(x, bank, index, noise, normalizer, temperature):
    """Wu et al., eqs. 4 to 7, and the constant that their code estimates."""
    n, m, x, bank = len(bank), noise.shape[1], unit(x), unit(bank)
    total, candidates = 0.0, []
    for row, own, others in zip(x, index, noise):
        p = [math.exp(row @ bank[k] / temperature) for k in (own, *others)]
        candidates += p
        h = [v / normalizer / (v / normalizer + m / n) for v in p]
        total -= math.log(h[0]) + sum(math.log(1 - v) for v in h[1:])
    return total / len(x), n * np.mean(candidates)


def stored(seed, rows, size):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 4)), rng.normal(size=(size, 4))


def test_instance_nce_matches_the_paper_and_has_the_stated_values():
    x, bank = stored(25, 3, 10)
    index = np.array([2, 5, 7])
    noise = np.array([[0, 1, 5, 9], [3, 5, 8, 8], [1, 2, 4, 6]])
    four = (x, bank, index, noise)
    found = jax.jit(instance_normalizer)(*four, temperature=0.1)
    np.testing.assert_allclose(found, 231.2219, rtol=1e-5)
    loss = jax.jit(losses.instance_nce)
    for normalizer, temperature in ((231.2219, 0.1), (20.0, 0.5)):
        options = dict(normalizer=normalizer, temperature=temperature)
        expected, mean = instance_nce_in_loops(*four, **options)
        np.testing.assert_allclose(loss(*four, **options), expected, rtol=1e-5)
        if temperature == 0.1:
            np.testing.assert_allclose(mean, found, rtol=1e-5)
            np.testing.assert_allclose(expected, 6.567723, rtol=1e-6)
    proximal = jax.jit(losses.byol)(x, bank[index])
    np.testing.assert_allclose(proximal, 2.255073, rtol=1e-5)


def test_instance_nce_of_equal_rows_by_hand():
    """Log odds of 0 where exp(cosine / temperature) is normalizer m / n."""
    same, index = np.ones((3, 2), "f"), np.arange(3)
    noise = np.array([[0, 1]] * 3)
    options = dict(normalizer=1.5 * math.exp(2.0), temperature=0.5)
    found = jax.jit(losses.instance_nce)(same, same, index, noise, **options)
    np.testing.assert_allclose(found, 3 * math.log(2), rtol=1e-5)
    with pytest.raises(ValueError, match="instance_nce: expected noise_index in"):
        losses.instance_nce(same, same, index, noise + 2, **options)
    with pytest.raises(ValueError, match="instance_nce: expected normalizer > 0; got"):
        losses.instance_nce(same, same, index, noise, normalizer=0)


inter_instance = jax.jit(losses.inter_instance)


def inter_instance_in_loops(x, bank, positives, negatives, margin, temperature):
    terms = []
    for row, p, others in zip(unit(x), positives, negatives):
        near = math.exp((row @ unit(bank)[p] - margin) / temperature)
        far = sum(math.exp(row @ unit(bank)[n] / temperature) for n in others)
        terms.append(-math.log(near / (near + far)))
    return np.mean(terms)


def test_inter_instance_matches_the_paper_and_has_the_stated_values():
    x, bank = stored(22, 3, 8)
    positives = np.array([0, 3, 5])
    negatives = np.array([[1, 2, 6], [4, 7, 0], [6, 1, 2]])
    four = (x, bank, positives, negatives)
    values = []
    for margin, stated in ((-0.5, 5.459877), (0.0, 8.976563), (0.5, 13.71362)):
        expected = inter_instance_in_loops(*four, margin, 0.1)
        found = inter_instance(*four, margin=margin)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        np.testing.assert_allclose(found, stated, rtol=1e-5)
        values.append(float(found))
    assert sorted(values) == values  # the larger the margin, the harder
    where = np.array([True, False, True])
    expected = inter_instance_in_loops(*four[:3], negatives[:, where], -0.5, 0.1)
    found = inter_instance(*four, negative_where=np.tile(where, (3, 1)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert inter_instance(*four, negative_where=np.zeros((3, 3), bool)) == 0


def test_inter_instance_of_all_others_is_instance_discrimination():
    x, bank = stored(0, 3, 4)
    index = np.array([2, 0, 3])
    others = np.array([[j for j in range(4) if j != i] for i in index])
    expected = jax.jit(losses.instance_discrimination)(x, bank, index)
    found = inter_instance(x, bank, index, others, margin=0.0, temperature=0.07)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    same = np.ones((4, 4), "f")
    found = inter_instance(same[:3], same, index, others, margin=0.0)
    np.testing.assert_allclose(found, math.log(4), rtol=1e-6)


relational_js = jax.jit(losses.relational_js)


def relational_js_in_loops(a, b, anchors, temperature, target_temperature):
    def shares(row, temperature):
        scores = [math.exp(row @ r / temperature) for r in unit(anchors)]
        return np.array(scores) / sum(scores)

    total = 0.0
    for pair in zip(unit(a), unit(b)):
        q = np.mean([shares(row, target_temperature) for row in pair], axis=0)
        for row in pair:
            total += sum(q * np.log(q / shares(row, temperature))) / 2
    return total / len(a)


def test_relational_js_matches_the_paper_and_has_the_stated_values():
    rng = np.random.default_rng(18)
    rows = [rng.normal(size=(size, 3)) for size in (4, 4, 5)]
    for target, stated in ((0.1, 0.5514374), (0.05, 0.5657358)):
        expected = relational_js_in_loops(*rows, 0.1, target)
        found = relational_js(*rows, target_temperature=target)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        np.testing.assert_allclose(found, stated, rtol=1e-5)
    shuffled = relational_js(*rows[:2], rows[2][::-1])
    np.testing.assert_allclose(shuffled, 0.5514374, rtol=1e-5)
    there = np.array([True, False, True, True, False])
    expected = relational_js(*rows[:2], rows[2][there])
    found = relational_js(*rows, anchors_where=there)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_equal_views_relate_alike_and_by_hand():
    a, _, anchors = draw(4, 4, 5)
    np.testing.assert_allclose(relational_js(a, a, anchors), 0, atol=1e-6)
    # One view has the first anchor alone, the other the second: q is half and half.
    axes = np.eye(2, dtype="f")
    found = relational_js(axes[:1], axes[1:], axes, temperature=1.0)
    p = 1 / (1 + math.exp(-1))
    expected = -math.log(2) - (math.log(p) + math.log(1 - p)) / 2
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="relational_js: expected anchors of shape"):
        losses.relational_js(axes, axes, np.ones((3, 3)))
