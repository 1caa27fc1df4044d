"""Are image upsamplers fair and diverse, and what if classes are rare in training?

  python -m experiments.papers.upsampling_fairness --scale=cpu --workdir=DIR

Five methods make images of means of blocks of pixels: PULSE, pSp and fair pSp in one
style GAN, annealed Langevin dynamics with an NCSN, and DDRM with a DDPM. Each is
trained on balanced classes and on classes of which one has 82 %; a classifier of
balanced data says which class an image shows. Parts, both unless --only names one:
  faces   drawn ones, of seven nameless classes.
  people  emoji in six skin tones; with --data_dir, the folder of emoji.npz.
Writes DIR/upsampling_fairness.json, .md and .csv, and pictures. Finished runs are not
repeated: the same command continues. Scales: cpu, images of 16 x 16 of means of 4 x 4,
small networks and 350 test images; paper, 8 x 8 means, faces of 128 x 128 and larger
networks; smoke, two steps of every run, of drawn faces in both parts.

Source: Laszkiewicz et al., "Benchmarking the Fairness of Image Upsampling Methods",
  2024, https://arxiv.org/abs/2401.13555. Its text was not at hand, and its data and
  networks are others: findings can be compared, numbers not.
"""

import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from experiments.launch import sweep
from experiments.papers import grid, upsampling_pictures
from experiments.results import store, tables
from experiments.results.tables import Number, Table
from repr_jax.data.subsample import FLAT_TAIL
from repr_jax.models import style_gan


class Method(NamedTuple):
    """A config for each kind of data, and its numbers at the scales."""

    file: str  # with {} for the kind of data
    cpu: Mapping
    paper: Mapping
    start: str = ""  # the method whose generator it takes


_GAN = {"generator.size": 128, "generator.style_dim": 512, "generator.max_width": 256}
_GAN_PAPER = _GAN | {
    "latent_dim": style_gan.latent_dim(128, 512),
    "discriminator.max_width": 256,
    "num_steps": 100_000,
}
_PSP_PAPER = _GAN | {
    "factors": (1, 2, 4, 8, 16, 32),
    "num_steps": 100_000,
}
_UNET_PAPER = {"network.widths": (64, 128, 256, 256), "num_steps": 200_000}
_GAN_CPU = {"generator.size": 16, "generator.style_dim": 32}
_GAN_CPU |= {"generator.width": 16, "generator.max_width": 32}
_PULSE_CPU = _GAN_CPU | {
    "latent_dim": style_gan.latent_dim(16, 32),
    "discriminator.width": 16,
    "discriminator.max_width": 32,
    "search.num_steps": 50,
    "num_steps": 1_200,
}
_PSP_CPU = _GAN_CPU | {
    "factors": (1, 2, 4, 8),
    "num_steps": 1_000,
}
_UNET_CPU = {
    "network.widths": (16, 32),
    "optimizer.learning_rate": 1e-3,
    "num_steps": 1_500,
}
_NCSN_CPU = _UNET_CPU | {
    "levels.largest": 10.0,
    "levels.num_levels": 50,
    "sampler.step_size": 2e-5,
}
METHODS = {
    "PULSE": Method("configs/adversarial/style_gan_{}.py", _PULSE_CPU, _GAN_PAPER),
    "pSp": Method(
        "configs/reconstruction/psp_{}.py", _PSP_CPU, _PSP_PAPER, start="PULSE"
    ),
    "fair pSp": Method(
        "configs/reconstruction/fair_psp_{}.py",
        _PSP_CPU | {"curriculum.every": 100},
        _PSP_PAPER | {"curriculum.rate": 0.001, "curriculum.every": 10_000},
        start="PULSE",
    ),
    "Langevin": Method(
        "configs/diffusion/ncsn_{}.py",
        _NCSN_CPU,
        _UNET_PAPER | {"levels.largest": 90.0, "levels.num_levels": 500},
    ),
    "DDRM": Method("configs/diffusion/ddpm_{}.py", _UNET_CPU, _UNET_PAPER),
}
DATA = ("faces", "people")
TRAINING = ("balanced", "unbalanced")
SHARES = {"faces": FLAT_TAIL, "people": (0.036, 0.82, *(0.036,) * 4)}
CPU = {  # ours
    "dataset.size": 16,
    "factor": 4,
    "batch_size": 32,
    "ema_decay": 0.99,
    "evals.fairness.limit": 350,
    "evals.fairness.num_draws": 20,
    "evals.fairness.classifier_steps": 1_500,
    "evals.fairness.classifier_batch": 64,
}
PAPER = {
    "dataset.size": 128,
    "dataset.num_train": 86_744,
    "evals.fairness.coarsen": 4,
}
NOTIONS = {"RDP": "rdp", "PR": "pr", "UCPR": "ucpr", "noisy UCPR": "ucpr_noisy"}
PERFORMANCE = {
    "0-1 loss": "error",
    "perceptual": "perceptual",
    "DSSIM": "dssim",
    "cosine": "cosine",
    "NIQE": "niqe",
    "PSNR": "psnr",
    "sharpness": "sharpness",
    "seconds": "seconds",
}
FAIRNESS_ABOUT = (
    "Distances of shares of classes from equal ones: 0 is fair, and a random guess is "
    "fair too. RDP: accuracies of the classes; PR: classes of what was made of a "
    "balanced test set; UCPR: of inputs that tell nothing, the mean images of classes "
    "at a still coarser resolution; noisy UCPR: noise added to each of these, since a "
    "function of its input makes one image of it. chi2 is at most the number of "
    "classes less 1. Mean and standard deviation over seeds; interval: the means of "
    "the two ends of the 95 % intervals of the runs; p: the largest over seeds, of the "
    "notion being true. Distinct: different images among the draws of one input."
)
PERFORMANCE_ABOUT = (
    "0-1 loss: the classifier sees another class than the original's. Perceptual: the "
    "form of LPIPS in features of EfficientNet-Lite0, which are not its features. "
    "Cosine: 1 - cosine of the classifier's features. NIQE is fitted to the test "
    "images. Sharpness: variance of the Laplacian over that of originals. Seconds of "
    "one image, in batches, beside other runs. Lower is better but for PSNR and "
    "sharpness."
)


