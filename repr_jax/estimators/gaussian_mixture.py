"""Mixtures of Gaussians by expectation maximization, from a k-means start."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from repr_jax.estimators import kmeans
from repr_jax.ops import checks
from repr_jax.ops.batch import checked_queries, checked_where, masked_mean, present
from repr_jax.ops.covariance import check_ridge
from repr_jax.ops.numerics import argmax, pairwise_dot, to_float

COVARIANCES = ("full", "shared", "diagonal", "spherical")


class GaussianMixture(NamedTuple):
    """What was fitted; without the last field, also a place to start from."""

    weights: Array  # [num_components], they sum to 1
    means: Array  # [num_components, dim]
    covariances: Array  # [num_components, dim, dim] if full, [1, dim, dim] if shared,
    # [num_components, dim] if diagonal, [num_components, 1] if spherical
    history: Array | tuple = ()  # [num_steps] mean log_prob of the rows before each
    # step; it rises, unless the ridge is large beside the variances


def fit(
    key: Array,
    x: Array,
    *,
    num_components: int,
    covariance: str = "full",
    ridge: float = 1e-6,
    num_steps: int = 100,
    start: GaussianMixture | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> GaussianMixture:
    """Expectation maximization of mean_i log sum_k weights_k N(x_i; means_k, cov_k).

    A step computes each row's posterior over the components, then weights, means and
    covariances of the rows in those proportions, and adds `ridge` to the covariances'
    diagonals, or a component on a single row has none. Of no row, the mean stays.

    Args:
      key: PRNG key, of the k-means whose clusters are the start.
      x: [batch, dim] float.
      num_components: from 1 to batch; K in the book.
      covariance: "full", a matrix for each component; "shared", one for all;
        "diagonal", a variance for each dimension too; "spherical", one a component.
      ridge: > 0, in squared units of x, and above the rounding of the covariances.
      num_steps: all are taken; `history` tells whether fewer would have done.
      start: used in place of k-means; of the kind that `covariance` names.
      where: [batch] bool, False for absent rows; None if all are present.
      axis_name: the mapped axis the batch is split over; None if it is whole.

    Raises:
      ValueError: a shape, a number or `covariance` is not as above; x is not finite, or
        the ridge too small (where traced, the fit is NaN).
      TypeError: integers in x; a `where` that is not bool.

    Source: Dempster, Laird and Rubin, "Maximum Likelihood from Incomplete Data via the
      EM Algorithm", 1977, https://doi.org/10.1111/j.2517-6161.1977.tb01600.x; Bishop,
      "Pattern Recognition and Machine Learning", 2006, section 9.2.2, eqs. 9.23 to 9.27
      (both from memory). The ridge is not theirs.
    """
    who = "gaussian_mixture.fit"
    checks.count(who, num_components=num_components, num_steps=num_steps)
    checks.one_of(who, COVARIANCES, covariance=covariance)
    checks.positive(who, ridge=ridge)
    where = _check_rows(who, x, where, num_components if axis_name is None else 0)
    if start is not None:
        start = _check_start(who, start, num_components, x.shape[1], covariance)
    found = _fit(
        key, x, where, start, ridge, num_components, covariance, num_steps, axis_name
    )
    check_ridge(who, ridge, found.means)
    return found


def logits(mixture: GaussianMixture, x: Array) -> Array:
    """log weights_k + log N(x_i; means_k, cov_k): [batch, dim] -> [batch, components].

    Their softmax is the posterior over the components, eq. 9.23.

    Raises:
      ValueError: x is not [batch, dim] of the fit, or not finite.
    """
    x = checked_queries("gaussian_mixture.logits", mixture.means.shape[1:], x=x)
    return _logits(mixture, x)


def log_prob(mixture: GaussianMixture, x: Array) -> Array:
    """[batch, dim] -> [batch] log-density in nats."""
    return jax.nn.logsumexp(logits(mixture, x), axis=-1)


def sample(key: Array, mixture: GaussianMixture, num_samples: int) -> Array:
    """[num_samples, dim] rows drawn from the density."""
    checks.count("gaussian_mixture.sample", num_samples=num_samples)
    return _sample(key, mixture, num_samples)


def score(mixture: GaussianMixture, x: Array) -> Array:
    """[batch, dim] -> [batch] -log_prob: higher for what is more of an outlier."""
    return -log_prob(mixture, x)


def assign(mixture: GaussianMixture, x: Array) -> Array:
    """[batch, dim] -> [batch] int32, the component of the largest posterior.

    ValueError for x that is not finite; in traced code such a row gets -1.
    """
    return argmax(logits(mixture, x))


def _check_rows(who, x, where, least):
    checks.same_shape(who, rank=2, x=x)
    checks.floating(who, x=x)
    if least > len(x):
        raise ValueError(
            f"{who}: expected at most as many components as rows, {len(x)}; got "
            f"num_components {least}."
        )
    where = checked_where(who, where, x.shape[:1])
    checks.finite(who, where=where, x=x)
    return where


def _check_start(who, start, components, dim, covariance):
    shapes = {
        "full": (components, dim, dim),
        "shared": (1, dim, dim),
        "diagonal": (components, dim),
        "spherical": (components, 1),
    }
    who = f"{who}, start"
    checks.shape(who, (components,), weights=start.weights)
    checks.shape(who, (components, dim), means=start.means)
    checks.shape(who, shapes[covariance], covariances=start.covariances)
    return jax.tree.map(to_float, start._replace(history=()))


@functools.partial(jax.jit, static_argnums=(5, 6, 7, 8))
def _fit(key, x, where, start, ridge, num_components, covariance, num_steps, axis_name):
    x = present(to_float(x), where)
    center = _total(jnp.sum(x, axis=0), axis_name)
    center = center / jnp.maximum(_total(jnp.sum(where), axis_name), 1)
    x = present(x - center[None], where)  # so that sums of many rows round less
    maximize = functools.partial(
        _maximize, x, ridge=ridge, covariance=covariance, axis_name=axis_name
    )
    if start is None:
        split = dict(where=where, axis_name=axis_name)
        clusters = kmeans.fit(key, x, num_clusters=num_components, **split)
        members = jax.nn.one_hot(
            kmeans.assign(clusters, x), num_components, dtype=x.dtype
        )
        start = maximize(present(members, where), clusters.centroids)
    else:
        start = start._replace(means=start.means - center[None])

    def step(mixture, _):
        joint = _logits(mixture, x)
        log_probs = jax.nn.logsumexp(joint, axis=-1)
        posterior = present(jnp.exp(joint - log_probs[:, None]), where)
        mean = masked_mean(log_probs, where=where, axis_name=axis_name)
        return maximize(posterior, mixture.means), mean

    mixture, history = lax.scan(step, start, length=num_steps)
    return mixture._replace(means=mixture.means + center[None], history=history)


@functools.partial(jax.jit, static_argnums=2)
def _sample(key, mixture, num_samples):
    component_key, key = jax.random.split(key)
    means, covariances = mixture.means, mixture.covariances
    log_weights = jnp.log(mixture.weights)
    k = jax.random.categorical(component_key, log_weights, shape=(num_samples,))
    noise = jax.random.normal(key, (num_samples, means.shape[1]), means.dtype)
    if covariances.ndim == 3:
        factors = jnp.linalg.cholesky(covariances)[k % len(covariances)]
        product = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)
        return means[k] + product("nij,nj->ni", factors, noise)
    return means[k] + jnp.sqrt(covariances)[k] * noise


@jax.jit
def _logits(mixture, x):
    """[batch, components], one component after another: [batch, dim] at a time."""
    matrices = mixture.covariances.ndim == 3
    num, dim = mixture.means.shape
    shape = (num, dim, dim) if matrices else (num, dim)

    def component(parts):
        mean, covariance = parts
        away = x - mean[None]
        if matrices:
            factor = jnp.linalg.cholesky(covariance)
            away = jax.scipy.linalg.solve_triangular(factor, away.T, lower=True).T
            log_det = 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))
        else:
            away = away * lax.rsqrt(covariance)[None]
            log_det = jnp.sum(jnp.log(covariance))
        return -0.5 * (jnp.sum(away * away, axis=-1) + log_det)

    covariances = jnp.broadcast_to(mixture.covariances, shape)
    densities = lax.map(component, (mixture.means, covariances))  # [components, batch]
    weights = jnp.maximum(mixture.weights, jnp.finfo(x.dtype).tiny)
    return densities.T + (jnp.log(weights) - 0.5 * dim * math.log(2 * math.pi))[None]


def _maximize(x, posterior, means, *, ridge, covariance, axis_name):
    """The mixture of the rows in these proportions, [batch, components]: 9.24 to 9.27.

    means: of before, for components of no row.
    """
    matrices, dim = covariance in ("full", "shared"), x.shape[1]
    sums, counts = _total(
        (pairwise_dot(posterior.T, x.T), jnp.sum(posterior, axis=0)), axis_name
    )
    tiny, total = jnp.finfo(x.dtype).tiny, jnp.maximum(jnp.sum(counts), 1)
    sizes = jnp.maximum(counts, tiny)
    means = jnp.where(counts[:, None] < tiny, means, sums / sizes[:, None])

    def scatter(component):
        mean, share = component
        away = x - mean[None]
        weighted = share[:, None] * away
        if matrices:
            return pairwise_dot(weighted.T, away.T)
        return jnp.sum(weighted * away, axis=0)

    scatters = _total(lax.map(scatter, (means, posterior.T)), axis_name)
    if covariance == "shared":
        covariances = jnp.sum(scatters, axis=0, keepdims=True) / total
    else:
        covariances = scatters / sizes.reshape(-1, *(1,) * (scatters.ndim - 1))
    if covariance == "spherical":
        covariances = jnp.mean(covariances, axis=1, keepdims=True)
    covariances += ridge * jnp.eye(dim)[None] if matrices else ridge
    return GaussianMixture(counts / total, means, covariances)


def _total(values, axis_name):
    """Sums over the shards of a split batch."""
    return values if axis_name is None else lax.psum(values, axis_name)
