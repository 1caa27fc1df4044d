"""Denoised relevances: the attention of an independent program, and no order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.models import relevance_denoiser
from repr_jax.ops import diffusion

MODEL = relevance_denoiser.RelevanceDenoiser()
APPLY = jax.jit(MODEL.apply)
attend = jax.jit(relevance_denoiser.attend)
cross_entropy = jax.jit(losses.cross_entropy)


def test_attention_to_noisy_relevances_has_the_stated_values():
    rng = np.random.default_rng(43)
    noise, q = rng.normal(size=4), rng.normal(size=3)
    k, v = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    alpha_bar = diffusion.cosine_alpha_bars(num_times=50)[20]
    np.testing.assert_allclose(alpha_bar, 0.6174247, rtol=1e-6)
    clean = np.array([[1.0, -1, -1, -1]])
    noisy = diffusion.add_noise(clean, noise[None], np.array([alpha_bar]))
    weights, pooled = attend(noisy, q[None], k[None], v[None])
    logits = [k[i] @ q + float(noisy[0, i]) for i in range(4)]
    expected = np.exp(logits) / np.sum(np.exp(logits))
    stated = [0.2931359, 0.03384871, 0.1079366, 0.5650788]
    for values in (expected, stated):
        np.testing.assert_allclose(weights[0], values, rtol=1e-5)
    for values in (expected @ v, [-0.1230522, -0.5897723, 0.03829068]):
        np.testing.assert_allclose(pooled[0], values, rtol=1e-5)
    loss = cross_entropy(weights, np.zeros(1, int))  # an MLP that says nothing
    np.testing.assert_allclose(loss, 1.364829, rtol=1e-5)


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    shapes = (2, 5), (2, 4), (2, 5, 4)
    relevance, *features = (rng.normal(size=s).astype("f") for s in shapes)
    arrays = [relevance, np.array([3, 40]), *features]
    return jax.jit(MODEL.init)(jax.random.key(0), *arrays), arrays


def test_candidates_in_another_order_get_their_logits_in_that_order(drawn):
    variables, (relevance, time, queries, candidates) = drawn
    plain = APPLY(variables, relevance, time, queries, candidates)
    assert plain.shape == (2, 5) and plain.dtype == jnp.float32
    order = np.array([3, 0, 4, 1, 2])
    found = APPLY(variables, relevance[:, order], time, queries, candidates[:, order])
    np.testing.assert_allclose(found, plain[:, order], rtol=1e-5, atol=1e-6)


def test_it_is_attention_plus_an_mlp_of_each_candidate_beside_what_they_average(drawn):
    variables, (relevance, time, queries, candidates) = drawn
    p = jax.tree.map(lambda x: np.asarray(x, float), variables["params"])

    def linear(name, x):
        return x @ p[name]["kernel"] + p[name].get("bias", 0)

    found = APPLY(variables, relevance, time, queries, candidates)
    for b in range(2):
        angles = [time[b] / 10_000 ** (i / 2) for i in range(2)]
        level = linear("level_0", np.concatenate([np.sin(angles), np.cos(angles)]))
        level = linear("level_1", level / (1 + np.exp(-level)))
        rows = candidates[b] + level
        keys, values = linear("key", rows), linear("value", rows)
        logits = keys @ linear("query", queries[b] + level) + relevance[b]
        weights = np.exp(logits) / np.exp(logits).sum()
        pooled = linear("pooled", weights @ values)
        for i in range(5):
            x = np.concatenate([pooled, candidates[b, i]])
            first, second = p["change"]["Dense_0"], p["change"]["Dense_1"]
            x = np.maximum(x @ first["kernel"] + first["bias"], 0)
            expected = x @ second["kernel"] + second["bias"] + weights[i]
            np.testing.assert_allclose(found[b, i], expected[0], rtol=1e-4, atol=1e-6)


def test_bad_shapes_are_named(drawn):
    variables, (relevance, time, queries, candidates) = drawn
    keys = candidates
    with pytest.raises(ValueError, match="attend: expected keys of shape"):
        relevance_denoiser.attend(relevance, queries, keys[:, :4], keys)
    with pytest.raises(TypeError, match="attend: expected relevance of floats"):
        relevance_denoiser.attend(relevance.astype(int), queries, keys, keys)
    with pytest.raises(ValueError, match="RelevanceDenoiser: expected time of shape"):
        APPLY(variables, relevance, time[:1], queries, candidates)
