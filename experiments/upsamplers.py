"""Conditional generators of trained runs as functions of one kind.

    sample, params = upsamplers.of_run("runs/ddpm")
    images = sample(key, params, y)

y is what the run's operator measures, [batch, ...], and images are [batch, height,
width, channels] in [0, 1], others for each row and key but where the method is a
function of y. The methods are PULSE (`experiments/style_gan.py`), pSp and its debiased
form (`experiments/style_encoder.py`), DDRM and annealed Langevin dynamics
(`experiments/diffusion.py`): whatever has the output `restore`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from repr_jax import config as configs
from repr_jax import run
from repr_jax.evaluators.trained import place
from repr_jax.experiment import Experiment, to_evaluate
from repr_jax.workdir import records


class Upsampler(NamedTuple):
    """A method and what it learned."""

    sample: Callable  # (key, params, y) -> images, jitted; rows are split over devices
    params: Any  # parameters and extras, of the moving average if the run keeps one


def sampler(experiment: Experiment, shape: tuple[int, ...]) -> Callable:
    """(key, (params, extras), y) -> images of this shape: pure and jittable.

    Raises:
      ValueError: the experiment has no output `restore`.
    """
    if "restore" not in experiment.outputs:
        known = ", ".join(experiment.outputs) or "none"
        raise ValueError(f"upsamplers: expected the output 'restore'; got {known}.")

    def sample(key: jax.Array, params: tuple, condition: jax.Array) -> jax.Array:
        batch = {"image": jnp.zeros((len(condition), *shape)), "y": condition}
        return experiment.outputs["restore"](*params, batch, key)

    return sample


def of_run(workdir, step: int | str | None = None) -> Upsampler:
    """The upsampler of a finished run, of its newest checkpoint or that of `step`.

    Raises:
      FileNotFoundError: there is no such run. ValueError: it restores nothing.
    """
    config = configs.from_json(records.stored_text(workdir))
    parts = run.build(config)
    raw = next(iter(parts.dataset.evaluate("test", 1)))
    image = jax.eval_shape(parts.dataset.prepare, raw)["image"]
    compiled = jax.jit(sampler(parts.experiment, image.shape[1:]))

    def sample(key: jax.Array, params: tuple, condition: jax.Array) -> jax.Array:
        return compiled(key, params, place({"y": condition}, parts.mesh)["y"])

    state = run.restore(config, parts, workdir, step)
    return Upsampler(sample, to_evaluate(state))
