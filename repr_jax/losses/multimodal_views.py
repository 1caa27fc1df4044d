"""What multimodal losses share: their arguments, checked, and likelihoods of them."""

from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, gaussian, likelihood
from repr_jax.ops.batch import by_row, checked_where, present, row_keys
from repr_jax.ops.mixture import Mixture
from repr_jax.ops.numerics import to_float

Likelihood = Callable[[Array, Array], Array]  # x, decoded -> [batch] log density
Decode = Callable[..., Sequence[Array]]  # z, or z and w -> one array per modality
Private = tuple[Sequence[Array], Sequence[Array]]  # means, log_vars: [batch, dim_m]

PRIVATE = 2**32 - 1  # folded into a loss's key: for private noise, a row for no other


class Views(NamedTuple):
    """The arguments, checked, in float, with zeros where a modality is absent."""

    inputs: tuple[Array, ...]  # [batch, ...] each
    mean: Array  # [modality, batch, dim]
    log_var: Array  # [modality, batch, dim]
    where: Array  # [modality, batch]
    rows: Array  # [batch], does the row have any modality?
    log_likelihoods: tuple[Likelihood, ...]
    weights: tuple
    private: tuple[tuple[Array, Array], ...]  # (mean, log_var) each; () for none


def checked(
    who: str,
    inputs: Sequence[Array],
    mean: Array,
    log_var: Array,
    log_likelihood: Likelihood | Sequence[Likelihood],
    weights: Sequence[float] | Array | None,
    where: Array | None,
    private: Private | None = None,
) -> Views:
    """The arguments of a loss as `Views`."""
    checks.same_shape(who, rank=3, mean=mean, log_var=log_var)
    count, num_rows, _ = mean.shape
    inputs = tuple(inputs)
    functions = (log_likelihood,) * count
    functions = functions if callable(log_likelihood) else tuple(log_likelihood)
    weights = (1.0,) * count if weights is None else tuple(weights)
    checks.length(
        who, count, inputs=inputs, log_likelihood=functions, likelihood_weights=weights
    )
    checks.non_negative(
        who, **{f"likelihood_weights[{m}]": weight for m, weight in enumerate(weights)}
    )
    named = {f"inputs[{m}]": x for m, x in enumerate(inputs)}
    checks.rows(who, num_rows, **named)
    checks.floating(who, **named, mean=mean, log_var=log_var)
    where = checked_where(who, where, mean.shape[:2])
    inputs = tuple(present(to_float(x), where[m]) for m, x in enumerate(inputs))
    private = () if private is None else checked_private(who, private, where)
    mean, log_var = (present(to_float(x), where) for x in (mean, log_var))
    rows = jnp.any(where, axis=0)
    return Views(inputs, mean, log_var, where, rows, functions, weights, private)


def checked_private(
    who: str, private: Private, where: Array
) -> tuple[tuple[Array, Array], ...]:
    """(mean, log_var) of each modality, the prior N(0, I) where it is absent."""
    count, num_rows = where.shape
    means, log_vars = (tuple(arrays) for arrays in private)
    checks.length(who, count, private_means=means, private_log_vars=log_vars)
    for m, pair in enumerate(zip(means, log_vars)):
        named = {f"private_{n}[{m}]": x for n, x in zip(("mean", "log_var"), pair)}
        checks.same_shape(who, rank=2, **named)
        checks.rows(who, num_rows, **named)
        checks.floating(who, **named)
    return tuple(
        (present(to_float(mean), where[m]), present(to_float(log_var), where[m]))
        for m, (mean, log_var) in enumerate(zip(means, log_vars))
    )


def decoded(views: Views, decode: Decode, z: Array, w: Sequence[Array] = ()) -> tuple:
    """decode(z), or decode(z, w), one array [..., batch, ...] per modality.

    z: [..., batch, dim]; w: [..., batch, dim_m] of each modality, () for no private
    latents. `decode` gets them as [rows, dim].
    """
    out = by_row(lambda z, *w: tuple(decode(z, w) if w else decode(z)), z, *w)
    checks.length("decode", len(views.inputs), outputs=out)
    return out


def log_likelihood_of(
    views: Views,
    decode: Decode,
    z: Array,
    where: Array,
    w: Sequence[Array] = (),
    modalities: Iterable[int] | None = None,
) -> Array:
    """[..., batch] weighted sum of log p(x_m | z) over the targets that `where` marks.

    z, w: as in `decoded`; where: [modality, batch]. Under jit only the decoders of
    `modalities`, all if None, are computed.
    """
    outputs = decoded(views, decode, z, w)
    total = jnp.zeros(z.shape[:-1], z.dtype)
    for m in range(len(outputs)) if modalities is None else modalities:
        log_p = likelihood.by_row(
            views.log_likelihoods[m], views.inputs[m], outputs[m], where[m]
        )
        total = total + views.weights[m] * log_p
    return total


def own_likelihoods(
    key: Array, views: Views, decode: Decode, axis_name: str | None
) -> tuple[Array, Array]:
    """z [modality, batch, dim] of each expert, and its log p of its own modality."""
    keys = row_keys(key, views.rows, axis_name)
    z = gaussian.sample(keys, views.mean, views.log_var)
    log_p = [
        log_likelihood_of(views, decode, z[m], views.where, modalities=(m,))
        for m in range(len(z))
    ]
    return z, jnp.stack(log_p)


def private_sample(
    key: Array,
    views: Views,
    axis_name: str | None,
    *lead: int,
    distribution: ModuleType = gaussian,
) -> tuple:
    """[*lead, batch, dim_m] from each modality's private posterior; () if it has none.

    key: the one whose `row_keys` drew z.
    """
    if not views.private:
        return ()
    key, samples = jax.random.fold_in(key, PRIVATE), []
    for m, (mean, log_var) in enumerate(views.private):
        keys = row_keys(jax.random.fold_in(key, m), views.rows, axis_name)
        mean, log_var = (jnp.broadcast_to(x, lead + x.shape) for x in (mean, log_var))
        samples.append(distribution.sample(keys, mean, log_var))
    return tuple(samples)


def private_kl(
    views: Views,
    where: Array,
    weight: float | Sequence[float] | Array,
    distribution: ModuleType = gaussian,
) -> Array:
    """[batch] weighted sum over the modalities in `where` of private KLs to the prior.

    weight: a number, or one per modality.
    """
    total = jnp.zeros(where.shape[1:], views.mean.dtype)
    weights = jnp.broadcast_to(jnp.asarray(weight, views.mean.dtype), (len(where),))
    for m, posterior in enumerate(views.private):
        total = total + weights[m] * present(distribution.kl(*posterior), where[m])
    return total


def mixture_of(views: Views) -> Mixture:
    """The experts that a row has, equally likely."""
    return Mixture(views.mean, views.log_var, jnp.where(views.where, 0.0, -jnp.inf))


def without_gradient(views: Views) -> Views:
    """The same, with experts and private posteriors that get no gradient."""
    mean, log_var, private = lax.stop_gradient(
        (views.mean, views.log_var, views.private)
    )
    return views._replace(mean=mean, log_var=log_var, private=private)


def mean_observed(values: Array, where: Array) -> Array:
    """[n, batch] -> [batch] mean of the values that `where`, [n, batch], marks."""
    count = jnp.maximum(jnp.sum(where, axis=0), 1)
    return jnp.sum(present(values, where), axis=0) / count
