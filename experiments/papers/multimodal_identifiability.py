"""Identifiability of multimodal contrastive learning: its table and its figures.

  python -m experiments.papers.multimodal_identifiability --scale=cpu --workdir=DIR

Parts, all of them unless --only names some:
  table     five settings, each in the original (one mixing, one encoder, nothing that
            is of one modality) and the multimodal variant, with three seeds: R2 of
            every factor by kernel ridge regression, and beside it how much of the style
            a perfect knowledge of the content would predict.
  ablation  encodings smaller and larger than the content; independent factors, style
            changing with probability 0.75; at scale cpu with one seed.
  pictures  Multimodal3DIdent, rendered: what of the factors of pictures and sentences
            can be read off the encoding of either.
The table and the ablation go into DIR/multimodal_identifiability.json and .md, the rest
into DIR/multimodal3dident.json and .md; each part writes DIR/PART.csv and a picture.
Finished runs are not repeated: the same command continues. Scales: paper, the published
sizes; cpu, three factors of a kind in place of five, for two cores; smoke, two steps of
every run.

Source: Daunhawer et al., "Identifiability Results for Multimodal Contrastive Learning",
  2023, https://arxiv.org/abs/2303.09166, its numerical simulation. Which sizes of
  encodings it tries is not known to us; those here are ours.
"""

import argparse
import functools
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from experiments.launch import sweep
from experiments.papers import grid, multimodal3dident
from experiments.results import store, tables
from experiments.results.tables import Number, Table
from repr_jax import config as configs
from repr_jax import figures
from repr_jax.config import bind
from repr_jax.data import content_style

FOLDER = "configs/contrastive"
FILES = {
    ("paper", "original"): f"{FOLDER}/multimodal_identifiability_original.py",
    ("paper", "multimodal"): f"{FOLDER}/multimodal_identifiability.py",
    ("cpu", "original"): f"{FOLDER}/multimodal_identifiability_original_cpu.py",
    ("cpu", "multimodal"): f"{FOLDER}/multimodal_identifiability_cpu.py",
    ("smoke", "original"): f"{FOLDER}/multimodal_identifiability_original.py:smoke",
    ("smoke", "multimodal"): f"{FOLDER}/multimodal_identifiability.py:smoke",
}
VARIANTS = ("original", "multimodal")
SETTINGS = {  # style_change_rate, statistical, causal
    "independent, every style changes": (1.0, False, False),
    "independent": (0.75, False, False),
    "statistical": (0.75, True, False),
    "causal": (0.75, False, True),
    "statistical and causal": (0.75, True, True),
}
ABLATION_SEEDS = {
    "paper": 3,
    "cpu": 1,
    "smoke": 1,
}  # at most; two cores have 30 minutes
SIZES = {"paper": (1, 3, 5, 7, 10), "cpu": (1, 2, 3, 4, 6), "smoke": (1, 2)}
COLUMNS = {  # what of the evaluator's metrics is shown, and by what name
    "content x1": "latents/r2/x1/content/kernel",
    "content x2": "latents/r2/x2/content/kernel",
    "style x1": "latents/r2/x1/style/kernel",
    "changed style x2": "latents/r2/x2/style_changed/kernel",
    "modality1 x1": "latents/r2/x1/modality1/kernel",
    "modality2 x2": "latents/r2/x2/modality2/kernel",
    "modality2 x1": "latents/r2/x1/modality2/kernel",
    "modality1 x2": "latents/r2/x2/modality1/kernel",
}
CAPTIONS = {
    "table": "R2 of every factor in every setting",
    "ablation": "R2 of every factor over the size of the encoding",
}
CLOSED_FORMS = {"style x1": "style", "changed style x2": "style_changed"}


class Row(NamedTuple):
    """One line of a table: the runs that differ by their seed alone."""

    title: tuple[str, ...]
    runs: list[sweep.Run]


def setting(scale: str, variant: str, name: str, seed: int) -> sweep.Run:
    """One run of the table."""
    rate, statistical, causal = SETTINGS[name]
    overrides = {
        "seed": seed,
        "dataset.process.style_change_rate": rate,
        "dataset.process.statistical": statistical,
        "dataset.process.causal": causal,
    }
    folder = "_".join(name.replace(",", "").split())
    return sweep.Run(f"{variant}/{folder}/seed{seed}", FILES[scale, variant], overrides)


