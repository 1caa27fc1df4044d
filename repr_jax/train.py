"""The training loop, whole: what a step does, and what happens between steps.

Every batch and every random key is a function of the seed and the step, so the saved
state is all that a run is, and a killed run continues as if nothing had happened.
`run.py` says how a config becomes what is trained here.
"""

import collections
import contextlib
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from repr_jax import sharding
from repr_jax.data.dataset import prefetch, stacked
from repr_jax.experiment import (
    ALL,
    Parts,
    TrainState,
    averaged_part,
    get,
    named,
    players,
    put,
)

NO_STEP = 2**32 - 1  # is folded into the key of what happens before the first step
STEPS_IN_FLIGHT = 8  # more can deadlock collectives on CPU, and queue up memory


class NonFiniteError(FloatingPointError):
    """A loss or a gradient stopped being finite; the last finite state was saved."""


class Interrupted(Exception):
    """The run was asked to stop, saved its state, and can be continued."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.signal = number  # what asked


def make_gradient(loss: Callable, player: str, num_parts: int) -> Callable:
    """(params, extras, batch, fixed, key, step) -> (loss, (extras, terms)), gradients.

    With respect to the player's part of params. Means over `num_parts` parts of the
    batch, one after another; `fixed` is whole in each.
    """

    def of_part(part, params, extras, batch, fixed, key, step):
        return loss(put(params, player, part), extras, {**batch, **fixed}, key, step)

    gradient = jax.value_and_grad(of_part, has_aux=True)

    def whole(params, *rest):
        return gradient(get(params, player), params, *rest)

    def accumulated(params, extras, batch, fixed, key, step):
        def add(carry, inputs):
            index, rows = inputs
            total, extras = carry
            own_key = jax.random.fold_in(key, index)
            (value, (extras, terms)), grads = whole(
                params, extras, rows, fixed, own_key, step
            )
            total = jax.tree.map(jnp.add, total, (value, terms, grads))
            return (total, extras), None

        parts = jax.tree.map(  # rows i, i + k, ...: every device keeps its own rows
            lambda x: jnp.swapaxes(x.reshape(-1, num_parts, *x.shape[1:]), 0, 1), batch
        )
        first = jax.tree.map(lambda x: x[0], parts)
        (value, (_, terms)), grads = jax.eval_shape(
            whole, params, extras, first, fixed, key, step
        )
        zeros = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), (value, terms, grads)
        )
        numbered = (jnp.arange(num_parts), parts)
        (total, extras), _ = jax.lax.scan(add, (zeros, extras), numbered)
        value, terms, grads = jax.tree.map(lambda x: x / num_parts, total)
        return (value, (extras, terms)), grads

    return whole if num_parts == 1 else accumulated


def make_update(parts: Parts, config) -> Callable:
    """(params, extras, opt_state, batch, fixed, step) -> the first three, and metrics.

    Every player in turn takes its `config.updates` updates on the batch, each with a
    key of its own; the others' parts are what they are by then.
    """
    losses = players(parts.experiment)
    run_key = jax.random.key(config.seed)

    def update(params, extras, opt_state, batch, fixed, step):
        step_key, metrics = jax.random.fold_in(run_key, step), {}
        for number, (player, loss) in enumerate(losses.items()):
            gradient = make_gradient(loss, player, config.accumulate)
            player_key = jax.random.fold_in(step_key, number) if player else step_key
            for n in range(config.updates.get(player, 1)):
                key = jax.random.fold_in(player_key, n) if player else player_key
                (value, (extras, terms)), grads = gradient(
                    params, extras, batch, fixed, key, step
                )
                part, own_state = get(params, player), get(opt_state, player)
                moves, own_state = parts.optimizers[player].update(
                    grads, own_state, part
                )
                params = put(params, player, optax.apply_updates(part, moves))
                opt_state = put(opt_state, player, own_state)
            terms = {"loss": value, "grad_norm": optax.global_norm(grads), **terms}
            metrics |= {named(name, player): x for name, x in terms.items()}
        extras = parts.experiment.after_update(params, extras, step)
        return params, extras, opt_state, metrics

    return update


def make_step(parts: Parts, config) -> Callable:
    """(state, batch, fixed) -> (state, metrics); pure, to be jitted or scanned.

    `metrics` are means over the steps since the last multiple of `config.log_every`.
    A step whose loss or gradient is not finite changes nothing and sets `halted`.
    """
    update = make_update(parts, config)
    watched = [
        named(name, player)
        for player in players(parts.experiment)
        for name in ("loss", "grad_norm")
    ]

    def step(state, batch, fixed):
        params, extras, opt_state, metrics = update(
            state.params,
            state.extras,
            state.opt_state,
            parts.dataset.prepare(batch),
            fixed,
            state.step,
        )
        ema = state.ema
        if config.ema_decay:
            ema = optax.incremental_update(
                averaged_part(params, extras), ema, 1.0 - config.ema_decay
            )
        since_log = state.step % config.log_every
        sums = jax.tree.map(
            lambda total, value: jnp.where(since_log == 0, 0.0, total) + value,
            state.sums,
            metrics,
        )
        finite = jnp.all(jnp.isfinite(jnp.stack([metrics[n] for n in watched])))
        finite &= ~state.halted
        new = TrainState(
            state.step + 1, params, extras, opt_state, ema, sums, state.halted
        )
        old = state._replace(halted=~finite)
        state = jax.tree.map(functools.partial(jnp.where, finite), new, old)
        return state, jax.tree.map(lambda x: x / (since_log + 1), sums)

    return step


def make_call(step: Callable, mesh, where=None) -> Callable:
    """Jits `step` over stacked batches [steps, batch, ...]; the state is donated.

    where: shardings of the state, see `sharding.of_state`; None: on every device.
    """

    def call(state, batches, fixed):
        num_steps = jax.tree.leaves(batches)[0].shape[0]
        if num_steps == 1:
            batch = jax.tree.map(lambda x: x[0], batches)
            state, metrics = step(state, batch, fixed)
        else:
            state, stacked = jax.lax.scan(
                lambda s, b: step(s, b, fixed), state, batches
            )
            metrics = jax.tree.map(lambda x: x[-1], stacked)
        return state, (state.halted, metrics)

    everywhere = sharding.replicated(mesh)
    where = everywhere if where is None else where
    return jax.jit(
        call,
        donate_argnums=0,
        in_shardings=(where, sharding.batch_sharding(mesh, axis=1), everywhere),
        out_shardings=(where, everywhere),
    )


def metric_names(parts: Parts, params, extras, batch) -> set[str]:
    """What `make_update` returns metrics of; no gradient is traced for it."""

    def forward(params, extras, batch):
        key, step, found = jax.random.key(0), jnp.zeros((), jnp.int32), {}
        for player, loss in players(parts.experiment).items():
            _, (extras, terms) = loss(params, extras, batch, key, step)
            names = ("loss", "grad_norm", *terms)
            found |= {named(name, player): step for name in names}
        return found

    return set(jax.eval_shape(forward, params, extras, batch))


def init_state(parts: Parts, config, batch) -> TrainState:
    """The state before the first step, where `sharding.of_state` has it.

    `batch` is one batch of shapes or arrays, as the dataset yields it.
    """

    def init(batch, fixed):
        key = jax.random.fold_in(jax.random.key(config.seed), NO_STEP)
        batch = parts.dataset.prepare(batch)
        params, extras = parts.experiment.init(key, {**batch, **fixed})
        opt_state = {
            player: optimizer.init(get(params, player))
            for player, optimizer in parts.optimizers.items()
        }
        opt_state = opt_state.get(ALL, opt_state)
        average = averaged_part(params, extras) if config.ema_decay else ()
        names = metric_names(parts, params, extras, {**batch, **fixed})
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            extras=extras,
            opt_state=opt_state,
            ema=jax.tree.map(jnp.copy, average),
            sums={name: jnp.zeros((), jnp.float32) for name in names},
            halted=jnp.zeros((), bool),
        )

    fixed, where = dict(parts.dataset.fixed), sharding.replicated(parts.mesh)
    if config.shard_state or sharding.MODEL in parts.mesh.shape:
        where = shardings(parts, config, jax.eval_shape(init, batch, fixed))
    return jax.jit(init, out_shardings=where)(batch, fixed)


def shardings(parts: Parts, config, state):
    """Where the arrays of a state live, or of a tree of their shapes."""
    return sharding.of_state(state, parts.mesh, fully=config.shard_state)


def loop(
    config,
    parts: Parts,
    state: TrainState,
    *,
    log,
    checkpoints,
    preemption,
    evaluate: Callable | None = None,
    on_log: Callable | None = None,
) -> TrainState:
    """Trains from a state until `config.num_steps`; returns the final one, saved.

    Args:
      config, parts: as `configs/base.py` describes, and what it is bound to.
      state: where to start; it is used up.
      log: logs.Log.
      checkpoints: checkpoint.Checkpoints.
      preemption: sharding.Preemption, entered.
      evaluate: state -> {name: number}, called every `config.eval_every` steps.
      on_log: called with (step, metrics) at every log point.

    Raises:
      NonFiniteError: a loss or a gradient stopped being finite; says step and term.
      TimeoutError: no batch came for `config.data_patience` seconds; says where.
      Interrupted: the run was asked to stop; the state was saved.
    """
    where = shardings(parts, config, state)
    step, call = int(state.step), make_call(make_step(parts, config), parts.mesh, where)
    fixed = jax.device_put(dict(parts.dataset.fixed), sharding.replicated(parts.mesh))
    batches, broken = _batches(parts, config, step, preemption), []
    in_flight, stop = collections.deque(), False
    settle = functools.partial(_settle, config, parts, log, checkpoints, on_log)
    with contextlib.closing(batches):
        for batch in _until_broken(batches, broken):
            state, outcome = call(state, batch, fixed)
            step += config.steps_per_call - step % config.steps_per_call
            in_flight.append((step, outcome))
            stop = preemption.reached(step)
            last = step == config.num_steps
            save = stop or last or step % config.checkpoint_every == 0
            due = evaluate is not None and step % config.eval_every == 0
            settle(in_flight, state, wait=save or due)
            known = outcome[1] if step % config.log_every == 0 else {}  # whole means
            if due:
                numbers = evaluate(state)
                log.write(step, numbers)
                known = {**known, **numbers}
            if save:
                checkpoints.save(step, state, known)
            if stop:
                break
    if step < config.num_steps:  # asked to stop, perhaps while a batch was slow
        settle(in_flight, state, wait=True)
        checkpoints.save(step, state, {})  # unless it is saved
    checkpoints.wait()
    if broken:
        raise broken[0]
    if stop or step < config.num_steps or preemption.asked():
        message = f"stopped after step {step}; the state is saved."
        raise Interrupted(message, preemption.signal)
    return state


def _batches(parts, config, step, preemption):
    """Groups of batches from `step` on, on the devices, read ahead of time."""
    batches = parts.dataset.train(config.batch_size, start_step=step)
    groups = stacked(batches, step, config.num_steps, config.steps_per_call)
    return prefetch(
        (sharding.to_global(group, parts.mesh, axis=1) for group in groups),
        should_stop=preemption.asked,
        patience=config.data_patience,
    )


def _until_broken(batches, broken: list):
    """The batches; an error of theirs ends them, for what was computed to be saved.

    In a run of several processes the others know nothing of it and could not save.
    """
    try:
        yield from batches
    except Exception as error:
        if jax.process_count() > 1:
            raise
        broken.append(error)


def _settle(config, parts, log, checkpoints, on_log, in_flight, state, *, wait):
    """Logs calls that ended; waits until few are unfinished, or until none is."""
    most = 0 if wait else max(1, STEPS_IN_FLIGHT // config.steps_per_call)
    while len(in_flight) > most:
        done, (halted, metrics) = in_flight.popleft()
        if bool(halted):  # waits for the step
            _stop_at_non_finite(config, parts, state, checkpoints)
        log.finished(done)
        if done % config.log_every == 0 or done == config.num_steps:
            metrics = {name: float(x) for name, x in metrics.items()}
            log.write(done, metrics)
            if on_log is not None:
                on_log(done, metrics)


def _stop_at_non_finite(config, parts, state, checkpoints):
    """Saves the state, which the bad step left as it was, and raises."""
    last = int(state.step)
    checkpoints.save(last, state._replace(halted=jnp.zeros_like(state.halted)), {})
    checkpoints.wait()
    raise NonFiniteError(
        f"step {last + 1}: {_offender(config, parts, state)} is not finite; the last "
        f"finite state, after step {last}, is saved."
    )


def _offender(config, parts, state) -> str:
    """Names what is not finite at the step that follows `state`, by doing it again."""
    step = int(state.step)
    batch = next(parts.dataset.train(config.batch_size, start_step=step))

    def again(state, batch, fixed):
        gradients = []
        optimizers = {
            player: optax.chain(_recorder(gradients), optimizer)
            for player, optimizer in parts.optimizers.items()
        }
        update = make_update(parts._replace(optimizers=optimizers), config)
        opt_state = {
            player: (optax.EmptyState(), get(state.opt_state, player))
            for player in optimizers
        }
        *_, metrics = update(
            state.params,
            state.extras,
            opt_state.get(ALL, opt_state),
            parts.dataset.prepare(batch),
            fixed,
            state.step,
        )
        return metrics, gradients

    batch = sharding.to_global(batch, parts.mesh)
    metrics, gradients = jax.jit(again)(state, batch, dict(parts.dataset.fixed))
    bad = [name for name, value in metrics.items() if not jnp.isfinite(value)]
    terms = [name for name in bad if name.split("/")[0] != "grad_norm"]
    if terms:
        return ", ".join(terms)
    leaves = jax.tree_util.tree_leaves_with_path(gradients)
    bad = [path[1:] for path, leaf in leaves if not jnp.all(jnp.isfinite(leaf))]
    if not bad:
        return "the norm of the gradient"
    return "the gradient of " + ", ".join(
        jax.tree_util.keystr(path, simple=True, separator="/") for path in bad[:3]
    )


def _recorder(gradients: list) -> optax.GradientTransformation:
    """Changes nothing, and appends every gradient that it is given."""

    def update(grads, state, params=None):
        gradients.append(grads)
        return grads, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
