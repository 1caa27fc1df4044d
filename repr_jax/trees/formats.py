"""Trees as Newick, as JSON and as a networkx graph."""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from repr_jax.ops import checks
from repr_jax.trees import structure

JSON_VERSION = 2


def leaf_names(who: str, parents, names: Sequence[str] | None) -> list[str]:
    """[L] text; the number of each leaf if there are no names."""
    num = structure.count_leaves(parents)
    if names is None:
        return [str(leaf) for leaf in range(num)]
    if len(names) != num:
        raise ValueError(f"{who}: expected {num} names, one a leaf; got {len(names)}.")
    return [str(name) for name in names]


def newick(parents, heights=None, names: Sequence[str] | None = None) -> str:
    """The tree in Newick's format: quoted names, and the length of each branch.

    A branch is as long as its upper node is higher than its lower one; without heights
    it has no length. Siblings are in the order of `leaf_order`.
    """
    parents = structure.check("newick", parents)
    text = [
        "'" + x.replace("'", "''") + "'" for x in leaf_names("newick", parents, names)
    ]
    if heights is not None:
        heights = structure.check_heights("newick", parents, heights)
    place = np.argsort(structure.leaf_order(parents)).tolist()
    for node, parts in enumerate(structure.children(parents)):
        if not len(parts):
            continue
        parts = sorted(parts.tolist(), key=place.__getitem__)
        place.append(place[parts[0]])
        if heights is None:
            written = [text[child] for child in parts]
        else:
            length = [heights[node] - heights[child] for child in parts]
            written = [f"{text[c]}:{x:.9g}" for c, x in zip(parts, length)]
        text.append("(" + ",".join(written) + ")")
    return text[-1] + ";"


def node_table(parents, heights=None, names=None, details=None) -> list[dict]:
    """A dict per node, leaves first, of plain numbers and text.

    Keys: node, parent (None for the root), children, leaves (how many are below),
    height if there are any, name for leaves, and every detail that is known.

    Args:
      parents: the tree.
      heights: [nodes] or None.
      names: [L] or None for numbers.
      details: {name: [nodes] numbers}, further columns; NaN where it is unknown.
    """
    parents = structure.check("node_table", parents)
    labels, size = leaf_names("node_table", parents, names), structure.sizes(parents)
    if heights is not None:
        heights = structure.check_heights("node_table", parents, heights)
    details = {name: np.asarray(values) for name, values in (details or {}).items()}
    checks.rows("node_table", len(parents), **details)
    table = []
    for node, split in enumerate(structure.children(parents)):
        entry = dict(
            node=node,
            parent=None if parents[node] < 0 else int(parents[node]),
            children=split.tolist(),
            leaves=int(size[node]),
        )
        if heights is not None:
            entry["height"] = float(heights[node])
        if node < len(labels):
            entry["name"] = labels[node]
        known = {k: v[node].item() for k, v in details.items() if not np.isnan(v[node])}
        entry |= known
        table.append(entry)
    return table


def to_json(parents, heights=None, names=None, details: Mapping | None = None) -> str:
    """The nodes as JSON, as in `node_table`; the same text for the same tree."""
    nodes = node_table(parents, heights, names, details)
    content = dict(
        format="repr_jax.tree", version=JSON_VERSION, root=len(nodes) - 1, nodes=nodes
    )
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def to_networkx(parents, heights=None, names=None, details: Mapping | None = None):
    """A networkx.DiGraph, edges from parent to child, attributes as in `node_table`.

    ImportError: networkx is not installed.
    """
    import networkx

    graph = networkx.DiGraph()
    for entry in node_table(parents, heights, names, details):
        node, split = entry.pop("node"), entry.pop("children")
        graph.add_node(node, **entry)
        graph.add_edges_from((node, child) for child in split)
    return graph
