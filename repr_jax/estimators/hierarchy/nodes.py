"""Functions of a fitted tree. Leaves are nodes 0 ... L-1, step t makes node L + t."""

import json
from collections.abc import Sequence

import numpy as np

from repr_jax.estimators.hierarchy.merging import Hierarchy
from repr_jax.ops import checks

JSON_VERSION = 1


def memberships(tree: Hierarchy) -> np.ndarray:
    """[2 L - 1, L] bool: which leaves are below each node; a leaf is below itself."""
    num = len(tree.leaves)
    below = np.zeros((2 * num - 1, num), bool)
    below[np.arange(num), np.arange(num)] = True
    for t, (a, b) in enumerate(tree.merges):
        below[num + t] = below[a] | below[b]
    return below


def lca_table(tree: Hierarchy) -> np.ndarray:
    """[L, L] int32: the lowest node that is above both leaves; a leaf with itself."""
    num = len(tree.leaves)
    below = memberships(tree)
    table = np.diag(np.arange(num, dtype=np.int32))
    for t, (a, b) in enumerate(tree.merges):
        a, b = np.flatnonzero(below[a]), np.flatnonzero(below[b])
        table[np.ix_(a, b)] = table[np.ix_(b, a)] = num + t
    return table


def heights(tree: Hierarchy) -> np.ndarray:
    """[2 L - 1] float64: 0 for leaves, the linkage's height for merges."""
    return np.concatenate([np.zeros(len(tree.leaves)), tree.linkage[:, 2]])


def depths(tree: Hierarchy) -> np.ndarray:
    """[2 L - 1] int64: edges between a node and the root."""
    out = np.zeros(len(tree.parents), np.int64)
    for node in range(len(tree.parents) - 2, -1, -1):
        out[node] = out[tree.parents[node]] + 1
    return out


def leaf_order(tree: Hierarchy) -> np.ndarray:
    """[L] int32: leaves from left to right, so that no branches of a drawing cross.

    Of two children, the one that holds the lowest leaf is on the left.
    """
    num = len(tree.leaves)
    order = [[i] for i in range(num)]
    lowest = list(range(num))
    for a, b in tree.merges:
        a, b = sorted((a, b), key=lambda node: lowest[node])
        order.append(order[a] + order[b])
        lowest.append(lowest[a])
    return np.array(order[-1], np.int32)


def cut(tree: Hierarchy, num_groups: int) -> np.ndarray:
    """[K] int32: the group of each class when the last merges are undone.

    Args:
      tree: Hierarchy.
      num_groups: between 1 and the number of leaves.

    Returns:
      Groups are numbered by their lowest class; -1 for classes not in the tree. Those
      of rows are cut(tree, k)[tree.assignments].

    Raises:
      ValueError: num_groups is out of range.
    """
    num = len(tree.leaves)
    checks.count("cut", num_groups=num_groups)
    if num_groups > num:
        raise ValueError(f"cut: expected at most {num} groups; got {num_groups}.")
    return _labels(tree, num - num_groups)


def cut_height(tree: Hierarchy, height: float) -> np.ndarray:
    """[K] int32: the groups that are joined at this height or below; as `cut`."""
    return _labels(tree, int(np.sum(tree.linkage[:, 2] <= height)))


def _labels(tree: Hierarchy, num_merges: int) -> np.ndarray:
    groups = _groups(tree, num_merges)
    classes = len(tree.counts)
    labels = np.full(classes, -1, np.int32)
    for name, leaves in enumerate(groups):
        labels[tree.leaves[leaves]] = name
    return labels


def _groups(tree: Hierarchy, num_merges: int) -> list[list[int]]:
    """Leaves of each group after so many merges, groups by their lowest leaf."""
    groups = {i: [i] for i in range(len(tree.leaves))}
    for t, (a, b) in enumerate(tree.merges[:num_merges]):
        groups[len(tree.leaves) + t] = sorted(groups.pop(a) + groups.pop(b))
    return sorted(groups.values())


