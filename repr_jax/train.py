"""The training loop, whole: from a config and a working directory to a trained state.

Every batch and every random key is a function of the seed and the step, so the saved
state is all that a run is, and a killed run continues as if nothing had happened.
"""

import collections
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from etils import epath

from repr_jax import checkpoint, logs, sharding
from repr_jax.config import bind
from repr_jax.data.dataset import Dataset, prefetch, stacked

NO_STEP = 2**32 - 1  # is folded into the key of what happens before the first step
STEPS_IN_FLIGHT = 8  # more can deadlock collectives on CPU, and queue up memory


def keep_extras(params, extras, step):
    """The `after_update` of an experiment that needs none."""
    return extras


class Experiment(NamedTuple):
    """How a loss becomes a training step: pure functions of prepared batches.

    `params` is what the optimizer moves, `extras` everything else that changes.
    """

    init: Callable  # key, batch -> params, extras
    loss: Callable  # params, extras, batch, key -> loss, (extras, terms)
    represent: Callable  # params, extras, batch -> [batch, dim]
    generate: Callable | None = None  # params, extras, batch, key -> dict of arrays
    bound: Callable | None = None  # params, extras, batch, key -> nats an example
    after_update: Callable = keep_extras  # params, extras, step -> extras


class TrainState(NamedTuple):
    """All that a run is; saved and restored whole."""

    step: jax.Array  # [] int32, updates done
    params: Any
    extras: Any
    opt_state: Any
    ema: Any  # moving average of params, () without one
    sums: dict  # of every metric, over the steps since the last log point
    halted: jax.Array  # [] bool, True once a loss or a gradient was not finite


class NonFiniteError(FloatingPointError):
    """A loss or a gradient stopped being finite; the last finite state was saved."""


class Interrupted(Exception):
    """The run was asked to stop, saved its state, and can be continued."""


def make_gradient(experiment: Experiment, config) -> Callable:
    """(params, extras, batch, step_key) -> (loss, (extras, terms)), gradients.

    Means over `config.accumulate` parts of the batch, one after another.
    """
    gradient = jax.value_and_grad(experiment.loss, has_aux=True)
    k = config.accumulate
    if k == 1:
        return gradient

    def accumulated(params, extras, batch, step_key):
        def part(carry, inputs):
            index, batch = inputs
            total, extras = carry
            part_key = jax.random.fold_in(step_key, index)
            (loss, (extras, terms)), grads = gradient(params, extras, batch, part_key)
            total = jax.tree.map(jnp.add, total, (loss, terms, grads))
            return (total, extras), None

        parts = jax.tree.map(  # rows i, i + k, ...: every device keeps its own rows
            lambda x: jnp.swapaxes(x.reshape(-1, k, *x.shape[1:]), 0, 1), batch
        )
        first = jax.tree.map(lambda x: x[0], parts)
        (loss, (_, terms)), grads = jax.eval_shape(
            gradient, params, extras, first, step_key
        )
        zeros = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), (loss, terms, grads)
        )
        (total, extras), _ = jax.lax.scan(part, (zeros, extras), (jnp.arange(k), parts))
        loss, terms, grads = jax.tree.map(lambda x: x / k, total)
        return (loss, (extras, terms)), grads

    return accumulated


def make_step(experiment: Experiment, optimizer, prepare, config) -> Callable:
    """(state, batch) -> (state, metrics), one update; pure, to be jitted or scanned.

    `metrics` are means over the steps since the last multiple of `config.log_every`.
    A step whose loss or gradient is not finite changes nothing and sets `halted`.
    """
    gradient = make_gradient(experiment, config)
    key = jax.random.key(config.seed)

    def step(state, batch):
        step_key = jax.random.fold_in(key, state.step)
        (loss, (extras, terms)), grads = gradient(
            state.params, state.extras, prepare(batch), step_key
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        extras = experiment.after_update(params, extras, state.step)
        ema = state.ema
        if config.ema_decay:
            ema = optax.incremental_update(params, ema, 1.0 - config.ema_decay)
        metrics = {"loss": loss, "grad_norm": optax.global_norm(grads), **terms}
        since_log = state.step % config.log_every
        sums = jax.tree.map(
            lambda total, value: jnp.where(since_log == 0, 0.0, total) + value,
            state.sums,
            metrics,
        )
        finite = jnp.isfinite(loss) & jnp.isfinite(metrics["grad_norm"])
        finite &= ~state.halted
        new = TrainState(
            state.step + 1, params, extras, opt_state, ema, sums, state.halted
        )
        old = state._replace(halted=~finite)
        state = jax.tree.map(functools.partial(jnp.where, finite), new, old)
        return state, jax.tree.map(lambda x: x / (since_log + 1), sums)

    return step


def make_call(step: Callable, mesh) -> Callable:
    """Jits `step` over stacked batches [steps, batch, ...]; the state is donated."""

    def call(state, batches):
        num_steps = jax.tree.leaves(batches)[0].shape[0]
        if num_steps == 1:
            batch = jax.tree.map(lambda x: x[0], batches)
            state, metrics = step(state, batch)
        else:
            state, stacked = jax.lax.scan(step, state, batches)
            metrics = jax.tree.map(lambda x: x[-1], stacked)
        return state, (state.halted, metrics)

    everywhere = sharding.replicated(mesh)
    return jax.jit(
        call,
        donate_argnums=0,
        in_shardings=(everywhere, sharding.batch_sharding(mesh, axis=1)),
        out_shardings=everywhere,
    )


def init_state(experiment, optimizer, prepare, config, batch, mesh) -> TrainState:
    """The state before the first step, replicated over the mesh.

    `batch` is one batch of shapes or arrays; no data is read from it but for `init`.
    """

    def init(batch):
        key = jax.random.fold_in(jax.random.key(config.seed), NO_STEP)
        batch = prepare(batch)
        params, extras = experiment.init(key, batch)
        _, (_, terms) = jax.eval_shape(experiment.loss, params, extras, batch, key)
        names = ("loss", "grad_norm", *terms)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            extras=extras,
            opt_state=optimizer.init(params),
            ema=jax.tree.map(jnp.copy, params) if config.ema_decay else (),
            sums={name: jnp.zeros((), jnp.float32) for name in names},
            halted=jnp.zeros((), bool),
        )

    return jax.jit(init, out_shardings=sharding.replicated(mesh))(batch)


