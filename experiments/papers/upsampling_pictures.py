"""Pictures of `upsampling_fairness`: bars of its distances, and walls of images."""

import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from repr_jax import figures

WALL = "report/fairness_wall.png"  # of a run


def bars(
    rows: Sequence, found: Mapping, number: Callable, notions: Mapping[str, str]
) -> bytes:
    """A panel for each notion, a pair of bars for each method: chi2 by training.

    number: (row, found, name) -> Number. notions: names of the evaluator by title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.6), dpi=figures.DPI, layout="constrained")
    methods = list(dict.fromkeys(one.method for one in rows))
    trainings = list(dict.fromkeys(one.training for one in rows))
    for axis, (title, name) in zip(figure.subplots(1, len(notions)), notions.items()):
        for one in rows:
            place = methods.index(one.method) + 0.4 * trainings.index(one.training)
            height, low, high, floor = (
                number(one, found, f"{name}/chi2{end}").mean
                for end in ("", "/low", "/high", "/floor")
            )
            axis.bar(place, height, 0.36, color=f"C{trainings.index(one.training)}")
            axis.vlines(place, low, high, color=figures.INK, linewidth=1)
            axis.hlines(
                floor, place - 0.18, place + 0.18, color=figures.INK, linestyle=":"
            )
        axis.set_xticks(np.arange(len(methods)) + 0.2, methods, rotation=30)
        axis.set_title(f"{title} chi2", fontsize=10, loc="left", color=figures.INK)
        figures.tidy(axis)
    for color, training in enumerate(trainings):
        axis.bar(0, 0, color=f"C{color}", label=training)
    axis.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figures.png(figure)


def walls(rows: Sequence, workdir) -> bytes:
    """The walls of the first run of each row, below each other: [method, training]."""
    import matplotlib.image
    from matplotlib.figure import Figure

    found = [
        matplotlib.image.imread(pathlib.Path(workdir) / one.runs[0].name / WALL)
        for one in rows
    ]
    height, width = np.max([image.shape[:2] for image in found], axis=0)
    across = len(dict.fromkeys(one.training for one in rows))
    down = len(rows) // across
    size = (across * width / figures.DPI, down * (height / figures.DPI + 0.3))
    figure = Figure(figsize=size, dpi=figures.DPI, layout="constrained")
    for axis, one, image in zip(figure.subplots(down, across).flat, rows, found):
        axis.imshow(image)
        axis.set_axis_off()
        title = f"{one.method}, {one.training}"
        axis.set_title(title, fontsize=10, loc="left", color=figures.INK)
    return figures.png(figure)
