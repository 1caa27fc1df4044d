"""Views seen from the center of training features: loops, an oracle, the plain loss."""

import jax
import numpy as np

from repr_jax import losses


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def draw():
    rng = np.random.default_rng(29)
    return unit(rng.normal(size=(4, 3)) + 3), unit(rng.normal(size=(4, 3)) + 3)


def from_the_paper(a, b, center, temperature):
    rows = unit(np.concatenate([unit(a) - center, unit(b) - center]))
    n, total = len(a), 0.0
    for i in range(2 * n):
        scores = np.exp(rows @ rows[i] / temperature)
        total -= np.log(scores[(i + n) % (2 * n)] / (scores.sum() - scores[i]))
    return total / (2 * n)


def test_values_of_an_independent_program():
    a, b = draw()
    center = unit(np.ones(3))
    found = jax.jit(losses.mean_shifted)(a, b, center)
    np.testing.assert_allclose(found, 3.715775, rtol=1e-5)
    angular = losses.mean_shifted(a, b, center, angular_weight=1.0) - found
    np.testing.assert_allclose(angular, 0.08686751, rtol=1e-4)


def test_matches_the_paper():
    a, b = np.random.default_rng(0).normal(size=(2, 6, 4))
    center = unit(a).mean(axis=0)
    for temperature in (0.1, 1.0):
        found = losses.mean_shifted(a, b, center, temperature=temperature)
        expected = from_the_paper(a, b, center, temperature)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_without_a_center_it_is_nt_xent_and_the_center_gets_no_gradient():
    a, b = draw()
    found = losses.mean_shifted(a, b, np.zeros(3))
    expected = losses.nt_xent(a, b, temperature=0.25)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    slope = jax.grad(losses.mean_shifted, argnums=2)(a, b, unit(np.ones(3)))
    assert (np.asarray(slope) == 0).all()
    same = np.tile(a[:1], (4, 1))  # every row is the center: log 7
    np.testing.assert_allclose(losses.mean_shifted(same, same, a[0]), np.log(7), 1e-5)
