"""From a working directory to numbers and pictures: runs a config's evaluators."""

import functools
from collections.abc import Callable, Mapping

import jax
from etils import epath

from repr_jax import logs, report, sharding
from repr_jax.evaluators.common import Trained
from repr_jax.train import Parts, TrainState, build, restore


def trained(config, parts: Parts, state: TrainState, workdir) -> Trained:
    """Applies a state's parameters, or their moving average if the config keeps one."""
    params = state.ema if config.ema_decay else state.params
    experiment, prepare = parts.experiment, parts.dataset.prepare

    def with_parameters(function: Callable | None) -> Callable | None:
        if function is None:
            return None

        def apply(params, extras, batch, key):
            return function(params, extras, prepare(batch), key)

        apply = jax.jit(apply, out_shardings=sharding.replicated(parts.mesh))

        def of_batch(key, batch):
            return apply(params, state.extras, place(batch, parts.mesh), key)

        return of_batch

    def represent(params, extras, batch, key):
        return experiment.represent(params, extras, batch)

    represent = with_parameters(represent)
    return Trained(
        represent=functools.partial(represent, None),
        generate=with_parameters(experiment.generate),
        bound=with_parameters(experiment.bound),
        prepare=jax.jit(prepare),
        modalities=parts.dataset.modalities,
        workdir=str(workdir),
    )


def place(batch: Mapping, mesh) -> dict:
    """A whole batch, the same on every host, split over the mesh where it divides."""
    rows = next(iter(batch.values())).shape[0]
    divides = rows % mesh.size == 0
    where = sharding.batch_sharding(mesh) if divides else sharding.replicated(mesh)
    return {name: jax.device_put(value, where) for name, value in batch.items()}


def evaluate(
    config, workdir, *, step: int | None = None, parts: Parts | None = None
) -> dict[str, float]:
    """Every evaluator in `config.evals` on the newest state in workdir, and a report.

    Args:
      config: what the state was trained with; `config.evals` may differ.
      workdir: has checkpoints/; report/ is written into it.
      step: of another checkpoint than the newest.
      parts: of `train.build(config)`, if that was called already.

    Returns:
      All metrics, prefixed as the evaluators prefix them.
    """
    parts = parts or build(config)
    state = restore(config, parts, workdir, step)
    model = trained(config, parts, state, workdir)
    metrics = {}
    for name, evaluator in parts.evaluators.items():
        if sharding.is_main_process():
            print(f"evaluating {name}", flush=True)
        metrics |= evaluator(model, parts.dataset)
    metrics["step"] = int(state.step)
    report.write(
        model,
        parts.dataset,
        metrics,
        logs.read(workdir),
        epath.Path(workdir),
    )
    return metrics