def check(config, mesh) -> None:
    """Raises ValueError for numbers that the loop cannot work with."""
    for name in ("num_steps", "batch_size", "steps_per_call", "accumulate"):
        if config[name] < 1:
            raise ValueError(f"config.{name}: expected at least 1; got {config[name]}.")
    for name in ("num_steps", "log_every", "checkpoint_every"):
        if config[name] < 1 or config[name] % config.steps_per_call:
            raise ValueError(
                f"config.{name}: expected a positive multiple of steps_per_call "
                f"({config.steps_per_call}); got {config[name]}."
            )
    if not 0.0 <= config.ema_decay < 1.0:
        raise ValueError(
            f"config.ema_decay: expected 0 (off) or a number below 1; got "
            f"{config.ema_decay}."
        )
    if config.batch_size % config.accumulate:
        raise ValueError(
            f"config.batch_size: expected a multiple of accumulate "
            f"({config.accumulate}); got {config.batch_size}."
        )
    if config.keep_last < 1:
        raise ValueError(
            f"config.keep_last: expected at least 1; got {config.keep_last}."
        )
    try:
        sharding.check_batch_size(config.batch_size // config.accumulate, mesh)
    except ValueError as error:
        parts = (
            f" of each of {config.accumulate} parts" if config.accumulate > 1 else ""
        )
        raise ValueError(f"config.batch_size{parts}: {error}") from None


class Parts(NamedTuple):
    """What a config is bound to."""

    dataset: Dataset
    experiment: Experiment
    optimizer: optax.GradientTransformation
    evaluators: dict[str, Callable]
    mesh: jax.sharding.Mesh


def build(config) -> Parts:
    """Binds a config, with whatever it will use after training too."""
    mesh = sharding.make_mesh()
    check(config, mesh)
    return Parts(
        dataset=bind(config.dataset, "config.dataset")(),
        experiment=config.experiment(config),
        optimizer=bind(config.optimizer, "config.optimizer")(),
        evaluators={
            name: bind(choice, f"config.evals.{name}")
            for name, choice in config.evals.items()
        },
        mesh=mesh,
    )


def restore(config, parts: Parts, workdir, step: int | None = None) -> TrainState:
    """The newest complete state in workdir, or the one of `step`.

    Raises:
      FileNotFoundError: there is none.
    """
    fresh = abstract_state(config, parts)
    with checkpoint.Checkpoints(epath.Path(workdir) / "checkpoints") as checkpoints:
        found = checkpoints.restore(fresh, step)
    if found is None:
        raise FileNotFoundError(f"{workdir}: expected a checkpoint; it has none.")
    return found[1]


def abstract_state(config, parts: Parts) -> TrainState:
    """Shapes, dtypes and shardings of the train state; computes nothing.

    Raises:
      ValueError: what the traced loss raises, or best_metric is none of its metrics.
    """
    batch = next(parts.dataset.train(config.batch_size))
    make = functools.partial(
        init_state,
        parts.experiment,
        parts.optimizer,
        parts.dataset.prepare,
        config,
        mesh=parts.mesh,
    )
    everywhere = sharding.replicated(parts.mesh)
    state = jax.eval_shape(make, batch)
    if config.best_metric and config.best_metric not in state.sums:
        raise ValueError(
            f"config.best_metric: expected one of {', '.join(sorted(state.sums))}, or "
            f'""; got {config.best_metric!r}.'
        )
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), state
    )


