"""A tree of logits as large as ImageNet's training split, on the device."""

import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import hierarchy as on_host
from experiments.benchmarks.accelerator import measure
from experiments.benchmarks.accelerator.measure import Figures
from repr_jax.estimators import hierarchy


def figures(smoke: bool) -> Figures:
    """Fits by the rows of a block, and that of the host: all must be the same tree."""
    rows, classes = (300, 7) if smoke else (1_281_167, 1_000)
    logits, trees = draw(rows, classes), {}
    first, *others = (64, 32) if smoke else (16_384, 65_536, 4_096, 1_024)
    size = f"{rows:,} x {classes:,}"
    yield f"{size}, blocks of {first:,}", partial(on_device, logits, first, trees)
    yield "on the host", partial(of_host, logits, trees)
    for block in others:
        yield f"blocks of {block:,}", partial(on_device, logits, block, trees)


def draw(rows: int, classes: int) -> np.ndarray:
    """[rows, K] float16 on the host, with the law of `on_host.write_logits`."""
    directions = on_host.nested_directions(np.random.default_rng(0), classes)

    @jax.jit
    def some(key, directions):
        label_key, key = jax.random.split(key)
        y = jax.random.randint(label_key, (rows,), 0, classes)
        noise = jax.random.normal(key, (rows, on_host.DIM))
        return ((20 * directions[y] + 1.3 * noise) @ directions.T).astype(jnp.float16)

    drawn = some(jax.random.key(0), directions)
    logits = np.asarray(drawn)
    measure.drop(drawn)
    return logits


def on_device(logits, block: int, trees: dict) -> dict:
    """The seconds of a fit, which compiles; and of another, if it was short."""
    seconds = []
    while len(seconds) < 2 and sum(seconds) < 6:
        began = time.perf_counter()
        tree = hierarchy.fit_sharded(logits, block=block)
        seconds.append(time.perf_counter() - began)
    same = _compared(trees, f"blocks of {block}", tree)
    again = {"seconds, again": seconds[1]} if seconds[1:] else {}
    return {"seconds": seconds[0], **again, **measure.peak_mib(), **same}


def of_host(logits, trees: dict) -> dict:
    """By all cores of the machine."""
    began = time.perf_counter()
    tree = hierarchy.fit(logits)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, **_compared(trees, "host", tree)}


def _compared(trees: dict, name: str, tree) -> dict:
    """Which earlier trees merge otherwise; every tree is kept."""
    others = [n for n, x in trees.items() if not np.array_equal(x.merges, tree.merges)]
    trees[name] = tree
    if len(trees) == 1:
        return {}
    text = f"not {', '.join(others)}" if others else "equal"
    return {"same merges as before": text}
