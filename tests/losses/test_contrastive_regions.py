"""DetCon: loops, by hand, and which regions are told apart."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses

detcon_s, detcon_b = map(jax.jit, (losses.detcon_s, losses.detcon_b))


def draw(batch=3, regions=4, dim=5):
    rng = np.random.default_rng(11)
    rows = [rng.normal(size=(batch, regions, dim)) for _ in range(4)]
    return *rows, *rng.integers(3, size=(2, batch, regions))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def one_way(online, other, own, mask, other_mask, temperature):
    """Of the regions of one view, online, among those of the targets of both."""
    terms = []
    for i, m in np.ndindex(mask.shape):
        logits, positives = [], []
        for j, n in np.ndindex(mask.shape):
            logit = unit(online[i, m]) @ unit(other[j, n]) / temperature
            logits.append(logit)
            if i == j and mask[i, m] == other_mask[j, n]:
                positives.append(logit)
            if i != j or mask[i, m] != mask[j, n]:
                logits.append(unit(online[i, m]) @ unit(own[j, n]) / temperature)
        area = sum(mask[i] == mask[i, m])
        log_sum = math.log(sum(map(math.exp, logits)))
        terms.append((log_sum - np.mean(positives)) / area if positives else 0.0)
    return np.mean(terms)


def detcon_in_loops(a, b, targets_a, targets_b, masks_a, masks_b, temperature):
    ways = one_way(a, targets_b, targets_a, masks_a, masks_b, temperature)
    return ways + one_way(b, targets_a, targets_b, masks_b, masks_a, temperature)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_detcon_matches_the_paper(temperature):
    a, b, _, _, *masks = draw()
    expected = detcon_in_loops(*draw(), temperature)
    found = detcon_b(*draw(), temperature=temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    expected = detcon_in_loops(a, b, a, b, *masks, temperature)
    found = detcon_s(a, b, *masks, temperature=temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_values_by_hand():
    """Of two images with one region each: the other's in two views, and the match."""
    x, masks = np.ones((2, 1, 3), "f"), np.zeros((2, 1), int)
    np.testing.assert_allclose(detcon_s(x, x, masks, masks), 2 * math.log(3), rtol=1e-6)
    np.testing.assert_allclose(detcon_s(x[:1], x[:1], masks[:1], masks[:1]), 0)


def test_regions_without_a_match_do_not_count_and_targets_get_no_gradient():
    *rows, masks_a, masks_b = draw()
    grads = jax.grad(detcon_b, argnums=(0, 1, 2, 3))(*rows, masks_a, masks_b)
    assert [bool(g.any()) for g in grads] == [True, True, False, False]
    alone = jax.value_and_grad(detcon_b)(*rows, masks_a, masks_b + 9)
    assert not any(np.any(x) for x in alone)


def test_masks_of_other_regions_are_refused():
    a, b, _, _, masks_a, masks_b = draw()
    with pytest.raises(ValueError, match=r"detcon_s: expected masks_b of shape"):
        losses.detcon_s(a, b, masks_a, masks_b[:, :2])
    with pytest.raises(TypeError, match="detcon_s: expected masks_a of integers"):
        losses.detcon_s(a, b, masks_a * 1.0, masks_b)
