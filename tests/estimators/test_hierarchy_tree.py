"""Functions of a tree: by hand, against scipy, and against one another."""

import json
import sys
import types

import numpy as np
import pytest
from scipy.cluster import hierarchy as scipy_hierarchy

from repr_jax import metrics
from repr_jax.estimators import hierarchy

LOGITS = np.log(
    [
        [0.60, 0.30, 0.06, 0.04],
        [0.50, 0.40, 0.03, 0.07],
        [0.20, 0.70, 0.04, 0.06],
        [0.05, 0.05, 0.80, 0.10],
        [0.10, 0.10, 0.20, 0.60],
        [0.05, 0.20, 0.05, 0.70],
    ]
)


@pytest.fixture(scope="module")
def small():
    """((0, 1), (2, 3)) with heights 0.55, 0.65 and 1.25."""
    return hierarchy.fit(LOGITS)


@pytest.fixture(scope="module")
def large():
    """17 classes, one of them of nobody."""
    logits = np.random.default_rng(2).normal(size=(300, 17)) * 2
    logits[:, 5] = -20
    return hierarchy.fit(logits), logits


def test_memberships_and_ancestors_by_hand(small):
    below = hierarchy.memberships(small)
    np.testing.assert_array_equal(below[:4], np.eye(4, dtype=bool))
    np.testing.assert_array_equal(below[4:], [[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]])
    expected = [[0, 4, 6, 6], [4, 1, 6, 6], [6, 6, 2, 5], [6, 6, 5, 3]]
    np.testing.assert_array_equal(hierarchy.lca_table(small), expected)
    np.testing.assert_array_equal(hierarchy.depths(small), [2, 2, 2, 2, 1, 1, 0])
    met = hierarchy.heights(small)[hierarchy.lca_table(small)][np.triu_indices(4, 1)]
    np.testing.assert_allclose(met, [0.55, 1.25, 1.25, 1.25, 1.25, 0.65], rtol=1e-6)


def test_heights_of_ancestors_are_scipys_cophenetic_distances(large):
    tree, _ = large
    met = hierarchy.heights(tree)[hierarchy.lca_table(tree)]
    expected = scipy_hierarchy.cophenet(tree.linkage)
    np.testing.assert_array_equal(met[np.triu_indices(17, 1)], expected)
    table = metrics.hierarchy.lowest_common_ancestors(tree.parents, 17)
    np.testing.assert_array_equal(hierarchy.lca_table(tree), table)


def test_cuts_by_hand(small):
    np.testing.assert_array_equal(hierarchy.cut(small, 4), [0, 1, 2, 3])
    np.testing.assert_array_equal(hierarchy.cut(small, 3), [0, 0, 1, 2])
    np.testing.assert_array_equal(hierarchy.cut(small, 2), [0, 0, 1, 1])
    np.testing.assert_array_equal(hierarchy.cut(small, 1), [0, 0, 0, 0])
    np.testing.assert_array_equal(hierarchy.cut_height(small, 0.6), [0, 0, 1, 2])
    np.testing.assert_array_equal(hierarchy.cut_height(small, 0.5), [0, 1, 2, 3])
    np.testing.assert_array_equal(hierarchy.cut_height(small, 2), [0, 0, 0, 0])
    for wrong in (0, 5):
        with pytest.raises(ValueError, match="cut: expected"):
            hierarchy.cut(small, wrong)


def test_cuts_are_those_of_scipy(large):
    tree, _ = large
    for k in range(1, 17):
        labels = hierarchy.cut(tree, k)
        expected = scipy_hierarchy.cut_tree(tree.linkage, k).ravel()
        assert metrics.adjusted_rand_index(metrics.contingency(labels, expected)) == 1
        first = [int(np.flatnonzero(labels == g)[0]) for g in range(k)]
        assert first == sorted(first)  # numbered by their lowest class


def test_dropped_classes_have_no_group():
    logits = np.column_stack([np.full(6, -50.0), LOGITS])
    tree = hierarchy.fit(logits, empty="drop")
    np.testing.assert_array_equal(hierarchy.cut(tree, 2), [-1, 0, 0, 1, 1])
    p = hierarchy.coarse_probabilities(tree, logits, 2)
    np.testing.assert_allclose(p[0], [0.9, 0.1])
    assert hierarchy.newick(tree, list("vwxyz")).startswith("(('w':")