def table(scale: str, seeds: int) -> list[Row]:
    """Five settings of two variants."""
    return [
        Row(
            (variant, name),
            [setting(scale, variant, name, seed) for seed in range(seeds)],
        )
        for name in SETTINGS
        for variant in VARIANTS
    ]


def ablation(scale: str, seeds: int) -> list[Row]:
    """Encodings of several sizes; that of the content is the table's own run."""
    seeds = min(seeds, ABLATION_SEEDS[scale])
    widths = tuple(configs.load(FILES[scale, "multimodal"]).encoders.x1.widths)

    def sized(size, seed):
        run = setting(scale, "multimodal", "independent", seed)
        if size == widths[-1]:
            return run
        value = (*widths[:-1], size)
        sizes = {f"encoders.{name}.widths": value for name in ("x1", "x2")}
        return sweep.Run(
            f"ablation/size{size}/seed{seed}", run.config, {**run.overrides, **sizes}
        )

    return [
        Row((str(size),), [sized(size, seed) for seed in range(seeds)])
        for size in SIZES[scale]
    ]


def process(run: sweep.Run) -> content_style.Process:
    """What the run keeps fixed: covariances, effects, mixings."""
    config = configs.load(run.config, run.overrides)
    return bind(config.dataset.process, "config.dataset.process")()


class Summary(NamedTuple):
    """The numbers of a row, over its seeds; closed forms are beside the style."""

    title: tuple[str, ...]
    numbers: dict[str, Number]  # of COLUMNS; NaN where there are none


def summarize(row: Row, found: Mapping[str, Mapping]) -> Summary:
    """Mean and standard deviation (of the seeds themselves, n in the denominator)."""
    closed = [content_style.predictable_style(process(run)) for run in row.runs]
    numbers = {}
    for column, metric in COLUMNS.items():
        metrics = [found[run.name] for run in row.runs]
        values = [each[metric] for each in metrics if metric in each]
        beside = None
        if column in CLOSED_FORMS:
            beside = float(np.mean([c[CLOSED_FORMS[column]] for c in closed]))
        numbers[column] = tables.over_seeds(values, beside=beside)
    return Summary(row.title, numbers)


def csv_rows(rows: list[Row], found) -> list[tuple]:
    """Every number of every run, one a line; also how uneven its covariances are."""
    lines = []
    for row in rows:
        for run in row.runs:
            closed = content_style.predictable_style(process(run))
            numbers = dict(found[run.name])
            numbers |= {f"closed_form/{name}": value for name, value in closed.items()}
            numbers |= content_style.spectrum(process(run))
            lines += [(*row.title, run.name, *number) for number in numbers.items()]
    return lines


def curve(summaries: list[Summary], column: str) -> tuple[np.ndarray, np.ndarray]:
    """Means of a column, and their spreads; NaN where there are none."""
    numbers = [summary.numbers[column] for summary in summaries]
    return tuple(
        np.array([getattr(number, name) for number in numbers], np.float64)
        for name in ("mean", "sd")
    )


def draw_table(summaries: list[Summary]) -> bytes:
    """A panel a variant: points with the spread of the seeds, bars for closed forms."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), dpi=figures.DPI, layout="constrained")
    axes = figure.subplots(1, len(VARIANTS), sharey=True)
    for axis, variant in zip(axes, VARIANTS):
        mine = [s for s in summaries if s.title[0] == variant]
        place = np.arange(len(mine))
        for i, column in enumerate(COLUMNS):
            mean, std = curve(mine, column)
            if np.all(np.isnan(mean)):
                continue
            x = place + 0.09 * (i - (len(COLUMNS) - 1) / 2)
            axis.errorbar(x, mean, std, fmt="o", markersize=4, capsize=2, label=column)
            if column in CLOSED_FORMS:
                closed = [s.numbers[column].beside for s in mine]
                known = "closed form" if i == 2 else None
                axis.hlines(closed, x - 0.06, x + 0.06, color=figures.INK, label=known)
        names = [s.title[1].replace(", ", ",\n").replace(" and", "\nand") for s in mine]
        axis.set_xticks(place, names, fontsize=8)
        axis.set_title(variant, fontsize=10, loc="left", color=figures.INK)
        axis.set_ylim(-0.1, 1.05)
        figures.tidy(axis)
    axes[0].set_ylabel("R2 of kernel ridge regression")
    axes[-1].legend(
        fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5)
    )
    return figures.png(figure)


def draw_ablation(summaries: list[Summary]) -> bytes:
    """R2 over the size of the encoding."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), dpi=figures.DPI, layout="constrained")
    axis = figure.subplots()
    sizes = [int(summary.title[0]) for summary in summaries]
    for column in COLUMNS:
        mean, std = curve(summaries, column)
        axis.errorbar(
            sizes, mean, std, marker="o", markersize=4, capsize=2, label=column
        )
    axis.set_xticks(sizes)
    axis.set_xlabel("dimensions of the encoding")
    axis.set_ylabel("R2 of kernel ridge regression")
    axis.set_ylim(-0.1, 1.05)
    axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figures.tidy(axis)
    return figures.png(figure)


