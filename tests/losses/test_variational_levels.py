"""The bound of latents above latents, by hand and against float64 loops.

By hand: z_2 ~ N(0, 1), z_1 = z_2 + e, x = z_1 + e', all noise standard. With the exact
posterior, q(z_1 | x) = N(2 x / 3, 2 / 3) and q(z_2 | z_1) = N(z_1 / 2, 1 / 2), every
sample of the bound is log p(x) = log N(x; 0, 3) = -1.634911 at x = 1.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses, metrics
from repr_jax.ops import likelihood
from repr_jax.ops.batch import row_keys

KEY = jax.random.key(3)
DIMS = (3, 2, 1)  # of the levels, bottom first
unit = functools.partial(likelihood.gaussian, scale=1.0)


def drawn(batch=5, features=4):
    """x, mean, log_var; matrices of the decoder, of encoders and of priors."""
    rng = np.random.default_rng(0)
    shapes = [(batch, features), (batch, DIMS[0]), (batch, DIMS[0])]
    shapes += [(DIMS[0], features), *itertools.pairwise(DIMS), *zip(DIMS[1:], DIMS)]
    x, mean, log_var, out, *rest = (rng.normal(size=s).astype("f") for s in shapes)
    return x, mean, 0.3 * log_var, out, rest[:2], rest[2:]


def linear(matrix, log_var):
    return lambda z: (z @ matrix, jnp.full((len(z), matrix.shape[1]), log_var))


def conditionals(up, down):
    return dict(
        encoders=tuple(linear(a, -0.5) for a in up),
        priors=tuple(linear(a, 0.2) for a in down),
    )


def compiled(function, **options):
    """Of (key, x, mean, log_var, decode), whatever the options."""
    return jax.jit(functools.partial(function, **options), static_argnums=4)


def log_normal(x, mean, log_var):
    """[dim] log densities of single numbers."""
    return [
        -0.5 * (np.log(2 * np.pi) + v + (a - m) ** 2 / np.exp(v))
        for a, m, v in zip(x, mean, np.broadcast_to(log_var, np.shape(x)))
    ]


def levels_in_loops(mean, log_var, up, down, where, num_samples=None):
    """(z_1, z by level, excess of each unit by level), for each row and sample."""
    keys = [row_keys(k, where) for k in jax.random.split(KEY, len(up) + 1)]
    shape = () if num_samples is None else (num_samples,)
    found = []
    for i in np.flatnonzero(where):
        noise = [
            np.asarray(jax.random.normal(k[i], (*shape, dim)), float).reshape(-1, dim)
            for k, dim in zip(keys, DIMS)
        ]
        rows = []
        for s in range(num_samples or 1):
            m, v = mean[i].astype(float), log_var[i].astype(float)
            z, log_q = [], []
            for level in range(len(DIMS)):
                z.append(m + np.exp(v / 2) * noise[level][s])
                log_q.append(log_normal(z[-1], m, v))
                if level < len(up):
                    m, v = (
                        z[-1] @ up[level].astype(float),
                        np.full(len(up[level][0]), -0.5),
                    )
            log_p = [
                log_normal(z[n], z[n + 1] @ down[n].astype(float), 0.2) for n in (0, 1)
            ]
            log_p.append(log_normal(z[2], np.zeros(1), 0.0))
            rows.append((z, [np.subtract(q, p) for q, p in zip(log_q, log_p)]))
        found.append(rows)
    return found


@pytest.mark.parametrize("where", [np.ones(5, bool), np.arange(5) % 3 != 1])
@pytest.mark.parametrize("beta, nats", [(1.0, None), (0.4, None), (0.4, 2.0)])
def test_the_bound_of_loops(beta, nats, where):
    x, mean, log_var, out, up, down = drawn()
    rows = levels_in_loops(mean, log_var, up, down, where)
    expected = 0.0
    for i, ((z, _),) in zip(np.flatnonzero(where), rows):
        expected -= sum(log_normal(x[i], z[0] @ out.astype(float), 0.0)) / len(rows)
    for level, dim in enumerate(DIMS):
        for d in range(dim):
            of_unit = np.mean([excess[level][d] for ((_, excess),) in rows])
            expected += beta * (of_unit if nats is None else max(of_unit, nats / dim))
    found = jax.jit(
        lambda *arrays: losses.hierarchical_elbo(
            KEY,
            *arrays,
            lambda z: z @ out,
            **conditionals(up, down),
            log_likelihood=unit,
            beta=beta,
            free_nats=nats,
            where=where,
        )
    )(x, mean, log_var)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_latents_from_the_prior_in_loops(k):
    x, mean, log_var, out, up, down = drawn()
    expected = np.zeros((4, 5))
    rows = levels_in_loops(mean, log_var, up, down, np.ones(5, bool), num_samples=4)
    for i, row in enumerate(rows):
        for s, (z, excess) in enumerate(row):
            bottom = z[k]
            for level in reversed(range(k)):
                bottom = bottom @ down[level].astype(float)  # the mode
            expected[s, i] = sum(log_normal(x[i], bottom @ out.astype(float), 0.0))
            for level in range(k, len(DIMS)):
                expected[s, i] -= sum(excess[level])
    bound = compiled(
        metrics.bound_above,
        **conditionals(up, down),
        num_from_prior=k,
        num_samples=4,
        log_likelihood=unit,
    )
    found = bound(KEY, x, mean, log_var, lambda z: z @ out)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def exact(x):
    """Arguments of the model by hand; x [batch, 1]."""

    def half(z):
        return z / 2, jnp.full_like(z, np.log(0.5))

    def same(z):
        return z, jnp.zeros_like(z)

    mean, log_var = 2 * x / 3, np.full_like(x, np.log(2 / 3))
    arrays = (KEY, x, mean, log_var, lambda z: z)
    return arrays, dict(encoders=(half,), priors=(same,), log_likelihood=unit)


def test_by_hand_every_sample_of_an_exact_posterior_is_the_evidence():
    arrays, parts = exact(np.ones((50, 1), "f"))
    options = dict(num_from_prior=0, num_samples=3)
    found = compiled(metrics.bound_above, **parts, **options)(*arrays)
    np.testing.assert_allclose(found, -0.5 * np.log(6 * np.pi) - 1 / 6, rtol=1e-5)
    np.testing.assert_allclose(found, -1.634911, rtol=1e-5)
    loss = compiled(losses.hierarchical_elbo, **parts)(*arrays)
    np.testing.assert_allclose(loss, 1.634911, rtol=1e-5)


def test_by_hand_the_ratio_of_a_row_that_is_expected_less_is_larger():
    """z_2 of x has mean x / 3, variance 2 / 3, and is alone in the bound above."""
    x = np.repeat(np.array([[0.0], [4.0]], "f"), 20_000, axis=0)
    arrays, parts = exact(x)
    full, above = (
        compiled(metrics.bound_above, **parts, num_from_prior=k)(*arrays)
        for k in (0, 1)
    )
    ratio = np.asarray(jax.jit(metrics.likelihood_ratio)(full, above))
    ratio = ratio.reshape(2, -1).mean(1)
    for value, found in zip((0.0, 4.0), ratio):
        evidence = -0.5 * np.log(6 * np.pi) - value**2 / 6
        away, size = (2 * value / 3) ** 2 + 2 / 3, (value / 3) ** 2 + 2 / 3
        log_p = -0.5 * np.log(2 * np.pi) - away / 2  # of x given z_2
        log_q = -0.5 * np.log(np.pi * np.e)  # of z_2 given z_1
        log_prior = -0.5 * np.log(2 * np.pi) - size / 2
        assert found == pytest.approx(evidence - (log_p - log_q + log_prior), abs=0.05)
    assert ratio[1] > ratio[0]


def test_free_nats_leave_a_unit_without_gradient_where_it_has_fewer():
    x, mean, log_var, _, up, down = drawn()

    def loss(mean, nats):
        return losses.hierarchical_elbo(
            KEY,
            x,
            mean,
            log_var,
            lambda z: jnp.zeros_like(x),
            **conditionals(up, down),
            free_nats=nats,
        )

    slope = jax.jit(jax.grad(loss))
    np.testing.assert_array_equal(slope(mean, 1e3), 0)
    assert np.all(np.asarray(slope(mean, None)) != 0)


def test_what_does_not_fit_is_refused():
    x, mean, log_var, out, up, down = drawn()
    arrays, parts = (KEY, x, mean, log_var, lambda z: z @ out), conditionals(up, down)
    with pytest.raises(ValueError, match="hierarchical_elbo: expected as many priors"):
        losses.hierarchical_elbo(*arrays, **parts | {"priors": ()})
    with pytest.raises(ValueError, match="hierarchical_elbo: expected free_nats >= 0"):
        losses.hierarchical_elbo(*arrays, **parts, free_nats=-1.0)
    with pytest.raises(ValueError, match="bound_above: expected num_from_prior <= 2"):
        metrics.bound_above(*arrays, **parts, num_from_prior=3)
    with pytest.raises(TypeError, match="bound_above: expected x of floats"):
        whole = (KEY, x.astype(int), *arrays[2:])
        metrics.bound_above(*whole, **parts, num_from_prior=0)
