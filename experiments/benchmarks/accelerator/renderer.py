"""Pictures that the project draws on the device, from batches that the host draws."""

import time
from collections.abc import Callable
from functools import partial

import jax

from experiments.benchmarks.accelerator import measure
from experiments.benchmarks.accelerator.measure import Figures
from repr_jax.data import multimodal3dident, polymnist, sprites

DATASETS: dict[str, tuple[Callable, int, int]] = {  # maker, batch, pictures a row
    "PolyMNIST, 28 x 28": (polymnist.load, 2_048, 5),
    "sprites, 64 x 64": (sprites.load, 4_096, 1),
    "Multimodal3DIdent, 64 x 64": (multimodal3dident.rendered, 1_024, 1),
    "Multimodal3DIdent, 224 x 224": (
        partial(multimodal3dident.rendered, size=224),
        256,
        1,
    ),
}


def figures(smoke: bool) -> Figures:
    for name, (make, batch, pictures) in DATASETS.items():
        if smoke and "224" in name:
            continue
        yield name, partial(one, make, 8 if smoke else batch, pictures, smoke)


def one(make: Callable, batch: int, pictures: int, smoke: bool) -> dict:
    """Of `prepare`; and how long the host takes to draw a batch."""
    dataset = make()
    batches = dataset.train(batch)
    drawn, count, began = next(batches), 2 if smoke else 5, time.perf_counter()
    for _ in range(count):
        drawn = next(batches)
    host = 1e3 * (time.perf_counter() - began) / count
    held = jax.device_put(drawn)
    program, facts = measure.compiled(dataset.prepare, held)
    found = measure.milliseconds(partial(program, held), smoke)
    return {
        **found,
        "pictures a second": 1e3 * batch * pictures / found["ms"],
        "batch": batch,
        "host, ms a batch": host,
        "arithmetic": "float32",
        **facts,
    }
