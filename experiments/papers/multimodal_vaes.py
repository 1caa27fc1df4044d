"""What the commands of the multimodal VAE papers share: runs, tables and pictures.

A row is a model on a dataset at one weight beta of the divergence, and its runs differ
by their seed alone.
"""

import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.launch import sweep
from experiments.papers import grid
from experiments.results import store, tables
from experiments.results.tables import Number, Table
from repr_jax import figures
from repr_jax.evaluators.common import views as views_name

FOLDER = "configs/multimodal"
PUBLISHED_SIZE = {  # of the authors' job script of MoPoE
    "num_steps": 70_200,
    "batch_size": 256,
    "encoder.widths": (32, 64, 128),
    "encoder.hidden": 512,
    "decoder.widths": (128, 64, 32),
    "optimizer.learning_rate": 5e-4,
}
LATENTS = {"latent_dim": 512}
PRIVATE = {"private_encoder.widths": (32, 64, 128), "private_encoder.hidden": 512}
MODELS = {  # name in tables: its small config, and what else is of the published size
    "VAE": ("vae_polymnist_small", LATENTS),
    "MVAE": ("mvae_polymnist_small", LATENTS),
    "MMVAE": ("moe_polymnist_small", LATENTS),
    "MoPoE": ("mopoe_polymnist_small", LATENTS),
    "mmJSD": ("mmjsd_polymnist_small", LATENTS),
    "MVTCAE": ("mvtcae_polymnist_small", LATENTS),
    "MMVAE+": ("mmvae_plus_polymnist_small", PRIVATE),  # 32 + 32 latents as it is
}
CPU = {  # ours, for two cores
    "num_steps": 5_000,
    "batch_size": 64,
    "evals.linear_probe.max_train": 5_000,
    "evals.coherence.limit": 2_000,
    "evals.frechet.limit": 2_000,
    "evals.likelihood.limit": 32,
    "evals.clusters.max_train": 5_000,
    "evals.clusters.num_fits": 1,
}
MAIN_BETA = {"paper": 2.5, "cpu": 1.0, "smoke": 1.0}  # published; ours
QUALITY = "frechet/fd_clf/m0"  # of what is generated from nothing
COHERENCE = "coherence/1_view"
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


DATASETS = {  # name: overrides of a config of PolyMNIST
    "polymnist": {},
    "translated": {"scale": 0.75},
}


class Row(NamedTuple):
    """The runs that differ by their seed alone."""

    model: str  # of MODELS
    dataset: str  # of DATASETS
    beta: float
    runs: list[sweep.Run]


class Part(NamedTuple):
    """What a name of --only stands for."""

    rows: Callable  # (parsed flags) -> rows
    write: Callable  # (rows, metrics by name of the run, parsed flags) -> content


def row(model: str, dataset: str, beta: float, asked, *, seeds: int) -> Row:
    """The runs of a model on one of DATASETS, seeds 0 to `seeds` - 1."""
    scale, data_dir = asked.scale, asked.data_dir
    name, sizes = MODELS[model]
    values = DATASETS[dataset] | {"loss.beta": beta}
    values |= {"paper": PUBLISHED_SIZE | sizes, "cpu": CPU, "smoke": {}}[scale]
    file = f"{FOLDER}/{name}.py"
    if data_dir and scale != "smoke":
        values |= {"data_source": "tfds", "data_dir": data_dir}
    folder = f"{dataset}/{model}/beta{beta:g}".replace("+", "_plus")
    file += ":smoke" if scale == "smoke" else ""
    runs = [
        sweep.Run(f"{folder}/seed{seed}", file, {**values, "seed": seed})
        for seed in range(seeds)
    ]
    return Row(model, dataset, beta, runs)


def number(row: Row, found: Mapping, metric: str) -> Number:
    """Mean and spread of a metric over the runs that have it."""
    metrics = [found[run.name] or {} for run in row.runs]
    return tables.over_seeds(m[metric] for m in metrics if metric in m)


def views(row: Row, found: Mapping, measure: str) -> list[Number]:
    """A measure of a row by the number of views given, as far as it goes."""
    names = (f"{measure}/{views_name(n)}" for n in itertools.count(1))
    numbers = (number(row, found, name) for name in names)
    return list(itertools.takewhile(lambda x: x.n, numbers))


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
        content = [
            by_views(several, found, measure, f"{dataset}: {title}")
            for measure, title in PANELS.items()
        ]
        columns = {"Fréchet distance": QUALITY, **LIKELIHOODS}
        content.append(columns_of(rows, found, columns, f"{dataset}: densities"))
        if dataset == "polymnist":
            content.append(patterns(rows, found))
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


