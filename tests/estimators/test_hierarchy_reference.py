"""Logits of class vectors, and trees held against a reference, against loops."""

import numpy as np
import pytest

from repr_jax.estimators import hierarchy


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


def test_audit_is_that_of_loops():
    rng = np.random.default_rng(1)
    tree = hierarchy.fit(rng.normal(size=(200, 9)))
    # {0, 1, 2}, {3, 4}, {5, 6, 7, 8} in {9 .. 11}, the last two in 12, all in 13.
    reference = [9, 9, 9, 10, 10, 11, 11, 11, 11, 13, 12, 12, 13, -1]
    size = {9: 3, 10: 2, 11: 4, 12: 6, 13: 9}

    def distance(i, j):
        above = []
        while i != -1:
            above.append(i)
            i = reference[i]
        while j not in above:
            j = reference[j]
        return np.log(size[j]) / np.log(9)

    found = hierarchy.audit(tree, reference)
    members = hierarchy.memberships(tree)
    for step, pair in enumerate(tree.merges):
        a, b = (np.flatnonzero(members[node]).tolist() for node in pair)
        between = np.mean([distance(i, j) for i in a for j in b])
        within = [
            np.mean([distance(i, j) for i in side for j in side if i < j])
            for side in (a, b)
            if len(side) > 1
        ]
        assert found.between[step] == pytest.approx(between)
        assert found.within[step] == pytest.approx(max(within, default=0.0))
        assert found.excess[step] == pytest.approx(between - max(within, default=0.0))


def test_audit_of_a_tree_that_agrees_is_never_surprised():
    """Siblings of the reference merge first, and each side is whole."""
    logits = np.log([[8.0, 4, 1, 1], [4, 8, 1, 1], [1, 1, 8, 4], [1, 1, 4, 8]])
    tree = hierarchy.fit(logits)
    found = hierarchy.audit(tree, [4, 4, 5, 5, 6, 6, -1])
    np.testing.assert_allclose(found.between, [0.5, 0.5, 1])
    np.testing.assert_allclose(found.within, [0, 0, 0.5])
    with pytest.raises(ValueError, match="audit: expected"):
        hierarchy.audit(tree, [3, 3, 3, -1])