def write(name, header, draw, rows: list[Row], found, folder) -> list:
    """The content of the part for the file of results; writes its picture and CSV."""
    summaries = [summarize(row, found) for row in rows]
    file = f"pictures/identifiability_{name}.png"
    picture = store.picture(folder, file, CAPTIONS[name], draw(summaries))
    path, columns = pathlib.Path(folder) / f"{name}.csv", ("run", "metric", "value")
    store.write_csv(path, (*header, *columns), csv_rows(rows, found))
    lines = [(*s.title, *s.numbers.values()) for s in summaries]
    return [Table((*header, *COLUMNS), lines, (".2f",), title=name), picture]


class Part(NamedTuple):
    """What a name of --only stands for."""

    file: str  # of results, without ending
    rows: Callable  # (scale, number of seeds) -> rows
    write: Callable  # (rows, metrics of every run by name, folder) -> content


PARTS = {  # the one with the longest runs first, so that no core ends up idle
    "pictures": Part(
        "multimodal3dident", multimodal3dident.rows, multimodal3dident.write
    ),
    "table": Part(
        "multimodal_identifiability",
        table,
        functools.partial(write, "table", ("variant", "setting"), draw_table),
    ),
    "ablation": Part(
        "multimodal_identifiability",
        ablation,
        functools.partial(write, "ablation", ("encoding size",), draw_ablation),
    ),
}
TITLES = {
    "multimodal_identifiability": "Identifiability of multimodal contrastive learning",
    "multimodal3dident": "Multimodal3DIdent, rendered: pictures and sentences",
}


def parse(arguments) -> argparse.Namespace:
    """The command line."""
    return grid.parse("multimodal_identifiability", __doc__, PARTS, arguments)


def main(arguments=None) -> int:
    """Completes the runs, then writes and prints the results; the exit code."""
    asked = parse(arguments)
    rows = {name: PARTS[name].rows(asked.scale, asked.seeds) for name in asked.only}
    runs = {run.name: run for part in rows.values() for row in part for run in row.runs}

    def write_all(found):
        texts = []
        for name in dict.fromkeys(PARTS[part].file for part in asked.only):
            mine = {n: part for n, part in rows.items() if PARTS[n].file == name}
            texts.append(write_results(name, mine, found, asked))
        return "\n".join(texts)

    return grid.command(list(runs.values()), asked, write_all)


def write_results(name: str, parts: Mapping[str, list], found, asked) -> str:
    """DIR/NAME.json and .md of some parts, given their rows; returns the markdown."""
    runs = [run for rows in parts.values() for row in rows for run in row.runs]
    content, folder = [], pathlib.Path(asked.workdir)
    for part, rows in parts.items():
        content += PARTS[part].write(rows, found, asked.workdir)
    return store.write(
        folder / f"{name}.json",
        title=TITLES[name],
        command="python -m experiments.papers.multimodal_identifiability "
        f"--scale={asked.scale} --only={','.join(parts)} --seeds={asked.seeds} "
        "--workdir=DIR",
        seeds=sorted({run.overrides["seed"] for run in runs}),
        content=content,
        workdirs=[folder / run.name for run in runs],
    )


if __name__ == "__main__":
    sys.exit(main())