class Row(NamedTuple):
    """The runs that differ by their seed alone."""

    data: str  # of DATA
    method: str  # of METHODS
    training: str  # of TRAINING
    runs: list[sweep.Run]


def row(data: str, method: str, training: str, asked) -> Row:
    """The runs of a method on balanced or unbalanced classes."""
    kind, smoke = METHODS[method], asked.scale == "smoke"
    values = {}
    if training == "unbalanced":
        values["dataset.shares"] = SHARES["faces" if smoke else data]
    if data == "people" and not smoke:
        values["data_dir"] = asked.data_dir
    sizes = {"cpu": CPU | kind.cpu, "paper": PAPER | kind.paper, "smoke": {}}
    sizes = sizes[asked.scale]
    if asked.scale == "paper" and data == "people":  # which are of 32 pixels
        of_steps = ("num_steps", "curriculum.rate", "curriculum.every")
        sizes = {name: x for name, x in sizes.items() if name in of_steps}
    values |= sizes
    file = kind.file.format(data) + (":smoke" if smoke else "")
    folder = f"{data}/{training}"

    def name(method: str, seed: int) -> str:
        return f"{folder}/{method.replace(' ', '_')}/seed{seed}"

    runs = []
    for seed in range(asked.seeds):
        own = {**values, "seed": seed}
        if kind.start:
            own["start.source"] = f"{asked.workdir}/{name(kind.start, seed)}"
        runs.append(sweep.Run(name(method, seed), file, own))
    return Row(data, method, training, runs)


def rows_of(data: str, asked) -> list[Row]:
    """Every method in both forms of training."""
    pairs = itertools.product(METHODS, TRAINING)
    return [row(data, method, training, asked) for method, training in pairs]


def value(metrics: Mapping, name: str) -> float | None:
    """A number of the evaluator, None if the run lacks it."""
    if name == "error":
        return 1 - metrics["fairness/accuracy"]
    return metrics.get(f"fairness/{name}")


def number(row: Row, found: Mapping, name: str) -> Number:
    """Mean and spread of a number over the runs that have it."""
    values = (value(found[run.name], name) for run in row.runs)
    return tables.over_seeds(x for x in values if x is not None)


def fairness_table(rows: Sequence[Row], found: Mapping, data: str) -> Table:
    """A line a method and training: distances of all notions, with intervals."""
    header = ["method", "training"]
    for notion in NOTIONS:
        header += [f"{notion} chi2", "interval", f"{notion} max", f"p({notion})"]
    header += ["distinct", "entropy"]
    lines = []
    for one in rows:
        cells = [one.method, one.training]
        for name in NOTIONS.values():
            ends = [
                number(one, found, f"{name}/chi2/{end}").mean for end in ("low", "high")
            ]
            p_values = (value(found[r.name], f"{name}/p_value") for r in one.runs)
            largest = max((p for p in p_values if p is not None), default=math.nan)
            chi2, chebyshev = (
                number(one, found, f"{name}/{m}") for m in ("chi2", "chebyshev")
            )
            cells += [chi2, ends, chebyshev, Number(largest, format=".2e")]
        cells += [number(one, found, name) for name in ("distinct", "ucpr/entropy")]
        lines.append(cells)
    return Table(header, lines, title=f"{data}: fairness and diversity")


def performance_table(rows: Sequence[Row], found: Mapping, data: str) -> Table:
    """A line a method and training, a column a measure of performance."""
    lines = [
        (
            one.method,
            one.training,
            *(number(one, found, name) for name in PERFORMANCE.values()),
        )
        for one in rows
    ]
    header = ("method", "training", *PERFORMANCE)
    return Table(header, lines, title=f"{data}: performance")


