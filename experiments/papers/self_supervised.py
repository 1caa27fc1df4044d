"""Self-supervised methods side by side, on the same data, views and budget of steps.

  python -m experiments.papers.self_supervised --scale=cpu --workdir=DIR

SimCLR, MoCo, BYOL, SimSiam, Barlow Twins, VICReg and SwAV train the same convolutional
network, DINO and MAE a small vision transformer each. Beside them stand the same
networks untrained, the pixels themselves, and a classifier that sees the labels. Of
each: nearest neighbors, linear probes, the dimensions in use (a collapsed
representation uses one) at the end and over training, and steps a second.
Parts, all of them unless --only names some:
  digits  MNIST: the subset in the package, or at --scale=paper all of --data_dir.
  emoji   drawn by two artists, of nine categories; where emoji.npz of --data_dir is.
Writes DIR/self_supervised.json, .md and .csv, and a picture a part. Finished runs are
not repeated: the same command continues. Scales: cpu, 1,000 steps of 64 images; paper,
5,000 of 256; smoke, two of every run.

Every setting but the numbers of steps and images is of the method's config, see
`METHODS`: those of the losses are the published ones, the others ours. There are no
published figures of these networks and data.
"""

import itertools
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from experiments.launch import sweep
from experiments.papers import grid
from experiments.results import store, tables
from experiments.results.tables import Number, Table
from repr_jax import config as configs
from repr_jax import figures, logs
from repr_jax.evaluators.common import Trained
from repr_jax.run import prefixed

CONVOLUTIONS = "configs/contrastive/simclr_{}.py"
METHODS = {
    "SimCLR": CONVOLUTIONS,
    "MoCo": "configs/contrastive/moco_{}.py",
    "BYOL": "configs/distillation/byol_{}.py",
    "SimSiam": "configs/distillation/simsiam_{}.py",
    "Barlow Twins": "configs/decorrelation/barlow_twins_{}.py",
    "VICReg": "configs/decorrelation/vicreg_{}.py",
    "SwAV": "configs/clustering/swav_{}.py",
    "DINO": "configs/distillation/dino_{}.py",
    "MAE": "configs/reconstruction/mae_{}.py",
}
UNTRAINED = {  # configs whose network is looked at as it starts
    "untrained, convolutions": CONVOLUTIONS,
    "untrained, DINO's transformer": METHODS["DINO"],
    "untrained, MAE's transformer": METHODS["MAE"],
}
LABELS, PIXELS = "classifier, sees the labels", "pixels"
CONTROLS = {**UNTRAINED, LABELS: "configs/classification/labels_{}.py"}
PARTS = {"digits": "mnist", "emoji": "emoji"}  # what stands in the names of configs
SIZES = {"cpu": (1_000, 64), "paper": (5_000, 256), "smoke": (2, 8)}  # steps, images
NUM_POINTS = 5  # of a curve over training
CURVES = ("knn", "rank")  # evaluators of the points
COLUMNS = {
    "20 neighbors": "knn/accuracy/20",
    "linear probe": "linear_probe/accuracy",
    "probe, 500 labels": "linear_probe/accuracy/500_rows",
    "5 labels a class": "few_shot/accuracy/5_shots",
    "dimensions in use": "rank/effective_rank",
    "centered": "rank/centered",
}
SMOKE = {
    "linear_probe/accuracy/500_rows": "linear_probe/accuracy/32_rows",
    "few_shot/accuracy/5_shots": "few_shot/accuracy/1_shots",
}
SPEED = re.compile(r" ([\d.]+) steps/s")
ABOUT = (
    "Accuracies on the test split: a weighted vote of the 20 nearest training rows, "
    "and linear classifiers fitted to the training split, to 500 rows of it, or to "
    "five of each class, the mean of five draws. "
    "Dimensions in use: the exponent of the entropy of the singular values of test "
    "rows, after their mean is subtracted where centered. Steps/s: the median over "
    "training, of {jobs} runs side by side. Mean and standard deviation over seeds, "
    "which choose network, views and order; the pixels have none. Of a transformer the "
    "class token is looked at (DINO), or the mean of the other tokens (MAE)."
)


class Row(NamedTuple):
    """The runs that differ by their seed alone."""

    data: str  # of PARTS
    method: str
    runs: list[sweep.Run]


def rows_of(part: str, asked) -> list[Row]:
    """A row a method, and a row a control that is a run."""
    return [row(part, method, asked) for method in (*METHODS, *CONTROLS)]


