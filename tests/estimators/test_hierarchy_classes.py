"""Functions of a hierarchy that know its classes, rows and logits."""

import numpy as np
import pytest

from repr_jax import trees
from repr_jax.estimators import hierarchy


@pytest.fixture(scope="module")
def small(six_rows):
    """((0, 1), (2, 3)) with heights 0.55, 0.65 and 1.25."""
    return hierarchy.fit(six_rows)


@pytest.fixture(scope="module")
def large():
    """17 classes, one of which is no row's best; and the logits."""
    logits = np.random.default_rng(2).normal(size=(300, 17)) * 2
    logits[:, 5] = -20
    return hierarchy.fit(logits), logits


def test_the_form_is_that_of_trees(large):
    tree, _ = large
    trees.check("test", tree.parents, 17)
    for t, pair in enumerate(tree.merges):
        assert sorted(pair) == trees.children(tree.parents)[17 + t].tolist()
    assert tree.linkage.shape == (16, 4)


def test_cuts_by_hand(small):
    np.testing.assert_array_equal(hierarchy.cut(small, 3), [0, 0, 1, 2])
    np.testing.assert_array_equal(hierarchy.cut(small, 2), [0, 0, 1, 1])
    with pytest.raises(ValueError, match="names: expected 4, one a class; got 2"):
        hierarchy.newick(small, ["a", "b"])
    with pytest.raises(ValueError, match="cut: expected at most 4 groups; got 5"):
        hierarchy.cut(small, 5)


def test_dropped_classes_have_no_group(six_rows):
    logits = np.column_stack([np.full(6, -50.0), six_rows])
    tree = hierarchy.fit(logits, empty="drop")
    np.testing.assert_array_equal(hierarchy.cut(tree, 2), [-1, 0, 0, 1, 1])
    assert hierarchy.newick(tree, list("vwxyz")).startswith("(('w':")
    np.testing.assert_array_equal(hierarchy.details(tree)["class"][:4], [1, 2, 3, 4])


def test_merge_report_by_hand(small):
    report = hierarchy.merge_report(small)
    assert report["node"].tolist() == [4, 5, 6]
    assert report["merged"].tolist() == [0, 3, 4]
    assert report["into"].tolist() == [1, 2, 5]
    assert report["rows"].tolist() == [2, 2, 3]
    assert report["support"].tolist() == [1, 0.5, 1]
    assert report["classes"].tolist() == [2, 2, 4]
    assert report["margin"][1] == pytest.approx(1 / 6, rel=1e-5)


def test_details_by_hand(small):
    found = hierarchy.details(small, bootstrap=np.array([0.5, 0.2, 1.0]))
    np.testing.assert_array_equal(found["rows"], [2, 1, 1, 2, 3, 3, 6])
    nan = np.nan
    np.testing.assert_array_equal(found["merged_into"], [1, nan, nan, 2, 5, nan, nan])
    np.testing.assert_array_equal(found["bootstrap"], [*[nan] * 4, 0.5, 0.2, 1])
    p = np.array([2, 1, 1, 2]) / 6
    assert found["entropy"][6] == pytest.approx(-np.sum(p * np.log(p)))
    np.testing.assert_allclose(found["entropy"][:4], 0)
    assert found["runner_up"][5] == small.runner_ups[1]


def test_bootstrap_supports_clear_blocks_and_doubts_the_rest():
    rng = np.random.default_rng(0)
    y, block = rng.integers(12, size=600), np.arange(12) // 3
    logits = np.where(block[y][:, None] == block, 3.0, 0.0)
    logits[np.arange(600), y] = 6
    logits += rng.normal(size=logits.shape) * 0.3
    tree = hierarchy.fit(logits)
    support = hierarchy.clade_support(tree, hierarchy.bootstrap(logits, num_samples=8))
    below = trees.below(tree.parents)[12:]
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
