"""Trees as text, graphs and pictures."""

import json
import sys

import numpy as np
import pytest

from repr_jax import trees
from repr_jax.trees import picture

PARENTS = [4, 4, 5, 5, 6, 6, -1]
HEIGHTS = [0, 0, 0, 0, 0.5, 0.75, 2]


def test_newick_by_hand():
    expected = "(('0':0.5,'1':0.5):1.5,('2':0.75,'3':0.75):1.25);"
    assert trees.newick(PARENTS, HEIGHTS) == expected
    assert trees.newick(PARENTS) == "(('0','1'),('2','3'));"
    assert trees.newick([3, 3, 3, -1], None, ["it's", "(b)", "c;"]) == (
        "('it''s','(b)','c;');"
    )
    crossed = [5, 4, 4, 5, 6, 6, -1]  # children by their lowest leaf
    assert trees.newick(crossed) == "(('0','3'),('1','2'));"
    assert trees.newick([-1]) == "'0';"
    with pytest.raises(ValueError, match="newick: expected 4 names, one a leaf; got 1"):
        trees.newick(PARENTS, None, ["a"])


def test_json_by_hand():
    rows = np.array([1, 2, 3, 4, 3, 7, 10])
    margin = np.array([np.nan] * 5 + [0.25, np.nan])
    text = trees.to_json(PARENTS, HEIGHTS, list("abcd"), dict(rows=rows, margin=margin))
    content = json.loads(text)
    assert content["root"] == 6 and content["format"] == "repr_jax.tree"
    leaf = dict(node=1, parent=4, children=[], leaves=1, height=0.0, name="b", rows=2)
    assert content["nodes"][1] == leaf
    node = dict(node=5, parent=6, children=[2, 3], leaves=2, height=0.75, rows=7)
    assert content["nodes"][5] == node | dict(margin=0.25)
    assert content["nodes"][6]["parent"] is None
    with pytest.raises(ValueError, match="expected rows with 7 rows"):
        trees.to_json(PARENTS, details=dict(rows=[1]))


def test_networkx_gets_nodes_and_edges(monkeypatch):
    pytest.importorskip("networkx")
    graph = trees.to_networkx(PARENTS, HEIGHTS, list("abcd"))
    assert sorted(graph.edges) == [(4, 0), (4, 1), (5, 2), (5, 3), (6, 4), (6, 5)]
    assert graph.nodes[3]["name"] == "d" and graph.nodes[5]["height"] == 0.75
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ImportError):
        trees.to_networkx(PARENTS)


def halved(num):
    """A balanced tree of num leaves."""
    alive, parents, node = list(range(num)), np.full(2 * num - 1, -1), num
    while len(alive) > 1:
        pair, alive = alive[:2], [*alive[2:], node]
        parents[pair] = node
        node += 1
    return parents


@pytest.mark.parametrize("num", [1, 2, 13, 310])
def test_picture_of_any_number_of_leaves(num):
    support = np.linspace(0, 1, 2 * num - 1) if num != 13 else None
    names = ["$name_{$"] * num  # no formula, and no error
    found = trees.dendrogram(halved(num), names, support=support)
    assert found.startswith(b"\x89PNG")


def test_dollar_signs_are_drawn_as_they_are(monkeypatch):
    from matplotlib.axes import Axes

    drawn, text = [], Axes.text

    def record(axis, *arguments, **options):
        drawn.append(text(axis, *arguments, **options))
        return drawn[-1]

    monkeypatch.setattr(Axes, "text", record)
    trees.dendrogram(halved(14), [f"$x^{i}$" for i in range(14)])
    assert len(drawn) == 14
    assert not any(label.get_parse_math() for label in drawn)


def test_leaves_of_the_picture_are_on_the_circle_in_order():
    parents = halved(40)
    angle, radius = picture.layout(parents)
    np.testing.assert_array_equal(radius[:40], 1)
    assert radius[-1] == pytest.approx(0)
    assert (np.diff(angle[trees.leaf_order(parents)]) > 0).all()
    assert (radius[parents[:-1]] < radius[:-1]).all()


def test_page_refuses_images_of_other_leaves():
    with pytest.raises(ValueError, match="page: expected images of 4 leaves; got 1"):
        trees.page(PARENTS, images=[[]])
