"""Lists of merges whose two sides WordNet holds far apart."""

import csv
import io

import numpy as np

from repr_jax import metrics, trees
from repr_jax.data.wordnet import Taxonomy

SHOWN = 30  # merges in each list
LARGE = 5  # classes of a node that make it a group
NAMES = 7  # of a side that are written out
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


def rows(tree, reference: Taxonomy, names, support) -> list[dict]:
    """A dict per merge, of COLUMNS, those that WordNet would make least at first.

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
        values = (
            step,
            len(tree.leaves) + step,
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
        out.append(dict(zip(COLUMNS, values)))
    return out


def as_csv(tree, reference, names, support) -> str:
    """Every merge."""
    file = io.StringIO()
    table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows(tree, reference, names, support))
    return file.getvalue()


def as_markdown(tree, reference, names, support) -> str:
    """The first of all merges, and the first of those that make a group."""
    every = rows(tree, reference, names, support)
    large = [row for row in every if row["classes"] >= LARGE]
    lines = [
        "Merges whose sides WordNet holds far apart, though each side is of a kind:",
        "candidates for correlations that are in the pictures and not in the things.",
        "Distances are from 0, siblings, to 1, which meet at WordNet's root.",
    ]
    for title, some in (
        ("Of all sizes", every),
        (f"Of {LARGE} classes or more", large),
    ):
        lines += ["", f"## {title}", ""]
        lines.append("| merged | into | WordNet's | between | within | support |")
        lines.append("|" + "---|" * 6)
        for row in some[:SHOWN]:
            cells = [row["merged"], row["into"]]
            cells += [f"{row['merged in WordNet']}; {row['into in WordNet']}"]
            cells += [f"{row['between']:.2f}", f"{row['within']:.2f}"]
            cells += ["" if row["support"] is None else f"{row['support']:.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