def coarse_probabilities(
    tree: Hierarchy, logits, num_groups: int, *, temperature: float = 1.0
) -> np.ndarray:
    """[rows, num_groups]: probability of each group of `cut`; rows sum to 1.

    The softmax of logits [rows, K], summed over the classes of a group; classes that
    are not in the tree are left out of it.
    """
    logits = np.asarray(logits, np.float64)
    checks.same_shape("coarse_probabilities", rank=2, logits=logits)
    if logits.shape[1] != len(tree.counts):
        raise ValueError(
            f"coarse_probabilities: expected {len(tree.counts)} columns; "
            f"got {logits.shape[1]}."
        )
    labels = cut(tree, num_groups)
    x = logits[:, labels >= 0] / temperature
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p @ np.eye(num_groups)[labels[labels >= 0]]


def class_names(tree: Hierarchy, names: Sequence[str] | None) -> list[str]:
    """[L] the name of every leaf; its class number if there are none."""
    if names is None:
        return [str(c) for c in tree.leaves]
    if len(names) != len(tree.counts):
        raise ValueError(
            f"names: expected {len(tree.counts)}, one a class; got {len(names)}."
        )
    return [str(names[c]) for c in tree.leaves]


def newick(tree: Hierarchy, names: Sequence[str] | None = None) -> str:
    """The tree in Newick's format: quoted names, the length of each branch.

    A branch is as long as its upper node is higher than its lower; children come in
    the order of `leaf_order`.
    """
    num, height = len(tree.leaves), heights(tree)
    text = ["'" + x.replace("'", "''") + "'" for x in class_names(tree, names)]
    lowest = list(range(num))
    for t, pair in enumerate(tree.merges):
        pair = sorted(pair, key=lambda node: lowest[node])
        parts = [f"{text[c]}:{height[num + t] - height[c]:.9g}" for c in pair]
        text.append("(" + ",".join(parts) + ")")
        lowest.append(lowest[pair[0]])
    return text[-1] + ";"


def node_table(tree: Hierarchy, names: Sequence[str] | None = None) -> list[dict]:
    """A dict per node, leaves first: all that is known of it, as plain numbers.

    Keys: node, children (absorbed first), parent, classes, height, and rows that
    belong to it; leaves have name and confidence, merges have step, score, affinity,
    support, runner_up and margin as in Hierarchy, and entropy, of the rows' classes in
    nats. What is unknown is None.
    """
    num, height = len(tree.leaves), heights(tree)
    labels = class_names(tree, names)
    below = memberships(tree)
    table = []
    for node in range(2 * num - 1):
        classes = tree.leaves[below[node]]
        rows = tree.counts[classes]
        parent = int(tree.parents[node])
        entry = dict(
            node=node,
            children=[],
            parent=None if parent < 0 else parent,
            classes=[int(c) for c in classes],
            height=float(height[node]),
            rows=int(rows.sum()),
        )
        if node < num:
            confidence = tree.confidences[tree.leaves[node]]
            entry |= dict(name=labels[node], confidence=float(confidence))
        else:
            t = node - num
            share = rows[rows > 0] / max(rows.sum(), 1)
            support, runner_up = float(tree.supports[t]), int(tree.runner_ups[t])
            entry |= dict(
                children=[int(c) for c in tree.merges[t]],
                step=t,
                score=float(tree.scores[t]),
                affinity=float(tree.affinities[t]),
                support=None if np.isnan(support) else support,
                runner_up=None if runner_up < 0 else runner_up,
                margin=float(tree.margins[t]),
                entropy=float(-np.sum(share * np.log(share))) + 0.0,
            )
        table.append(entry)
    return table


