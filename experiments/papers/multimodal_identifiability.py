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
Each writes DIR/PART.md, .csv and .png. Finished runs are not repeated: the same command
continues. Scales: paper, the published sizes; cpu, three factors of a kind in place of
five, for two cores; smoke, two steps of every run.

Source: Daunhawer et al., "Identifiability Results for Multimodal Contrastive Learning",
  2023, https://arxiv.org/abs/2303.09166, its numerical simulation. Which sizes of
  encodings it tries is not known to us; those here are ours.
"""

import argparse
import csv
import functools
import io
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from experiments.papers import grid, multimodal3dident
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
CLOSED_FORMS = {"style x1": "style", "changed style x2": "style_changed"}


class Row(NamedTuple):
    """One line of a table: the runs that differ by their seed alone."""

    title: tuple[str, ...]
    runs: list[grid.Run]


def setting(scale: str, variant: str, name: str, seed: int) -> grid.Run:
    """One run of the table."""
    rate, statistical, causal = SETTINGS[name]
    overrides = {
        "seed": seed,
        "dataset.process.style_change_rate": rate,
        "dataset.process.statistical": statistical,
        "dataset.process.causal": causal,
    }
    folder = "_".join(name.replace(",", "").split())
    return grid.Run(f"{variant}/{folder}/seed{seed}", FILES[scale, variant], overrides)


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
        return grid.Run(
            f"ablation/size{size}/seed{seed}", run.config, {**run.overrides, **sizes}
        )

    return [
        Row((str(size),), [sized(size, seed) for seed in range(seeds)])
        for size in SIZES[scale]
    ]


def process(run: grid.Run) -> content_style.Process:
    """What the run keeps fixed: covariances, effects, mixings."""
    config = configs.load(run.config, run.overrides)
    return bind(config.dataset.process, "config.dataset.process")()


class Summary(NamedTuple):
    """The numbers of a row, over its seeds; NaN where there are none."""

    title: tuple[str, ...]
    mean: dict[str, float]  # of COLUMNS
    std: dict[str, float]  # NaN of one seed
    closed: dict[str, tuple[float, float]]  # mean and std, of the keys of CLOSED_FORMS


def summarise(row: Row, found: Mapping[str, Mapping]) -> Summary:
    """Mean and standard deviation (of the seeds themselves, n in the denominator)."""
    spread = np.std if len(row.runs) > 1 else lambda numbers: np.nan
    values = {
        column: [found[run.name].get(metric, np.nan) for run in row.runs]
        for column, metric in COLUMNS.items()
    }
    closed = [content_style.predictable_style(process(run)) for run in row.runs]
    by_column = {
        column: [each[name] for each in closed] for column, name in CLOSED_FORMS.items()
    }
    return Summary(
        row.title,
        {name: float(np.mean(numbers)) for name, numbers in values.items()},
        {name: float(spread(numbers)) for name, numbers in values.items()},
        {n: (float(np.mean(v)), float(np.std(v))) for n, v in by_column.items()},
    )


def as_markdown(header: tuple[str, ...], summaries: list[Summary]) -> str:
    """Mean and spread of every column; closed forms in brackets beside the style."""
    lines = [
        "| " + " | ".join((*header, *COLUMNS)) + " |",
        "|" + "---|" * (len(header) + len(COLUMNS)),
    ]
    for summary in summaries:
        cells = list(summary.title)
        for column in COLUMNS:
            mean, std = summary.mean[column], summary.std[column]
            cell = "–" if np.isnan(mean) else f"{mean:.2f}"
            cell += "" if np.isnan(std) else f" ± {std:.2f}"
            if column in summary.closed:
                cell += f" ({summary.closed[column][0]:.2f})"
            cells.append(cell)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def as_csv(header: tuple[str, ...], rows: list[Row], found) -> str:
    """Every number of every run, one a line; also how uneven its covariances are."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow((*header, "run", "metric", "value"))
    for row in rows:
        for run in row.runs:
            closed = content_style.predictable_style(process(run))
            numbers = dict(found[run.name])
            numbers |= {f"closed_form/{name}": value for name, value in closed.items()}
            numbers |= content_style.spectrum(process(run))
            for metric, value in numbers.items():
                table.writerow((*row.title, run.name, metric, f"{value:.6g}"))
    return file.getvalue()


