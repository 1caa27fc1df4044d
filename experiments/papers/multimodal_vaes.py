"""What the commands of the multimodal VAE papers share: tables and pictures."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.papers import grid
from experiments.papers.multimodal_patterns import beside_polymnist, patterns
from experiments.papers.multimodal_rows import (
    CHANCE,
    COHERENCE,
    MAIN_BETA,
    MODELS,
    QUALITY,
    Part,
    Row,
    number,
    row,
    views,
)
from experiments.results import store
from experiments.results.tables import Number, Table
from repr_jax import figures

PANELS = {
    "coherence": "coherence of views that were not given",
    "linear_probe": "linear probe of the latents",
}
LIKELIHOODS = {
    "log p(x)": "likelihood/joint",
    "log p(m0)": "likelihood/m0",
    "log E p(others | z), z from m0": "likelihood/cross/m0->m1+m2+m3+m4",
}
ABOUT = (
    "Coherence: how often a classifier sees the digit of the given views in one that "
    "was not given; chance 0.10. Linear probe: accuracy of a linear classifier of the "
    "posterior means. In brackets the published figure (the MVTCAE paper's table, five "
    "runs of 300 epochs with larger networks). Fréchet distance: of view m0, generated "
    "from nothing, in features of a classifier, no FID. Likelihoods: importance "
    "sampled, nats an example."
)
SOFTENED = (
    "The photographs are softened to 0.4 of their contrast, so that digits stand out: "
    "the published figures are of another, harder set."
)
PUBLISHED = {  # the MVTCAE paper's table, five runs: by number of views given
    "linear_probe": {
        "MVAE": (0.70, 0.84, 0.91, 0.93, 0.95),
        "MMVAE": (0.82, 0.82, 0.82, 0.82, 0.82),
        "mmJSD": (0.89, 0.98, 0.99, 1.00, 1.00),
        "MoPoE": (0.82, 0.90, 0.93, 0.94, 0.95),
        "MVTCAE": (0.94, 0.99, 1.00, 1.00, 1.00),
    },
    "coherence": {
        "MVAE": (0.29, 0.42, 0.48, 0.52),
        "MMVAE": (0.71, 0.71, 0.71, 0.71),
        "mmJSD": (0.69, 0.57, 0.64, 0.67),
        "MoPoE": (0.63, 0.75, 0.79, 0.81),
        "MVTCAE": (0.59, 0.77, 0.83, 0.86),
    },
}


def with_published(numbers: Sequence[Number], known: Sequence[float]) -> list[Number]:
    """Each with the published figure in its place beside it, as far as they go."""
    pairs = itertools.zip_longest(numbers, known[: len(numbers)])
    return [x._replace(beside=value) for x, value in pairs]


def by_views(rows: Sequence[Row], found, measure: str, title: str) -> Table:
    """A line a model: a measure by the number of views given, published beside it."""
    lines = [(one, views(one, found, measure)) for one in rows]
    width = max(len(numbers) for _, numbers in lines)

    def cells(one, numbers):
        known = PUBLISHED[measure].get(one.model, ())
        known = known if one.dataset == "polymnist" else ()
        return (*with_published(numbers, known), *[None] * (width - len(numbers)))

    shown = [(one.model, f"{one.beta:g}", *cells(one, x)) for one, x in lines]
    header = ("model", "beta", *(str(n + 1) for n in range(width)))
    return Table(header, shown, (".2f",), title=title)


def comparison(models: Sequence[str], dataset: str, file: str) -> Part:
    """Models on a dataset at the beta of the main table, by the number of views."""

    def rows(asked):
        beta = MAIN_BETA[asked.scale]
        return [row(name, dataset, beta, asked, seeds=asked.seeds) for name in models]

    def write(rows, found, asked):
        several = [one for one in rows if one.model != "VAE"]
        content = [SOFTENED] if asked.scale == "cpu" else []
        content += [
            by_views(several, found, measure, f"{dataset}: {title}")
            for measure, title in PANELS.items()
        ]
        columns = {"Fréchet distance": QUALITY, **LIKELIHOODS}
        content.append(columns_of(rows, found, columns, f"{dataset}: densities"))
        if dataset == "polymnist":
            content.append(patterns(rows, found))
        else:
            content += beside_polymnist(several, found, asked)
        picture = store.picture(
            asked.workdir,
            f"pictures/{file}_{dataset}.png",
            f"{dataset}: coherence and linear probe by the number of views given",
            draw_by_views(several, found, PANELS),
        )
        return [ABOUT, *content, picture]

    return Part(rows, write)


def columns_of(rows, found, columns: Mapping[str, str], title: str) -> Table:
    """A line a row, a column a metric."""
    lines = [
        (
            one.model,
            f"{one.beta:g}",
            *(number(one, found, metric) for metric in columns.values()),
        )
        for one in rows
    ]
    return Table(("model", "beta", *columns), lines, (",.2f",), title=title)


def line_of(model: str) -> dict:
    """One color a model in all pictures; dashed if it is one with private latents."""
    color = f"C{[*MODELS].index(model.removesuffix(' (MS)'))}"
    style = "--" if model.endswith(" (MS)") else "-"
    return dict(
        color=color, linestyle=style, marker="o", markersize=4, capsize=2, label=model
    )


def draw_by_views(rows: Sequence[Row], found, panels: Mapping[str, str]) -> bytes:
    """A panel a measure: curves over the number of views, a color a model."""
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(5.2 * len(panels), 3.8), dpi=figures.DPI, layout="constrained"
    )
    axes = np.atleast_1d(figure.subplots(1, len(panels)))
    for axis, (measure, title) in zip(axes, panels.items()):
        width = 0
        for one in rows:
            numbers = views(one, found, measure)
            width = max(width, len(numbers))
            axis.errorbar(
                range(1, len(numbers) + 1),
                [x.mean for x in numbers],
                [x.sd or 0.0 for x in numbers],
                **line_of(one.model),
            )
        axis.axhline(CHANCE, color=figures.INK, linewidth=0.8, linestyle=":")
        axis.text(
            1.0,
            0.11,
            "chance",
            fontsize=8,
            ha="right",
            transform=axis.get_yaxis_transform(),
        )
        axis.set_xticks(range(1, width + 1))
        axis.set_xlabel("views given")
        axis.set_title(title, fontsize=10, loc="left", color=figures.INK)
        axis.set_ylim(0, 1.02)
        figures.tidy(axis)
    axes[-1].legend(
        fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5)
    )
    return figures.png(figure)


def draw_quality(rows: Sequence[Row], found) -> bytes:
    """A point a row: quality over coherence, a curve a model over beta.

    A model of one view has no coherence: a line at the best quality that it has.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), dpi=figures.DPI, layout="constrained")
    axis = figure.subplots()
    for model in dict.fromkeys(one.model for one in rows):
        mine = sorted((one for one in rows if one.model == model), key=lambda r: r.beta)
        x, y = (
            [number(one, found, metric) for one in mine]
            for metric in (COHERENCE, QUALITY)
        )
        if not any(value.n for value in x):
            color = line_of(model)["color"]
            for best in sorted(value.mean for value in y if value.n)[:1]:
                axis.axhline(best, color=color, linestyle=":", label=model)
            continue
        axis.errorbar(
            [value.mean for value in x],
            [value.mean for value in y],
            [value.sd or 0.0 for value in y],
            [value.sd or 0.0 for value in x],
            **line_of(model),
        )
        for one, a, b in zip(mine, x, y):
            axis.annotate(
                f"β {one.beta:g}",
                (a.mean, b.mean),
                fontsize=7,
                xytext=(4, 4),
                textcoords="offset points",
            )
    axis.set_xlabel("coherence, one view given; chance 0.1")
    axis.set_ylabel("Fréchet distance of generated m0, lower is better")
    axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figures.tidy(axis)
    return figures.png(figure)


def command(
    arguments, *, name: str, doc: str, title: str, parts: Mapping[str, Part]
) -> int:
    """Completes the runs of the parts asked for, writes the results; the exit code."""
    mnist = "of tfds' MNIST; a part if empty"
    asked = grid.parse(name, doc, parts, arguments, data_dir=mnist)
    rows = {part: parts[part].rows(asked) for part in asked.only}
    every = list(itertools.chain(*rows.values()))

    def write(found):
        content = []
        for part in asked.only:
            content += parts[part].write(rows[part], found, asked)
        return grid.write(
            name,
            asked,
            every,
            found,
            title=title,
            content=content,
            columns=("dataset", "model", "beta"),
            data="MNIST",
        )

    return grid.command(grid.runs_of(every), asked, write)
