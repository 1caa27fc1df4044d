"""A tree of up to a thousand classes and more as one round picture."""

import io
from typing import NamedTuple

import numpy as np

from repr_jax.estimators.hierarchy import nodes
from repr_jax.estimators.hierarchy.merging import Hierarchy

DPI, FINE_DPI = 120, 160  # the finer one where names are small
INK, FAINT = "#1f2933", "#9aa5b1"
SHADES = ("#c3cad1", "#3ba3c4", "#10266b")  # from no support to full
NUM_GROUPS, GROUP_NAMES = 14, 3
NAMES_AT = 1.015  # the radius where names begin; leaves are at 1
LETTERS, GROUP_LETTERS = 24, 18  # of a name that are shown
POINTS, LETTER = 72, 0.62  # points an inch; the mean width of a letter, of its font


def layout(tree: Hierarchy) -> tuple[np.ndarray, np.ndarray]:
    """[nodes] angle in radians and [nodes] radius of every node.

    Leaves are evenly spaced on the circle of radius 1, in their order. A node is at
    1 - log(leaves below) / log(L): the root in the middle, whatever the heights are.
    """
    num = len(tree.leaves)
    angle, size = np.empty(2 * num - 1), np.ones(2 * num - 1)
    angle[nodes.leaf_order(tree)] = 2 * np.pi * (np.arange(num) + 0.5) / num
    for t, pair in enumerate(tree.merges):
        angle[num + t] = angle[pair].mean()
        size[num + t] = size[pair].sum()
    return angle, 1 - np.log(size) / max(np.log(num), 1e-9)


