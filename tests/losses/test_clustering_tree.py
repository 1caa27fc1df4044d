"""Losses of trees against plain float64 loops, by hand, and what makes each of them."""

from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.losses import clustering_tree

# 0 -> (1, 2), 1 -> (3, 4), 2 -> (5,), 5 -> (6, 7); 8 is free
PARENTS = np.array([-1, 0, 0, 1, 1, 2, 5, 5, -2], np.int32)
hyphc = jax.jit(losses.hyphc)
node_center = jax.jit(clustering_tree.node_center)
data_compression = jax.jit(clustering_tree.data_compression)
WHERE = np.array([True, False, True, True, True, False])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("f")


def ancestor_distance(x, y):
    """Chami et al. 2020: from the origin to the geodesic of two points of one norm."""
    a, b = np.linalg.norm(x), np.linalg.norm(y)
    between = np.arccos(x @ y / (a * b))
    ratio = a * (b**2 + 1) / (b * (a**2 + 1))
    angle = np.arctan((ratio - np.cos(between)) / np.sin(between))
    radius = np.sqrt(((a**2 + 1) / (2 * a * np.cos(angle))) ** 2 - 1)
    return 2 * np.arctanh(np.sqrt(radius**2 + 1) - radius)


def hyphc_from_the_paper(triplets, similarities, *, scale, temperature, where):
    """w_ij + w_ik + w_jk - sum of w times the softmax of distances, a triplet a row."""
    terms = []
    for r in np.flatnonzero(where):
        leaf = [t[r].astype(float) for t in triplets]
        leaf = [scale * x / np.sqrt(sum(x**2)) for x in leaf]
        pairs = ((0, 1), (0, 2), (1, 2))
        depth = [ancestor_distance(leaf[i], leaf[j]) for i, j in pairs]
        share = [np.exp(d / temperature) for d in depth]
        w = similarities[r].astype(float)
        terms.append(sum(w) - sum(a * b for a, b in zip(w, share)) / sum(share))
    return np.mean(terms)


@pytest.mark.parametrize("scale, temperature", [(0.9, 0.1), (0.3, 0.5)])
def test_hyphc_matches_the_paper(scale, temperature):
    triplets, similarities = normal(3, 6, 4), normal(6, 3, seed=1)
    options = dict(scale=scale, temperature=temperature, where=WHERE)
    expected = hyphc_from_the_paper(triplets, similarities, **options)
    actual = hyphc(*triplets, similarities, **options)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_hyphc_by_hand():
    """Three leaves alike in everything: each pair has a third."""
    angles = np.array([0, 2 * np.pi / 3, 4 * np.pi / 3])
    leaves = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None]
    similarities = np.array([[0.9, 0.3, 0.6]])
    np.testing.assert_allclose(hyphc(*leaves, similarities), 1.2, rtol=1e-6)


def test_hyphc_leaves_out_the_similarity_of_the_deepest_pair():
    leaves = np.array([[[1.0, 0.0]], [[1.0, 0.1]], [[0.0, 1.0]]])
    similarities = np.array([[0.9, 0.3, 0.6]])
    value = hyphc(*leaves, similarities, temperature=1e-3)
    np.testing.assert_allclose(value, 0.3 + 0.6, rtol=1e-6)


def test_hyphc_does_not_depend_on_the_order_of_a_triplet():
    a, b, c = normal(3, 6, 4)
    w = normal(6, 3, seed=1)
    one = hyphc(a, b, c, w, temperature=0.2)
    other = hyphc(c, a, b, w[:, [1, 2, 0]], temperature=0.2)
    np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(similarities=normal(6, 2)), r"expected similarities of shape \(6, 3\)"),
        (dict(third=normal(5, 4)), "expected one shape of rank 2"),
        (dict(temperature=0.0), "expected temperature > 0"),
        (dict(scale=-1.0), "expected scale > 0"),
        (dict(where=np.ones(5, bool)), r"expected where of shape \(6,\)"),
    ],
)
def test_errors_of_hyphc(change, message):
    arrays = dict(zip(("first", "second", "third"), normal(3, 6, 4)))
    with pytest.raises(ValueError, match=message):
        losses.hyphc(**{**arrays, "similarities": normal(6, 3), **change})