def row(part: str, method: str, asked) -> Row:
    """The runs of a method or a control."""
    file = (METHODS | CONTROLS)[method].format(PARTS[part])
    (steps, batch_size), untrained = SIZES[asked.scale], method in UNTRAINED
    steps = min(100, steps) if untrained else steps
    every = max(1, steps // NUM_POINTS)
    values = {"num_steps": steps, "batch_size": batch_size, "checkpoint_every": every}
    values |= {"eval_every": every, "eval_names": CURVES}
    values["log_every"] = max(1, every // 5)  # most of them with no evaluation between
    if untrained:  # its optimizer moves nothing, averages over batches do
        values |= {"eval_every": 0, "optimizer.peak": 1e-12}
        values |= {"optimizer.warmup_steps": 0}
    if asked.scale == "smoke":
        file += ":smoke"
    elif part == "emoji" or asked.scale == "paper":
        values |= {"data_dir": asked.data_dir}
        values |= {"data_source": "tfds"} if part == "digits" else {}
    folder = re.sub(r"\W+", "_", method)
    runs = [
        sweep.Run(f"{part}/{folder}/seed{seed}", file, {**values, "seed": seed})
        for seed in range(asked.seeds)
    ]
    return Row(part, method, runs)


def of_pixels(part: str, asked) -> dict[str, float]:
    """The numbers of the columns, of images as they are."""
    (run, *_) = row(part, next(iter(METHODS)), asked).runs
    config = configs.load(run.config, run.overrides)
    dataset = configs.bind(config.dataset)()
    prepare = jax.jit(dataset.prepare)

    def represent(batch, key=None):
        image = prepare(batch)["image"]
        return image.reshape(len(image), -1)

    model = Trained({"represent": represent}, prepare, (), "")
    names = sorted({metric.partition("/")[0] for metric in COLUMNS.values()})
    return prefixed({n: configs.bind(config.evals[n])(model, dataset) for n in names})


def column(metric: str, asked) -> str:
    """What the metric is called in these runs."""
    return SMOKE.get(metric, metric) if asked.scale == "smoke" else metric


def steps_a_second(run: sweep.Run, workdir) -> float:
    """The median over what its log says; NaN if it says nothing, or is lost."""
    path = pathlib.Path(workdir) / run.name / "log.txt"
    text = path.read_text(errors="replace") if path.exists() else ""
    found = [float(rate) for rate in SPEED.findall(text)]
    return float(np.median(found)) if found else np.nan


def full_table(
    rows: Sequence[Row], found: Mapping, pixels: Mapping, asked, part: str
) -> Table:
    """A line a method, a column a number."""
    metrics = [column(metric, asked) for metric in COLUMNS.values()]
    lines = [
        (
            one.method,
            *(tables.over_seeds(found[r.name][m] for r in one.runs) for m in metrics),
            None
            if one.method in UNTRAINED
            else tables.over_seeds(steps_a_second(r, asked.workdir) for r in one.runs),
        )
        for one in rows
    ]
    lines.append((PIXELS, *(Number(pixels[m]) for m in metrics), None))
    header = ("method", *COLUMNS, "steps/s")
    formats = ("", *(".3f",) * 4, ".1f", ".1f", ".1f")
    return Table(header, lines, formats, title=f"{part}: after training")


def over_training(one: Row, metric: str, workdir) -> tuple[list[int], np.ndarray]:
    """Steps, and the metric there, [run, step]."""
    curves = [
        {
            x["step"]: x[metric]
            for x in logs.read(pathlib.Path(workdir) / run.name)
            if metric in x
        }
        for run in one.runs
    ]
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    return steps, np.array([[curve[step] for step in steps] for curve in curves])


def draw(rows: Sequence[Row], found: Mapping, asked) -> bytes:
    """A panel for accuracy and one for dimensions: over steps, a color a method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.8), dpi=figures.DPI, layout="constrained")
    panels = {
        "accuracy of 20 neighbors": COLUMNS["20 neighbors"],
        "dimensions in use, of the test rows": COLUMNS["dimensions in use"],
    }
    axes = figure.subplots(1, len(panels))
    for axis, (title, metric) in zip(axes, panels.items()):
        for color, method in enumerate(METHODS):
            (one,) = (x for x in rows if x.method == method)
            steps, values = over_training(one, metric, asked.workdir)
            mean, sd = values.mean(axis=0), values.std(axis=0)
            axis.plot(
                steps, mean, color=f"C{color}", marker="o", markersize=3, label=method
            )
            axis.fill_between(
                steps, mean - sd, mean + sd, color=f"C{color}", alpha=0.2, linewidth=0
            )
        for name, line in zip(UNTRAINED, (":", "--", "-.")):
            (one,) = (x for x in rows if x.method == name)
            level = np.mean([found[run.name][metric] for run in one.runs])
            axis.axhline(
                level, color=figures.INK, linewidth=0.8, linestyle=line, label=name
            )
        axis.set_xlabel("steps")
        axis.set_title(title, fontsize=10, loc="left", color=figures.INK)
        figures.tidy(axis)
    axes[-1].legend(
        fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5)
    )
    return figures.png(figure)


def write(rows: Mapping[str, Sequence[Row]], found: Mapping, asked) -> str:
    """The result file, every number as CSV, and the pictures; returns the markdown."""
    content = [ABOUT.format(jobs=asked.jobs)]
    for part, some in rows.items():
        pixels = of_pixels(part, asked)
        content.append(full_table(some, found, pixels, asked, part))
        content.append(
            store.picture(
                asked.workdir,
                f"pictures/self_supervised_{part}.png",
                f"{part}: neighbors and dimensions over training, mean and standard "
                "deviation over seeds",
                draw(some, found, asked),
            )
        )
    return grid.write(
        "self_supervised",
        asked,
        itertools.chain(*rows.values()),
        found,
        title="Self-supervised methods side by side",
        content=content,
        columns=("data", "method"),
        data="DATA",
    )


def main(arguments=None) -> int:
    """Completes the runs, then writes and prints the results; the exit code."""
    asked = grid.parse(
        "self_supervised",
        __doc__,
        PARTS,
        arguments,
        data_dir="of emoji.npz and, at --scale=paper, of tfds' MNIST",
    )
    if "emoji" in asked.only and not asked.data_dir and asked.scale != "smoke":
        print("error: emoji need --data_dir; or --only=digits", file=sys.stderr)
        return 2
    rows = {part: rows_of(part, asked) for part in asked.only}
    runs = grid.runs_of(itertools.chain(*rows.values()))
    return grid.command(runs, asked, lambda found: write(rows, found, asked))


if __name__ == "__main__":
    sys.exit(main())
