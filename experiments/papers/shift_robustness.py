"""Which representations survive a spurious correlation in their training data?

  python -m experiments.papers.shift_robustness --scale=cpu --workdir=DIR

Methods are trained on data whose labels go with an attribute at correlation r, which
the split out of distribution has not. Linear heads of the frozen representations are
fitted in and out of distribution, see `repr_jax/evaluators/shift_heads.py`. Parts, all
of them unless --only names some:
  sprites     the shape is the label, the color goes with it; r from 0 to 1.
  dominoes    the class of a picture is the label, the digit above goes with it.
  camelyon17  a tumor is the label, the hospital goes with it.
  fmow        land use is the label, the region goes with it.
Writes DIR/shift_robustness.json, .md and .csv, and a picture a part. Finished runs are
not repeated: the same command continues. Scales: cpu, images of 32 x 32 and 1,000
steps, or of 48 x 48 and 2,000; paper, sprites of 64 x 64, more images and 20,000 steps;
smoke, two steps of every run. Without --data_dir all is drawn; with it the pictures of
dominoes are those of CIFAR-10, tissue and land those of WILDS, with a ResNet-18.

Changes of color hide the attribute of sprites, so that SimCLR may win by its views
alone: the same views are shown to the classifier, and both are run without changes of
color. Random features say what needs no training.

Source: Shi et al., "How Robust is Unsupervised Representation Learning to Distribution
  Shift?", 2023, https://arxiv.org/abs/2206.08871. Its text was not at hand: sizes,
  networks and r between 0 and 1 are ours, as are the thresholds of the patterns.
"""

import itertools
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from experiments.launch import sweep
from experiments.papers import grid
from experiments.results import store, tables
from experiments.results.tables import Number, Table
from repr_jax import config as configs
from repr_jax import figures


class Method(NamedTuple):
    """A config for each kind of data, and what it has besides an encoder."""

    file: str  # with {} for the data
    parts: tuple[str, ...] = ()  # of the config, whose size is that of the images
    color: bool = True  # do its views change colors?
    labels: bool = False  # does it see them?
    values: Mapping = {}  # what else of the config is changed


SL, AE, SSL, RANDOM = "supervised", "autoencoder", "SimCLR", "random features"
_AUGMENTED = "configs/classification/supervised_augmented_{}.py"
_SIMCLR = "configs/contrastive/simclr_{}.py"
_VAE = Method("configs/variational/vae_{}.py", ("encoder", "decoder"))
METHODS = {
    RANDOM: Method("configs/classification/random_{}.py"),
    SL: Method("configs/classification/supervised_{}.py", labels=True),
    f"{SL}, SimCLR's views": Method(_AUGMENTED, ("augment",), labels=True),
    f"{SL}, views without color": Method(_AUGMENTED, ("augment",), False, True),
    AE: Method("configs/reconstruction/autoencoder_{}.py", ("decoder",)),
    "VAE": _VAE,
    "beta-VAE": _VAE._replace(values={"loss.beta": 4.0}),
    "IWAE": _VAE._replace(file="configs/variational/iwae_{}.py"),
    SSL: Method(_SIMCLR, ("augment",)),
    f"{SSL}, views without color": Method(_SIMCLR, ("augment",), False),
    "SimSiam": Method("configs/distillation/simsiam_{}.py", ("augment",)),
    "BYOL": Method("configs/distillation/byol_{}.py", ("augment",)),
}
CORRELATIONS = {
    "sprites": (0.0, 0.5, 0.9, 0.95, 0.98, 0.99, 1.0),
    "dominoes": (0.0, 0.9, 1.0),
    "camelyon17": (0.0, 0.9, 1.0),
    "fmow": (0.0, 0.9, 1.0),
}
WILDS = {"camelyon17": "camelyon17_v1.0", "fmow": "fmow_v1.1"}  # folders
PAPER = {
    "sprites": {
        "dataset.size": 64,
        "dataset.num_train": 50_000,
        "dataset.num_test": 10_000,
        "num_steps": 20_000,
    },
    **{name: {"num_steps": 20_000} for name in ("dominoes", *WILDS)},
}
CIFAR = {  # as many as there are
    "dataset.pictures": "cifar10",
    "dataset.source": "tfds",
    "dataset.num_train": 9_000,
    "dataset.num_test": 980,
}
COLUMNS = {
    "ID head, ID": "heads/id_head/id",
    "ID head, OOD": "heads/id_head/ood",
    "OOD head, ID": "heads/ood_head/id",
    "OOD head, OOD": "heads/ood_head/ood",
    "head bias": "heads/head_bias",
    "sensitivity, OOD head": "heads/sensitivity/ood_head",
    "small ID head, OOD": "heads/small_id_head/ood",
    "worst group, OOD head": "heads/worst_group/ood_head",
    "attribute, OOD head": "spurious/ood_head/ood",
}
OOD = COLUMNS["OOD head, OOD"]
ABOUT = (
    "Accuracies of linear heads of the frozen representation: of the label, and last "
    "of the attribute that goes with it. ID: in distribution, at correlation r of the "
    "training data; OOD: without correlation. The ID head is fitted to the training "
    "data, the OOD head to a few other examples, the small ID head to as many of "
    "the training data. Head bias: OOD accuracy of the OOD head less that of the ID "
    "head. Sensitivity: ID accuracy less OOD accuracy of one head. Mean and standard "
    "deviation over seeds, which choose data, network and order."
)


