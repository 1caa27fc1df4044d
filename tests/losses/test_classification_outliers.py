"""Losses with outliers: float64 from the papers, values of an independent program."""

import math
from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses, metrics
from repr_jax.losses import classification_outliers

energy_margins, mixture_outlier_exposure, outlier_exposure, textual_outliers = map(
    jax.jit,
    (
        losses.energy_margins,
        losses.mixture_outlier_exposure,
        losses.outlier_exposure,
        losses.textual_outliers,
    ),
)


def lse(z):
    return np.log(np.exp(z).sum(axis=-1))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def ce(logits, labels):
    return np.mean(lse(logits) - logits[np.arange(len(labels)), labels])


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def exposure_draw():
    rng = np.random.default_rng(18)
    rng.normal(size=(2, 4, 3))  # inputs, which losses do not see
    logits, mixed = rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
    return logits, np.array([0, 1, 2, 4]), mixed


def test_outlier_exposure_and_mixtures_have_the_stated_values():
    logits, labels, mixed = exposure_draw()
    found = jax.jit(losses.outlier_exposure)(logits, labels, mixed)
    np.testing.assert_allclose(found, 3.234639, rtol=1e-5)
    found = jax.jit(losses.mixture_outlier_exposure)(logits, labels, mixed, 0.3)
    np.testing.assert_allclose(found, 4.455278, rtol=1e-5)


@pytest.mark.parametrize("share", [0.3, np.array([0.0, 1.0, 0.4, 0.7])])
@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_mixtures_match_the_paper(share, weight):
    logits, labels, mixed = exposure_draw()
    expected, shares = ce(logits, labels), np.broadcast_to(share, 4)
    for z, y, s in zip(mixed, labels, shares):
        target = s * np.eye(5)[y] + (1 - s) / 5
        expected += weight * sum(target * (lse(z) - z)) / 4
    found = mixture_outlier_exposure(logits, labels, mixed, share, mixed_weight=weight)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_mixtures_without_an_outlier_are_labeled_and_without_an_inlier_exposed():
    logits, labels, mixed = exposure_draw()
    whole = mixture_outlier_exposure(logits, labels, mixed, 1.0)
    np.testing.assert_allclose(whole, ce(logits, labels) + ce(mixed, labels), rtol=1e-5)
    none = mixture_outlier_exposure(logits, labels, mixed, 0.0, mixed_weight=0.5)
    exposed = outlier_exposure(logits, labels, mixed)
    np.testing.assert_allclose(none, exposed, rtol=1e-6)
    even = outlier_exposure(logits, labels, np.ones((7, 5)))
    np.testing.assert_allclose(even, ce(logits, labels) + 0.5 * math.log(5), rtol=1e-5)