def train(
    config,
    workdir,
    *,
    on_log: Callable | None = None,
    parts: Parts | None = None,
) -> TrainState:
    """Trains until `config.num_steps`, from the newest checkpoint if there is one.

    Args:
      config: as `configs/base.py` describes.
      workdir: a folder for metrics.jsonl, tensorboard/ and checkpoints/.
      on_log: called with (step, metrics) at every log point, for notebooks.
      parts: of `build(config)`, if that was called already.

    Returns:
      The final state.

    Raises:
      NonFiniteError: a loss or a gradient stopped being finite; says step and term.
      Interrupted: SIGTERM came, or the cluster preempts; the state was saved.
      ValueError, TypeError: the config asks for what cannot be; nothing was written.
    """
    parts = parts or build(config)
    shapes = abstract_state(config, parts)
    workdir = epath.Path(workdir)
    with (
        checkpoint.Checkpoints(
            workdir / "checkpoints",
            keep_last=config.keep_last,
            best_metric=config.best_metric or None,
        ) as checkpoints,
        sharding.Preemption() as preemption,
    ):
        found = checkpoints.restore(shapes)
        if found is None:
            batch = next(parts.dataset.train(config.batch_size))
            state = init_state(
                parts.experiment,
                parts.optimizer,
                parts.dataset.prepare,
                config,
                sharding.to_global(batch, parts.mesh),
                parts.mesh,
            )
        else:
            state = found[1]
        return _loop(config, parts, state, workdir, checkpoints, preemption, on_log)


def _loop(config, parts, state, workdir, checkpoints, preemption, on_log):
    step = int(state.step)
    log = logs.Log(workdir, start_step=step, num_steps=config.num_steps)
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    log.say(f"{count:,} parameters")
    if step:
        begins = "continuing" if step < config.num_steps else "finished"
        log.say(f"{begins} after step {step} of {config.num_steps}")
    call = make_call(
        make_step(parts.experiment, parts.optimizer, parts.dataset.prepare, config),
        parts.mesh,
    )
    host_batches = parts.dataset.train(config.batch_size, start_step=step)
    batches = prefetch(
        sharding.to_global(group, parts.mesh, axis=1)
        for group in stacked(
            host_batches, step, config.num_steps, config.steps_per_call
        )
    )
    in_flight = collections.deque()
    max_in_flight = max(1, STEPS_IN_FLIGHT // config.steps_per_call)
    try:
        for batch in batches:
            state, outcome = call(state, batch)
            step += config.steps_per_call - step % config.steps_per_call
            in_flight.append((step, outcome))
            save = step % config.checkpoint_every == 0 or step == config.num_steps
            stop = preemption.reached(step)
            while len(in_flight) > (0 if save or stop else max_in_flight):
                done, (halted, metrics) = in_flight.popleft()
                if bool(halted):  # waits for the step
                    _stop_at_non_finite(config, parts, state, checkpoints)
                if done % config.log_every == 0 or done == config.num_steps:
                    metrics = {name: float(x) for name, x in metrics.items()}
                    log.write(done, metrics)
                    if on_log is not None:
                        on_log(done, metrics)
            if save or stop:
                whole = step % config.log_every == 0  # else the means are of few steps
                metrics = outcome[1] if whole else {config.best_metric: math.inf}
                checkpoints.save(step, state, metrics)
            if stop and step < config.num_steps:
                checkpoints.wait()
                raise Interrupted(f"stopped after step {step}; the state is saved.")
    finally:
        batches.close()
        log.close()
    checkpoints.wait()
    return state


def _stop_at_non_finite(config, parts, state, checkpoints):
    """Saves the state, which the bad step left as it was, and raises."""
    last = int(state.step)
    state = state._replace(halted=jnp.zeros_like(state.halted))
    checkpoints.save(last, state, {config.best_metric: math.inf})
    checkpoints.wait()
    raise NonFiniteError(
        f"step {last + 1}: {_offender(config, parts, state)} is not finite; the last "
        f"finite state, after step {last}, is saved."
    )


def _offender(config, parts, state):
    """Names what is not finite at the step that follows `state`, by doing it again."""
    step = int(state.step)
    batch = next(parts.dataset.train(config.batch_size, start_step=step))

    def again(state, batch):
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        gradient = make_gradient(parts.experiment, config)
        (loss, (_, terms)), grads = gradient(
            state.params, state.extras, parts.dataset.prepare(batch), key
        )
        return {**terms, "loss": loss}, grads

    terms, grads = jax.jit(again)(state, sharding.to_global(batch, parts.mesh))
    bad = [name for name, value in terms.items() if not jnp.isfinite(value)]
    if bad:
        return ", ".join(bad)
    leaves = jax.tree_util.tree_leaves_with_path(grads)
    bad = [path for path, leaf in leaves if not jnp.all(jnp.isfinite(leaf))]
    if not bad:
        return "the norm of the gradient"
    return "the gradient of " + ", ".join(
        jax.tree_util.keystr(path, simple=True, separator="/") for path in bad[:3]
    )
