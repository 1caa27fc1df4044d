"""Spectral, alignment, uniformity, mean-shifted: loops, by hand, properties."""

import math
from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses

mean_shifted = jax.jit(losses.mean_shifted)


def draw(batch=6, dim=4):
    return np.random.default_rng(0).normal(size=(2, batch, dim)).astype("f")


def spectral_from_the_paper(a, b):
    """HaoChen et al., eq. 6, the second expectation over pairs of two examples."""
    n = len(a)
    positives = sum(x @ y for x, y in zip(a, b)) / n
    pairs = [(a[i] @ b[j]) ** 2 for i in range(n) for j in range(n) if i != j]
    return -2 * positives + sum(pairs) / len(pairs)


def alignment_from_the_paper(a, b, *, power):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return np.mean([np.linalg.norm(x - y) ** power for x, y in zip(a, b)])


def uniformity_from_the_paper(x, *, scale):
    """Wang and Isola, section 4.1, over the unordered pairs of a batch."""
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    pairs = [(x[i], x[j]) for i in range(len(x)) for j in range(i)]
    kernels = [math.exp(-scale * ((a - b) ** 2).sum()) for a, b in pairs]
    return math.log(sum(kernels) / len(kernels))


def test_spectral_contrastive_matches_the_paper():
    actual = jax.jit(losses.spectral_contrastive)(*draw())
    np.testing.assert_allclose(
        actual, spectral_from_the_paper(*draw().astype(float)), rtol=1e-5
    )


@pytest.mark.parametrize("power, scale", [(2.0, 2.0), (1.0, 0.5), (3.0, 40.0)])
def test_alignment_and_uniformity_match_the_paper(power, scale):
    a, b = draw()
    near = alignment_from_the_paper(*draw().astype(float), power=power)
    actual = jax.jit(partial(losses.alignment, power=power))(a, b)
    np.testing.assert_allclose(actual, near, rtol=1e-5)
    uniformity = jax.jit(losses.uniformity)
    spread = [uniformity_from_the_paper(x.astype(float), scale=scale) for x in (a, b)]
    actual = [uniformity(x, scale=scale) for x in (a, b)]
    np.testing.assert_allclose(actual, spread, rtol=1e-5)
    both = jax.jit(
        partial(losses.alignment_uniformity, power=power, uniformity_weight=0.7)
    )
    expected = near + 0.7 * (spread[0] + spread[1]) / 2
    np.testing.assert_allclose(both(a, b, scale=scale), expected, rtol=1e-5)


def test_values_by_hand():
    """Two opposite pairs: distances 0 within, and 4 (squared) between two of a view."""
    a = np.array([[3.0, 0.0], [-2.0, 0.0]], "f")
    close = partial(np.testing.assert_allclose, rtol=1e-6)
    cubed = jax.jit(partial(losses.alignment, power=3.0))
    assert cubed(a, a) == 0
    close(cubed(a, -a), 8.0)
    close(jax.jit(losses.uniformity)(a), -8.0)
    close(jax.jit(losses.alignment_uniformity)(a, -a), -4.0)
    spectral = jax.jit(losses.spectral_contrastive)
    close(spectral(a, a), 23.0)  # -2 (9 + 4) / 2 + (-6)^2
    alone = np.array([True, False])
    assert jax.jit(losses.uniformity)(a, where=alone) == 0
    assert spectral(a, a, where=alone) == -18


def test_alignment_has_a_gradient_where_views_agree():
    a, _ = draw(batch=64, dim=37)  # where compilers fuse products and differences
    for power in (0.5, 1.0, 2.0, 3.0):
        loss = jax.jit(
            jax.value_and_grad(partial(losses.alignment, power=power), argnums=(0, 1))
        )
        value, gradients = jax.jit(loss)(a, a.copy())
        assert value == 0
        assert all((gradient == 0).all() for gradient in gradients)


