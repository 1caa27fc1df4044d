"""The part of pictures and sentences: its runs, its table and its figure.

See `multimodal_identifiability`, whose command runs it. Which sizes of encodings the
paper tries is not known to us; those here are ours. On two cores one size has room in
half an hour, and no hue that depends on the place.
"""

import csv
import io
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from experiments.papers import grid
from repr_jax import figures
from repr_jax.data import multimodal3dident

FOLDER = "configs/contrastive"
FILES = {
    "paper": f"{FOLDER}/multimodal3dident.py",
    "cpu": f"{FOLDER}/multimodal3dident_cpu.py",
    "smoke": f"{FOLDER}/multimodal3dident_cpu.py:smoke",
}
KINDS = {  # does the hue depend on the place, and the size of the encoding
    "paper": (*((False, size) for size in (2, 4, 6, 8, 10)), (True, 4)),
    "cpu": ((False, 16),),
    "smoke": ((False, 4), (True, 4)),
}
SEEDS = {"paper": 3, "cpu": 1, "smoke": 1}  # at most; two cores have 30 minutes
HUES = {False: "independent", True: "depends on place"}
FACTORS = (  # how they are called, and which metric tells of them
    *(
        (
            name,
            f"factors/accuracy/{{}}/{name}/kernel",
            1 / multimodal3dident.NUM_CLASSES[name],
        )
        for name in (*multimodal3dident.CONTENT, "text_phrasing")
    ),
    *(
        (name, f"factors/r2/{{}}/{name}/kernel", 0.0)
        for name in multimodal3dident.CONTINUOUS
    ),
)


class Row(NamedTuple):
    """The runs that differ by their seed alone."""

    title: tuple[str, str]  # of HUES, and the size of the encoding
    runs: list[grid.Run]


def rows(scale: str, seeds: int) -> list[Row]:
    """Encodings of every size, and with a hue that depends on the place, by scale."""

    def run(causal, size, seed):
        overrides = {"seed": seed, "causal": causal, "encoding_size": size}
        folder = f"pictures/{'causal' if causal else 'independent'}/size{size}"
        return grid.Run(f"{folder}/seed{seed}", FILES[scale], overrides)

    return [
        Row(
            (HUES[causal], str(size)),
            [run(causal, size, seed) for seed in range(min(seeds, SEEDS[scale]))],
        )
        for causal, size in KINDS[scale]
    ]


def scores(row: Row, found: Mapping[str, Mapping], modality: str) -> np.ndarray:
    """[seed, factor]: accuracy of classes, R2 of numbers, by kernel regression."""
    names = [metric.format(modality) for _, metric, _ in FACTORS]
    return np.array([[found[run.name][name] for name in names] for run in row.runs])


def as_markdown(rows: list[Row], found) -> str:
    """A line a factor; of every row of runs, the picture's and the sentence's score."""
    header = ["factor", "chance"]
    columns = [
        [name for name, _, _ in FACTORS],
        [f"{chance:.2f}" for _, _, chance in FACTORS],
    ]
    for row in rows:
        for modality in multimodal3dident.MODALITIES:
            hue, size = row.title
            header.append(f"{modality}, hue {hue}, size {size}")
            values = scores(row, found, modality)
            spread = [f" ± {s:.2f}" if len(values) > 1 else "" for s in values.std(0)]
            cells = [f"{m:.2f}{s}" for m, s in zip(values.mean(0), spread)]
            columns.append(cells)
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(cells) + " |" for cells in zip(*columns)]
    of_name = multimodal3dident.HUE_GIVEN_NAME
    of_all = multimodal3dident.HUE_GIVEN_NAMES
    note = (
        f"\nContent is {', '.join(multimodal3dident.CONTENT)}; style is object_color; "
        "the rest is in one modality alone. Of a hue that depends on nothing a "
        f"sentence tells R2 {of_name:.3f}, all names that it may get {of_all:.3f}; of "
        "one that depends on the place, the place "
        f"{multimodal3dident.HUE_GIVEN_XPOS:.3f}.\n"
    )
    return "\n".join(lines) + "\n" + note


def as_csv(rows: list[Row], found) -> str:
    """Every number of every run, one a line."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(("hue", "encoding size", "run", "metric", "value"))
    for row in rows:
        for run in row.runs:
            for metric, value in found[run.name].items():
                table.writerow((*row.title, run.name, metric, f"{value:.6g}"))
    return file.getvalue()


def draw(rows: list[Row], found) -> bytes:
    """A panel a modality: bars of factors, a shade for every row of runs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=figures.DPI, layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    place, width = np.arange(len(FACTORS)), 0.8 / len(rows)
    for axis, modality in zip(axes, multimodal3dident.MODALITIES):
        for number, row in enumerate(rows):
            values = scores(row, found, modality)
            x = place + width * (number - (len(rows) - 1) / 2)
            label = f"hue {row.title[0]}, size {row.title[1]}"
            axis.bar(x, values.mean(0), width, yerr=values.std(0), label=label)
        chance = [level for _, _, level in FACTORS]
        axis.hlines(chance, place - 0.45, place + 0.45, figures.INK, label="chance")
        names = [name.replace("_", " ") for name, _, _ in FACTORS]
        axis.set_xticks(place, names, fontsize=8, rotation=40, ha="right")
        axis.set_title(f"from the {modality}", fontsize=10, loc="left")
        axis.set_ylim(-0.1, 1.05)
        figures.tidy(axis)
    axes[0].set_ylabel("accuracy of classes, R2 of numbers")
    axes[1].legend(fontsize=8, frameon=False, loc="upper right")
    return figures.png(figure)


def write(rows: list[Row], found, folder) -> str:
    """DIR/pictures.md, .csv and .png; returns the markdown."""
    folder = pathlib.Path(folder)
    text = as_markdown(rows, found)
    (folder / "pictures.md").write_text(text)
    (folder / "pictures.csv").write_text(as_csv(rows, found))
    (folder / "pictures.png").write_bytes(draw(rows, found))
    return text
