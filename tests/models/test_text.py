"""The encoder of sentences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.models.text import ConvText

KEY = jax.random.key(0)
WORDS = np.array([[3, 4, 5, 1, 0, 0, 0, 0], [4, 3, 5, 1, 0, 0, 0, 0]])


def test_size_is_the_published_one():
    """Linear 120 x 128, convolutions of 25, 50 and 100 channels, linear 4800 x 4."""
    model = ConvText(4, num_words=120)

    def shapes(length):
        words = jnp.zeros((2, length), int)
        return jax.eval_shape(lambda: model.init(KEY, words, train=False)["params"])

    count = sum(leaf.size for leaf in jax.tree.leaves(shapes(28)))
    layers = (120 + 1) * 128 + (16 + 1) * 25 + (16 * 25 + 1) * 50 + (16 * 50 + 1) * 100
    assert count == layers + 2 * (25 + 50 + 100) + (4800 + 1) * 4 == 135_617
    for length in (24, 31):
        assert shapes(length)["Dense_0"]["kernel"].shape == (4800, 4)


@pytest.fixture(scope="module")
def encode():
    """Words [2, 8] -> encodings [2, 3], untrained."""
    model = ConvText(3, num_words=6, embedding=8, widths=(2, 3))
    variables = jax.jit(lambda: model.init(KEY, jnp.asarray(WORDS), train=False))()
    return jax.jit(lambda words: model.apply(variables, words, train=False))


def test_order_matters_and_rows_are_apart(encode):
    z = encode(WORDS)
    assert z.shape == (2, 3) and z.dtype == jnp.float32
    assert np.abs(z[0] - z[1]).max() > 1e-4
    np.testing.assert_allclose(encode(WORDS[::-1]), z[::-1], atol=1e-6)


def test_a_word_is_a_column_of_the_linear_layer():
    """The table is the linear layer's matrix, of one-hot codes."""
    model = ConvText(3, num_words=6, embedding=5, widths=())
    words = jnp.asarray(WORDS)
    init = jax.jit(lambda: model.init_with_output(KEY, words, train=False))
    found, variables = init()
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), variables["params"])
    linear = np.eye(6)[WORDS] @ p["table"] + p["bias"]
    dense = p["Dense_0"]
    expected = linear.reshape(2, -1) @ dense["kernel"] + dense["bias"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_words_beyond_the_table_are_all_the_same(encode):
    beyond = np.where(WORDS == 5, 6, WORDS)
    np.testing.assert_array_equal(
        encode(beyond), encode(np.where(beyond == 6, 99, beyond))
    )
    assert np.abs(encode(beyond) - encode(WORDS)).max() > 1e-5


@pytest.mark.parametrize(
    "words, error, message",
    [
        (jnp.float32, TypeError, "expected integer words; got float32"),
        ((8,), ValueError, r"words \[batch, length\]; got \(8,\)"),
        ((2, 4), ValueError, "at least one pixel"),
    ],
)
def test_wrong_words_are_refused(words, error, message):
    model = ConvText(3, num_words=6, widths=(2, 2, 2))
    shape, dtype = (words, jnp.int32) if isinstance(words, tuple) else ((2, 8), words)
    words = jax.ShapeDtypeStruct(shape, dtype)
    with pytest.raises(error, match=message):
        jax.eval_shape(lambda x: model.init(KEY, x, train=False), words)
