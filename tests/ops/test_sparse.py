"""Weights of terms: stated values, loops, repeated tokens and what is dropped."""

import jax
import numpy as np
import pytest

from repr_jax.ops import sparse

term_max = jax.jit(sparse.term_max, static_argnums=2)
term_sum = jax.jit(sparse.term_sum, static_argnums=2)
IDS = np.array([[1, 2, 1, 0], [3, 3, 2, 1]])


def draw():
    rng = np.random.default_rng(46)
    return (np.maximum(rng.normal(size=size) + 0.5, 0) for size in ((2, 4), 3))


def test_scores_have_the_stated_values():
    documents, query = draw()
    found = term_max(IDS, documents, 4)
    stated = [[1.230183, 0.2288806, 1.71789, 0], [0, 0.05220747, 0.4767272, 0]]
    np.testing.assert_allclose(found, stated, rtol=1e-5)
    asked = term_sum(np.array([1, 3, 3]), query, 4)
    np.testing.assert_allclose(found @ asked, [0.134599, 0.03070191], rtol=1e-5)
    integers = sparse.quantize(found) @ sparse.quantize(asked)
    assert integers.tolist() == [372, 93]


def test_they_equal_loops_and_drop_other_ids():
    rng = np.random.default_rng(0)
    ids, weights = rng.integers(-2, 8, size=(5, 9)), rng.random((5, 9))
    largest, total = np.zeros((2, 5, 6))
    for row in range(5):
        for i, w in zip(ids[row], weights[row]):
            if 0 <= i < 6:
                largest[row, i] = max(largest[row, i], w)
                total[row, i] += w
    np.testing.assert_allclose(term_max(ids, weights, 6), largest, rtol=1e-6)
    np.testing.assert_allclose(term_sum(ids, weights, 6), total, rtol=1e-6)


def test_order_and_repetition_change_no_document():
    documents, _ = draw()
    found = term_max(IDS, documents, 4)
    np.testing.assert_array_equal(term_max(IDS[:, ::-1], documents[:, ::-1], 4), found)
    twice = [np.concatenate([x, x], axis=1) for x in (IDS, documents)]
    np.testing.assert_array_equal(term_max(*twice, 4), found)
    np.testing.assert_allclose(term_sum(*twice, 4), 2 * term_sum(IDS, documents, 4))


def test_quantized_weights_by_hand():
    found = sparse.quantize(np.array([0.0, 1e-6, 2.5, 5.0], "f"))
    assert found.tolist() == [0, 1, 128, 256]
    with pytest.raises(TypeError, match="term_max: expected ids of integers"):
        sparse.term_max(IDS / 2, IDS / 2, 4)
    with pytest.raises(ValueError, match="term_sum: expected ids of shape"):
        sparse.term_sum(IDS, np.ones(4), 4)