def draw_table(summaries: list[Summary]) -> bytes:
    """A panel a variant: points with the spread of the seeds, bars for closed forms."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), dpi=figures.DPI, layout="constrained")
    axes = figure.subplots(1, len(VARIANTS), sharey=True)
    for axis, variant in zip(axes, VARIANTS):
        mine = [s for s in summaries if s.title[0] == variant]
        place = np.arange(len(mine))
        for i, column in enumerate(COLUMNS):
            mean = np.array([s.mean[column] for s in mine])
            std = [s.std[column] for s in mine]
            if np.all(np.isnan(mean)):
                continue
            x = place + 0.09 * (i - (len(COLUMNS) - 1) / 2)
            axis.errorbar(x, mean, std, fmt="o", markersize=4, capsize=2, label=column)
            if column in CLOSED_FORMS:
                closed = [s.closed[column][0] for s in mine]
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
        mean = [summary.mean[column] for summary in summaries]
        std = [summary.std[column] for summary in summaries]
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


def write(name, header, draw, rows: list[Row], found, folder) -> str:
    """DIR/NAME.md, .csv and .png; returns the markdown."""
    folder = pathlib.Path(folder)
    summaries = [summarise(row, found) for row in rows]
    text = as_markdown(header, summaries)
    (folder / f"{name}.md").write_text(text)
    (folder / f"{name}.csv").write_text(as_csv(header, rows, found))
    (folder / f"{name}.png").write_bytes(draw(summaries))
    return text


class Part(NamedTuple):
    """What a name of --only stands for."""

    rows: Callable  # (scale, number of seeds) -> rows
    write: Callable  # (rows, metrics of every run by name, folder) -> markdown


PARTS = {  # the one with the longest runs first, so that no core ends up idle
    "pictures": Part(multimodal3dident.rows, multimodal3dident.write),
    "table": Part(
        table, functools.partial(write, "table", ("variant", "setting"), draw_table)
    ),
    "ablation": Part(
        ablation,
        functools.partial(write, "ablation", ("encoding size",), draw_ablation),
    ),
}


def parse(arguments) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.papers.multimodal_identifiability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scale", choices=tuple(SIZES), default="cpu")
    parser.add_argument("--workdir", required=True, help="folder of runs and results")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind")
    parser.add_argument(
        "--jobs", type=int, help="runs side by side: 2, at --scale=paper 1"
    )
    found = parser.parse_args(arguments)
    found.only = tuple(found.only.split(","))
    unknown = [name for name in found.only if name not in PARTS]
    if unknown:
        parser.error(f"--only: expected some of {', '.join(PARTS)}; got {unknown[0]}.")
    if found.jobs is None:
        found.jobs = 1 if found.scale == "paper" else 2
    if found.seeds < 1 or found.jobs < 1:
        parser.error("expected --seeds and --jobs of at least 1.")
    return found


def main(arguments=None) -> int:
    """Completes the runs, then writes and prints the results; the exit code."""
    asked = parse(arguments)
    rows = {name: PARTS[name].rows(asked.scale, asked.seeds) for name in asked.only}
    runs = {run.name: run for part in rows.values() for row in part for run in row.runs}
    try:
        found = grid.complete(
            list(runs.values()),
            asked.workdir,
            jobs=asked.jobs,
            threads=None if asked.scale == "paper" else 1,
        )
    except (grid.FailedError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3 if isinstance(error, grid.FailedError) else 2
    for name, part in rows.items():
        print(f"\n{name}\n\n{PARTS[name].write(part, found, asked.workdir)}")
    print(f"results: {asked.workdir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