class Node:
    """A node of PARENTS, with its children, and the rows that are in it."""

    def __init__(self, number, centers, weights):
        self.number, self.weight = number, float(weights[number])
        below = [n for n in range(len(PARENTS)) if PARENTS[n] == number]
        self.children = [Node(n, centers, weights) for n in below]
        self.center = centers[number].astype(float)
        if self.children:
            total = sum(child.weight * child.center for child in self.children)
            self.center = total / sum(child.weight for child in self.children)

    def all(self):
        return [self, *(node for child in self.children for node in child.all())]

    def leaves(self):
        return [node for node in self.all() if not node.children]


def tree(seed=3, dim=4):
    """Centers, weights; what is not learned is NaN, to show that it is not read."""
    centers = normal(len(PARENTS), dim, seed=seed)
    centers[[0, 1, 2, 5, 8]] = np.nan
    return centers, np.random.default_rng(seed).uniform(1, 9, 9).astype("f")


def rows_of_leaves(embeddings, root, where):
    """{leaf's number: rows nearest to its center}."""
    out = {leaf.number: [] for leaf in root.leaves()}
    for r in np.flatnonzero(where):
        apart = [np.sum((embeddings[r] - leaf.center) ** 2) for leaf in root.leaves()]
        out[root.leaves()[int(np.argmin(apart))].number].append(r)
    return out


def deep_ect_from_the_paper(embeddings, centers, weights, where):
    """L_nc and L_dc, node by node, row by row."""
    root = Node(0, centers, weights)
    rows = rows_of_leaves(embeddings, root, where)
    to_mean = 0.0
    for leaf in root.leaves():
        if rows[leaf.number]:
            mean = np.mean(embeddings[rows[leaf.number]].astype(float), axis=0)
            to_mean += np.sqrt(sum((leaf.center - mean) ** 2))
    splits, along = 0, 0.0
    for node in root.all():
        if len(node.children) == 2:
            splits += 1
            for child, other in (node.children, node.children[::-1]):
                line = child.center - other.center
                line /= np.sqrt(sum(line**2))
                for leaf in child.leaves():
                    for r in rows[leaf.number]:
                        along += abs(sum((child.center - embeddings[r]) * line))
    return to_mean / len(root.leaves()), along / (2 * splits * sum(where))


@pytest.mark.parametrize("where", [np.ones(6, bool), WHERE])
def test_deep_ect_matches_the_paper(where):
    centers, weights = tree()
    embeddings, x, decoded = normal(6, 4), normal(6, 2, 3, seed=1), normal(6, 2, 3)
    to_mean, along = deep_ect_from_the_paper(embeddings, centers, weights, where)
    np.testing.assert_allclose(
        node_center(embeddings, centers, PARENTS, where=where),
        to_mean,
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        data_compression(embeddings, centers, weights, PARENTS, where=where),
        along,
        rtol=1e-5,
    )
    error = np.mean((x.astype(float) - decoded)[where] ** 2)
    total = jax.jit(losses.deep_ect)(
        x,
        decoded,
        embeddings,
        centers,
        weights,
        PARENTS,
        clustering_weight=0.3,
        where=where,
    )
    np.testing.assert_allclose(total, error + 0.3 * (to_mean + along), rtol=1e-5)


HAND = dict(
    centers=np.array([[np.nan, np.nan], [0.0, 0.0], [4.0, 0.0]], "f"),
    parents=np.array([-1, 0, 0], np.int32),
)


def test_deep_ect_by_hand():
    """Leaves at 0 and 4 on a line; two rows of the first, one of the second."""
    embeddings = np.array([[1.0, 1.0], [0.0, 7.0], [3.0, 0.0]], "f")
    # |(0.5, 4)| and 1, over two leaves
    expected = (np.sqrt(0.25 + 16) + 1) / 2
    np.testing.assert_allclose(node_center(embeddings, **HAND), expected, 1e-6)
    # 1, 0 and 1 along the line, over 2 * 1 split * 3 rows
    actual = data_compression(embeddings, weights=np.ones(3, "f"), **HAND)
    np.testing.assert_allclose(actual, 2 / 6, rtol=1e-6)


