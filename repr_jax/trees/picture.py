"""A tree of up to a thousand leaves and more as one circular picture."""

import numpy as np

from repr_jax.ops import checks
from repr_jax.trees import structure
from repr_jax.trees.formats import leaf_names

FAINT, SURE = "#c3cad1", "#10266b"  # of branches without support, and with full
LETTERS = 24  # of a name that are shown
POINTS, LETTER = 72, 0.62  # points an inch; the mean width of a letter, of its font


def layout(parents) -> tuple[np.ndarray, np.ndarray]:
    """[nodes] angle in radians and [nodes] radius of every node.

    Leaves are evenly spaced on the circle of radius 1, in their order. A node is at
    1 - log(leaves below) / log(L): the root in the middle, whatever the heights are.
    """
    num, size = structure.count_leaves(parents), structure.sizes(parents)
    angle = np.empty(len(parents))
    angle[structure.leaf_order(parents)] = 2 * np.pi * (np.arange(num) + 0.5) / num
    for node, split in enumerate(structure.children(parents)):
        if len(split):
            angle[node] = (angle[split].min() + angle[split].max()) / 2
    return angle, 1 - np.log(size) / max(np.log(num), 1e-9)


def _branches(parents, angle, radius) -> list[np.ndarray]:
    """Per node but the root: from the node in to its parent's radius, then the arc."""
    paths = []
    for node, parent in enumerate(parents[:-1]):
        turn = abs(angle[parent] - angle[node])
        arc = np.linspace(angle[node], angle[parent], max(2, int(turn * 40)))
        arc = np.concatenate([arc[:1], arc])
        distance = np.full(len(arc), radius[parent])
        distance[0] = radius[node]
        paths.append(np.column_stack([np.cos(arc), np.sin(arc)]) * distance[:, None])
    return paths


def dendrogram(parents, names=None, *, support=None) -> bytes:
    """A circular dendrogram as PNG, every leaf with its name, or its number.

    support: [nodes] in [0, 1], such as `clade_support`: branches are the darker, the
    more the node has in which they meet. All are dark if None.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    from repr_jax import figures  # not with the losses that look at trees

    parents = structure.check("dendrogram", parents)
    names = leaf_names("dendrogram", parents, names)
    support = np.ones(len(parents)) if support is None else np.asarray(support)
    checks.shape("dendrogram", parents.shape, support=support)
    num, longest = len(names), min(max(map(len, names)), LETTERS)
    side = float(np.clip(7 + num / 45, 8, 28))  # inches
    circle = side / 4  # its radius; the font follows from it, and it from the font
    for _ in range(4):
        font = float(np.clip(0.8 * 2 * np.pi * circle / num * POINTS, 2.5, 11))
        circle = max(0.47 * side - longest * font * LETTER / POINTS, side / 8)
    figure = Figure(figsize=(side, side), dpi=figures.DPI if num <= 300 else 160)
    axis = figure.add_axes((0, 0, 1, 1))
    angle, radius = layout(parents)
    paths, met = _branches(parents, angle, radius), support[parents[:-1]]
    order = np.argsort(met, kind="stable")  # what is sure lies on top
    lines = LineCollection([paths[branch] for branch in order], array=met[order])
    lines.set(cmap=LinearSegmentedColormap.from_list("support", (FAINT, SURE)))
    lines.set(clim=(0, 1), linewidths=0.6 + met[order])
    axis.add_collection(lines)
    for name, turn in zip(names, angle):  # outwards on the right, inwards on the left
        left = np.cos(turn) < 0
        axis.text(
            1.015 * np.cos(turn),
            1.015 * np.sin(turn),
            name if len(name) <= LETTERS else name[: LETTERS - 1] + "…",
            rotation=np.degrees(turn) - 180 * left,
            rotation_mode="anchor",
            ha="right" if left else "left",
            va="center",
            color=figures.INK,
            fontsize=font,
            parse_math=False,  # a name may have dollar signs
        )
    extent = side / 2 / circle
    axis.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
    axis.axis("off")
    return figures.png(figure)
