"""Training of small networks, many steps in a call.

What bounds identifiability, from a profile of one call on a busy machine of two cores
in November 2026: the compiled step, 9.5 ms of processor time, beside 0.02 ms of the
host for its batch. The products of the perceptrons alone would need about a third of
it; the rest is some forty small kernels of 512 rows, and the matrix of distances.
"""

import itertools
import pathlib
from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np

from experiments.benchmarks.accelerator import measure
from experiments.benchmarks.speed.networks import as_products
from experiments.benchmarks.speed.peers import sizes
from experiments.benchmarks.speed.turns import Problem, Subject
from repr_jax import config as configs
from repr_jax import run, sharding, train

WIDTH = 128
CONFIGS = pathlib.Path(__file__).resolve().parents[3] / "configs"
TEXT = (
    "Steps of training by the project's own loop, from a config: one call of the "
    "compiled program takes all steps that are named, the peer takes as many in a loop "
    "of plain torch; milliseconds are of all of them. Both draw their data: the "
    "identifiability experiment has two perceptrons of five layers, 128 wide; the GAN "
    "on a ring two of four layers, 128 wide, with a penalty of the gradient. The batch "
    "of each config, and a small one. The limit is the operations of our steps, as XLA "
    "counts them in the program as written, done by products of batch x 128 and 128 x "
    "128 numbers."
)
FILES = {
    "identifiability": "contrastive/multimodal_identifiability_cpu.py",
    "ring": "adversarial/gan_ring.py",
}


def training(name: str, batch: int, smoke: bool):
    """Parts, config, a stream of batches and the state of a run that never ends."""
    config = configs.load(f"{CONFIGS / FILES[name]}{':smoke' if smoke else ''}")
    config.batch_size = batch
    for field in ("num_steps", "log_every", "checkpoint_every", "eval_every"):
        config[field] = 10**6
    parts = run.build(config)
    stream = parts.dataset.train(batch)
    return parts, config, stream, train.init_state(parts, config, next(stream))


def ours(name: str, batch: int, steps: int, smoke: bool) -> Callable:
    """Some steps from where the last call ended; returns the last metrics."""
    parts, config, stream, state = training(name, batch, smoke)
    call = train.make_call(train.make_step(parts, config), parts.mesh)

    def taken():
        nonlocal state
        rows = list(itertools.islice(stream, steps))
        batches = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        batches = sharding.to_global(batches, parts.mesh, axis=1)
        state, outcome = call(state, batches, dict(parts.dataset.fixed))
        return outcome

    return taken


def products(name: str, batch: int, steps: int, smoke: bool) -> Callable:
    """As many operations as our steps have, in products of such matrices."""
    parts, config, stream, state = training(name, batch, smoke)
    step = jax.jit(train.make_step(parts, config))
    lowered = step.lower(state, next(stream), dict(parts.dataset.fixed))
    return as_products(1e12 * steps * measure.operations(lowered), batch, WIDTH)


def problems(smoke: bool) -> Iterator[Problem]:
    for size in sizes.small_models(smoke):
        made, limit = (partial(make, *size, smoke) for make in (ours, products))
        yield Problem(sizes.small_model(*size), made, limit, same=False)


SUBJECT = Subject("Speed of small models", TEXT, problems)
