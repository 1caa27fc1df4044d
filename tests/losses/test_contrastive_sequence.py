"""CPC against float64 loops, by hand, and what it compares."""

import math
from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import similarity


def draw(batch=5, time=4, horizon=2, dim=3):
    rng = np.random.default_rng(0)
    predictions = rng.normal(size=(batch, time, horizon, dim))
    return predictions.astype("f"), rng.normal(size=(batch, time, dim)).astype("f")


def cpc_from_the_paper(predictions, latents, *, temperature):
    """van den Oord et al., eq. 3 and 4, over all t and k within the sequence."""
    batch, time, horizon, _ = predictions.shape
    terms = []
    for k in range(1, horizon + 1):
        for t in range(time - k):
            for i in range(batch):
                scores = [
                    math.exp(
                        sum(predictions[i, t, k - 1] * latents[j, t + k]) / temperature
                    )
                    for j in range(batch)
                ]
                terms.append(-math.log(scores[i] / sum(scores)))
    return np.mean(terms)


def test_cpc_matches_the_paper():
    for temperature in (1.0, 3.0):
        expected = cpc_from_the_paper(
            *(x.astype(float) for x in draw()), temperature=temperature
        )
        actual = jax.jit(losses.cpc)(*draw(), temperature=temperature)
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_one_step_of_two_times_is_info_nce_and_equal_rows_give_log_batch():
    predictions, latents = draw(time=2, horizon=1)
    cpc = jax.jit(losses.cpc)
    info_nce = jax.jit(partial(losses.info_nce, similarity=similarity.dot))
    expected = info_nce(predictions[:, 0, 0], latents[:, 1], temperature=0.5)
    actual = cpc(predictions, latents, temperature=0.5)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    same = np.ones((5, 2, 1, 3), "f")
    np.testing.assert_allclose(cpc(same, same[:, :, 0]), math.log(5), rtol=1e-6)


def test_what_lies_beyond_the_sequence_and_the_first_latent_do_not_count():
    gradient = jax.jit(jax.grad(losses.cpc, argnums=(0, 1)))(*draw())
    by_prediction, by_latent = (np.abs(g).max(axis=(0, -1)) for g in gradient)
    used = [[True, True], [True, True], [True, False], [False, False]]
    np.testing.assert_array_equal(by_prediction > 0, used)
    np.testing.assert_array_equal(by_latent > 0, [False, True, True, True])


def test_wrong_shapes_are_refused():
    predictions, latents = draw()
    with pytest.raises(ValueError, match="cpc: expected predictions of shape"):
        losses.cpc(latents, latents)
    with pytest.raises(ValueError, match="cpc: expected latents of shape"):
        losses.cpc(predictions, latents[:, :3])
    with pytest.raises(ValueError, match="cpc: expected time - horizon >= 1; got 0"):
        losses.cpc(predictions[:, :2], latents[:, :2])


masked_contrastive = jax.jit(losses.masked_contrastive)


def masked_in_loops(context, targets, mask, temperature):
    """wav2vec 2.0, eq. 3, with all masked steps of the sequence as candidates."""

    def cosine(a, b):
        return a @ b / np.sqrt(a @ a * (b @ b))

    terms = []
    for c, q, hidden in zip(context, targets, mask):
        steps = np.flatnonzero(hidden)
        for t in steps:
            scores = {u: np.exp(cosine(c[t], q[u]) / temperature) for u in steps}
            terms.append(-np.log(scores[t] / sum(scores.values())))
    return np.mean(terms)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_masked_contrastive_matches_the_paper(temperature):
    rng = np.random.default_rng(27)
    context, targets = rng.normal(size=(2, 6, 3)), rng.normal(size=(2, 6, 3))
    mask = np.zeros((2, 6), bool)
    mask[0, [1, 2, 4]] = mask[1, [0, 3, 5]] = True
    expected = masked_in_loops(context, targets, mask, temperature)
    found = masked_contrastive(context, targets, mask, temperature=temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    if temperature == 0.1:
        np.testing.assert_allclose(found, 7.177139, rtol=1e-5)
    uneven = mask | (np.arange(6) == 2)[None]
    expected = masked_in_loops(context, targets, uneven, temperature)
    found = masked_contrastive(context, targets, uneven, temperature=temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_equal_targets_cost_the_log_of_the_candidates_and_visible_steps_nothing():
    rng = np.random.default_rng(0)
    context = rng.normal(size=(3, 5, 2)).astype("f")
    mask = np.array([[1, 1, 1, 1, 0]] * 3, bool)
    found = masked_contrastive(context, np.ones((3, 5, 2), "f"), mask)
    np.testing.assert_allclose(found, np.log(4), rtol=1e-6)
    one = masked_contrastive(context, context, np.eye(3, 5, dtype=bool))
    np.testing.assert_allclose(one, 0, atol=1e-6)  # a lone step has no negative
    slope = jax.jit(jax.grad(losses.masked_contrastive, argnums=(0, 1)))
    for gradient in slope(context, context[::-1], mask):
        assert (gradient[:, 4] == 0).all() and (gradient[:, :4] != 0).any()
    assert masked_contrastive(context, context, mask & False) == 0
    with pytest.raises(TypeError, match="masked_contrastive: expected mask bool; got"):
        losses.masked_contrastive(context, context, mask.astype(int))
