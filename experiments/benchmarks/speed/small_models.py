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

import numpy as np

from experiments.benchmarks.speed.peers import sizes
from experiments.benchmarks.speed.turns import Problem, Subject
from repr_jax import config as configs
from repr_jax import run, sharding, train

CONFIGS = pathlib.Path(__file__).resolve().parents[3] / "configs"
TEXT = (
    "Steps of training by the project's own loop, from a config: one call of the "
    "compiled program takes `steps_per_call` of them, the peer takes as many in a loop "
    "of plain torch. Both draw their data: the identifiability experiment has two "
    "perceptrons of five layers, 128 wide, batch 512; the GAN on a ring two of four "
    "layers, 128 wide, batch 128, with a penalty of the gradient. Milliseconds are of "
    "all steps of a call: {identifiability} and {ring}."
).format(**{name: steps for name, (steps, _) in sizes.small_models(False).items()})
FILES = {
    "identifiability": "contrastive/multimodal_identifiability_cpu.py",
    "ring": "adversarial/gan_ring.py",
}


def ours(name: str, smoke: bool) -> Callable:
    """Some steps from where the last call ended; returns the last metrics."""
    steps, batch_size = sizes.small_models(smoke)[name]
    config = configs.load(f"{CONFIGS / FILES[name]}{':smoke' if smoke else ''}")
    config.steps_per_call, config.batch_size = steps, batch_size
    for field in ("num_steps", "log_every", "checkpoint_every", "eval_every"):
        config[field] = 1_000 * steps
    parts = run.build(config)
    stream = parts.dataset.train(batch_size)
    state = train.init_state(parts, config, next(stream))
    call = train.make_call(train.make_step(parts, config), parts.mesh)

    def taken():
        nonlocal state
        rows = list(itertools.islice(stream, steps))
        batches = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        batches = sharding.to_global(batches, parts.mesh, axis=1)
        state, outcome = call(state, batches, dict(parts.dataset.fixed))
        return outcome

    return taken


def problems(smoke: bool) -> Iterator[Problem]:
    for name, (steps, _) in sizes.small_models(smoke).items():
        made = partial(ours, name, smoke)
        yield Problem(f"{name}, {steps} steps", made, same=False)


SUBJECT = Subject("Speed of small models", TEXT, problems)