def test_one_term_moves_centers_and_the_other_embeddings():
    centers, weights = tree()
    arrays = normal(6, 4), np.nan_to_num(centers)
    pull = jax.jit(jax.grad(node_center, argnums=(0, 1)))
    by_rows, by_centers = map(np.asarray, pull(*arrays, PARENTS))
    assert (by_rows == 0).all() and (by_centers[[3, 4, 6, 7]] != 0).any()
    assert (by_centers[[0, 1, 2, 5, 8]] == 0).all()
    pull = jax.jit(jax.grad(data_compression, argnums=(0, 1)))
    by_rows, by_centers = map(np.asarray, pull(*arrays, weights, PARENTS))
    assert (by_rows != 0).any() and (by_centers == 0).all()


def test_nothing_is_compressed_across_the_line_between_siblings():
    embeddings = np.array([[1.0, 1.0], [-1.0, 7.0], [3.0, 0.0]], "f")
    pull = jax.jit(jax.grad(data_compression))
    gradient = np.asarray(pull(embeddings, weights=np.ones(3, "f"), **HAND))
    np.testing.assert_allclose(gradient[:, 1], 0, atol=1e-7)
    np.testing.assert_allclose(gradient[:, 0], [1 / 6, -1 / 6, -1 / 6], atol=1e-6)


def test_assignments_split_centers_and_weights_against_loops():
    centers, weights = tree()
    embeddings = normal(6, 4)
    root = Node(0, centers, weights)
    rows = rows_of_leaves(embeddings, root, WHERE)
    found = np.asarray(jax.jit(clustering_tree.assign)(embeddings, centers, PARENTS))
    for leaf, members in rows.items():
        assert (found[members] == leaf).all()
    above = jax.jit(clustering_tree.split_centers)(centers, weights, PARENTS)
    updated = jax.jit(clustering_tree.updated_weights)(
        embeddings, centers, weights, PARENTS, where=WHERE
    )
    above, updated = np.asarray(above), np.asarray(updated)
    for node in root.all():
        np.testing.assert_allclose(above[node.number], node.center, rtol=1e-5)
        inside = sum(len(rows[leaf.number]) for leaf in node.leaves())
        np.testing.assert_allclose(updated[node.number], (node.weight + inside) / 2)
    assert updated[8] == 0


def test_a_tree_of_one_leaf():
    parents, centers = np.array([-1, -2, -2], np.int32), HAND["centers"] * 0 + 1
    centers[0] = 1.0
    embeddings = np.array([[1.0, 3.0]], "f")
    np.testing.assert_allclose(node_center(embeddings, centers, parents), 2)
    weights = np.ones(3, "f")
    assert data_compression(embeddings, centers, weights, parents) == 0


@pytest.mark.parametrize(
    "change, message",
    [
        (
            dict(centers=normal(3, 3)),
            r"node_center: expected centers of shape \(3, 2\)",
        ),
        (dict(embeddings=normal(6)), "node_center: expected one shape of rank 2"),
        (dict(weights=normal(2)), r"expected weights of shape \(3,\)"),
        (dict(decoded=normal(5, 4)), "deep_ect: expected one shape"),
        (
            dict(x=normal(5, 2), decoded=normal(5, 2)),
            "deep_ect: expected x with 6 rows",
        ),
        (dict(clustering_weight=-1.0), "expected clustering_weight >= 0"),
        (dict(where=np.ones(5, bool)), r"expected where of shape \(6,\)"),
    ],
)
def test_errors_of_deep_ect(change, message):
    x, embeddings = normal(6, 4), normal(6, 2)
    arguments = dict(x=x, decoded=x, embeddings=embeddings, weights=np.ones(3, "f"))
    call = partial(losses.deep_ect, **{**arguments, **HAND, **change})
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(call)