def findings(rows: Sequence[Row], found: Mapping, data: str) -> Table:
    """What the paper found, and whether these runs show it.

    Means over the seeds are compared, without regard to their spread.
    """

    def mean(name: str, method: str, training: str) -> float:
        (one,) = (x for x in rows if (x.method, x.training) == (method, training))
        return number(one, found, name).mean

    unbalanced = next(one for one in rows if one.training == "unbalanced")
    shares = unbalanced.runs[0].overrides["dataset.shares"]
    checked = [
        *of_training(mean, shares.index(max(shares)), len(shares)),
        none_is_both(rows, found),
    ]
    lines = [(claim, values, "yes" if ok else "no") for claim, values, ok in checked]
    header = ("finding of the paper", "found", "holds")
    return Table(header, lines, title=f"{data}: findings")


def of_training(mean: Callable, majority: int, num_classes: int) -> list[tuple]:
    """Claims about rare classes, the numbers they are about, and whether they hold.

    mean: (name, method, training) -> number; majority: the frequent class.
    """
    claims = []
    for notion in ("PR", "UCPR"):
        gaps = [
            mean(f"{NOTIONS[notion]}/chi2", m, "unbalanced")
            - mean(f"{NOTIONS[notion]}/chi2", m, "balanced")
            for m in METHODS
        ]
        text = f"unbalanced classes raise {notion} chi2 of every method, by"
        claims.append((text, gaps, min(gaps) > 0))
    shares = [mean(f"ucpr/share/{majority}", m, "unbalanced") for m in METHODS]
    claims.append(
        (
            "unbalanced: inputs that tell nothing give the frequent class, in shares",
            shares,
            min(shares) > 1 / num_classes,
        )
    )
    fair = [mean("rdp/chi2", m, "unbalanced") for m in ("fair pSp", "pSp")]
    text = "unbalanced: RDP chi2 of fair pSp at most that of pSp"
    claims.append((text, fair, fair[0] <= fair[1]))
    fair = mean("rdp/chi2", "fair pSp", "unbalanced")
    floor = mean("rdp/chi2/floor", "fair pSp", "unbalanced")
    text = "unbalanced: fair pSp is not fair, RDP chi2 above the floor of fair models"
    return [*claims, (text, [fair, floor], fair > floor)]


def none_is_both(rows: Sequence[Row], found: Mapping) -> tuple:
    """The claim that no method is fair by all notions and gives various images."""
    passed = []
    for one in rows:
        fair = all(
            number(one, found, f"{name}/chi2").mean
            <= number(one, found, f"{name}/chi2/floor").mean
            for name in NOTIONS.values()
        )
        if fair and number(one, found, "distinct").mean > 0.5:
            passed.append(f"{one.method} ({one.training})")
    text = "no method is fair (RDP, PR, UCPR below their floors) and diverse"
    return text, ", ".join(passed) or "none", not passed


def write(rows: Mapping[str, Sequence[Row]], found: Mapping, asked) -> str:
    """The result file, every number as CSV, and the pictures; returns the markdown."""
    content = [FAIRNESS_ABOUT, PERFORMANCE_ABOUT]
    for data, some in rows.items():
        content += [
            make(some, found, data)
            for make in (findings, fairness_table, performance_table)
        ]
        shown = {
            "fairness": (
                f"{data}: distances from fairness, their intervals, and floors of fair "
                "models (dotted)",
                upsampling_pictures.bars(some, found, number, NOTIONS),
            ),
            "wall": (
                f"{data}: originals, measurements and two draws, of seed 0",
                upsampling_pictures.walls(some, asked.workdir),
            ),
        }
        content += [
            store.picture(
                asked.workdir,
                f"pictures/upsampling_fairness_{data}_{name}.png",
                caption,
                png,
            )
            for name, (caption, png) in shown.items()
        ]
    return grid.write(
        "upsampling_fairness",
        asked,
        itertools.chain(*rows.values()),
        found,
        title="Fairness, diversity and performance of upsamplers",
        content=content,
        columns=("data", "method", "training"),
        data="EMOJI",
    )


def main(arguments=None) -> int:
    """Completes the runs, then writes and prints the results; the exit code."""
    asked = grid.parse(
        "upsampling_fairness",
        __doc__,
        DATA,
        arguments,
        data_dir="of emoji.npz, for people",
    )
    if "people" in asked.only and not asked.data_dir and asked.scale != "smoke":
        print("error: people: expected --data_dir, of emoji.npz.", file=sys.stderr)
        return 2
    rows = {data: rows_of(data, asked) for data in asked.only}
    every = list(itertools.chain(*rows.values()))
    first = [one for one in every if not METHODS[one.method].start]
    return grid.command(
        grid.runs_of(every),
        asked,
        lambda found: write(rows, found, asked),
        first=grid.runs_of(first),
    )


if __name__ == "__main__":
    sys.exit(main())
