"""The flow is exact in both directions, and learns what a Gaussian cannot."""

import jax
import numpy as np
import pytest

from repr_jax.estimators import coupling_flow

KEY = jax.random.key(0)
log_prob = jax.jit(coupling_flow.log_prob)
to_noise = jax.jit(coupling_flow.to_noise)
SMALL = dict(num_layers=3, hidden=8, batch_size=32)


def rows(dim, count=200, seed=0):
    rng = np.random.default_rng(seed)
    return (3 + rng.normal(size=(count, dim)) @ rng.normal(size=(dim, dim))).astype("f")


@pytest.fixture(scope="module", params=[1, 2, 5])
def moved(request):
    """A flow whose layers all do something, and rows that it was fitted to."""
    x = rows(request.param)
    flow = coupling_flow.fit(KEY, x, num_steps=50, learning_rate=0.02, **SMALL)
    return flow, x


def test_there_and_back(moved):
    flow, x = moved
    z = np.asarray(to_noise(flow, x)[0])
    np.testing.assert_allclose(coupling_flow.from_noise(flow, z), x, atol=2e-4)
    assert z.shape == x.shape and np.abs(z - z.mean(axis=0)).max() > 1
    assert any(np.abs(np.asarray(bias)).max() > 0.01 for bias in flow.layers.biases)


def test_the_determinant_is_that_of_the_jacobian(moved):
    flow, x = moved

    def noise(row):
        return coupling_flow.to_noise(flow, row[None])[0][0]

    jacobians = jax.jit(jax.vmap(jax.jacfwd(noise)))(x[:7])
    expected = np.linalg.slogdet(np.asarray(jacobians, np.float64))[1]
    z, log_det = map(np.asarray, to_noise(flow, x[:7]))
    np.testing.assert_allclose(log_det, expected, rtol=1e-4, atol=1e-4)
    base = -0.5 * np.sum(z**2 + np.log(2 * np.pi), axis=1)
    np.testing.assert_allclose(
        log_prob(flow, x[:7]), base + expected, rtol=1e-4, atol=1e-4
    )


def test_it_starts_as_the_gaussian_of_means_and_variances():
    x = rows(3)
    flow = coupling_flow.fit(KEY, x, num_steps=1, learning_rate=1e-12, **SMALL)
    mean, std = x.mean(axis=0), x.std(axis=0)
    expected = -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(log_prob(flow, x), expected.sum(axis=1), rtol=1e-4)
    assert flow.losses.shape == (1,)


def arc(count, seed):
    """Points around half a circle."""
    rng = np.random.default_rng(seed)
    angle = np.pi * rng.uniform(size=count)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (points + 0.1 * rng.normal(size=points.shape)).astype("f")


def test_it_learns_a_bent_density():
    """Far above the Gaussian's log-likelihood of held-out rows; it integrates to 1."""
    flow = coupling_flow.fit(
        KEY, arc(2_000, 0), num_layers=6, hidden=32, num_steps=600, learning_rate=5e-3
    )
    test = arc(500, 1)
    found = np.mean(log_prob(flow, test))
    gaussian = -0.5 * (np.linalg.slogdet(np.cov(test.T))[1] + 2 + 2 * np.log(2 * np.pi))
    assert found > gaussian + 0.5
    losses = np.asarray(flow.losses)
    assert np.mean(losses[-50:]) < losses[0] - 0.5
    side = np.linspace(-3, 3, 301, dtype="f")
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    mass = np.sum(np.exp(log_prob(flow, grid))) * 0.02**2
    assert mass == pytest.approx(1, abs=0.02)
    drawn = np.asarray(coupling_flow.sample(jax.random.key(1), flow, 2_000))
    radii = np.linalg.norm(drawn, axis=1)
    assert np.median(np.abs(radii - 1)) < 0.15
    np.testing.assert_allclose(drawn.mean(axis=0), test.mean(axis=0), atol=0.1)


def test_a_coordinate_that_does_not_vary_stays():
    x = rows(2)
    x[:, 1] = 7.0
    flow = coupling_flow.fit(KEY, x, num_steps=3, **SMALL)
    drawn = np.asarray(coupling_flow.sample(KEY, flow, 20))
    np.testing.assert_allclose(drawn[:, 1], 7, atol=1e-3)
    assert np.isfinite(flow.losses).all()


def test_progress_and_refusals():
    seen = []
    flow = coupling_flow.fit(
        KEY, rows(2), num_steps=40, progress=lambda *n: seen.append(n), **SMALL
    )
    assert seen[-1] == (40, 40) and len(seen) == 20
    whole = coupling_flow.fit(KEY, rows(2), num_steps=40, **SMALL)
    np.testing.assert_allclose(flow.losses, whole.losses, rtol=1e-5)
    for function in (coupling_flow.to_noise, coupling_flow.log_prob):
        with pytest.raises(ValueError, match="to_noise: expected x of shape"):
            function(flow, rows(3))
    with pytest.raises(ValueError, match="from_noise: expected x of shape"):
        coupling_flow.from_noise(flow, rows(3))
    with pytest.raises(ValueError, match=r"coupling_flow\.fit: expected num_layers"):
        coupling_flow.fit(KEY, rows(2), num_layers=0)