def test_energy_margins_match_the_paper_and_met_ones_cost_nothing():
    logits, labels, outliers = exposure_draw()
    margins = dict(inlier_margin=-2.5, outlier_margin=-1.0, energy_weight=0.3)
    expected = ce(logits, labels)
    for z in logits:
        expected += 0.3 * max(0, -lse(z) + 2.5) ** 2 / len(logits)
    for z in outliers[:3]:
        expected += 0.3 * max(0, -1.0 + lse(z)) ** 2 / 3
    found = jax.jit(partial(losses.energy_margins, **margins))(
        logits, labels, outliers[:3]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    met = energy_margins(logits + 30, labels, outliers - 9)
    np.testing.assert_allclose(met, ce(logits, labels), rtol=1e-5)


def wild_draw():
    rng = np.random.default_rng(24)
    logits, wild = 3 * rng.normal(size=(5, 3)), 3 * rng.normal(size=(4, 3))
    duals = np.array([0.3, 0.2]), np.array([1.0, 1.5])
    return logits, np.array([0, 1, 2, 0, 1]), wild, -1.5, 0.5, *duals


def test_energy_margins_of_wild_data_have_the_stated_value_and_that_of_the_paper():
    loss = partial(losses.energy_margin_outliers, loss_tolerance=0.8)
    jitted = jax.jit(loss)
    found = jitted(*wild_draw(), margin=-1.0)
    np.testing.assert_allclose(found, 5.218833, rtol=1e-5)
    constraints_of = jax.jit(classification_outliers.energy_margin_constraints)
    logits, labels, wild, a, b, multipliers, weights = wild_draw()
    for margin in (0.0, -3.0):
        expected = np.mean(sigmoid(-(a * (lse(wild) - margin) + b)))
        alarms = np.mean(sigmoid(a * lse(logits) + b)) - 0.05
        constraints = np.array([alarms, ce(logits, labels) - 0.8])
        for c, m, w in zip(constraints, multipliers, weights):
            expected += m * c + w * c**2 / 2 if w * c + m >= 0 else -(m**2) / (2 * w)
        found = jitted(*wild_draw(), margin=margin)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        found = constraints_of(logits, labels, a, b, loss_tolerance=0.8)
        np.testing.assert_allclose(found, constraints, rtol=1e-5)


def test_constraints_that_are_met_have_no_gradient_without_a_multiplier():
    logits, labels, wild, a, b, multipliers, weights = wild_draw()
    options = dict(margin=0.0, loss_tolerance=9.0, false_alarm=1.0)
    gradient = jax.jit(jax.grad(losses.energy_margin_outliers))(
        logits, labels, wild, a, b, 0 * multipliers, weights, **options
    )
    np.testing.assert_array_equal(gradient, 0)


def cells_draw():
    rng = np.random.default_rng(25)
    return (
        3 * rng.normal(size=(2, 3, 3, 4)),
        rng.normal(size=(2, 3, 3)),
        np.array([1, 2]),
    )


@pytest.mark.parametrize(("threshold", "counts"), [(0.8, (1, 11)), (0.6, None)])
def test_background_cells_match_the_paper_and_the_stated_value(threshold, counts):
    cells, ids, labels = cells_draw()
    inside, outside = [], []
    for i in range(2):
        for place in np.ndindex(3, 3):
            p = np.exp(cells[i][place] - lse(cells[i][place]))[labels[i]]
            if p >= threshold:
                inside.append(-np.log(sigmoid(ids[i][place])))
            elif p <= 1 - threshold:
                outside.append(-np.log(sigmoid(-ids[i][place])))
    expected = np.mean(inside) + np.mean(outside)
    found = jax.jit(partial(losses.background_outliers, threshold=threshold))(
        cells, ids, labels
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    if counts:
        assert (len(inside), len(outside)) == counts
        np.testing.assert_allclose(found, 2.297055, rtol=1e-5)


def test_of_background_cells_a_missing_kind_adds_nothing_and_half_ignores_none():
    cells, ids, labels = cells_draw()
    none = np.zeros_like(cells)  # all cells have 1/4: background at 0.75
    quarters = jax.jit(partial(losses.background_outliers, threshold=0.75))
    found = quarters(none, ids, labels)
    np.testing.assert_allclose(found, np.mean(np.log1p(np.exp(ids))), rtol=1e-5)
    loss = partial(losses.background_outliers, threshold=0.5)
    gradients = jax.jit(jax.grad(loss, (1, 0)))(cells, ids, labels)
    slopes, of_cells = map(np.asarray, gradients)
    assert (slopes != 0).all() and (of_cells == 0).all()
    with pytest.raises(ValueError, match=r"threshold in \[1/2, 1\]; got 0.2"):
        losses.background_outliers(cells, ids, labels, threshold=0.2)


def texts_draw():
    rng = np.random.default_rng(15)
    classes, outlier_texts = rng.normal(size=(3, 5)), rng.normal(size=(2, 5))
    return rng.normal(size=(4, 5)), rng.normal(size=(6, 5)), classes, outlier_texts


@pytest.mark.parametrize(("gamma", "stated"), [(0, 0.7507118), (1, 1.511003), (2.5, 0)])
def test_textual_outliers_match_the_paper_and_the_stated_value(gamma, stated):
    inliers, words, classes, outlier_texts = texts_draw()

    def share(x):
        texts = unit(np.concatenate([classes, outlier_texts]))
        p = np.exp(unit(x) @ texts.T / 0.1)
        return p[3:].sum() / p.sum()

    expected = sum(-0.5 * np.log(1 - share(x)) / 4 for x in inliers)
    hard = np.array([(1 - share(x)) ** gamma for x in words])
    for x, weight in zip(words, hard / hard.sum()):
        expected -= 0.5 * weight * np.log(share(x))
    found = jax.jit(partial(losses.textual_outliers, temperature=0.1, gamma=gamma))(
        *texts_draw()
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    if stated:
        np.testing.assert_allclose(found, stated, rtol=1e-5)
    measure = jax.jit(partial(metrics.textual_share, temperature=0.1))
    score = np.asarray(measure(inliers, classes, outlier_texts))
    np.testing.assert_allclose(score, [share(x) for x in inliers], rtol=1e-5)
    np.testing.assert_allclose(score[0], 0.1126343, rtol=1e-5)


def test_outliers_that_are_absent_leave_the_loss_of_the_inliers():
    logits, labels, outliers = exposure_draw()
    none = dict(outliers_where=np.zeros(4, bool))
    found = outlier_exposure(logits, labels, outliers, **none)
    np.testing.assert_allclose(found, ce(logits, labels), rtol=1e-5)
    found = energy_margins(logits + 30, labels, outliers, **none)
    np.testing.assert_allclose(found, ce(logits, labels), rtol=1e-5)
    inliers, words, *texts = texts_draw()
    some = np.arange(6) < 4
    dirty = np.where(some[:, None], words, np.nan)
    found = textual_outliers(inliers, dirty, *texts, outliers_where=some)
    expected = textual_outliers(inliers, words[some], *texts)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
