"""Support of the nodes of a hierarchy, and logits of class vectors."""

import numpy as np
import pytest

from repr_jax import trees
from repr_jax.estimators import hierarchy


def test_bootstrap_supports_clear_blocks_and_doubts_the_rest():
    rng = np.random.default_rng(0)
    y, block = rng.integers(12, size=600), np.arange(12) // 3
    logits = np.where(block[y][:, None] == block, 3.0, 0.0)
    logits[np.arange(600), y] = 6
    logits += rng.normal(size=logits.shape) * 0.3
    tree = hierarchy.fit(logits)
    drawn = hierarchy.bootstrap(logits, num_samples=8)
    support = trees.clade_support(tree.parents, [x.parents for x in drawn])
    np.testing.assert_array_equal(support[:12], 1)
    below, support = trees.below(tree.parents)[12:], support[12:]
    is_block = [any(np.array_equal(row, block == b) for b in range(4)) for row in below]
    assert sum(is_block) == 4
    np.testing.assert_array_equal(support[is_block], 1)
    assert support[-1] == 1
    assert support[~np.array(is_block)].min() < 1


def test_class_vector_logits_are_those_of_loops():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(5, 4)), rng.normal(size=4)
    found = hierarchy.class_vector_logits(kernel, bias, length=3.0)
    for i, j in np.ndindex(4, 4):
        row = 3.0 * kernel[:, i] / np.sqrt(sum(w * w for w in kernel[:, i]))
        assert found[i, j] == pytest.approx(row @ kernel[:, j] + bias[j])
    with pytest.raises(ValueError, match="that of 2 is zero"):
        kernel[:, 2] = 0
        hierarchy.class_vector_logits(kernel, bias, length=3.0)
    with pytest.raises(ValueError, match="length > 0"):
        hierarchy.class_vector_logits(kernel, bias, length=0.0)