class Row(NamedTuple):
    """The runs that differ by their seed alone."""

    data: str  # of CORRELATIONS
    method: str  # of METHODS
    r: float
    runs: list[sweep.Run]


def row(data: str, method: str, r: float, asked) -> Row:
    """The runs of a method at one correlation."""
    kind, smoke = METHODS[method], asked.scale == "smoke"
    files = bool(asked.data_dir) and not smoke
    values = {"correlation": r, **kind.values}
    if asked.scale == "paper":
        values |= PAPER[data] | sizes(data, kind)
    if files and data == "dominoes":
        values |= CIFAR | {"dataset.data_dir": asked.data_dir}
    if files and data in WILDS:
        values["data_dir"] = os.path.join(asked.data_dir, WILDS[data])
    if not kind.color:
        view = "augment.view" if data == "dominoes" else "augment"
        change = "jitter_rate" if files and data in WILDS else "gains_rate"
        values |= {f"{view}.{change}": 0.0, f"{view}.gray_rate": 0.0}
    if method == RANDOM:  # it takes no more steps than it has
        values.pop("num_steps", None)
    mode = ":smoke" if smoke else ":drawn" if data in WILDS and not files else ""
    file = kind.file.format(data) + mode
    name = method.replace(",", "").replace("'", "").replace(" ", "_")
    runs = [
        sweep.Run(f"{data}/{name}/r{r:g}/seed{seed}", file, {**values, "seed": seed})
        for seed in range(asked.seeds)
    ]
    return Row(data, method, r, runs)


def sizes(data: str, kind: Method) -> dict:
    """What follows from the size of the sprites in a config."""
    if data != "sprites":
        return {}
    size = PAPER["sprites"]["dataset.size"]
    values = {"augment": ("augment.size", size)}
    for part in ("encoder", "decoder"):
        values[part] = (f"{part}.shape", (size, size, 3))
    return dict(values[part] for part in kind.parts)


def rows_of(data: str, asked) -> list[Row]:
    """Every method at every correlation."""
    grid_of_r = (0.0, 1.0) if asked.scale == "smoke" else CORRELATIONS[data]
    return [row(data, method, r, asked) for method in METHODS for r in grid_of_r]