def test_coarse_probabilities(large):
    tree, logits = large
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for k in (1, 4, 17):
        coarse = hierarchy.coarse_probabilities(tree, logits, k)
        np.testing.assert_allclose(coarse.sum(axis=1), 1)
        labels = hierarchy.cut(tree, k)
        for group in range(k):
            expected = p[:, labels == group].sum(axis=1)
            np.testing.assert_allclose(coarse[:, group], expected)
    warm = hierarchy.coarse_probabilities(tree, logits, 17, temperature=1e6)
    np.testing.assert_allclose(warm, 1 / 17, rtol=1e-3)
    with pytest.raises(ValueError, match="expected 17 columns; got 4"):
        hierarchy.coarse_probabilities(tree, LOGITS, 2)


def parse_newick(text):
    """(name or list of children, length) of quoted names."""
    if text[0] == "(":
        depth, parts, start = 0, [], 1
        quoted = False
        for i, c in enumerate(text):
            quoted ^= c == "'"
            depth += 0 if quoted else (c == "(") - (c == ")")
            if not quoted and ((depth == 1 and c == ",") or depth == 0):
                parts.append(parse_newick(text[start:i]))
                start = i + 1
            if depth == 0:
                break
        tail = text[start:]
        return parts, float(tail[1:]) if tail.startswith(":") else None
    name, _, length = text.rpartition(":")
    return name[1:-1].replace("''", "'"), float(length)


def test_newick_by_hand(small):
    got = hierarchy.newick(small)
    (a, long), (b, short) = parse_newick(got[:-1])[0]
    assert [name for name, _ in a] == ["0", "1"]
    assert [name for name, _ in b] == ["2", "3"]
    np.testing.assert_allclose([long, short], [0.7, 0.6], rtol=1e-6)
    np.testing.assert_allclose(
        [x for _, x in a + b], [0.55] * 2 + [0.65] * 2, rtol=1e-6
    )


def test_newick_keeps_names_order_and_heights(large):
    tree, _ = large
    names = [f"it's (class) {c}, no; {c}" for c in range(17)]
    text = hierarchy.newick(tree, names)
    assert text.endswith(";")
    found = []

    def walk(node):
        content, length = node
        if isinstance(content, str):
            found.append(content)
            return length
        left, right = (walk(child) for child in content)
        assert left == pytest.approx(right, abs=1e-6)  # all ways down are as long
        return left + (length or 0)

    assert walk(parse_newick(text[:-1])) == pytest.approx(tree.linkage[-1, 2], abs=1e-6)
    assert found == [names[c] for c in hierarchy.leaf_order(tree)]
    with pytest.raises(ValueError, match="names: expected 17, one a class; got 2"):
        hierarchy.newick(tree, ["a", "b"])


def test_leaf_order_keeps_every_node_together(large):
    tree, _ = large
    place = np.argsort(hierarchy.leaf_order(tree))
    for row in hierarchy.memberships(tree):
        places = np.sort(place[row])
        np.testing.assert_array_equal(np.diff(places), 1)


def test_node_table_and_json(large):
    tree, logits = large
    names = [f"c{i}" for i in range(17)]
    text = hierarchy.to_json(tree, names)
    assert text == hierarchy.to_json(hierarchy.fit(logits), names)
    content = json.loads(text)
    assert content["version"] == 1
    assert content["root"] == 32
    nodes = content["nodes"]
    assert nodes == json.loads(json.dumps(hierarchy.node_table(tree, names)))
    for entry in nodes:
        for child in entry["children"]:
            assert nodes[child]["parent"] == entry["node"]
            assert set(nodes[child]["classes"]) < set(entry["classes"])
        assert entry["rows"] == tree.counts[entry["classes"]].sum()
    assert nodes[-1]["parent"] is None
    assert nodes[3]["name"] == "c3"
    p = tree.counts[tree.counts > 0] / 300
    assert nodes[-1]["entropy"] == pytest.approx(-np.sum(p * np.log(p)))


