"""From a config and a working directory to a trained and evaluated model.

`train` and `evaluate` are what `main` calls, and what a notebook calls without flags:

    config = repr_jax.config.load("configs/contrastive/simclr_mnist.py:smoke")
    run.train(config, "runs/simclr")
    numbers = run.evaluate(config, "runs/simclr")
"""

import contextlib
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from etils import epath
from jax.experimental import multihost_utils

from repr_jax import checkpoint, logs, report, sharding
from repr_jax.config import bind, check_fields
from repr_jax.evaluators.common import Trained
from repr_jax.evaluators.trained import of_fit, of_state, outputs_of
from repr_jax.experiment import (
    ALL,
    Fit,
    Parts,
    TrainState,
    averaged_part,
    players,
    to_evaluate,
)
from repr_jax.train import init_state, loop, shardings
from repr_jax.workdir import fitted, lock, records, start

# What a config is bound to


def build(config, mesh=None) -> Parts:
    """Binds a config, with whatever it will use after training too.

    mesh: of the devices to train on; None: all, as the config has it.

    Raises:
      ValueError, TypeError: the config asks for what cannot be.
    """
    check_fields(config)
    mesh = mesh or sharding.make_mesh(model=config.model_devices)
    check(config, mesh)
    dataset = bind(config.dataset, "config.dataset")()
    experiment = config.experiment(config)
    evaluators = {
        name: bind(choice, f"config.evals.{name}")
        for name, choice in config.evals.items()
    }
    for name, evaluator in evaluators.items():
        for output in _needed(evaluator):
            if output not in experiment.outputs:
                known = ", ".join(sorted(experiment.outputs)) or "none"
                raise ValueError(
                    f"config.evals.{name}: expected an experiment with the output "
                    f"{output!r}; {config.experiment.__module__} has {known}."
                )
    return Parts(dataset, experiment, _optimizers(config, experiment), evaluators, mesh)


def _needed(evaluator) -> set[str]:
    """Outputs that an evaluator needs, or a choice of its own, such as a sampler."""
    choices = (evaluator, *evaluator.keywords.values())
    functions = (getattr(choice, "func", None) for choice in choices)
    return {name for f in functions for name in getattr(f, "needs", ())}


def _optimizers(config, experiment) -> dict:
    """One optimizer, or one for each player of the experiment; none of a fit."""
    if isinstance(experiment, Fit):
        return {}
    names = players(experiment)
    for name in config.updates:
        if name not in names or config.updates[name] < 1:
            raise ValueError(
                f"config.updates: expected players among {', '.join(names) or 'none'} "
                f"with 1 update or more; got {name}={config.updates[name]}."
            )
    if ALL in names:
        return {ALL: bind(config.optimizer, "config.optimizer")()}
    if set(config.optimizer) != set(names):
        raise ValueError(
            f"config.optimizer: expected a choice for each of {', '.join(names)}; got "
            f"{', '.join(sorted(config.optimizer))}."
        )
    return {
        name: bind(config.optimizer[name], f"config.optimizer.{name}")()
        for name in names
    }


def check(config, mesh) -> None:
    """Raises ValueError for numbers that the loop cannot work with."""
    for name in ("num_steps", "batch_size", "steps_per_call", "accumulate"):
        _at_least(config, name, 1)
    _at_least(config, "keep_last", 1)
    _at_least(config, "eval_every", 0)
    _at_least(config, "data_patience", 1)
    for name in config.eval_names:
        if name not in config.evals:
            raise ValueError(
                f"config.eval_names: expected some of {', '.join(sorted(config.evals))}"
                f"; got {name!r}."
            )
    every = config.steps_per_call
    for name in ("num_steps", "log_every", "checkpoint_every", "eval_every"):
        optional = name == "eval_every"
        if config[name] % every or (config[name] < 1 and not optional):
            raise ValueError(
                f"config.{name}: expected a positive multiple of steps_per_call "
                f"({every}); got {config[name]}."
            )
    if not 0.0 <= config.ema_decay < 1.0:
        raise ValueError(
            f"config.ema_decay: expected 0 (off) or a number below 1; got "
            f"{config.ema_decay}."
        )
    if config.best_mode not in ("min", "max"):
        raise ValueError(
            f"config.best_mode: expected min or max; got {config.best_mode!r}."
        )
    if config.batch_size % config.accumulate:
        raise ValueError(
            f"config.batch_size: expected a multiple of accumulate "
            f"({config.accumulate}); got {config.batch_size}."
        )
    try:
        sharding.check_batch_size(config.batch_size // config.accumulate, mesh)
    except ValueError as error:
        parts = (
            f" of each of {config.accumulate} parts" if config.accumulate > 1 else ""
        )
        raise ValueError(f"config.batch_size{parts}: {error}") from None


def _at_least(config, name, minimum):
    if not config[name] >= minimum:  # NaN is neither
        raise ValueError(
            f"config.{name}: expected at least {minimum}; got {config[name]}."
        )


def abstract_state(config, parts: Parts) -> TrainState:
    """Shapes, dtypes and shardings of the train state; computes nothing.

    Raises:
      ValueError: what the traced loss raises, or best_metric is not known.
    """
    batch = next(parts.dataset.train(config.batch_size))
    state = jax.eval_shape(functools.partial(init_state, parts, config), batch)
    _check_best_metric(config, state.sums)
    return jax.tree.map(
        lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where),
        state,
        shardings(parts, config, state),
    )


