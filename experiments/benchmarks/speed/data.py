"""Pictures drawn and augmented on the device, beside files read by Pillow and views by
torchvision and albumentations; and the share of a step that waits for data.
"""

import contextlib
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from unittest import mock

import jax
import numpy as np

from configs.contrastive import simclr_mnist, simclr_sprites
from configs.multimodal import mopoe_polymnist_demo
from experiments.benchmarks.speed.peers import data_sizes as sizes
from experiments.benchmarks.speed.turns import Problem, Subject
from experiments.results.tables import Table
from repr_jax import run, train
from repr_jax.data import dataset, multimodal3dident, polymnist, recipes, sprites

TEXT = (
    "An epoch of a few batches of float32 pictures in [0, 1], read ahead as in "
    "training. Ours are drawn by the host's random numbers and a compiled program; "
    "those of the peers are PNG files, in memory by then, decoded by Pillow in a loop "
    "or by the DataLoader of torch with two workers that stay; files of 3-D scenes are "
    "of 224 pixels, as the released ones, and made smaller by Pillow. SimCLR's views "
    "are of uint8 images in memory: crop, flip, colors, gray, blur. Ours crop and blur "
    "by matrices of a whole side, as accelerators like it, and make every change of "
    "every image; the peers make those that were drawn, cut values to 8 bits after "
    "each change, and their views differ in their random numbers."
)
WAITS = (
    "How long the loop of `train.py` waits for a batch, of its time from the first "
    "log point on: batches are made in a thread, on the cores that also train."
)
DRAWN = {
    "PolyMNIST, 5 views of 28": polymnist.load,
    "sprites of 64": sprites.load,
    "3-D scenes of 64": multimodal3dident.rendered,
}
RECIPES = {
    "SimCLR views of 32": recipes.SIMCLR_CIFAR,
    "SimCLR views of 224": recipes.SIMCLR,
}
RUNS = {
    "simclr_mnist": simclr_mnist,
    "mopoe_polymnist_demo": mopoe_polymnist_demo,
    "simclr_sprites": simclr_sprites,
}


def epoch_of(program: Callable, batches: Iterator, epoch: sizes.Epoch) -> Callable:
    """Reads the next batches ahead and puts the program to each."""

    def call():
        ahead = dataset.prefetch(itertools.islice(batches, epoch.batches))
        with contextlib.closing(ahead):
            return [program(batch) for batch in ahead]

    return call


def drawn(name: str, epoch: sizes.Epoch) -> Callable:
    """Of a dataset's training split."""
    options = {} if epoch.views > 1 else dict(size=epoch.size)
    found = DRAWN[name](**options)
    return epoch_of(jax.jit(found.prepare), found.train(epoch.batch), epoch)


def augmented(name: str, epoch: sizes.Epoch) -> Callable:
    """One view of each image of a batch."""
    side, recipe = epoch.stored or epoch.size, {**RECIPES[name], "size": epoch.size}
    shape = (epoch.batch, side, side, 3)
    images = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)

    @jax.jit
    def view(step):
        key = jax.random.fold_in(jax.random.key(0), step["number"])
        return recipes.view(key, step["image"] / 255, **recipe)

    batches = ({"number": np.uint32(n), "image": images} for n in itertools.count())
    return epoch_of(view, batches, epoch)


def problems(smoke: bool) -> Iterator[Problem]:
    for make, of in ((drawn, sizes.READ), (augmented, sizes.AUGMENTED)):
        for name, epoch in sizes.epochs(smoke, of).items():
            count = epoch.batch * epoch.batches
            made = partial(make, name, epoch)
            yield Problem(name, made, same=False, examples=count)


def timed_prefetch(waits: list[float]) -> Callable:
    """`dataset.prefetch`, which notes how long each batch was waited for."""
    prefetch = dataset.prefetch

    def timed(*arguments, **options):
        with contextlib.closing(prefetch(*arguments, **options)) as batches:
            while True:
                began = time.perf_counter()
                batch = next(batches, None)
                if batch is None:
                    return
                waits.append(time.perf_counter() - began)
                yield batch

    return timed


def waiting(name: str, workdir: str, smoke: bool) -> list:
    """Name, ms of a step, of its wait (mean and median), and the share."""
    config = RUNS[name].get_config("smoke" if smoke else "")
    config.evals, config.eval_every, config.best_metric = {}, 0, ""
    config.num_steps, config.log_every = (24, 4) if smoke else (120, 20)
    config.batch_size = max(config.batch_size, len(jax.devices()))
    config.checkpoint_every = config.num_steps
    waits, points = [], []

    def on_log(step, metrics):
        points.append((step, time.perf_counter(), len(waits)))

    with (
        tempfile.TemporaryDirectory(dir=workdir) as folder,
        mock.patch.object(train, "prefetch", timed_prefetch(waits)),
    ):
        run.train(config, folder, on_log=on_log)
    (first, began, start), (last, end, stop) = points[0], points[-1]
    mine, seconds = waits[start:stop] or [0.0], end - began
    steps = last - first
    of_each = [1e3 * seconds / steps, 1e3 * sum(mine) / steps]
    return [name, *of_each, 1e3 * statistics.median(mine), sum(mine) / seconds]


def shares(workdir: str, smoke: bool) -> list:
    header = ("config", "step, ms", "waits, ms", "median", "share")
    names = list(RUNS)[:1] if smoke else RUNS
    rows = [waiting(name, workdir, smoke) for name in names]
    formats = ("", ".3g", ".2g", ".2g", ".2%")
    return [WAITS, Table(header, rows, formats, "The share that waits for data")]


SUBJECT = Subject("Speed of data", TEXT, problems, shares)