def large_groups(tree: Hierarchy, num_groups: int = NUM_GROUPS) -> list[int]:
    """Nodes that part the leaves: the largest is split until there are so many.

    No more than a third of the leaves.
    """
    num = len(tree.leaves)
    return parted(tree, 2 * num - 2, min(num_groups, max(num // 3, 1)))


def parted(tree: Hierarchy, node: int, num_parts: int) -> list[int]:
    """Nodes that part the leaves below a node: the largest is split until so many."""
    num = len(tree.leaves)
    size = np.concatenate([np.ones(num), tree.linkage[:, 3]])
    parts = [node]
    while len(parts) < min(num_parts, size[node]):
        largest = max(parts, key=lambda part: (size[part], part))
        parts.remove(largest)
        parts += tree.merges[largest - num].tolist()
    return sorted(parts, key=lambda part: (-size[part], part))


def _typical(tree: Hierarchy, node: int, below: np.ndarray) -> list[int]:
    """The leaf of most rows in each of the few largest parts of a node."""
    leaves = [np.flatnonzero(below[x]) for x in parted(tree, node, GROUP_NAMES)]
    rows = tree.counts[tree.leaves]
    return [int(part[rows[part].argmax()]) for part in leaves]


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _write(axis, angle, radius, text, **style) -> None:
    """Text that reads outwards on the right half and inwards on the left."""
    degrees = np.degrees(angle) % 360
    left = 90 < degrees < 270
    axis.text(
        radius * np.cos(angle),
        radius * np.sin(angle),
        text,
        rotation=degrees - 180 if left else degrees,
        rotation_mode="anchor",
        ha="right" if left else "left",
        va="center",
        **style,
    )


def _branches(tree, angle, radius):
    """Per merge: a path from one child up, along the arc, and down to the other."""
    paths = []
    num = len(tree.leaves)
    for t, pair in enumerate(tree.merges):
        ends = np.sort(angle[pair])
        arc = np.linspace(*ends, max(2, int(np.ptp(ends) * 40)))
        first, last = pair[np.argsort(angle[pair])]
        arc = np.concatenate([ends[:1], arc, ends[1:]])
        distance = np.full(len(arc), radius[num + t])
        distance[0], distance[-1] = radius[first], radius[last]
        paths.append(np.column_stack([np.cos(arc), np.sin(arc)]) * distance[:, None])
    return paths


class Sizes(NamedTuple):
    """What fits: lengths in inches, fonts in points."""

    side: float
    circle: float  # radius of the leaves
    names: float  # length of the longest name
    font: float
    group_font: float


def sizes(num: int, longest: int, longest_group: int) -> Sizes:
    """Of a picture of `num` leaves; lengths of names in letters, 0 for no groups."""
    side = float(np.clip(7 + num / 45, 8, 28))
    group_font = 8 + side / 2.8
    circle = side / 4
    for _ in range(4):  # the circle and the font follow from each other
        around = 2 * np.pi * circle / num * POINTS
        font = float(np.clip(0.8 * around, 2.5, 11))
        names = longest * font * LETTER / POINTS
        groups = longest_group * group_font * LETTER / POINTS
        circle = max(side / 2 - names - groups - 0.06 * side, side / 8)
    return Sizes(side, circle, names, font, group_font)


def _draw_groups(axis, tree, labels, angle, inner, outer, font) -> None:
    """A coloured ring: an arc for each large group, with a few of its classes."""
    from matplotlib import colormaps
    from matplotlib.patches import Wedge

    num = len(tree.leaves)
    below = nodes.memberships(tree)
    palette = colormaps["tab20"]
    for i, node in enumerate(sorted(large_groups(tree), key=lambda node: angle[node])):
        leaves = np.flatnonzero(below[node])
        half = np.pi / num
        ends = np.degrees([angle[leaves].min() - half, angle[leaves].max() + half])
        axis.add_patch(
            Wedge((0, 0), outer, *ends, width=outer - inner, color=palette(i % 20))
        )
        if len(leaves) < max(num / 80, 4):
            continue
        shown = _typical(tree, node, below)
        lines = [_short(labels[leaf], GROUP_LETTERS) for leaf in shown]
        lines.append(f"and {len(leaves) - len(shown)} more")
        middle = np.radians(ends.mean())
        text = "\n".join(lines)
        _write(axis, middle, outer + 0.02, text, fontsize=font, color=INK)


def dendrogram(
    tree: Hierarchy, names=None, *, support: np.ndarray | None = None
) -> bytes:
    """A circular dendrogram as PNG, with as much text as can be read.

    Every leaf has its name; the ring around them shows groups by colour, each with a
    class of each of its main branches. Branches are the darker and thicker, the more
    support their merge has.

    Args:
      tree: Hierarchy.
      names: of all K classes; their numbers if None.
      support: [T] in [0, 1], such as `clade_support`.
    """
    from matplotlib import cm
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.figure import Figure

    num = len(tree.leaves)
    labels = [_short(x, LETTERS) for x in nodes.class_names(tree, names)]
    longest = max(map(len, labels))
    grouped = num > 12
    fit = sizes(num, longest, max(min(longest, GROUP_LETTERS), 12) if grouped else 0)
    dpi = DPI if num <= 300 else FINE_DPI
    figure = Figure(figsize=(fit.side, fit.side), dpi=dpi)
    axis = figure.add_axes((0, 0, 1, 1))
    angle, radius = layout(tree)
    width = 1.2 if num > 200 else 1.6
    paths = _branches(tree, angle, radius)
    if support is None:
        lines = LineCollection(paths, colors=FAINT if num > 200 else INK)
        lines.set_linewidths(width)
    else:
        order = np.argsort(support, kind="stable")  # what is sure lies on top
        shades = LinearSegmentedColormap.from_list("support", SHADES)
        colours = cm.ScalarMappable(Normalize(0, 1), shades)
        lines = LineCollection([paths[t] for t in order], cmap=shades)
        lines.set(array=support[order], norm=colours.norm)
        lines.set_linewidths(width * (0.8 + 0.8 * support[order]))
        bar = figure.add_axes((0.02, 0.03, 0.16, 0.012))
        figure.colorbar(colours, cax=bar, orientation="horizontal")
        small = 0.8 * fit.group_font
        bar.set_title("support of a merge", fontsize=small, loc="left", color=INK)
        bar.tick_params(labelsize=small)
    axis.add_collection(lines)
    for leaf in range(num):
        _write(axis, angle[leaf], NAMES_AT, labels[leaf], fontsize=fit.font, color=INK)
    if grouped:
        inner = NAMES_AT + 0.015 + fit.names / fit.circle
        outer = inner + 0.012 * fit.side / fit.circle
        _draw_groups(axis, tree, labels, angle, inner, outer, fit.group_font)
    extent = fit.side / 2 / fit.circle
    axis.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
    axis.axis("off")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()
