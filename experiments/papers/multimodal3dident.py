"""The part of pictures and sentences: its runs, its table and its figure.

See `multimodal_identifiability`, whose command runs it. Which sizes of encodings the
paper tries is not known to us; those here are ours. On two cores one size has room in
half an hour, and no hue that depends on the place.
"""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from experiments.launch import sweep
from experiments.results import store, tables
from experiments.results.tables import Table
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
NOTE = (
    f"Content is {', '.join(multimodal3dident.CONTENT)}; style is object_color; the "
    "rest is in one modality alone. Of a hue that depends on nothing a sentence tells "
    f"R2 {multimodal3dident.HUE_GIVEN_NAME:.3f}, all names that it may get "
    f"{multimodal3dident.HUE_GIVEN_NAMES:.3f}; of one that depends on the place, the "
    f"place {multimodal3dident.HUE_GIVEN_XPOS:.3f}."
)


class Row(NamedTuple):
    """The runs that differ by their seed alone."""

    title: tuple[str, str]  # of HUES, and the size of the encoding
    runs: list[sweep.Run]


def rows(scale: str, seeds: int) -> list[Row]:
    """Encodings of every size, and with a hue that depends on the place, by scale."""

    def run(causal, size, seed):
        overrides = {"seed": seed, "causal": causal, "encoding_size": size}
        folder = f"pictures/{'causal' if causal else 'independent'}/size{size}"
        return sweep.Run(f"{folder}/seed{seed}", FILES[scale], overrides)

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


def table(rows: list[Row], found) -> Table:
    """A line a factor; of every row of runs, the picture's and the sentence's score."""
    header = ["factor", "chance"]
    columns = [[name for name, _, _ in FACTORS], [chance for _, _, chance in FACTORS]]
    for row in rows:
        for modality in multimodal3dident.MODALITIES:
            hue, size = row.title
            header.append(f"{modality}, hue {hue}, size {size}")
            values = scores(row, found, modality)
            columns.append([tables.over_seeds(of_seeds) for of_seeds in values.T])
    return Table(header, list(zip(*columns)), (".2f",))


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


def write(rows: list[Row], found, folder) -> list:
    """The content for the file of results; writes the picture and DIR/pictures.csv."""
    picture = store.picture(
        folder,
        "pictures/identifiability_pictures.png",
        "What of every factor can be read off either encoding",
        draw(rows, found),
    )
    lines = [
        (*row.title, run.name, *number)
        for row in rows
        for run in row.runs
        for number in found[run.name].items()
    ]
    header = ("hue", "encoding size", "run", "metric", "value")
    store.write_csv(pathlib.Path(folder) / "pictures.csv", header, lines)
    return [table(rows, found), picture, NOTE]
