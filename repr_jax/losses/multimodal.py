"""Evidence bounds that fuse several modalities, as losses: minus the bound, in nats.

All take what the encoders returned, `mean` and `log_var` [modality, batch, dim], and
`decode`, a function of a latent [batch, dim] that returns one array per modality: the
location of its likelihood, or its logits. It must act on each row by itself, since a
loss may hand it several samples of the batch at once. `where` [modality, batch] marks
the observed entries. The contents of the others are irrelevant, even if NaN; their
encoders, and their decoders as targets, get exactly no gradient; a row with no
modality at all is as good as deleted.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks, gaussian, likelihood, subsets
from repr_jax.ops.batch import all_rows, masked_mean, present, row_keys
from repr_jax.ops.numerics import to_float

Likelihood = Callable[[Array, Array], Array]  # x, decoded -> [batch] log density


def mopoe(
    key: Array,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    decode: Callable[[Array], Sequence[Array]],
    *,
    log_likelihood: Likelihood | Sequence[Likelihood] = likelihood.laplace,
    likelihood_weights: Sequence[float] | Array | None = None,
    beta: float | Array = 1.0,
    prior_expert: str = "full",
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Minus the bound of a mixture of products of experts, over all subsets.

    mean_i [ beta * mean_A KL(q_A || N(0, I)) - sum_m weight_m log p(x_m | z) ], where
    A runs over the non-empty subsets of the observed modalities, q_A is the product of
    its experts, and z is drawn from q_A for one A per row, drawn uniformly.

    Args:
      key: PRNG key.
      inputs: one [batch, ...] float array per modality.
      mean, log_var: [modality, batch, dim] float, each modality's Gaussian posterior.
      decode: [batch, dim] -> one array per modality, each of its input's shape.
      log_likelihood: (x, decoded) -> [batch], for all modalities or one for each.
      likelihood_weights: [modality] >= 0, None for 1. The paper writes lambda.
      beta: >= 0, weight of the divergence.
      prior_expert: is N(0, I) one more expert? In the subset of all modalities alone
        ("full"), which a row with one missing does not have, in "all", or in "none".
      where: [modality, batch] bool, False where absent; None if all are observed.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Returns:
      float32 scalar in nats.

    Raises:
      ValueError: shapes that do not fit together; a negative beta or weight.
      TypeError: integer inputs; a `where` that is not bool.

    Source: Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021,
      https://arxiv.org/abs/2105.02470, with the authors' code: no empty subset, and
      the prior expert in the full one. They give each subset a run of consecutive
      rows; here each row draws its own, which is unbiased at any batch size.
    """
    data = _observed("mopoe", inputs, mean, log_var, where, beta)
    inputs, mean, log_var, where = data
    members = subsets.non_empty(len(inputs))
    rows = jnp.any(where, axis=0)
    subset_keys, noise_keys = (
        row_keys(k, rows, axis_name) for k in jax.random.split(key)
    )
    drawn = subsets.draw(subset_keys, members, where)  # [modality, batch]
    posterior = subsets.posterior(mean, log_var, drawn, prior_expert=prior_expert)
    decoded = decode(gaussian.sample(noise_keys, *posterior))
    log_p = _log_likelihood(
        "mopoe", inputs, decoded, log_likelihood, likelihood_weights, where
    )
    kls = subsets.posterior_kls(mean, log_var, prior_expert=prior_expert)
    allowed = subsets.valid(members, where)  # [subset, batch]
    kl = jnp.sum(present(kls, allowed), axis=0)
    kl = kl / jnp.maximum(jnp.sum(allowed, axis=0), 1)
    return masked_mean(beta * kl - log_p, where=rows, axis_name=axis_name)


def _observed(who, inputs, mean, log_var, where, beta):
    """Arguments checked, in float, with zeros where `where` says absent."""
    inputs = tuple(inputs)
    checks.same_shape(who, rank=3, mean=mean, log_var=log_var)
    num_modalities, batch, _ = mean.shape
    if len(inputs) != num_modalities:
        raise ValueError(
            f"{who}: expected {num_modalities} inputs, one per row of mean "
            f"{mean.shape}; got {len(inputs)}."
        )
    named = {f"inputs[{m}]": x for m, x in enumerate(inputs)}
    checks.rows(who, batch, **named)
    checks.floating(who, **named, mean=mean, log_var=log_var)
    checks.non_negative(who, beta=beta)
    where = all_rows(mean, 2) if where is None else where
    checks.shape(who, (num_modalities, batch), where=where)
    checks.boolean(who, where=where)
    inputs = tuple(present(to_float(x), where[m]) for m, x in enumerate(inputs))
    return inputs, *(present(to_float(x), where) for x in (mean, log_var)), where


def _log_likelihood(who, inputs, decoded, log_likelihood, weights, where):
    """[batch] sum of log p(x_m | z) over the observed modalities, each weighted."""
    num_modalities = len(inputs)
    decoded = tuple(decoded)
    functions = log_likelihood
    if callable(log_likelihood):
        functions = (log_likelihood,) * num_modalities
    weights = (1.0,) * num_modalities if weights is None else tuple(weights)
    lengths = dict(
        decoded=decoded, log_likelihood=functions, likelihood_weights=weights
    )
    for name, value in lengths.items():
        if len(value) != num_modalities:
            raise ValueError(
                f"{who}: expected {name} for {num_modalities} modalities; "
                f"got {len(value)}."
            )
    checks.non_negative(
        who, **{f"likelihood_weights[{m}]": w for m, w in enumerate(weights)}
    )
    total = 0.0
    for m, x in enumerate(inputs):
        log_p = functions[m](x, present(to_float(decoded[m]), where[m]))
        total = total + weights[m] * present(log_p, where[m])
    return total
