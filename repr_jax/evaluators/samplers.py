"""Where z comes from if nothing is given: the prior, or a density fitted to latents.

    config.evals.coherence.sampler = dict(fn=samplers.flow)

A posterior that the prior does not match leaves regions of latent space that no decoder
has seen; a density fitted to latents of training rows avoids them. It may also know
those rows by heart, which `novelty` tells.

A sampler is (key, latents [rows, dim]) -> draw, and draw (key, num) -> [num, dim]. All
latents of a row, shared and private, are fitted together: what depends stays so.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax.estimators import coupling_flow, gaussian_mixture
from repr_jax.evaluators.common import (
    Evaluation,
    batches,
    needs,
    rows_with,
    with_present,
)
from repr_jax.ops.batch import by_block
from repr_jax.ops.similarity import negative_squared_distance

OUTPUTS = ("latents", "decode")
COMPARED = 2_000  # rows that novelty is the mean of


@needs(*OUTPUTS)
def mixture(
    key,
    latents,
    *,
    num_components: int = 10,
    covariance: str = "full",
    ridge: float = 1e-4,
    num_steps: int = 100,
) -> Callable:
    """`gaussian_mixture`, whose arguments these are."""
    fitted = gaussian_mixture.fit(
        key,
        latents,
        num_components=num_components,
        covariance=covariance,
        ridge=ridge,
        num_steps=num_steps,
    )
    return lambda key, num: gaussian_mixture.sample(key, fitted, num)


@needs(*OUTPUTS)
def flow(
    key,
    latents,
    *,
    num_layers: int = 8,
    hidden: int = 128,
    num_steps: int = 3_000,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
) -> Callable:
    """`coupling_flow`, whose arguments these are."""
    fitted = coupling_flow.fit(
        key,
        latents,
        num_layers=num_layers,
        hidden=hidden,
        num_steps=num_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )
    return lambda key, num: coupling_flow.sample(key, fitted, num)


class Fitted(NamedTuple):
    """A sampler that was fitted."""

    draw: Callable  # (key, num) -> [num, dim]
    novelty: float  # mean distance of what is drawn to the nearest training latent,
    # over that of latents of test rows: 1 is as new as these, 0 a copy


def fit(trained, dataset, sampler, key, *, batch_size, max_fit=10_000) -> Fitted:
    """Fits a sampler to latents of the training rows that have all modalities.

    Raises:
      ValueError: the model lacks an output that this needs, or no row is complete.
    """
    lacking = [name for name in OUTPUTS if name not in trained.outputs]
    if lacking:
        raise ValueError(
            f"samplers: expected a model with the outputs {', '.join(OUTPUTS)}; got "
            f"none named {', '.join(lacking)}."
        )
    keys = jax.random.split(key, 4)
    known, new = (
        _latents(trained, dataset, split, own_key, batch_size, limit)
        for split, own_key, limit in zip(("train", "test"), keys, (max_fit, COMPARED))
    )
    if not min(len(known), len(new)):
        raise ValueError("samplers: expected rows with all modalities; got none.")
    draw = sampler(keys[2], jnp.asarray(known))
    drawn = draw(keys[3], min(COMPARED, len(known)))
    away = [
        np.mean(_distances(jnp.asarray(x), jnp.asarray(known))) for x in (drawn, new)
    ]
    return Fitted(draw, float(away[0] / max(away[1], 1e-12)))


def _latents(trained, dataset, split, key, batch_size, limit):
    """[rows, dim] samples of the posterior of everything, a row each."""
    every = np.ones(len(trained.modalities), bool) if trained.modalities else None
    found = []
    for n, batch in enumerate(batches(dataset, split, batch_size, limit=limit)):
        z = trained.outputs["latents"](batch, jax.random.fold_in(key, n))
        found.append(np.asarray(z, np.float32)[rows_with(batch, every)])
    return np.concatenate(found)


@jax.jit
def _distances(x, known):
    def nearest(rows):
        squares = -negative_squared_distance.of_pairs(rows, known)
        return jnp.sqrt(jnp.maximum(jnp.min(squares, axis=1), 0))

    return by_block(nearest, x)


def generated(trained, dataset, key, *, num, batch_size, fitted=None) -> Iterator[dict]:
    """{name: [batch_size, ...]} that nothing is given for, `num` rows or a few more.

    fitted: of `fit`; None draws from the model's prior.
    """
    template = next(iter(dataset.evaluate("test", batch_size)))
    rows = len(template["where"])
    template = {**template, "where": np.ones(rows, bool)}
    if trained.modalities and fitted is None:
        template = with_present(template, np.zeros(len(trained.modalities), bool))
    for n in range(-(-num // rows)):
        own_key = jax.random.fold_in(key, n)
        if fitted is None:
            if not trained.modalities:  # nothing given: no row
                template["where"] = np.zeros(rows, bool)
            yield trained.outputs["generate"](template, own_key)
        else:
            z = fitted.draw(own_key, rows)
            yield trained.outputs["decode"]({**template, "z": z}, own_key)


def with_novelty(evaluation: Evaluation, fitted: Fitted | None) -> Evaluation:
    """With the number "novelty", if a sampler was fitted."""
    if fitted is None:
        return evaluation
    return evaluation._replace(
        numbers={**evaluation.numbers, "novelty": fitted.novelty}
    )
