"""Softmax losses with margins against float64 loops, by hand, and what margins do."""

import math
from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import margins

cosface, arcface, madacos = (
    jax.jit(getattr(losses, name)) for name in ("cosface", "arcface", "madacos")
)
LABELS = np.array([0, 1, 2, 0, 1])


def draw(seed=6, classes=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(5, 4)), rng.normal(size=(classes, 4))


def angles(x, prototypes):
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, prototypes)]
    return [[math.acos(a @ b) for b in unit[1]] for a in unit[0]]


def loss_in_loops(x, labels, prototypes, moved, scale):
    """Eq. 4 of CosFace, eq. 3 of ArcFace: `moved` is the cosine of the own class."""
    total = 0.0
    for theta, label in zip(angles(x, prototypes), labels):
        logits = [scale * math.cos(t) for t in theta]
        logits[label] = scale * moved(theta[label])
        total += math.log(sum(math.exp(z - logits[label]) for z in logits))
    return total / len(labels)


@pytest.mark.parametrize(("margin", "scale"), [(0.0, 5.0), (0.35, 30.0), (0.5, 64.0)])
def test_margins_match_the_papers(margin, scale):
    x, prototypes = draw()
    options = dict(margin=margin, scale=scale)

    def turned(theta):
        if theta <= math.pi - margin:
            return math.cos(theta + margin)
        return math.cos(theta) - margin * math.sin(margin)

    for loss, moved in ((cosface, lambda t: math.cos(t) - margin), (arcface, turned)):
        expected = loss_in_loops(x, LABELS, prototypes, moved, scale)
        found = loss(x, LABELS, prototypes, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_margins_have_the_stated_values():
    x, prototypes = draw()
    found = cosface(x, LABELS, prototypes, margin=0.35, scale=30.0)
    np.testing.assert_allclose(found, 31.48437, rtol=1e-5)
    np.testing.assert_allclose(arcface(x, LABELS, prototypes), 63.89484, rtol=1e-5)


def test_a_row_on_its_prototype_by_hand():
    x, prototypes = np.eye(2, dtype="f"), 7 * np.eye(2, dtype="f")
    labels = np.arange(2)
    found = cosface(x, labels, prototypes, margin=0.25, scale=4.0)
    np.testing.assert_allclose(found, math.log1p(math.exp(-4 * 0.75)), rtol=1e-5)
    found = arcface(x, labels, prototypes, margin=math.pi / 3, scale=4.0)
    np.testing.assert_allclose(found, math.log1p(math.exp(-4 * 0.5)), rtol=1e-5)


def test_an_angular_margin_keeps_the_order_of_angles_and_a_finite_slope():
    cosines = np.linspace(-1, 1, 201, dtype="f")[:, None]
    labels = np.zeros(201, int)

    def logit(c):
        return margins.arcface(c, labels, margin=0.5)[:, 0]

    values = jax.jit(logit)(cosines)
    assert (np.diff(values) > 0).all()
    slopes = jax.jit(jax.grad(lambda c: logit(c).sum()))(cosines)
    assert np.isfinite(slopes).all()
    beyond = jax.jit(partial(margins.arcface, margin=0.5))(cosines, labels + 1)
    np.testing.assert_allclose(beyond, 64 * cosines, rtol=1e-6)  # no class, no margin


def madacos_in_loops(x, labels, prototypes, probability):
    cosines = np.cos(angles(x, prototypes))
    own = [cosines[i, y] for i, y in enumerate(labels)]
    row = int(np.argsort(own)[(len(own) - 1) // 2])
    odds = (1 - probability) / probability
    scale = max(32, math.log(9999999 * odds) / (1 - own[row]))
    others = np.exp(scale * np.delete(cosines[row], labels[row]))
    margin = max(0, own[row] - math.log(sum(others) / odds) / scale)
    value = loss_in_loops(
        x, labels, prototypes, lambda theta: math.cos(theta) - margin, scale
    )
    return value, scale, margin, row


@pytest.mark.parametrize("probability", [0.02, 0.3])
@pytest.mark.parametrize("rows", [4, 5])
def test_madacos_matches_the_paper(probability, rows):
    x, prototypes = draw(1)
    x = x[:rows] + 0.5 * prototypes[LABELS[:rows]]
    expected, *_ = madacos_in_loops(x, LABELS[:rows], prototypes, probability)
    found = madacos(x, LABELS[:rows], prototypes, median_probability=probability)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_madacos_has_the_stated_value_and_gives_the_median_row_its_probability():
    x, prototypes = draw(39, 6)
    prototypes[:5] += 2 * x
    labels = np.arange(5)
    value, scale, margin, row = madacos_in_loops(x, labels, prototypes, 0.02)
    np.testing.assert_allclose((scale, margin), (417.5388, 0.4201522), rtol=1e-6)
    np.testing.assert_allclose(value, 67.90196, rtol=1e-6)
    np.testing.assert_allclose(madacos(x, labels, prototypes), value, rtol=1e-4)
    one = x[row : row + 1], labels[row : row + 1], prototypes
    np.testing.assert_allclose(madacos(*one), -math.log(0.02), rtol=1e-4)


def test_bad_arguments_are_named():
    x, prototypes = draw()
    with pytest.raises(ValueError, match="cosface: expected prototypes of shape"):
        losses.cosface(x, LABELS, prototypes[:, :3])
    with pytest.raises(TypeError, match="arcface: expected labels of integers; got f"):
        losses.arcface(x, LABELS / 2, prototypes)
    with pytest.raises(ValueError, match="cosface: expected margin >= 0; got -1"):
        losses.cosface(x, LABELS, prototypes, margin=-1)
    with pytest.raises(ValueError, match="madacos: expected 1 - median_prob"):
        losses.madacos(x, LABELS, prototypes, median_probability=1.0)
    with pytest.raises(ValueError, match="madacos: expected num_classes >= 2; got 1"):
        losses.madacos(x, LABELS, prototypes[:1])


def sphereface_in_loops(x, labels, prototypes, margin, scale):
    """-log softmax, the own class at `margin` times the angle, made to fall."""
    total = 0.0
    for row, theta, label in zip(x, angles(x, prototypes), labels):
        k = min(math.floor(margin * theta[label] / math.pi), margin - 1)
        logits = [math.cos(t) for t in theta]
        logits[label] = (-1) ** k * math.cos(margin * theta[label]) - 2 * k
        logits = [scale * np.linalg.norm(row) * z for z in logits]
        total += math.log(sum(math.exp(z - logits[label]) for z in logits))
    return total / len(labels)


@pytest.mark.parametrize(("margin", "scale"), [(1, 1.0), (2, 3.0), (3, 0.5), (4, 1.0)])
def test_sphereface_matches_the_paper(margin, scale):
    x, prototypes = draw()
    expected = sphereface_in_loops(x, LABELS, prototypes, margin, scale)
    found = losses.sphereface(x, LABELS, prototypes, margin=margin, scale=scale)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_cosine_of_a_multiplied_angle_falls_without_a_jump():
    theta = np.linspace(0, math.pi, 400)
    cosines = np.float32(np.cos(theta))[:, None]
    labels = np.zeros(400, int)
    for margin in (1, 2, 3, 4):
        moved = np.asarray(margins.sphereface(cosines, labels, margin=margin))[:, 0]
        assert (np.diff(moved) < 1e-4).all() and np.diff(moved).min() > -0.1
        np.testing.assert_allclose(moved[[0, -1]], [1, 1 - 2 * margin], atol=1e-4)
    x = np.ones((5, 4), "f")
    found = losses.sphereface(x, LABELS, np.ones((3, 4), "f"))
    np.testing.assert_allclose(found, math.log(3), rtol=1e-5)  # an angle of 0
