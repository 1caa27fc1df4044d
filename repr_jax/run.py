"""From a config and a working directory to a trained and evaluated model.

`train` and `evaluate` are what `main` calls, and what a notebook calls without flags:

    config = repr_jax.config.load("configs/contrastive/simclr_mnist.py:smoke")
    run.train(config, "runs/simclr")
    numbers = run.evaluate(config, "runs/simclr")
"""

import contextlib
import datetime
import functools
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from etils import epath
from jax.experimental import multihost_utils

from repr_jax import checkpoint, fitted, logs, report, sharding, start
from repr_jax import config as configs
from repr_jax import workdir as workdirs
from repr_jax.config import bind
from repr_jax.evaluators.common import Trained
from repr_jax.train import (
    ALL,
    Fit,
    Parts,
    TrainState,
    averaged_part,
    init_state,
    loop,
    players,
    to_evaluate,
)

CONFIG_FILE = "config.json"
STARTS_FILE = "starts.jsonl"


# What a config is bound to


def build(config) -> Parts:
    """Binds a config, with whatever it will use after training too.

    Raises:
      ValueError, TypeError: the config asks for what cannot be.
    """
    mesh = sharding.make_mesh()
    check(config, mesh)
    dataset = bind(config.dataset, "config.dataset")()
    experiment = config.experiment(config)
    evaluators = {
        name: bind(choice, f"config.evals.{name}")
        for name, choice in config.evals.items()
    }
    for name, evaluator in evaluators.items():
        for output in getattr(evaluator.func, "needs", ()):
            if output not in experiment.outputs:
                known = ", ".join(sorted(experiment.outputs)) or "none"
                raise ValueError(
                    f"config.evals.{name}: expected an experiment with the output "
                    f"{output!r}; {config.experiment.__module__} has {known}."
                )
    return Parts(dataset, experiment, _optimizers(config, experiment), evaluators, mesh)


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
    if config[name] < minimum:
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
    everywhere = sharding.replicated(parts.mesh)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), state
    )


