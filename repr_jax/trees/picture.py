"""A tree of up to a thousand leaves and more as one circular picture."""

import io

import numpy as np

from repr_jax.ops import checks
from repr_jax.trees import structure
from repr_jax.trees.formats import leaf_names

DPI, FINE_DPI = 120, 160  # the finer one where names are small
INK, FAINT = "#1f2933", "#9aa5b1"
SHADES = ("#c3cad1", "#3ba3c4", "#10266b")  # from no support to full
NUM_GROUPS, GROUP_NAMES = 14, 3
NAMES_AT = 1.015  # the radius where names begin; leaves are at 1
LETTERS, GROUP_LETTERS = 24, 18  # of a name that are shown
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


def groups(parents) -> list[int]:
    """Nodes that partition the leaves, for the ring: at most a third of the leaves."""
    num = structure.count_leaves(parents)
    most = min(NUM_GROUPS, max(num // 3, 1))
    return structure.partition(parents, len(parents) - 1, most)


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
        color=INK,
        parse_math=False,  # a name may have dollar signs
        **style,
    )


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


def sizes(num: int, longest: int, longest_group: int) -> tuple[float, ...]:
    """What fits: inches of the side, the circle's radius, and names; points of fonts.

    Of a picture of `num` leaves; lengths of names in letters, 0 for no groups. Fonts
    are of leaves and of groups.
    """
    side = float(np.clip(7 + num / 45, 8, 28))
    group_font = 8 + side / 2.8
    ring = longest_group * group_font * LETTER / POINTS
    circle = side / 4
    for _ in range(4):  # the circle and the font follow from each other
        font = float(np.clip(0.8 * 2 * np.pi * circle / num * POINTS, 2.5, 11))
        names = longest * font * LETTER / POINTS
        circle = max(side / 2 - names - ring - 0.06 * side, side / 8)
    return side, circle, names, font, group_font


def _draw_groups(axis, parents, labels, weights, angle, inner, width, font) -> None:
    """A colored ring: an arc for each large group, with a few of its leaves."""
    from matplotlib import colormaps
    from matplotlib.patches import Wedge

    num, below, outer = len(labels), structure.below(parents), inner + width
    half = np.pi / num
    for i, node in enumerate(sorted(groups(parents), key=angle.__getitem__)):
        leaves = np.flatnonzero(below[node])
        ends = np.degrees([angle[leaves].min() - half, angle[leaves].max() + half])
        color = colormaps["tab20"](i % 20)
        axis.add_patch(Wedge((0, 0), outer, *ends, width=width, color=color))
        if len(leaves) < max(num / 80, 4):
            continue
        parts = structure.partition(parents, node, GROUP_NAMES)
        parts = [np.flatnonzero(below[part]) for part in parts]
        shown = [part[weights[part].argmax()] for part in parts]
        lines = [_short(labels[leaf], GROUP_LETTERS) for leaf in shown]
        lines.append(f"and {len(leaves) - len(shown)} more")
        middle, text = np.radians(ends.mean()), "\n".join(lines)
        _write(axis, middle, outer + 0.02, text, fontsize=font)


def _draw_support(figure, lines, support, width, font) -> None:
    """Lines [branch] colored and widened by their support, and a bar that says so."""
    from matplotlib import cm
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    shades = LinearSegmentedColormap.from_list("support", SHADES)
    colors = cm.ScalarMappable(Normalize(0, 1), shades)
    lines.set(array=support, cmap=shades, norm=colors.norm)
    lines.set_linewidths(width * (0.8 + 0.8 * support))
    bar = figure.add_axes((0.02, 0.03, 0.16, 0.012))
    figure.colorbar(colors, cax=bar, orientation="horizontal")
    bar.set_title("support of a node", fontsize=0.8 * font, loc="left", color=INK)
    bar.tick_params(labelsize=0.8 * font)


def dendrogram(parents, names=None, *, weights=None, support=None) -> bytes:
    """A circular dendrogram as PNG, with as much text as can be read.

    Every leaf has its name; the ring around them shows groups by color, each with a
    leaf of each of its main branches. Branches are the darker and thicker, the more
    support the node has in which they meet.

    Args:
      parents: the tree.
      names: [L] of the leaves; their numbers if None.
      weights: [L], such as numbers of rows: the largest leaf stands for a branch.
      support: [nodes] in [0, 1], such as `clade_support`.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    parents = structure.check("dendrogram", parents)
    labels = [_short(x, LETTERS) for x in leaf_names("dendrogram", parents, names)]
    num, longest = len(labels), max(map(len, labels))
    weights = np.ones(num) if weights is None else np.asarray(weights)
    checks.shape("dendrogram", (num,), weights=weights)
    grouped = num > 12
    group = max(min(longest, GROUP_LETTERS), 12) if grouped else 0
    side, circle, length, font, group_font = sizes(num, longest, group)
    dpi = DPI if num <= 300 else FINE_DPI
    figure = Figure(figsize=(side, side), dpi=dpi)
    axis = figure.add_axes((0, 0, 1, 1))
    angle, radius = layout(parents)
    width = 1.2 if num > 200 else 1.6
    paths = _branches(parents, angle, radius)
    if support is None:
        lines = LineCollection(paths, colors=FAINT if num > 200 else INK)
        lines.set_linewidths(width)
    else:
        checks.shape("dendrogram", parents.shape, support=support)
        met = np.asarray(support)[parents[:-1]]
        order = np.argsort(met, kind="stable")  # what is sure lies on top
        lines = LineCollection([paths[branch] for branch in order])
        _draw_support(figure, lines, met[order], width, group_font)
    axis.add_collection(lines)
    for leaf in range(num):
        _write(axis, angle[leaf], NAMES_AT, labels[leaf], fontsize=font)
    if grouped:
        inner, ring = NAMES_AT + 0.015 + length / circle, 0.012 * side / circle
        _draw_groups(axis, parents, labels, weights, angle, inner, ring, group_font)
    extent = side / 2 / circle
    axis.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
    axis.axis("off")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()
