"""Lists of merges whose two sides WordNet holds far apart."""

import numpy as np

from experiments.results.tables import Table
from repr_jax import metrics, trees
from repr_jax.data.wordnet import Taxonomy

SHOWN = 30  # merges in each list
LARGE = 5  # classes of a node that make it a group
NAMES = 7  # of a side that are written out
INTRODUCTION = (
    "Merges whose sides WordNet holds far apart, though each side is of a kind: "
    "candidates for correlations that are in the pictures and not in the things. "
    "Distances are from 0, siblings, to 1, which meet at WordNet's root."
)
COLUMNS = (
    "step",
    "node",
    "classes",
    "between",
    "within",
    "excess",
    "merged",
    "into",
    "merged in WordNet",
    "into in WordNet",
    "support",
)


def rows(tree, reference: Taxonomy, names, support) -> list[tuple]:
    """COLUMNS of every merge, those that WordNet would make least at first.

    Args:
      tree: Hierarchy of L leaves.
      reference: WordNet's tree over the same leaves.
      names: of the leaves.
      support: [L - 1] or None.
    """
    found = metrics.audit_merges(tree.parents, reference.parents)
    sides = trees.below(tree.parents)
    wordnet = trees.below(reference.parents)

    def lowest(side):  # the first node that is above the whole side: children are first
        return reference.names[int(np.all(wordnet[:, side], axis=1).argmax())]

    def described(side):
        shown = [names[leaf] for leaf in np.flatnonzero(side)]
        more = len(shown) - NAMES
        return ", ".join(shown[:NAMES]) + (f" and {more} more" if more > 0 else "")

    out = []
    for step in np.argsort(-found.excess, kind="stable").tolist():
        merged, into = sides[tree.merges[step]]
        row = (
            step,
            len(names) + step,
            int(merged.sum() + into.sum()),
            float(found.between[step]),
            float(found.within[step]),
            float(found.excess[step]),
            described(merged),
            described(into),
            lowest(merged),
            lowest(into),
            None if support is None else float(support[step]),
        )
        out.append(row)
    return out


def content(rows) -> list:
    """What it is, the first of all merges, and the first of those that make a group."""
    large = [row for row in rows if row[COLUMNS.index("classes")] >= LARGE]
    titles = {"Of all sizes": rows, f"Of {LARGE} classes or more": large}
    header = ("merged", "into", "WordNet's", "between", "within", "support")

    def shown(row):
        row = dict(zip(COLUMNS, row))
        both = f"{row['merged in WordNet']}; {row['into in WordNet']}"
        return [both if name == "WordNet's" else row[name] for name in header]

    return [INTRODUCTION] + [
        Table(header, [shown(row) for row in some[:SHOWN]], (".2f",), title=title)
        for title, some in titles.items()
    ]
