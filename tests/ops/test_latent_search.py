"""PULSE's search: distance of layers, rates, spheres, and a linear generator."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.ops import latent_search

geocross = jax.jit(latent_search.geocross)


def test_geocross_of_orthogonal_and_of_equal_latents():
    orthogonal = np.eye(2, 512)
    found = geocross(orthogonal)
    np.testing.assert_allclose(found, 8 * np.pi**2, rtol=1e-5)
    np.testing.assert_allclose(geocross(3 * orthogonal), found, rtol=1e-4)
    np.testing.assert_allclose(geocross(np.ones((4, 3, 16))), 0, atol=1e-6)
    opposite = np.stack([np.ones(16), -np.ones(16)])
    np.testing.assert_allclose(geocross(opposite), np.pi**2, rtol=1e-3)


@pytest.mark.parametrize("scale", [1e-6, 1e20])
def test_the_scale_of_latents_makes_no_difference(scale):
    rng = np.random.default_rng(0)
    v, x = rng.normal(size=(2, 3, 5, 8)).astype("f")
    np.testing.assert_allclose(geocross(v * scale), geocross(v), rtol=1e-5)
    pull = jax.jit(jax.grad(lambda v: latent_search.geocross(v).sum()))
    assert np.isfinite(pull(v)).all()
    for axes in [(-1,), (1, 2)]:
        found = jax.jit(latent_search.on_sphere, static_argnums=2)(x, v * scale, axes)
        lengths = [
            np.sqrt(np.sum(np.float64(a) ** 2, axis=axes)) for a in (found, v * scale)
        ]
        np.testing.assert_allclose(*lengths, rtol=1e-5)
        assert found.shape == x.shape


def test_rates_rise_and_fall():
    factor = jax.jit(latent_search.rate_factor, static_argnums=1)
    found = [float(factor(step, 100)) for step in range(101)]
    assert found[0] == pytest.approx(0.1) and found[45] == pytest.approx(1)
    assert found[90] == pytest.approx(0.1) and found[95] == pytest.approx(0.0505)
    assert found[100] == pytest.approx(0.001, abs=1e-6)  # of float32
    assert np.all(np.diff(found[:46]) > 0) and np.all(np.diff(found[45:]) < 0)


def linear(dim=8, layers=2):
    """Images of four numbers, and latents and noise to start from."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(layers * dim, 4)).astype("f") / 4

    def generate(latents, noise):
        image = latents.reshape(len(latents), -1) @ matrix
        image = image + 0.1 * noise[0] + noise[1]
        return image.reshape(-1, 2, 2, 1)

    latents = rng.normal(size=(3, layers, dim)).astype("f")
    noise = (rng.normal(size=(3, 4)).astype("f"), np.zeros((3, 4), "f"))
    return generate, latents, noise


def measure(images):
    return jnp.mean(images, axis=(1, 2))


def test_vectors_stay_on_their_spheres_and_the_measurement_is_met():
    generate, latents, noise = linear()
    lengths = []

    def spy(moved, maps):
        norms = jnp.linalg.norm(moved, axis=-1), jnp.linalg.norm(maps[0], axis=-1)
        jax.debug.callback(
            lambda *x: lengths.append([np.asarray(a) for a in x]), *norms
        )
        np.testing.assert_equal(maps[1].shape, (3, 4))
        return generate(moved, maps)

    y = np.array([[0.5], [-0.2], [0.0]], "f")
    search = partial(latent_search.search, spy, measure, num_trained=1)
    found = jax.block_until_ready(jax.jit(search)(y, latents, noise))
    jax.effects_barrier()
    assert len(lengths) >= 100
    for now in lengths:
        np.testing.assert_allclose(now[0], np.linalg.norm(latents, axis=-1), rtol=1e-5)
        np.testing.assert_allclose(now[1], np.linalg.norm(noise[0], axis=-1), rtol=1e-5)
    found = jax.tree.map(np.asarray, found)
    assert found.converged.all() and np.all(found.squared_error <= 2e-3)
    error = (found.image.mean(axis=(1, 2)) - y)[:, 0] ** 2
    np.testing.assert_allclose(error, found.squared_error, rtol=1e-3, atol=1e-6)


def test_what_cannot_be_met_is_said():
    generate, latents, noise = linear()
    y = np.array([[0.1], [50.0], [0.0]], "f")
    search = partial(latent_search.search, generate, measure)
    found = jax.jit(search)(y, latents, noise)
    np.testing.assert_array_equal(found.converged, [True, False, True])


def test_rows_do_not_depend_on_each_other():
    generate, latents, noise = linear()
    y = np.array([[0.1], [0.3], [0.0]], "f")
    run = jax.jit(partial(latent_search.search, generate, measure, num_steps=20))
    whole, part = (
        np.asarray(run(y[rows], latents[rows], [n[rows] for n in noise]).image)
        for rows in (slice(3), slice(1, 2))
    )
    np.testing.assert_allclose(part, whole[1:2], atol=1e-4)


def test_one_step_keeps_the_start():
    generate, latents, noise = linear()
    search = partial(latent_search.search, generate, measure, num_steps=1)
    found = jax.jit(search)(np.zeros((3, 1), "f"), latents, noise)
    np.testing.assert_allclose(found.image, generate(latents, noise), rtol=1e-6)
    with pytest.raises(ValueError, match="expected learning_rate > 0"):
        latent_search.search(generate, measure, 0, latents, noise, learning_rate=0.0)
