"""Reweighted negatives against float64 loops, in their limits and by hand."""

import math
from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses


def draw(batch=6, dim=4, seed=0):
    return np.random.default_rng(seed).normal(size=(2, batch, dim)).astype("f")


def exponentials(a, b, temperature):
    """By view of 2N: exp(s / temperature) of its positive and of views of others."""
    z, n = np.concatenate([a, b]).astype(float), len(a)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    for i in range(2 * n):
        positive = math.exp(z[i] @ z[(i + n) % (2 * n)] / temperature)
        others = [k for k in range(2 * n) if k % n != i % n]
        yield positive, [math.exp(z[i] @ z[k] / temperature) for k in others]


def dcl_from_the_paper(a, b, *, temperature):
    """Yeh et al.: minus the log of the positive over the sum of the others."""
    views = exponentials(a, b, temperature)
    return np.mean([math.log(sum(others) / positive) for positive, others in views])


def hard_negative_from_the_paper(a, b, *, temperature, positive_rate, beta):
    """Robinson et al., as in their code; with beta 0, Chuang et al., M = 1."""
    terms = []
    for positive, others in exponentials(a, b, temperature):
        weights = [other**beta for other in others]
        mean = sum(w * e for w, e in zip(weights, others)) / sum(weights)
        g = (mean - positive_rate * positive) / (1 - positive_rate)
        g = max(g, math.exp(-1 / temperature))
        terms.append(-math.log(positive / (positive + len(others) * g)))
    return np.mean(terms)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 2.0])
def test_dcl_matches_the_paper(temperature):
    expected = dcl_from_the_paper(*draw(), temperature=temperature)
    actual = jax.jit(losses.dcl)(*draw(), temperature=temperature)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize("positive_rate", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_reweighted_negatives_match_the_papers(positive_rate, beta):
    options = dict(positive_rate=positive_rate)
    hard = jax.jit(partial(losses.hard_negative, **options))
    debiased = jax.jit(partial(losses.debiased, **options))
    for temperature in (0.1, 1.0):
        expected = hard_negative_from_the_paper(
            *draw(), temperature=temperature, beta=beta, **options
        )
        actual = hard(*draw(), temperature=temperature, beta=beta)
        np.testing.assert_allclose(actual, expected, rtol=2e-5)
        if beta == 0:
            actual = debiased(*draw(), temperature=temperature)
            np.testing.assert_allclose(actual, expected, rtol=2e-5)


def test_without_bias_to_correct_it_is_nt_xent():
    expected = jax.jit(losses.nt_xent)(*draw(), temperature=0.5)
    actual = jax.jit(partial(losses.debiased, positive_rate=0.0))(*draw())
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_equal_rows_by_hand():
    """2N - 2 negatives as similar as the positive; the correction cancels out."""
    same = np.ones((8, 3), "f")
    for loss, value in (
        (losses.dcl, math.log(14)),
        (losses.debiased, math.log(15)),
        (losses.hard_negative, math.log(15)),
    ):
        np.testing.assert_allclose(jax.jit(loss)(same, same), value, rtol=1e-6)


def test_dcl_pulls_positives_together_however_easy_the_negatives_are():
    """Negatives at right angles, positives at 6 degrees: nt_xent has lost interest."""
    keys = np.eye(6, 7, dtype="f")
    queries = keys + 0.1 * np.eye(7, dtype="f")[6:]
    slopes = [
        np.abs(jax.jit(jax.grad(loss))(queries, keys, temperature=0.05)).max()
        for loss in (losses.dcl, losses.nt_xent)
    ]
    assert slopes[0] > 1e-3 > 1e-6 > slopes[1]


def test_a_lone_example_has_no_negatives():
    where = np.arange(6) == 2
    for loss in (losses.dcl, losses.debiased, losses.hard_negative):
        value, gradient = jax.jit(jax.value_and_grad(loss))(*draw(), where=where)
        assert value == 0
        assert (gradient == 0).all()


def test_small_temperatures_stay_finite():
    for loss in (losses.debiased, losses.hard_negative):
        evaluate = jax.jit(jax.value_and_grad(partial(loss, temperature=1e-3)))
        value, gradient = evaluate(*draw())
        assert np.isfinite(value) and np.isfinite(gradient).all()


def test_rates_that_are_no_probabilities_are_refused():
    for loss in (losses.debiased, losses.hard_negative):
        for rate in (-0.1, 1.0):
            with pytest.raises(ValueError, match=f"{loss.__name__}: expected .*rate"):
                loss(*draw(), positive_rate=rate)
    with pytest.raises(ValueError, match="hard_negative: expected beta >= 0"):
        losses.hard_negative(*draw(), beta=-1.0)


@pytest.mark.parametrize(("temperature", "sigma"), [(0.1, 0.5), (0.5, 0.1), (2.0, 3.0)])
def test_weighted_dcl_matches_the_paper(temperature, sigma):
    a, b = draw()
    cosines = [temperature * math.log(p) for p, _ in exponentials(a, b, temperature)]
    total = sum(math.exp(s / sigma) for s in cosines[: len(a)])
    terms = []
    for s, (_, others) in zip(cosines, exponentials(a, b, temperature)):
        weight = 2 - len(a) * math.exp(s / sigma) / total
        terms.append(math.log(sum(others)) - weight * s / temperature)
    options = dict(temperature=temperature, sigma=sigma)
    found = jax.jit(partial(losses.dcl_weighted, **options))(a, b)
    np.testing.assert_allclose(found, np.mean(terms), rtol=1e-5)


def test_weights_of_dcl_are_1_where_all_positives_are_as_alike():
    a, _ = draw()
    found = losses.dcl_weighted(a, a)
    np.testing.assert_allclose(found, losses.dcl(a, a), rtol=1e-5)
    a, b = draw()
    pulls = [
        np.linalg.norm(
            jax.grad(lambda a, loss=loss: loss(a, b, temperature=10.0))(a)[i]
        )
        for loss in (losses.dcl, losses.dcl_weighted)
        for i in [int(np.argmin(np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1)))]
    ]
    assert pulls[1] > pulls[0]  # the pair that is least alike