def chance(rows: Sequence[Row]) -> float:
    """Of equally frequent labels, as many as the classifier of these rows has."""
    run = next(one.runs[0] for one in rows if one.method == SL)
    return 1 / configs.load(run.config).num_classes


def number(row: Row, found: Mapping, metric: str) -> Number:
    """Mean and spread of a metric over the runs."""
    return tables.over_seeds(found[run.name][metric] for run in row.runs)


def full_table(rows: Sequence[Row], found: Mapping, data: str) -> Table:
    """A line a method and correlation, a column a number."""
    lines = [
        (
            one.method,
            f"{one.r:g}",
            *(number(one, found, metric) for metric in COLUMNS.values()),
        )
        for one in rows
    ]
    return Table(("method", "r", *COLUMNS), lines, title=f"{data}: all numbers")


def short_table(rows: Sequence[Row], found: Mapping, data: str) -> Table:
    """A line a method, a column a correlation: OOD accuracy of the OOD head."""
    grid_of_r = list(dict.fromkeys(one.r for one in rows))
    lines = [
        (name, *(number(one, found, OOD) for one in rows if one.method == name))
        for name in METHODS
    ]
    header = ("method", *(f"r = {r:g}" for r in grid_of_r))
    title = f"{data}: OOD accuracy of the OOD head"
    return Table(header, lines, title=title)


def patterns(rows: Sequence[Row], found: Mapping, data: str) -> Table:
    """What is expected of the methods, and whether these runs show it.

    Means over the seeds are compared, without regard to their spread.
    """

    def mean(column, method, r=1.0):
        (one,) = (one for one in rows if (one.method, one.r) == (method, r))
        return number(one, found, COLUMNS[column]).mean

    def fall(method):
        values = [number(one, found, OOD).mean for one in rows if one.method == method]
        return max(values) - min(values)

    if data in WILDS:
        checked = of_domains(rows, found)
    else:
        checked = [*at_one(mean, chance(rows)), *over_r(mean, fall)]
    lines = [(claim, values, "yes" if ok else "no") for claim, values, ok in checked]
    return Table(("expected", "found", "holds"), lines, title=f"{data}: patterns")


def at_one(mean: Callable, chance: float) -> list[tuple]:
    """Claims about r = 1, the numbers they are about, and whether they hold.

    mean: (column, method) -> number.
    """
    fitted, bias = (
        {name: mean(column, name) for name in METHODS}
        for column in ("ID head, ID", "head bias")
    )
    lowest, least = min(fitted.values()), min(bias.values())
    unseen = mean("ID head, OOD", SL)
    core = {name: mean("OOD head, OOD", name) for name in (SSL, AE, SL, RANDOM)}
    read = [mean("attribute, OOD head", name) for name in (SL, AE)]
    return [
        (
            "r = 1: every ID head is right in distribution (0.98)",
            [lowest],
            lowest >= 0.98,
        ),
        (
            f"r = 1: out of it {SL} is near chance (within 0.1)",
            [unseen, chance],
            abs(unseen - chance) <= 0.1,
        ),
        (
            f"r = 1: head bias above 0 for all, and 0.10 for {SSL}",
            [least, bias[SSL]],
            least > 0 and bias[SSL] >= 0.1,
        ),
        (
            f"r = 1, OOD head: {SSL} above {AE} above {SL}",
            [core[SSL], core[AE], core[SL]],
            core[SSL] > core[AE] > core[SL],
        ),
        (
            f"r = 1, OOD head: {SL} at most 0.05 above {RANDOM}",
            [core[SL], core[RANDOM]],
            core[SL] - core[RANDOM] <= 0.05,
        ),
        (
            f"r = 1: the attribute can be read from {SL} and {AE} (0.95)",
            read,
            min(read) >= 0.95,
        ),
    ]