def _check_best_metric(config, of_training) -> None:
    name = config.best_metric
    if not name or name in of_training:
        return
    if name.split("/")[0] not in config.evals:
        known = [*sorted(of_training), *(f"{e}/..." for e in sorted(config.evals))]
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

    An estimator is fitted, or what was stored of it is read.

    Args:
      config: as `configs/base.py` describes.
      workdir: a folder for config.json, metrics.jsonl, tensorboard/ and checkpoints/.
      on_log: called with (step, metrics) at every log point, for notebooks.
      parts: of `build(config)`, if that was called already.
      amend: go on in a workdir of another config, such as one with a higher learning
        rate; starts.jsonl keeps what was changed, and config.json is the new one.
      notes: what to add to this start's line in starts.jsonl.

    Returns:
      The final state, or what was fitted.

    Raises:
      NonFiniteError: a loss or a gradient stopped being finite; says step and term.
      Interrupted: the run was asked to stop; the state was saved.
      ValueError, TypeError: the config asks for what cannot be, or the workdir belongs
        to another config; nothing was written.
    """
    parts = parts or build(config)
    workdir = epath.Path(workdir)
    if isinstance(parts.experiment, Fit):
        return _fit(config, workdir, parts, amend, notes)
    shapes = abstract_state(config, parts)
    changes = check_workdir(config, workdir, amend=amend)
    with (
        workdirs.locked(workdir),
        checkpoint.Checkpoints(
            workdir / "checkpoints",
            keep_last=config.keep_last,
            best_metric=config.best_metric or None,
            best_mode=config.best_mode,
        ) as checkpoints,
    ):
        found = checkpoints.restore(shapes)
        state = _first_state(config, parts) if found is None else found[1]
        step = int(state.step)
        if sharding.is_main_process():
            record(config, workdir, step=step, changes=changes, notes=notes)
        log = logs.Log(workdir, start_step=step, num_steps=config.num_steps)
        with contextlib.closing(log), sharding.Preemption() as preemption:
            _announce(config, log, state)
            return loop(
                config,
                parts,
                state,
                log=log,
                checkpoints=checkpoints,
                preemption=preemption,
                evaluate=numbers_of(config, parts, workdir),
                on_log=on_log,
            )


def _fit(config, workdir, parts: Parts, amend, notes):
    """What is stored of an estimator; if nothing, it is fitted and stored whole."""
    changes = check_workdir(config, workdir, amend=amend)
    with workdirs.locked(workdir):
        if fitted.exists(workdir) and not changes:
            return fitted.load(workdir)
        if sharding.is_main_process():
            fitted.remove(workdir)
            record(config, workdir, step=0, changes=changes, notes=notes)
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
        print(f"fitting: {done}/{total}", file=sys.stderr, flush=True)


def _first_state(config, parts: Parts) -> TrainState:
    batch = next(parts.dataset.train(config.batch_size))
    state = init_state(parts, config, sharding.to_global(batch, parts.mesh))
    if not config.start.source:
        return state
    params, extras, summary = start.take(
        config.start.source,
        state.params,
        state.extras,
        prefixes=config.start.prefixes,
        step=config.start.step,
    )
    if sharding.is_main_process():
        print(summary, file=sys.stderr, flush=True)
    average = averaged_part(params, extras) if config.ema_decay else ()
    average = jax.tree.map(jnp.copy, average)
    return state._replace(params=params, extras=extras, ema=average)


def _announce(config, log, state) -> None:
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    log.say(f"{count:,} parameters")
    step = int(state.step)
    if step:
        begins = "continuing" if step < config.num_steps else "finished"
        log.say(f"{begins} after step {step} of {config.num_steps}")


# The working directory


def stored_text(workdir) -> str:
    """The JSON of a run's config; fields that an older one lacks have their defaults.

    Raises:
      FileNotFoundError: there is none. ValueError: it is no JSON of a config.
    """
    from configs.base import base  # of the checkout that experiments are run from

    path = epath.Path(workdir) / CONFIG_FILE
    if not path.exists():
        raise FileNotFoundError(
            f"{workdir}: expected a run with {CONFIG_FILE}; got none."
        )
    return configs.with_defaults(path.read_text(), configs.to_json(base()))


def stored_config(workdir, *, trusted: Sequence[str] = ()):
    """The config of a run, which names code of this project and of `trusted` packages.

    Raises:
      FileNotFoundError: there is none. ValueError: it names other code.
    """
    try:
        return configs.from_json(stored_text(workdir), trusted=trusted)
    except (ValueError, ImportError, AttributeError) as error:
        raise ValueError(f"{workdir}/{CONFIG_FILE}: {error}") from None


def check_workdir(config, workdir, *, amend: bool = False) -> str:
    """What differs between a config and the workdir's, but for `evals`; "" if nothing.

    Raises:
      ValueError: they differ, and may not.
    """
    if not (epath.Path(workdir) / CONFIG_FILE).exists():
        return ""
    here = configs.to_json(config)
    changes = configs.diff(stored_text(workdir), here, ignore="evals")
    if changes and not amend:
        raise ValueError(
            f"{workdir}: written by another config; use another --workdir, or the "
            f"values there, or --amend to go on with those here:\n{changes}"
        )
    return changes


def record(config, workdir, *, step: int, changes: str = "", notes=None) -> None:
    """Stores the resolved config, and once per start what ran where."""
    workdir = epath.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    partial = workdir / (CONFIG_FILE + ".partial")
    partial.write_text(configs.to_json(config))
    partial.replace(workdir / CONFIG_FILE)
    packages = ("repr-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
    line = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "step": step,
        "changes": changes.split("\n") if changes else [],
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "revision": revision(),
        "python": platform.python_version(),
        "devices": [device.device_kind for device in jax.devices()],
        "processes": jax.process_count(),
        "cores": os.cpu_count(),
        **(notes or {}),
    }
    with (workdir / STARTS_FILE).open("a") as file:
        file.write(json.dumps(line) + "\n")


@functools.cache
def revision() -> str:
    """The short commit of the checkout, with a + if it has changes; "" if unknown."""
    folder = pathlib.Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=+"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or no checkout
        return ""
    return found.stdout.strip()


def restore(config, parts: Parts, workdir, step: int | str | None = None) -> TrainState:
    """The newest complete state in workdir, or the one of `step`, or the "best".

    Raises:
      FileNotFoundError: there is none.
    """
    fresh = abstract_state(config, parts)
    if not (epath.Path(workdir) / "checkpoints").exists():
        raise FileNotFoundError(f"{workdir}: expected a checkpoint; it has none.")
    with checkpoint.Checkpoints(
        epath.Path(workdir) / "checkpoints",
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


def outputs_of(parts: Parts) -> dict[str, Callable]:
    """{name: (params, extras, batch, key) -> arrays}, jitted, of unprepared batches."""
    fixed = jax.device_put(dict(parts.dataset.fixed), sharding.replicated(parts.mesh))

    def of(output):
        def apply(params, extras, batch, key, fixed):
            return output(
                params, extras, {**parts.dataset.prepare(batch), **fixed}, key
            )

        apply = jax.jit(apply, out_shardings=sharding.replicated(parts.mesh))
        return lambda params, extras, batch, key: apply(
            params, extras, batch, key, fixed
        )

    return {name: of(output) for name, output in parts.experiment.outputs.items()}


def trained(parts: Parts, state: TrainState, workdir, outputs=None) -> Trained:
    """A state as evaluators see it: from the moving average if the run keeps one.

    outputs: of `outputs_of(parts)`, if that was called already.
    """
    params, extras = to_evaluate(state)

    def of(output):
        def of_batch(batch, key=None):
            key = jax.random.key(0) if key is None else key
            return output(params, extras, place(batch, parts.mesh), key)

        return of_batch

    outputs = outputs or outputs_of(parts)
    return Trained(
        outputs={name: of(output) for name, output in outputs.items()},
        prepare=jax.jit(parts.dataset.prepare),
        modalities=parts.dataset.modalities,
        workdir=str(workdir),
    )


def asked(parts: Parts, found, workdir) -> Trained:
    """What was fitted, as evaluators see it."""
    prepare = jax.jit(parts.dataset.prepare)

    def of(output):
        def of_batch(batch, key=None):
            key = jax.random.key(0) if key is None else key
            batch = {**prepare(place(batch, parts.mesh)), **parts.dataset.fixed}
            return output(found, batch, key)

        return of_batch

    return Trained(
        outputs={name: of(output) for name, output in parts.experiment.outputs.items()},
        prepare=prepare,
        modalities=parts.dataset.modalities,
        workdir=str(workdir),
    )


def place(batch: Mapping, mesh):
    """A whole batch, the same on every host, split over the mesh where it divides."""
    rows = jax.tree.leaves(batch)[0].shape[0]
    divides = rows % mesh.size == 0
    where = sharding.batch_sharding(mesh) if divides else sharding.replicated(mesh)
    return jax.tree.map(lambda x: jax.device_put(x, where), dict(batch))


def numbers_of(config, parts: Parts, workdir) -> Callable | None:
    """state -> {"evaluator/name": number}, for `loop`; None if it never evaluates."""
    if not config.eval_every:
        return None
    outputs = outputs_of(parts)

    def evaluate(state):
        model = trained(parts, state, workdir, outputs)
        found = {
            name: evaluator(model, parts.dataset)
            for name, evaluator in parts.evaluators.items()
        }
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
    parts = parts or build(config)
    if isinstance(parts.experiment, Fit):
        model, step = asked(parts, fitted.load(workdir), workdir), 0
    else:
        state = restore(config, parts, workdir, step)
        model, step = trained(parts, state, workdir), int(state.step)
    found = {}
    for name, evaluator in parts.evaluators.items():
        if sharding.is_main_process():
            print(f"evaluating {name}", flush=True)
        found[name] = evaluator(model, parts.dataset)
    if sharding.is_main_process():
        of_run = facts(config, step, workdir)
        report.write(found, logs.read(workdir), workdir, of_run)
    return {**prefixed(found), "step": step}


def facts(config, step: int, workdir) -> dict:
    """What a report says of the run in its heading; "" for what is not known.

    The config's path, what was set on the command line, and the revision are those of
    the newest line of starts.jsonl that has them.
    """

    def name(choice):
        fn = choice.get("fn") if hasattr(choice, "get") else choice
        return f"{fn.__module__}.{fn.__qualname__}".removeprefix("repr_jax.")

    method = config.get("loss") or config.get("estimator") or config.experiment
    if hasattr(method, "get") and method.get("fn") is None:  # a loss for each player
        method = config.experiment
    starts, now = _starts(workdir), revision()
    trained_by = next((line["revision"] for line in starts if "revision" in line), now)
    by = f"{trained_by}, evaluated by {now}" if trained_by != now else now
    overrides = starts[0].get("overrides", {}) if starts else {}
    return {
        "method": name(method),
        "data": name(config.dataset),
        "config": next(filter(None, map(_config_path, starts)), ""),
        "set": ", ".join(f"{key}={value}" for key, value in overrides.items()),
        "seed": config.seed,
        "step": step,
        "revision": by,
    }


def _starts(workdir) -> list[dict]:
    """The lines of starts.jsonl that are whole, newest first."""
    path = epath.Path(workdir) / STARTS_FILE
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in reversed(lines):
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:  # a start was killed while it wrote
            continue
    return [line for line in found if isinstance(line, dict)]


def _config_path(line: Mapping) -> str:
    """What --config was in a start's command line; "" if it was not."""
    arguments = line.get("arguments", ())
    for place, argument in enumerate(arguments):
        flag, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and flag == "config":
            return value if equals else "".join(arguments[place + 1 : place + 2])
    return ""