def test_networkx_gets_nodes_and_edges(small, monkeypatch):
    graph = types.SimpleNamespace(nodes={}, edges=[])
    graph.add_node = lambda node, **attributes: graph.nodes.update({node: attributes})
    graph.add_edges_from = lambda edges: graph.edges.extend(edges)
    module = types.ModuleType("networkx")
    module.DiGraph = lambda: graph
    monkeypatch.setitem(sys.modules, "networkx", module)
    assert hierarchy.to_networkx(small, list("abcd")) is graph
    assert graph.edges == [(4, 0), (4, 1), (5, 3), (5, 2), (6, 4), (6, 5)]
    assert graph.nodes[3]["name"] == "d"
    assert graph.nodes[4]["classes"] == [0, 1]
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ImportError):
        hierarchy.to_networkx(small)


def test_merge_report_by_hand(small):
    report = hierarchy.merge_report(small)
    assert [r["node"] for r in report] == [4, 5, 6]
    assert [(r["absorbed"], r["refuge"]) for r in report] == [(0, 1), (3, 2), (4, 5)]
    assert [r["rows"] for r in report] == [2, 2, 3]
    assert [r["support"] for r in report] == [1, 0.5, 1]
    assert [r["classes"] for r in report] == [2, 2, 4]
    assert report[1]["margin"] == pytest.approx(1 / 6, rel=1e-5)


def test_clade_support_counts_trees_with_the_same_leaves(small):
    other = hierarchy.fit(LOGITS[:, [0, 2, 1, 3]])  # {0, 2} and {1, 3}
    support = hierarchy.clade_support(small, [small, small, other])
    np.testing.assert_allclose(support, [2 / 3, 2 / 3, 1])
    with pytest.raises(ValueError, match="clade_support: expected a tree"):
        hierarchy.clade_support(small, [])


def test_bootstrap_supports_clear_blocks_and_doubts_the_rest():
    rng = np.random.default_rng(0)
    y, block = rng.integers(12, size=600), np.arange(12) // 3
    logits = np.where(block[y][:, None] == block, 3.0, 0.0)
    logits[np.arange(600), y] = 6
    logits += rng.normal(size=logits.shape) * 0.3
    tree = hierarchy.fit(logits)
    support = hierarchy.clade_support(tree, hierarchy.bootstrap(logits, num_samples=8))
    below = hierarchy.memberships(tree)[12:]
    blocks = [np.array_equal(row, block == b) for row in below for b in range(4)]
    assert sum(blocks) == 4
    is_block = np.array(blocks).reshape(-1, 4).any(axis=1)
    np.testing.assert_array_equal(support[is_block], 1)
    assert support[-1] == 1
    assert support[~is_block].min() < 1


def test_bridges_are_the_rows_between_two_groups(small):
    # x6 of {3} gives {2} 0.05 / 0.3, x5 0.2 / 0.4.
    np.testing.assert_array_equal(hierarchy.bridges(small, LOGITS, 5), [4, 5])
    np.testing.assert_array_equal(hierarchy.bridges(small, LOGITS, 5, num_rows=1), [4])


def test_examples_are_the_rows_surest_of_a_group(large):
    tree, logits = large
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    below = hierarchy.memberships(tree)
    for node in (0, 17, 25):
        rows = hierarchy.examples(tree, logits, node, num_rows=3)
        inside = below[node][tree.assignments]
        share = np.where(inside, p[:, below[node]].sum(axis=1), -1)
        expected = np.argsort(-share, kind="stable")[:3]
        np.testing.assert_array_equal(rows, expected[share[expected] >= 0])


def test_soft_and_exact_trees_agree_on_triplets():
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(20, 4)) * 2
    y = rng.integers(20, size=2000)
    x = centers[y] + rng.normal(size=(2000, 4)) * 0.5
    logits = -np.square(x[:, None] - centers).sum(axis=2)
    exact, soft = hierarchy.fit(logits), hierarchy.fit_soft(logits)
    agreement = metrics.triplet_agreement(soft.parents, exact.parents)
    assert agreement > 0.5  # chance: 1/3
