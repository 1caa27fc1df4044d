"""What matplotlib is told, in one place: arrays in, PNG bytes out.

matplotlib is imported by the functions, and no global state of it is touched. A
picture of images shows pixels as they are, clipped to [0, 1], without smoothing.
"""

import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

DPI = 120
CELL, GAP = 84, 4  # pixels: the side of an image, the space between two
COLUMN, BREAK = 184, 22  # pixels: width of the labels, space between blocks
GIVEN, INK, GRID = "#d9480f", "#1f2933", "#d5dbe1"  # colors
RIGHT = "#2f9e44"  # of what was found and should be
LABEL = 20  # letters of a row's label that fit
SERIES = 10  # curves that one panel can hold


class Row(NamedTuple):
    """A line of images in a mosaic."""

    label: str  # at its left
    images: np.ndarray  # [column, height, width, 1 or 3] in [0, 1]
    given: bool = False  # what the model saw: marked by a bar and a bold label
    frames: Mapping[int, str] = MappingProxyType({})  # color around an image, by place


def png(figure) -> bytes:
    """The figure as a file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=figure.dpi)
    return file.getvalue()


def cell(image) -> np.ndarray:
    """[height, width, 1 or 3] -> [CELL, CELL, 3] in [0, 1], nearest pixel."""
    image = np.clip(np.nan_to_num(np.asarray(image, np.float32)), 0, 1)
    down, across = (np.arange(CELL) * n // CELL for n in image.shape[:2])
    image = image[down][:, across]
    return np.broadcast_to(image, (CELL, CELL, 3))


def mosaic(blocks: Sequence[Sequence[Row]]) -> bytes:
    """Rows of images, in blocks with some space between them."""
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    columns = max(len(row.images) for block in blocks for row in block)
    num_rows = sum(len(block) for block in blocks)
    step = CELL + GAP
    width = COLUMN + columns * step + GAP
    height = num_rows * step + (len(blocks) - 1) * BREAK + 2 * GAP
    canvas = np.ones((height, width, 3), np.float32)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    top = GAP
    for number, block in enumerate(blocks):
        top += BREAK if number else 0
        for row in block:
            for i, image in enumerate(row.images):
                left = COLUMN + i * step
                if i in row.frames:
                    edge = slice(top - GAP, top + CELL + GAP)
                    across = slice(left - GAP, left + CELL + GAP)
                    canvas[edge, across] = to_rgb(row.frames[i])
                canvas[top : top + CELL, left : left + CELL] = cell(image)
            middle = 1 - (top + CELL / 2) / height
            figure.text(
                (COLUMN - 14) / width,
                middle,
                shortened(row.label),
                ha="right",
                va="center",
                fontsize=9,
                color=GIVEN if row.given else INK,
                fontweight="bold" if row.given else "normal",
            )
            if row.given:
                corner = ((COLUMN - 8) / width, 1 - (top + CELL) / height)
                bar = Rectangle(corner, 4 / width, CELL / height, color=GIVEN)
                figure.add_artist(bar)
            top += step
    figure.figimage(canvas, origin="upper", zorder=-1)
    return png(figure)


def shortened(text: str) -> str:
    """The text, or its start and an ellipsis where it is too long for a label."""
    return text if len(text) <= LABEL else text[: LABEL - 1].rstrip() + "\u2026"


def curves(history: Sequence[dict]) -> bytes | None:
    """A panel for the loss and each group of terms, over steps; None if no row.

    history: {"step": ..., "loss": ..., "kl/m0": ..., "kl/m1": ...}, a group being what
    precedes the slash. Of a group of many, the first SERIES are drawn.
    """
    from matplotlib.figure import Figure

    groups = {}
    for row in history:
        for name, value in row.items():
            if name != "step" and isinstance(value, int | float):
                series = groups.setdefault(name.split("/")[0], {})
                series.setdefault(name, []).append((row["step"], value))
    if not groups:
        return None
    names = sorted(groups, key=lambda name: name != "loss")
    down = -(-len(names) // 2)
    across = min(2, len(names))
    figure = Figure(figsize=(5.2 * across, 3.0 * down), dpi=DPI, layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis, name in zip(axes, names):
        late = []
        for label, points in list(groups[name].items())[:SERIES]:
            steps, values = np.array(points, float).T
            legend = label.partition("/")[2] or None
            marker = "o" if len(steps) == 1 else None
            axis.plot(steps, values, linewidth=1.4, label=legend, marker=marker)
            late.append(values[np.isfinite(values)][len(values) // 20 :])
        set_limits(axis, np.concatenate(late))
        axis.set_title(name.replace("_", " "), fontsize=10, loc="left", color=INK)
        axis.set_xlabel("step", fontsize=8)
        if any(label != name for label in groups[name]):
            more = len(groups[name]) - SERIES
            title = f"and {more} more" if more > 0 else None
            axis.legend(fontsize=8, title_fontsize=8, title=title, frameon=False)
        tidy(axis)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    return png(figure)


def set_limits(axis, values) -> None:
    """y limits around these values, with a margin."""
    if values.size and np.ptp(values) > 0:
        margin = 0.06 * np.ptp(values)
        axis.set_ylim(values.min() - margin, values.max() + margin)


def tidy(axis) -> None:
    """Light grid behind the data, no box, small numbers."""
    axis.grid(color=GRID, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def principal(x) -> tuple[np.ndarray, np.ndarray]:
    """The two directions of largest variance.

    Returns:
      [rows, 2] coordinates and [2] shares of the variance. The largest loading of a
      direction is positive. Zeros stand in for what rank or dimensions lack.
    """
    x = np.asarray(x, np.float64)
    x = x - x.mean(axis=0)
    _, scale, directions = np.linalg.svd(x, full_matrices=False)
    found = min(2, len(scale))
    directions = directions[:found]
    largest = np.abs(directions).argmax(axis=1)[:, None]
    directions = directions * np.sign(np.take_along_axis(directions, largest, axis=1))
    coordinates, share = np.zeros((len(x), 2)), np.zeros(2)
    coordinates[:, :found] = x @ directions.T
    share[:found] = scale[:found] ** 2 / max(np.sum(scale**2), 1e-30)
    return coordinates, share


def scatter(x, labels=None) -> bytes:
    """[rows, dim] representations on their two principal axes, colored by class.

    labels: [rows]; None draws all points alike. Names are shown of 20 classes at most.
    """
    from matplotlib.figure import Figure

    points, share = principal(x)
    figure = Figure(figsize=(7.4, 5.6), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    if labels is None:
        axis.scatter(*points.T, s=9, color=INK, alpha=0.5, linewidths=0)
    else:
        _scatter_classes(axis, points, labels)
    axis.set_xlabel(f"first principal axis ({share[0]:.0%} of the variance)")
    axis.set_ylabel(f"second principal axis ({share[1]:.0%})")
    tidy(axis)
    return png(figure)


def _scatter_classes(axis, points, labels):
    import matplotlib

    classes = np.unique(labels)
    named = len(classes) <= 20
    colors = matplotlib.colormaps["tab10" if len(classes) <= 10 else "tab20"]
    for i, name in enumerate(classes):
        here = points[labels == name]
        color = colors(i % colors.N)
        axis.scatter(*here.T, s=9, color=color, alpha=0.65, linewidths=0, label=name)
        if named:
            axis.annotate(
                str(name),
                np.median(here, axis=0),
                ha="center",
                va="center",
                fontsize=10,
                fontweight="bold",
                color=INK,
                bbox=dict(boxstyle="circle,pad=0.25", fc="white", ec=color, alpha=0.85),
            )
    if named:
        axis.legend(
            title="class",
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
            markerscale=2,
        )


def plane(groups: Mapping[str, np.ndarray]) -> bytes:
    """A panel for each group of points [rows, 2], all with the same axes."""
    from matplotlib.figure import Figure

    size = (3.6 * len(groups), 3.8)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.subplots(1, len(groups), sharex=True, sharey=True, squeeze=False)[0]
    for axis, (name, points) in zip(axes, groups.items()):
        axis.scatter(*np.asarray(points).T, s=4, alpha=0.4, color=INK, linewidths=0)
        axis.set_title(name, fontsize=10, loc="left", color=INK)
        axis.set_aspect("equal")
        tidy(axis)
    return png(figure)


def dots(
    groups: Mapping[str, Mapping[str, float]],
    label: str,
    spread: Mapping[str, Mapping[str, float]] | None = None,
) -> bytes:
    """Numbers in [0, 1] of the same names in each group, a line a name.

    Names are sorted by their mean over the groups, the highest at the top. spread: of
    each number, drawn as a bar to either side; None for none.
    """
    from matplotlib.figure import Figure

    names = list(next(iter(groups.values())))
    values = np.array([[group[name] for name in names] for group in groups.values()])
    order = np.argsort(np.nanmean(values, axis=0), kind="stable")
    height = 0.3 * len(names) + 1.2
    figure = Figure(figsize=(6.4, height), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    shifts = np.linspace(0.2, -0.2, len(groups)) if len(groups) > 1 else [0]
    for title, row, shift in zip(groups, values, shifts):  # none hides another
        bars = None if spread is None else [spread[title][names[i]] for i in order]
        axis.errorbar(
            row[order],
            np.arange(len(names)) + shift,
            xerr=bars,
            fmt="o",
            markersize=4,
            elinewidth=1.2,
            label=title,
            zorder=3,
        )
    axis.set_yticks(np.arange(len(names)), [names[i] for i in order])
    axis.set_xlabel(label, fontsize=9)
    axis.set_xlim(min(0.5, np.nanmin(values)) - 0.03, 1.03)
    figure.legend(fontsize=8, frameon=False, loc="outside upper center", ncols=3)
    tidy(axis)
    return png(figure)


def reliability(groups: Mapping[str, Sequence]) -> bytes:
    """Accuracy over confidence, a panel a group, and the share of rows in each bin.

    groups: of each, one `metrics.Bins` a network, (count, confidence, accuracy) of bins
    of equal width. Points are means over the networks with rows in a bin, bars their
    standard deviation; on the diagonal a classifier that says 0.8 has 0.8 right.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(groups), 4.6), dpi=DPI, layout="constrained")
    shape = dict(sharex=True, sharey="row", squeeze=False, height_ratios=(3, 1))
    top, bottom = figure.subplots(2, len(groups), **shape)
    for axis, under, (title, networks) in zip(top, bottom, groups.items()):
        count, confidence, accuracy = (
            np.asarray(column, float) for column in zip(*networks)
        )
        some = count.sum(axis=0) > 0
        weights = np.where(count > 0, 1.0, 0.0)[:, some]

        def mean(x, weights=weights):
            return (weights * x).sum(axis=0) / weights.sum(axis=0)

        confidence, accuracy = confidence[:, some], accuracy[:, some]
        center = mean(accuracy)
        spread = np.sqrt(mean((accuracy - center) ** 2))
        axis.plot([0, 1], [0, 1], color=GRID, linewidth=1.4)
        axis.errorbar(
            mean(confidence), center, yerr=spread, fmt="o-", color=INK, markersize=4
        )
        axis.set_title(title, fontsize=10, loc="left", color=INK)
        share = (count / count.sum(axis=1, keepdims=True)).mean(axis=0)
        edges = np.arange(len(share)) / len(share)
        under.bar(edges, share, 0.9 / len(share), align="edge", color=GIVEN)
        under.set_xlabel("confidence", fontsize=9)
        tidy(axis)
        tidy(under)
    top[0].set_ylabel("accuracy", fontsize=9)
    bottom[0].set_ylabel("share of rows", fontsize=9)
    return png(figure)
