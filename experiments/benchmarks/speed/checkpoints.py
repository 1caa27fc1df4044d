"""What saving costs a run: how long a step is held up, until when, and what disk."""

import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks.speed.turns import Subject
from experiments.results.tables import Table
from repr_jax import checkpoint
from repr_jax.models.mlp import MLP

TEXT = (
    "A dense network with Adam's two moments takes steps on 64 rows, and `save` of "
    "`repr_jax.checkpoint` is called after some of them, as the loop of `train.py` "
    "does: it takes checksums on the device and copies the state to the host, and "
    "orbax writes while steps go on. Medians of several saves; the spread is that of "
    "the ratio of the step with a save and one without. Restoring compares checksums, "
    "and its files are in memory by then."
)
WIDTHS = {"10 MB": (408,) * 5, "200 MB": (2_048,) * 4}
SMOKE = {"small": (8,) * 3}
SAVES, LEAST_BETWEEN = 5, 5  # saves of each state; steps without one, in between


class Saved(NamedTuple):
    """Seconds of each save."""

    stalled: list[float]  # the step with the save
    during: list[float]  # the median step while orbax writes, if there is one
    until_written: list[float]  # from the beginning of the save
    plain: list[float]  # the median step without either


def training(widths: tuple[int, ...]) -> tuple[Callable, tuple]:
    """(state -> state, loss), compiled, which uses up the state; and the first one."""
    model, optimizer = MLP(widths), optax.adam(1e-3)
    shape = (64, widths[0])
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def step(state):
        params, moments = state

        def loss(params):
            return jnp.mean((model.apply(params, x, train=True) - x) ** 2)

        value, gradient = jax.value_and_grad(loss)(params)
        moves, moments = optimizer.update(gradient, moments)
        return (optax.apply_updates(params, moves), moments), value

    def init(key):
        params = model.init(key, x, train=True)
        return params, optimizer.init(params)

    return jax.jit(step, donate_argnums=0), jax.jit(init)(jax.random.key(0))


def saving(step: Callable, state, folder: pathlib.Path, saves: int) -> tuple:
    """The last state, and Saved."""
    found = Saved([], [], [], [])

    def timed_step(state, number=None):
        began = time.perf_counter()
        state, value = step(state)
        jax.block_until_ready(value)
        if number is not None:
            checkpoints.save(number, state)
        return state, time.perf_counter() - began

    with checkpoint.Checkpoints(folder) as checkpoints:
        for number in range(saves):
            plain, during = [], []
            for _ in range(LEAST_BETWEEN + 1):
                state, seconds = timed_step(state)
                plain.append(seconds)
            began = time.perf_counter()
            state, seconds = timed_step(state, number)
            found.stalled.append(seconds)
            while not (folder / str(number)).exists():  # orbax renames it at its end
                state, seconds = timed_step(state)
                during.append(seconds)
            found.until_written.append(time.perf_counter() - began)
            checkpoints.wait()
            found.plain.append(statistics.median(plain[1:]))
            if during:
                found.during.append(statistics.median(during))
    return state, found


def restoring(state, folder: pathlib.Path) -> float:
    """Seconds to read the newest state and compare its checksums."""
    wanted = checkpoint.abstract(state)
    with checkpoint.Checkpoints(folder, read_only=True) as checkpoints:
        began = time.perf_counter()
        jax.block_until_ready(checkpoints.restore(wanted)[1])
        return time.perf_counter() - began


def measured(name: str, widths: tuple[int, ...], workdir: str, smoke: bool) -> list:
    """A line of the table."""
    step, state = training(widths)
    size = sum(x.nbytes for x in jax.tree.leaves(state))
    with tempfile.TemporaryDirectory(dir=workdir) as kept:
        folder = pathlib.Path(kept).absolute() / "checkpoints"
        state, _ = saving(step, state, folder / "first", 1)  # compiles the checksums
        folder /= "timed"
        state, found = saving(step, state, folder, 2 if smoke else SAVES)
        newest = folder / str(max(int(path.name) for path in folder.iterdir()))
        files = [path for path in newest.rglob("*") if path.is_file()]
        written = sum(path.stat().st_size for path in files)
        restored = restoring(state, folder)
    ratios = [a / b for a, b in zip(found.stalled, found.plain, strict=True)]
    plain, stalled = (1e3 * statistics.median(x) for x in (found.plain, found.stalled))
    during = 1e3 * statistics.median(found.during) if found.during else None
    until = statistics.median(found.until_written)
    times = [plain, stalled, statistics.median(ratios), min(ratios), max(ratios)]
    return [name, size / 1e6, *times, during, until, written / size, restored]


def stalls(workdir: str, smoke: bool) -> list:
    formats = {
        "state": "",
        "MB": ".1f",
        "a step, ms": ".3g",
        "with a save, ms": ".3g",
        "ratio": ".2f",
        "from": ".2f",
        "to": ".2f",
        "during the write, ms": ".3g",
        "until on disk, s": ".3g",
        "bytes on disk, of the state's": ".3f",
        "restore, s": ".3g",
    }
    sizes = SMOKE if smoke else WIDTHS
    rows = [measured(name, widths, workdir, smoke) for name, widths in sizes.items()]
    return [Table(tuple(formats), rows, tuple(formats.values()))]


SUBJECT = Subject("Cost of checkpoints", TEXT, lambda smoke: (), stalls)