def over_r(mean: Callable, fall: Callable) -> list[tuple]:
    """As `at_one`, about r = 0 and what becomes of it; fall: (method) -> max - min."""
    without = {name: mean("OOD head, OOD", name, 0.0) for name in METHODS}
    rival = max((n for n in METHODS if not METHODS[n].labels), key=without.get)
    return [
        (
            f"OOD head over r: {SSL} changes at most a third as much as {SL}",
            [fall(SSL), fall(SL)],
            fall(SSL) <= fall(SL) / 3,
        ),
        (
            f"r = 0: {SL} above all that see no labels; best of them {rival}",
            [without[SL], without[rival]],
            without[SL] > without[rival],
        ),
    ]


def of_domains(rows: Sequence[Row], found: Mapping) -> list[tuple]:
    """As `at_one`, the one claim about data whose domain goes with the label."""
    pair = [
        [found[run.name][COLUMNS["sensitivity, OOD head"]] for run in one.runs]
        for name in (SSL, SL)
        for one in rows
        if (one.method, one.r) == (name, 1.0)
    ]
    share = statistics.mean(a <= b for a, b in zip(*pair))
    return [
        (
            f"r = 1, OOD head: {SSL} at most as sensitive as {SL}, in 3 of 4 seeds",
            [*map(statistics.mean, pair), share],
            share >= 0.75,
        )
    ]


def draw(rows: Sequence[Row], found: Mapping) -> bytes:
    """A panel for each head: OOD accuracy over r, a color a method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.8), dpi=figures.DPI, layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    grid_of_r = list(dict.fromkeys(one.r for one in rows))
    for axis, head in zip(axes, ("OOD head, OOD", "ID head, OOD")):
        for color, name in enumerate(METHODS):
            numbers = [
                number(one, found, COLUMNS[head]) for one in rows if one.method == name
            ]
            axis.errorbar(
                range(len(grid_of_r)),
                [x.mean for x in numbers],
                [x.sd or 0.0 for x in numbers],
                color=f"C{color}",
                linestyle="--" if "," in name else "-",
                marker="o",
                markersize=4,
                capsize=2,
                label=name,
            )
        axis.axhline(chance(rows), color=figures.INK, linewidth=0.8, linestyle=":")
        axis.set_xticks(range(len(grid_of_r)), [f"{r:g}" for r in grid_of_r])
        axis.set_xlabel("correlation r of label and attribute in training")
        axis.set_title(
            f"accuracy out of distribution, {head.partition(',')[0]}",
            fontsize=10,
            loc="left",
            color=figures.INK,
        )
        figures.tidy(axis)
    axes[-1].legend(
        fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5)
    )
    return figures.png(figure)


def write(rows: Mapping[str, Sequence[Row]], found: Mapping, asked) -> str:
    """The result file, every number as CSV, and the pictures; returns the markdown."""
    content = [ABOUT]
    for data, some in rows.items():
        content += [make(some, found, data) for make in (short_table, patterns)]
        picture = store.picture(
            asked.workdir,
            f"pictures/shift_robustness_{data}.png",
            f"{data}: accuracy out of distribution over the correlation in training",
            draw(some, found),
        )
        content += [picture, full_table(some, found, data)]
    return grid.write(
        "shift_robustness",
        asked,
        itertools.chain(*rows.values()),
        found,
        title="Representations and a spurious correlation",
        content=content,
        columns=("data", "method", "r"),
        data="DATA",
    )


def main(arguments=None) -> int:
    """Completes the runs, then writes and prints the results; the exit code."""
    asked = grid.parse(
        "shift_robustness",
        __doc__,
        CORRELATIONS,
        arguments,
        data_dir="of tfds' CIFAR-10 and MNIST, and of WILDS's folders; if empty all is "
        "drawn",
    )
    rows = {data: rows_of(data, asked) for data in asked.only}
    runs = grid.runs_of(itertools.chain(*rows.values()))
    return grid.command(runs, asked, lambda found: write(rows, found, asked))


if __name__ == "__main__":
    sys.exit(main())
