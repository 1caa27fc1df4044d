"""What bounds of subsets of modalities miss, where everything is known in closed form.

z ~ N(0, I_d), x_m = W_m z + scale * e_m, and the decoders are those of this model. For
a subset A of the modalities, q(z | x_A) must explain all of x while it sees x_A alone.
The best it can do falls short of E log p(x) by

  gap_A = tr(Lam^-1 Cov(h)) / 2, Lam = I + sum_m W_m' W_m / scale^2,
  h = sum_{m not in A} W_m' (x_m - E[x_m | x_A]) / scale^2,

which is 0 for all modalities together, and grows with what a modality has of its own.
A mixture over subsets misses the mean of their gaps.

Source: the gap of Daunhawer et al., "On the Limitations of Multimodal VAEs", 2022,
  https://arxiv.org/abs/2110.04121, worked out here for this model; the derivation and
  the model are ours.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax import losses, optim
from repr_jax.ops import likelihood, subsets


class Model(NamedTuple):
    """A linear Gaussian model of several modalities."""

    weights: tuple[np.ndarray, ...]  # [dim of x_m, dim of z] each
    scale: float  # > 0, standard deviation of the noise


class Posterior(NamedTuple):
    """q(z | x) = N(matrix @ x, covariance), x all modalities in one vector."""

    matrix: np.ndarray  # [dim of z, dim of x], 0 for the modalities it does not see
    covariance: np.ndarray  # [dim of z, dim of z]


def two_views(own: float) -> Model:
    """x_m = s + own * p_m + e_m for m = 1, 2: shared s, private p_m, noise e_m.

    The latents are rotated so that the best posteriors have independent dimensions, as
    those of a VAE do; its prior does not change by that.
    """
    model = Model((np.array([[1.0, own, 0.0]]), np.array([[1.0, 0.0, own]])), 1.0)
    _, axes = np.linalg.eigh(_precision(model))
    return model._replace(weights=tuple(w @ axes for w in model.weights))


def log_evidence(model: Model) -> float:
    """E log p(x) under the model itself, in nats."""
    cov = _covariance(model)
    return -0.5 * float(len(cov) * np.log(2 * np.pi * np.e) + np.linalg.slogdet(cov)[1])


def gap(model: Model, members: Sequence[bool]) -> float:
    """What the best posterior of a subset misses of `log_evidence`, in nats."""
    unseen = np.eye(len(_covariance(model))) - _completion(model, members)
    residual = unseen @ _covariance(model) @ unseen.T  # of x, given x_A
    weights = np.concatenate(model.weights) / model.scale**2
    of_h = weights.T @ residual @ weights
    return 0.5 * float(np.trace(np.linalg.solve(_precision(model), of_h)))


def best(model: Model, members: Sequence[bool]) -> Posterior:
    """The posterior of a subset that has the largest `bound`."""
    covariance = np.linalg.inv(_precision(model))
    weights = np.concatenate(model.weights) / model.scale**2
    return Posterior(covariance @ weights.T @ _completion(model, members), covariance)


def bound(model: Model, posterior: Posterior) -> float:
    """E[log p(x | z)] - KL(q(z | x) || N(0, I)) of all modalities, exactly, in nats."""
    weights, cov = np.concatenate(model.weights), _covariance(model)
    matrix, own = posterior
    left = np.eye(len(cov)) - weights @ matrix
    squares = np.trace(left @ cov @ left.T) + np.trace(weights @ own @ weights.T)
    log_p = -0.5 * (
        squares / model.scale**2 + len(cov) * np.log(2 * np.pi * model.scale**2)
    )
    kl = 0.5 * (
        np.trace(own)
        + np.trace(matrix @ cov @ matrix.T)
        - len(own)
        - np.linalg.slogdet(own)[1]
    )
    return float(log_p - kl)


def _precision(model):
    weights = np.concatenate(model.weights)
    return np.eye(weights.shape[1]) + weights.T @ weights / model.scale**2


def _covariance(model):
    weights = np.concatenate(model.weights)
    return weights @ weights.T + model.scale**2 * np.eye(len(weights))


def _completion(model, members):
    """[dim of x, dim of x], takes x to E[x | x_A]."""
    seen = np.repeat(np.asarray(members, bool), [len(w) for w in model.weights])
    cov, found = _covariance(model), np.zeros((len(seen), len(seen)))
    found[:, seen] = np.linalg.solve(cov[np.ix_(seen, seen)], cov[seen]).T
    return found


# The same by training


class Encoders(NamedTuple):
    """Parameters: a linear posterior for each of some subsets."""

    matrix: jax.Array  # [subset, dim of z, dim of x]
    log_var: jax.Array  # [subset, dim of z]


def of_each_subset(model: Model, members: np.ndarray) -> Callable:
    """Minus the mean bound of posteriors that each subset has for itself.

    members: [subset, modality] bool. A function of (encoders, x, key).
    """
    sizes = [len(w) for w in model.weights]
    seen = jnp.asarray(np.repeat(members, sizes, axis=1), jnp.float32)

    def loss(encoders, x, key):
        weights = jnp.asarray(np.concatenate(model.weights), x.dtype)

        def of_subset(key, matrix, log_var, seen):
            mean = (x * seen[None]) @ matrix.T
            return losses.elbo(
                key,
                x,
                mean,
                jnp.broadcast_to(log_var, mean.shape),
                lambda z: z @ weights.T,
                log_likelihood=functools.partial(
                    likelihood.gaussian, scale=model.scale
                ),
            )

        keys = jax.random.split(key, len(members))
        return jnp.mean(jax.vmap(of_subset)(keys, *encoders, seen))

    return loss


def of_experts(model: Model, objective: Callable) -> Callable:
    """`losses.moe_elbo`, `losses.mopoe` or another, of one linear expert a modality."""
    ends = np.cumsum([len(w) for w in model.weights])[:-1]
    seen = jnp.asarray(
        np.repeat(np.eye(len(model.weights)), [len(w) for w in model.weights], axis=1),
        jnp.float32,
    )

    def loss(encoders, x, key):
        mean = jnp.einsum("mzx,bx,mx->mbz", encoders.matrix, x, seen)
        log_var = jnp.broadcast_to(encoders.log_var[:, None], mean.shape)
        weights = [jnp.asarray(w, x.dtype) for w in model.weights]
        return objective(
            key,
            jnp.split(x, ends, axis=1),
            mean,
            log_var,
            lambda z: [z @ w.T for w in weights],
            log_likelihood=functools.partial(likelihood.gaussian, scale=model.scale),
        )

    return loss


def train(
    model: Model, loss: Callable, count: int, *, seed=0, num_steps=3_000, batch_size=512
) -> Encoders:
    """Adam on fresh samples of the model; `count` linear encoders, from zeros."""
    weights = np.concatenate(model.weights)
    optimizer = optim.adam_cosine(peak=0.03, num_steps=num_steps)
    encoders = Encoders(
        jnp.zeros((count, *weights.T.shape)), jnp.zeros((count, weights.shape[1]))
    )

    @jax.jit
    def run(state, key):
        def of_step(encoders, extras, key, step):
            data, noise, draw = jax.random.split(key, 3)
            z = jax.random.normal(data, (batch_size, weights.shape[1]))
            e = jax.random.normal(noise, (batch_size, len(weights)))
            x = z @ jnp.asarray(weights.T, z.dtype) + model.scale * e
            return loss(encoders, x, draw), extras

        return optim.descend(
            of_step, state, key=key, optimizer=optimizer, until=num_steps
        )

    state = optim.start_descent(encoders, optimizer, num_steps=num_steps)
    return run(state, jax.random.key(seed)).params


def posteriors(model: Model, encoders: Encoders, members: np.ndarray) -> list:
    """The posteriors of trained encoders: of subsets themselves, or one a modality."""
    sizes = [len(w) for w in model.weights]
    seen = np.repeat(members, sizes, axis=1)
    return [
        Posterior(np.asarray(matrix, np.float64) * row, np.diag(np.exp(log_var)))
        for matrix, log_var, row in zip(
            encoders.matrix, np.asarray(encoders.log_var, np.float64), seen
        )
    ]


def products(experts: Sequence[Posterior]) -> list[Posterior]:
    """MoPoE's posteriors of all subsets; the prior is an expert of the full one."""
    found = []
    for members in subsets.non_empty(len(experts)):
        chosen = [expert for expert, member in zip(experts, members) if member]
        precision = sum(np.linalg.inv(expert.covariance) for expert in chosen)
        weighted = sum(
            np.linalg.solve(expert.covariance, expert.matrix) for expert in chosen
        )
        if members.all():
            precision = precision + np.eye(len(precision))
        found.append(
            Posterior(np.linalg.solve(precision, weighted), np.linalg.inv(precision))
        )
    return found