def macl_from_the_paper(a, b, *, temperature, adaptation, initial_alignment):
    alignment = np.mean([p for p, _ in log_exponentials(a, b)])
    temperature *= 1 + adaptation * (alignment - initial_alignment)
    terms = []
    for positive, others in exponentials(a, b, temperature):
        p = positive / (positive + sum(others))
        terms.append(-math.log(p) / (1 - p))
    return np.mean(terms)


def log_exponentials(a, b):
    """Cosines, as `exponentials` of temperature 1 has them."""
    for positive, others in exponentials(a, b, 1.0):
        yield math.log(positive), [math.log(other) for other in others]


@pytest.mark.parametrize(
    ("temperature", "adaptation", "initial_alignment"),
    [(0.1, 0.5, 0.0), (1.0, 1.0, 0.4), (0.3, 0.0, 0.2)],
)
def test_macl_matches_the_paper(temperature, adaptation, initial_alignment):
    options = dict(adaptation=adaptation, initial_alignment=initial_alignment)
    expected = macl_from_the_paper(*draw(), temperature=temperature, **options)
    actual = jax.jit(losses.macl)(*draw(), temperature=temperature, **options)
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_macl_by_hand_and_of_views_that_are_told_apart():
    same = np.ones((4, 3), "f")  # each finds its partner once in seven
    np.testing.assert_allclose(losses.macl(same, same), math.log(7) * 7 / 6, rtol=1e-5)
    x = np.eye(4, dtype="f")  # -log(p) / (1 - p) tends to 1, which cannot be improved
    np.testing.assert_allclose(losses.macl(x, x), 1, rtol=0.01)


def test_the_temperature_of_macl_grows_with_alignment_without_gradient():
    a, b = draw()
    alignment = np.mean([p for p, _ in log_exponentials(a, b)])
    fixed = 0.2 * (1 + 0.5 * alignment)
    grown = jax.grad(partial(losses.macl, temperature=0.2))(a, b)
    expected = jax.grad(partial(losses.macl, temperature=fixed, adaptation=0))(a, b)
    np.testing.assert_allclose(grown, expected, rtol=1e-3, atol=1e-5)
    with pytest.raises(ValueError, match=r"macl: expected adaptation in \[0, 1\]"):
        losses.macl(a, b, adaptation=2)