def _check_best_metric(config, of_training) -> None:
    name = config.best_metric
    if not name or name in of_training:
        return
    while_training = _while_training(config)
    if name.split("/")[0] not in while_training:
        known = [*sorted(of_training), *(f"{e}/..." for e in sorted(while_training))]
        raise ValueError(
            f'config.best_metric: expected one of {", ".join(known)}, or ""; got '
            f"{name!r}."
        )
    if not config.eval_every or config.checkpoint_every % config.eval_every:
        raise ValueError(
            f"config.eval_every: expected a divisor of checkpoint_every "
            f"({config.checkpoint_every}), since best_metric is {name}; got "
            f"{config.eval_every}."
        )


def _while_training(config) -> tuple[str, ...]:
    """Names of the evaluators that are called every config.eval_every steps."""
    return tuple(config.eval_names) or tuple(config.evals)


# Training


def train(
    config,
    workdir,
    *,
    on_log: Callable | None = None,
    parts: Parts | None = None,
    amend: bool = False,
    notes: Mapping | None = None,
) -> TrainState:
    """Trains until `config.num_steps`, from the newest checkpoint if there is one.

    An estimator is fitted, or read if it was. Returns the final state, or the fit.

    Args:
      config: as `configs/base.py` describes.
      workdir: a folder for config.json, metrics.jsonl, tensorboard/ and checkpoints/.
      on_log: called with (step, metrics) at every log point, for notebooks.
      parts: of `build(config)`, if that was called already.
      amend: go on in a workdir of another config, such as one of a higher rate;
        starts.jsonl keeps what was changed, and config.json is the new one.
      notes: what to add to this start's line in starts.jsonl.

    Raises:
      NonFiniteError, Interrupted: as `train.loop`; the state was saved.
      ValueError, TypeError: a config that asks for what cannot be, or a workdir of
        another config; nothing was written.
    """
    parts = parts or build(config)
    workdir = epath.Path(workdir).expanduser()
    if isinstance(parts.experiment, Fit):
        return _fit(config, workdir, parts, amend, notes)
    shapes = abstract_state(config, parts)
    changes = records.check_workdir(config, workdir, amend=amend)
    with (
        lock.locked(workdir),
        checkpoint.Checkpoints(
            workdir / "checkpoints",
            keep_last=config.keep_last,
            best_metric=config.best_metric or None,
            best_mode=config.best_mode,
        ) as checkpoints,
    ):
        found = checkpoints.restore(shapes)
        state, taken = (found[1], None) if found else _first_state(config, parts)
        step = int(state.step)
        if sharding.is_main_process():
            notes = {**(notes or {}), "start": taken and taken._asdict()}
            records.record(config, workdir, step=step, changes=changes, notes=notes)
        log = logs.Log(workdir, start_step=step, num_steps=config.num_steps)
        with contextlib.closing(log), sharding.Preemption() as preemption:
            _announce(config, log, state)
            tools = dict(log=log, checkpoints=checkpoints, preemption=preemption)
            evaluate = numbers_of(config, parts, workdir)
            return loop(config, parts, state, **tools, evaluate=evaluate, on_log=on_log)


def _fit(config, workdir, parts: Parts, amend, notes):
    """What is stored of an estimator; if nothing, it is fitted and stored whole."""
    changes = records.check_workdir(config, workdir, amend=amend)
    with lock.locked(workdir):
        if fitted.exists(workdir) and not changes:
            return fitted.load(workdir)
        if sharding.is_main_process():
            fitted.remove(workdir)
            records.record(config, workdir, step=0, changes=changes, notes=notes)
        found = parts.experiment.fit(
            jax.random.key(config.seed), parts.dataset, _say_progress
        )
        if sharding.is_main_process():
            fitted.save(workdir, found)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("fitted")
        return fitted.load(workdir)  # in all processes the same


