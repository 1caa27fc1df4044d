"""Non-linear invariants: a map of volume 1, its score by hand, and spheres."""

import jax
import numpy as np
import pytest

from repr_jax import metrics
from repr_jax.estimators import invariants, mahalanobis

SHORT = dict(num_steps=30, hidden=8, num_layers=2)


def rows(seed=0, num=40, dim=5):
    return np.random.default_rng(seed).normal(size=(num, dim)).astype(np.float32)


def test_the_score_has_the_values_of_an_independent_program():
    rng = np.random.default_rng(21)
    train = rng.normal(size=(20, 3)) * [0.1, 0.2, 0.3]
    found, x = rng.normal(size=(2, 3)), rng.normal(size=(20, 4))
    queries, all_rows = rng.normal(size=(2, 4)), np.ones(20, bool)
    parts = (train**2).mean(0), np.ones(3, bool)
    near = jax.jit(invariants._two_nearest)(queries, x, all_rows)
    distance = invariants._train_distance(x, all_rows)
    scores = jax.jit(invariants._combined)(found, *parts, near, distance)
    np.testing.assert_allclose(scores, [70.93569, 71.81381], rtol=1e-5)
    kept = np.asarray(jax.jit(invariants._kept)(x, all_rows, 0.3))
    assert int(kept.sum()) == 3 and not kept[0]


def test_the_map_has_volume_1_and_an_inverse():
    fitted = invariants.fit(jax.random.key(0), rows(), **SHORT)
    x = rows(1, 6)
    z = invariants.outputs(fitted, x)
    back = np.asarray(invariants._inverse(fitted.layers, z)) + np.asarray(fitted.mean)
    np.testing.assert_allclose(back, x, atol=1e-4)

    def output(x):
        return invariants.outputs(fitted, x[None])[0]

    jacobian = jax.jit(jax.jacobian(output))(x[0])
    assert abs(np.linalg.det(jacobian)) == pytest.approx(1, abs=1e-3)
    assert fitted.losses.shape == (60,) and np.all(np.asarray(fitted.losses) > 0)


def test_couplings_of_zero_turn_rows_alone():
    """Then |f(x)| is the distance to the mean: the affine form."""
    fitted = invariants.fit(jax.random.key(0), rows(), **SHORT)
    still = jax.tree.map(np.zeros_like, (fitted.layers.kernels, fitted.layers.biases))
    layers = fitted.layers._replace(kernels=still[0], biases=still[1])
    x = rows(1, 6)
    z = invariants.outputs(fitted._replace(layers=layers), x)
    norms = np.linalg.norm(x - np.asarray(fitted.mean), axis=1)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), norms, rtol=1e-4)


def test_a_turn_has_the_values_of_an_independent_program():
    """Before a coupling that adds tanh(y_1 + y_2) to y_0, which it leaves to ours."""
    rng = np.random.default_rng(11)
    turns = np.stack([rng.normal(size=(3, 3)), np.zeros((3, 3))])
    x = rng.normal(size=(1, 3))
    kernels = np.zeros((1, 2, 4)), np.zeros((1, 4, 1))
    layers = invariants.Layers(turns, kernels, (np.zeros((1, 4)), np.zeros((1, 1))))
    y = np.array(invariants._forward(layers, x))[0]
    y[0] += np.tanh(y[1] + y[2])
    np.testing.assert_allclose(y, [2.789659, 1.240458, 1.028685], rtol=1e-5)


def test_other_radii_of_a_sphere_are_found_where_a_gaussian_fails_inward():
    rng = np.random.default_rng(0)

    def sphere(num, radius):
        x = rng.normal(size=(num, 3))
        return np.float32(radius * x / np.linalg.norm(x, axis=1, keepdims=True))

    x, t, inward = sphere(500, 1.0), sphere(200, 1.0), sphere(200, 0.6)
    fitted = invariants.fit(jax.random.key(0), x, residual=0.4, num_steps=600)
    gaussian = mahalanobis.fit(x, np.zeros(500, int), num_classes=1)
    both, outlier = np.concatenate([t, inward]), np.arange(400) >= 200
    auroc = jax.jit(metrics.auroc)
    assert auroc(jax.jit(invariants.score)(fitted, both), outlier) > 0.95
    assert auroc(jax.jit(mahalanobis.score)(gaussian, both), outlier) < 0.05


@pytest.mark.parametrize(
    ("x", "numbers", "message"),
    [
        (rows(dim=1), {}, "dim"),
        (rows(num=2), {}, "num_neighbors 3"),
        (rows(), {"residual": 1.0}, "residual in"),
        (rows(), {"learning_rate": 0.0}, "learning_rate"),
        (np.full((5, 2), np.nan), {}, "finite"),
    ],
)
def test_what_is_refused(x, numbers, message):
    with pytest.raises(ValueError, match=message):
        invariants.fit(jax.random.key(0), x, **SHORT, **numbers)