def test_the_circle_is_most_uniform():
    """Equal steps round a circle beat 20 random sets of as many points."""
    angles = 2 * np.pi * np.arange(8) / 8
    uniformity = jax.jit(losses.uniformity)
    circle = uniformity(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    rng = np.random.default_rng(0)
    random = [uniformity(rng.normal(size=(8, 2)).astype("f")) for _ in range(20)]
    assert circle < min(random)


def test_spectral_contrastive_is_least_at_the_leading_eigenvectors():
    """Three examples with equal views, in a plane: rows of one length at 120 degrees.

    There the loss is -2 r^2 + r^4 / 4, least at r^2 = 4, where it is -4.
    """
    angles = 2 * np.pi * np.arange(3) / 3
    best = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def loss(x):
        return losses.spectral_contrastive(x, x)

    value, gradient = jax.jit(jax.value_and_grad(loss))(best.astype("f"))
    np.testing.assert_allclose(value, -4.0, rtol=1e-6)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def cone():
    rng = np.random.default_rng(29)
    return unit(rng.normal(size=(4, 3)) + 3), unit(rng.normal(size=(4, 3)) + 3)


def mean_shifted_from_the_paper(a, b, center, temperature):
    rows = unit(np.concatenate([unit(a) - center, unit(b) - center]))
    n, total = len(a), 0.0
    for i in range(2 * n):
        scores = np.exp(rows @ rows[i] / temperature)
        total -= np.log(scores[(i + n) % (2 * n)] / (scores.sum() - scores[i]))
    return total / (2 * n)


def test_mean_shifted_values_of_an_independent_program():
    a, b = cone()
    center = unit(np.ones(3))
    found = np.asarray(mean_shifted(a, b, center))
    np.testing.assert_allclose(found, 3.715775, rtol=1e-5)
    angular = np.asarray(mean_shifted(a, b, center, angular_weight=1.0)) - found
    np.testing.assert_allclose(angular, 0.08686751, rtol=1e-4)


def test_mean_shifted_matches_the_paper():
    a, b = np.random.default_rng(0).normal(size=(2, 6, 4))
    center = unit(a).mean(axis=0)
    for temperature in (0.1, 1.0):
        found = mean_shifted(a, b, center, temperature=temperature)
        expected = mean_shifted_from_the_paper(a, b, center, temperature)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_mean_shifted_by_nothing_is_nt_xent_and_the_center_gets_no_gradient():
    a, b = cone()
    found = mean_shifted(a, b, np.zeros(3))
    expected = jax.jit(losses.nt_xent)(a, b, temperature=0.25)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    slope = jax.jit(jax.grad(losses.mean_shifted, argnums=2))(a, b, unit(np.ones(3)))
    assert (np.asarray(slope) == 0).all()
    same = np.tile(a[:1], (4, 1))  # every row is the center: log 7
    np.testing.assert_allclose(mean_shifted(same, same, a[0]), np.log(7), 1e-5)


koleo = jax.jit(losses.koleo)


def koleo_in_loops(x):
    z = x / np.linalg.norm(x, axis=1, keepdims=True)
    terms = []
    for i, row in enumerate(z):
        nearest = min(np.linalg.norm(row - y) for j, y in enumerate(z) if j != i)
        terms.append(-np.log(nearest))
    return np.mean(terms)


def test_koleo_matches_the_paper_and_has_the_stated_value():
    rng = np.random.default_rng(30)
    for size in ((3, 4, 5), (2, 4, 5), 5):
        rng.normal(size=size)
    x = rng.normal(size=(6, 3))
    np.testing.assert_allclose(koleo(x), koleo_in_loops(x), rtol=1e-5)
    np.testing.assert_allclose(koleo(x), 0.8770398, rtol=1e-5)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(koleo(7 * x @ turn), 0.8770398, rtol=1e-5)


def test_koleo_by_hand_and_its_gradient_spreads_rows():
    x = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]], "f")
    np.testing.assert_allclose(koleo(x), -np.log(2) / 2, rtol=1e-6)
    np.testing.assert_allclose(koleo(x[[0, 0]]), -np.log(1e-8), rtol=1e-6)
    assert koleo(x[:1]) == 0  # no other row
    pair = np.array([[1.0, 0.1], [1.0, -0.1]], "f")
    step = pair - 0.01 * np.asarray(jax.jit(jax.grad(losses.koleo))(pair))
    assert koleo(step) < koleo(pair)
    assert step[0, 1] > 0.1 and step[1, 1] < -0.1
