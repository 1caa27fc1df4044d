"""What experiments of several modalities share: their inputs, networks and schedules.

A batch has an array for each of `config.modalities`, and may have `where` [batch], the
rows that are present, and `present` [batch, modality], the modalities that are.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from repr_jax import losses
from repr_jax.config import bind
from repr_jax.ops import likelihood
from repr_jax.ops.batch import present, row_keys

THIN = 2**31  # folded into a key that rows fold in too


def observed(batch, names):
    """Inputs with zeros where absent, a tuple, and presence [modality, batch].

    Raises:
      ValueError: the batch lacks a modality.
    """
    missing = [name for name in names if name not in batch]
    if missing:
        raise ValueError(
            f"config.modalities: expected names that the dataset has; got "
            f"{', '.join(missing)}."
        )
    rows = batch[names[0]].shape[0]
    here = batch.get("present", jnp.ones((rows, len(names)), bool))
    here = here & batch.get("where", jnp.ones(rows, bool))[:, None]
    inputs = tuple(present(batch[name], here[:, m]) for m, name in enumerate(names))
    return inputs, here.T


def log_likelihoods(loss: Callable, names) -> list[Callable]:
    """Those of a bound loss, one for each modality; Laplace if it names none."""
    given = loss.keywords.get("log_likelihood", likelihood.laplace)
    return [given] * len(names) if callable(given) else list(given)


def shown(loss: Callable, names, decoded) -> dict:
    """{name: [batch, ...]}: means of the modalities, of what their decoders return."""
    means = map(likelihood.mean_of, log_likelihoods(loss, names))
    return {name: mean(x) for name, mean, x in zip(names, means, decoded)}


def thinned(thin: Callable | None, names, batch, key):
    """The batch with the modalities that its rows keep in training; None keeps all."""
    if thin is None:
        return batch
    _, where = observed(batch, names)
    keys = row_keys(jax.random.fold_in(key, THIN), jnp.any(where, axis=0))
    return {**batch, "present": thin(keys, where).T}


def of_each(config, name) -> tuple:
    """A module for each modality: of one kind, or config.{name}s has one by its name.

    Raises:
      ValueError: a modality has none.
    """
    if f"{name}s" not in config:
        choice = bind(config[name], f"config.{name}")
        return tuple(choice() for _ in config.modalities)
    chosen = config[f"{name}s"]
    missing = [m for m in config.modalities if m not in chosen]
    if missing:
        raise ValueError(
            f"config.{name}s: expected one for each of config.modalities; got none for "
            f"{', '.join(missing)}."
        )
    return tuple(bind(chosen[m], f"config.{name}s.{m}")() for m in config.modalities)


def schedules(config, loss: Callable) -> dict[str, Callable]:
    """step -> factor, by argument of the loss that is multiplied by it.

    Raises:
      ValueError: one of an argument that config.loss does not give.
    """
    found = {
        name: bind(choice, f"config.schedules.{name}")()
        for name, choice in config.get("schedules", {}).items()
    }
    unknown = sorted(set(found) - set(loss.keywords))
    if unknown:
        raise ValueError(
            f"config.schedules: expected arguments that config.loss gives; got "
            f"{', '.join(unknown)}."
        )
    return found


def scaled(loss: Callable, schedules: Mapping[str, Callable], step) -> dict:
    """The arguments of the loss that follow a schedule, at this step."""
    return {
        name: loss.keywords[name] * factor(step) for name, factor in schedules.items()
    }


def free_nats(nats: float, posterior, where):
    """The mean over experts of `losses.free_nats`, each of the rows that have it."""
    each = [
        losses.free_nats(*one, nats=nats, where=here)
        for one, here in zip(zip(*posterior), where)
    ]
    return sum(each) / len(each)