def _say_progress(done: int, total: int) -> None:
    if sharding.is_main_process():
        logs.say(f"fitting: {done}/{total}")


def _first_state(config, parts: Parts):
    """The state before the first step; and start.Taken, or None."""
    batch = next(parts.dataset.train(config.batch_size))
    state = init_state(parts, config, sharding.to_global(batch, parts.mesh))
    if not config.start.source:
        return state, None
    params, extras, taken = start.take(
        config.start.source,
        state.params,
        state.extras,
        prefixes=config.start.prefixes,
        step=config.start.step,
    )
    if sharding.is_main_process():
        logs.say(taken.summary())
    average = averaged_part(params, extras) if config.ema_decay else ()
    average = jax.tree.map(jnp.copy, average)
    return state._replace(params=params, extras=extras, ema=average), taken


def _announce(config, log, state) -> None:
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    log.say(f"{count:,} parameters")
    step = int(state.step)
    if step:
        begins = "continuing" if step < config.num_steps else "finished"
        log.say(f"{begins} after step {step} of {config.num_steps}")


def restore(config, parts: Parts, workdir, step: int | str | None = None) -> TrainState:
    """The newest complete state in workdir, or the one of `step`, or the "best".

    Raises:
      FileNotFoundError: there is none.
    """
    fresh = abstract_state(config, parts)
    folder = epath.Path(workdir).expanduser() / "checkpoints"
    if not folder.exists():
        raise FileNotFoundError(f"{workdir}: expected a checkpoint; it has none.")
    with checkpoint.Checkpoints(
        folder,
        best_metric=config.best_metric or None,
        best_mode=config.best_mode,
        read_only=True,
    ) as checkpoints:
        if step == "best":
            step = checkpoints.best_step()
            if step is None:
                raise FileNotFoundError(
                    f"{workdir}: expected a checkpoint with {config.best_metric!r}, "
                    "config.best_metric; it has none."
                )
        found = checkpoints.restore(fresh, step)
    if found is None:
        raise FileNotFoundError(f"{workdir}: expected a checkpoint; it has none.")
    return found[1]


# Evaluation


def trained(parts: Parts, state: TrainState, workdir, outputs=None) -> Trained:
    """A state as evaluators see it: from the moving average if the run keeps one.

    outputs: of `evaluators.trained.outputs_of(parts)`, if that was called already.
    """
    return of_state(parts, *to_evaluate(state), workdir, outputs)


def numbers_of(config, parts: Parts, workdir) -> Callable | None:
    """state -> {"evaluator/name": number}, for `loop`; None if it never evaluates."""
    if not config.eval_every:
        return None
    outputs, numberless = outputs_of(parts), set()  # who only draws is asked once
    evaluators = {name: parts.evaluators[name] for name in _while_training(config)}

    def evaluate(state):
        model = trained(parts, state, workdir, outputs)
        found = {
            name: evaluator(model, parts.dataset)
            for name, evaluator in evaluators.items()
            if name not in numberless
        }
        numberless.update(name for name, x in found.items() if not x.numbers)
        return prefixed(found)

    return evaluate


def prefixed(evaluations: Mapping) -> dict[str, float]:
    """All numbers in one flat dict, each behind its evaluator's name in the config."""
    return {
        f"{name}/{key}": float(value)
        for name, evaluation in evaluations.items()
        for key, value in evaluation.numbers.items()
    }


def evaluate(
    config,
    workdir,
    *,
    step: int | str | None = None,
    parts: Parts | None = None,
) -> dict[str, float]:
    """Every evaluator in `config.evals` on the newest state in workdir, and a report.

    Args:
      config: what the state was trained with; `config.evals` may differ.
      workdir: has checkpoints/; report/ is written into it.
      step: of another checkpoint than the newest, or "best".
      parts: of `build(config)`, if that was called already.

    Returns:
      All numbers, each prefixed with its evaluator's name in the config; and "step".
    """
    parts, workdir = parts or build(config), epath.Path(workdir).expanduser()
    if isinstance(parts.experiment, Fit):
        model, step = of_fit(parts, fitted.load(workdir), workdir), 0
    else:
        state = restore(config, parts, workdir, step)
        model, step = trained(parts, state, workdir), int(state.step)
    found = {}
    for name, evaluator in parts.evaluators.items():
        if sharding.is_main_process():
            logs.say(f"evaluating {name}", "stdout")
        found[name] = evaluator(model, parts.dataset)
    if sharding.is_main_process():
        of_run = records.facts(config, step, workdir)
        report.write(found, logs.read(workdir), workdir, of_run)
    return {**prefixed(found), "step": step}
