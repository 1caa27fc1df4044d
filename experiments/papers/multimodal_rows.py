"""Rows of the tables of multimodal VAEs: runs of a config that differ by their seed.

A row is a model on a dataset at one weight beta of the divergence.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from experiments.launch import sweep
from experiments.results import tables
from experiments.results.tables import Number
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
    "batch_size": 32,
    "contrast": 0.4,  # at 1 mixtures of experts draw no digit after so few steps
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
CHANCE = 0.1  # of coherence: ten digits

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