def patterns(rows: Sequence[Row], found) -> Table:
    """What the papers say of the models, and whether these runs show it.

    One number is above another if the difference exceeds their two spreads together.
    """
    coherence, probe = (
        {one.model: views(one, found, measure) for one in rows}
        for measure in ("coherence", "linear_probe")
    )

    def above(a, b):
        return a.mean - b.mean > (a.sd or 0.0) + (b.sd or 0.0)

    def text(numbers):
        return " ".join(f"{x.mean:.2f}" for x in numbers)

    lines = []
    others = [name for name in coherence if name in PUBLISHED["coherence"]]
    if "MVAE" in others and len(others) > 1:
        lowest = all(
            above(theirs, own)
            for name in others
            if name != "MVAE"
            for theirs, own in zip(coherence[name], coherence["MVAE"])
        )
        claim = "MVAE has the lowest coherence"
        lines.append((claim, text(coherence["MVAE"]), lowest))
    if "MMVAE" in coherence:
        means = [x.mean for x in coherence["MMVAE"]]
        flat = max(means) - min(means) < 0.03
        claim = "MMVAE: coherence is flat in the number of views (within 0.03)"
        lines.append((claim, text(coherence["MMVAE"]), flat))
    for name in ("MoPoE", "MVTCAE"):
        if name in coherence:
            pairs = zip(coherence[name], coherence[name][1:])
            rises = all(above(b, a) for a, b in pairs)
            claim = f"{name}: coherence rises with every view"
            lines.append((claim, text(coherence[name]), rises))
    if "mmJSD" in probe:
        firsts = {name: x[0].mean for name, x in probe.items() if name != "VAE" and x}
        near = max(firsts.values()) - firsts["mmJSD"] < 0.02
        claim = "mmJSD: linear probe of one view is the highest, or within 0.02 of it"
        best = max(firsts, key=firsts.get)
        figures_ = f"{firsts['mmJSD']:.2f}; {best} {firsts[best]:.2f}"
        lines.append((claim, figures_, near))
    lines = [(*line, "yes" if held else "no") for *line, held in lines]
    return Table(("expected", "found", "holds"), lines, title="patterns")


def csv_lines(rows: Sequence[Row], found) -> list[tuple]:
    """Every number of every run, one a line."""
    return [
        (one.dataset, one.model, one.beta, run.overrides["seed"], *pair)
        for one in rows
        for run in one.runs
        for pair in (found[run.name] or {}).items()
        if isinstance(pair[1], int | float)
    ]


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
        axis.axhline(0.1, color=figures.INK, linewidth=0.8, linestyle=":")
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
    """A point a row: quality over coherence, a curve a model over beta."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), dpi=figures.DPI, layout="constrained")
    axis = figure.subplots()
    for model in dict.fromkeys(one.model for one in rows):
        mine = sorted((one for one in rows if one.model == model), key=lambda r: r.beta)
        x, y = (
            [number(one, found, metric) for one in mine]
            for metric in (COHERENCE, QUALITY)
        )
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
    arguments, *, prog: str, doc: str, title: str, parts: Mapping[str, Part]
) -> int:
    """Completes the runs of the parts asked for, writes the results; the exit code."""
    mnist = "of tfds' MNIST; a part if empty"
    asked = grid.parse(prog, doc, parts, arguments, data_dir=mnist)
    rows = {name: parts[name].rows(asked) for name in asked.only}
    runs = {run.name: run for part in rows.values() for one in part for run in one.runs}
    # One seed of everything first, so that what is stopped early is a table already.
    order = sorted(runs.values(), key=lambda run: run.overrides["seed"])

    def write(found):
        content = []
        for name in asked.only:
            content += parts[name].write(rows[name], found, asked)
        folder, name = pathlib.Path(asked.workdir), prog.rpartition(".")[2]
        every = {one.runs[0].name: one for part in rows.values() for one in part}
        header = ("dataset", "model", "beta", "seed", "metric", "value")
        lines = csv_lines([*every.values()], found)
        store.write_csv(folder / f"{name}.csv", header, lines)
        return store.write(
            folder / f"{name}.json",
            title=title,
            command=f"{prog} --scale={asked.scale} --only={','.join(asked.only)} "
            f"--seeds={asked.seeds}{' --data_dir=MNIST' if asked.data_dir else ''} "
            "--workdir=DIR",
            seeds=range(asked.seeds),
            content=content,
            workdirs=[folder / run.name for run in order],
        )

    return grid.command(order, asked, write)
