"""Sentences as images of their words: sizes, ties, and rows that stay apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.models import vae_sentence
from repr_jax.models.vae_sentence import SentenceDecoder, SentenceEncoder

WORDS = 12


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def sentences(rows):
    tokens = np.random.default_rng(0).integers(WORDS, size=(rows, 32))
    return np.eye(WORDS, dtype=np.float32)[tokens]


def test_published_layers():
    """Weights and biases by hand, and two numbers a feature of each normalization."""
    key, x, z = jax.random.key(0), sentences(2), jnp.zeros((2, 64))
    encoder, decoder = SentenceEncoder(64, WORDS), SentenceDecoder(WORDS)
    up, down = (
        jax.eval_shape(lambda m=m, a=a: m.init(key, a, train=False))
        for m, a in ((encoder, x), (decoder, z))
    )
    table = WORDS * 128
    layers = 16 * 32 + 16 * 32 * 64 + 16 * 64 * 128 + 2 * 4 * 128 * 128
    features = 32 + 64 + 3 * 128
    assert size(up) == table + layers + 3 * features + 2 * (16 * 128 * 64 + 64)
    layers = 16 * 64 * 128 + 2 * 4 * 128 * 128 + 16 * (128 * 64 + 64 * 32 + 32)
    features = 3 * 128 + 64 + 32
    assert size(down) == table + layers + 3 * features + 1


def test_rows_do_not_depend_on_each_other():
    encoder = SentenceEncoder(3, WORDS, widths=(4, 4, 8))
    decoder = SentenceDecoder(WORDS, widths=(8, 4, 4))
    x = sentences(3)

    @jax.jit
    def both(x):
        params = encoder.init(jax.random.key(0), x, train=False)
        mean, log_var = encoder.apply(params, x, train=True)
        params = decoder.init(jax.random.key(1), mean, train=False)
        return mean, log_var, decoder.apply(params, mean, train=True)

    together, alone = both(x), both(np.stack([x[1], 0 * x[0], x[0]]))
    for a, b in zip(together, alone):
        np.testing.assert_allclose(a[1], b[0], atol=1e-5)
        assert a.dtype == np.float32 and not np.allclose(a[0], a[1])
    assert together[2].shape == x.shape


def test_logits_are_products_with_embeddings():
    """Words of one embedding have one logit everywhere."""
    decoder = SentenceDecoder(WORDS, widths=(8, 4, 4))
    z = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3)), jnp.float32)
    params = decoder.init(jax.random.key(0), z, train=False)["params"]
    table = params["table"].at[5].set(2 * params["table"][3])
    logits = decoder.apply({"params": {**params, "table": table}}, z, train=False)
    np.testing.assert_allclose(logits[..., 5], 2 * logits[..., 3], rtol=1e-4, atol=1e-4)


def test_other_lengths_are_refused():
    with pytest.raises(ValueError, match=r"SentenceEncoder: expected .*32, 12"):
        SentenceEncoder(3, WORDS).init(
            jax.random.key(0), sentences(2)[:, :16], train=False
        )
    assert vae_sentence.LENGTH == 32
