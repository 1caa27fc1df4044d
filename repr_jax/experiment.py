"""What a run consists of: an experiment or a fit, what a config is bound to, a state.

And the names by which a method of several players finds its losses and parameters.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import optax

from repr_jax.data.dataset import Dataset

ALL = ""  # the player that moves all of `params`: what most methods have


def keep_extras(params, extras, step):
    """The `after_update` of an experiment that needs none."""
    return extras


class Experiment(NamedTuple):
    """How a loss becomes a training step: pure functions of prepared batches.

    `params` is what the optimizers move, `extras` everything else that changes. A
    method of several players has one loss per top-level part of `params`, in the order
    in which they move, and a loss is differentiated with respect to its part alone.
    """

    init: Callable  # key, batch -> params, extras
    loss: Callable | Mapping[str, Callable]
    # params, extras, batch, key, step -> loss, (extras, terms); one, or one a player
    outputs: Mapping[str, Callable] = MappingProxyType({})
    # what a trained model can be asked for: params, extras, batch, key -> arrays
    after_update: Callable = keep_extras  # params, extras, step -> extras


class Fit(NamedTuple):
    """An estimator in place of a training loop: it is fitted once, then asked."""

    fit: Callable  # key, dataset, progress -> fitted, a NamedTuple of arrays
    outputs: Mapping[str, Callable]  # as an experiment's: fitted, batch, key -> arrays


class Parts(NamedTuple):
    """What a config is bound to."""

    dataset: Dataset
    experiment: Experiment | Fit
    optimizers: Mapping[str, optax.GradientTransformation]  # by player
    evaluators: Mapping[str, Callable]
    mesh: jax.sharding.Mesh


class TrainState(NamedTuple):
    """All that a run is; saved and restored whole."""

    step: jax.Array  # [] int32, updates done
    params: Any
    extras: Any
    opt_state: Any  # of several players: a dict
    ema: Any  # moving average of `averaged_part`, () without one
    sums: dict  # of every metric, over the steps since the last log point
    halted: jax.Array  # [] bool, True once a loss or a gradient was not finite


def players(experiment: Experiment) -> dict[str, Callable]:
    """The losses by player, in the order in which they move."""
    one = callable(experiment.loss)
    return {ALL: experiment.loss} if one else dict(experiment.loss)


def named(name: str, player: str) -> str:
    """A metric of a player: "loss", or "loss/critic"."""
    return f"{name}/{player}" if player else name


def get(params, player: str):
    """The part of params that a player moves."""
    return params[player] if player else params


def put(params, player: str, part):
    """params with this part in place of the player's."""
    return {**params, player: part} if player else part


def averaged_part(params, extras):
    """What the moving average is of: params, and what batch normalization remembers."""
    leaves = jax.tree_util.tree_leaves_with_path(extras)
    paths = [(jax.tree_util.keystr(path), x) for path, x in leaves]
    return params, {path: x for path, x in paths if "['batch_stats']" in path}


def to_evaluate(state: TrainState):
    """(params, extras) of a state, from their moving average if there is one."""
    if state.ema == ():
        return state.params, state.extras
    params, statistics = state.ema
    extras = jax.tree_util.tree_map_with_path(
        lambda path, x: statistics.get(jax.tree_util.keystr(path), x), state.extras
    )
    return params, extras