def to_json(tree: Hierarchy, names: Sequence[str] | None = None) -> str:
    """The table of nodes as JSON; the same bytes for the same tree."""
    content = dict(
        format="repr_jax.hierarchy",
        version=JSON_VERSION,
        num_classes=len(tree.counts),
        root=2 * len(tree.leaves) - 2,
        nodes=node_table(tree, names),
    )
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def to_networkx(tree: Hierarchy, names: Sequence[str] | None = None):
    """A networkx.DiGraph with edges from parents to children and `node_table`'s keys.

    Raises:
      ImportError: networkx is not installed.
    """
    import networkx

    graph = networkx.DiGraph()
    for entry in node_table(tree, names):
        attributes = {k: v for k, v in entry.items() if k not in ("node", "children")}
        graph.add_node(entry["node"], **attributes)
    for t, pair in enumerate(tree.merges):
        graph.add_edges_from((len(tree.leaves) + t, int(child)) for child in pair)
    return graph


MERGE_COLUMNS = (
    "step",
    "node",
    "absorbed",
    "refuge",
    "height",
    "classes",
    "score",
    "rows",
    "affinity",
    "support",
    "runner_up",
    "margin",
)


def merge_report(tree: Hierarchy) -> list[dict]:
    """A dict per merge, of MERGE_COLUMNS: how clear was it?

    rows is the number that the absorbed group had, support the share of them that
    prefer the refuge, margin how much more it drew, per cluster, than the runner-up.
    A margin near 0 means that the merge could as well have been another.
    """
    num = len(tree.leaves)
    values = zip(
        range(num - 1),
        range(num, 2 * num - 1),
        *tree.merges.T.tolist(),
        tree.linkage[:, 2].tolist(),
        tree.linkage[:, 3].astype(int).tolist(),
        tree.scores.tolist(),
        tree.rows.tolist(),
        tree.affinities.tolist(),
        tree.supports.tolist(),
        tree.runner_ups.tolist(),
        tree.margins.tolist(),
    )
    return [dict(zip(MERGE_COLUMNS, row)) for row in values]


def clade_support(tree: Hierarchy, others: Sequence[Hierarchy]) -> np.ndarray:
    """[T] float64: the share of the other trees that have a node of the same classes.

    With `bootstrap` trees as the others it says how much a node hangs on the sample:
    1 if it is there whatever rows are drawn. The root always has 1.
    """

    def clades(t):
        below = memberships(t)[len(t.leaves) :]
        full = np.zeros((len(below), len(t.counts)), bool)
        full[:, t.leaves] = below
        return [row.tobytes() for row in np.packbits(full, axis=1)]

    if not others:
        raise ValueError("clade_support: expected a tree or more; got none.")
    found = [set(clades(other)) for other in others]
    return np.array([np.mean([c in s for s in found]) for c in clades(tree)])


def bridges(tree: Hierarchy, logits, node: int, num_rows: int = 5) -> np.ndarray:
    """[<= num_rows] int64: rows of a node's absorbed side most surely of its refuge.

    Those whose softmax without the absorbed classes gives the refuge the most.
    """
    num = len(tree.leaves)
    checks.count("bridges", node=node, minimum=num)
    absorbed, refuge = memberships(tree)[tree.merges[node - num]]
    rows = np.flatnonzero(np.isin(tree.assignments, tree.leaves[absorbed]))
    x = np.asarray(logits[rows], np.float64)
    x[:, tree.leaves[absorbed]] = -np.inf
    p = np.exp(x - x.max(axis=1, keepdims=True))
    share = p[:, tree.leaves[refuge]].sum(axis=1) / p.sum(axis=1)
    return rows[np.argsort(-share, kind="stable")[:num_rows]]


def examples(tree: Hierarchy, logits, node: int, num_rows: int = 5) -> np.ndarray:
    """[<= num_rows] int64: the node's own rows to which it is most probable.

    Rows that are assigned to a class below it, by the softmax summed over its classes.
    """
    classes = tree.leaves[memberships(tree)[node]]
    rows = np.flatnonzero(np.isin(tree.assignments, classes))
    x = np.asarray(logits[rows], np.float64)
    p = np.exp(x - x.max(axis=1, keepdims=True)) if len(rows) else x
    share = p[:, classes].sum(axis=1) / p.sum(axis=1)
    return rows[np.argsort(-share, kind="stable")[:num_rows]]
