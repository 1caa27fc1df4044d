"""Post-hoc scores of one head: values of an independent program, loops, by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses, metrics
from repr_jax.ops import activations, uncertainty


def draw():
    """Features [2, 6], head, bank of features [12, 6]."""
    rng = np.random.default_rng(56)
    features = abs(rng.normal(size=(2, 6)))
    weights, bias = rng.normal(size=(3, 6)), rng.normal(size=3)
    bank = abs(rng.normal(size=(12, 6)))
    return (x.astype("f") for x in (features, weights, bias, bank))


def react(features, weights, bias, bank):
    threshold = activations.react_threshold(bank)
    features = activations.react(features, threshold)
    return uncertainty.energy(features @ weights.T + bias[None])


def shaped(shape, features, weights, bias, bank):
    return uncertainty.energy(shape(features) @ weights.T + bias[None])


def dice(features, weights, bias, bank):
    weights = activations.dice(weights, bank.mean(axis=0))
    return uncertainty.energy(features @ weights.T + bias[None])


def grad_norm(features, weights, bias, bank):
    return metrics.grad_norm(features @ weights.T + bias[None], features)


def nn_guide(features, weights, bias, bank):
    logits, others = (x @ weights.T + bias[None] for x in (features, bank))
    return metrics.nn_guide(logits, features, others, bank, num_neighbors=3)


def decision_boundary(features, weights, bias, bank):
    logits = features @ weights.T + bias[None]
    return metrics.decision_boundary(logits, features, weights, bank.mean(axis=0))


def kl_matching(features, weights, bias, bank):
    templates = metrics.kl_templates(bank @ weights.T + bias[None])
    return metrics.kl_matching(features @ weights.T + bias[None], templates)


SCORES = {
    "react": (react, -4.95191),
    "ash_s": (partial(shaped, activations.ash_s), -23.15163),
    "scale": (partial(shaped, partial(activations.scale, share=0.65)), -23.55176),
    "dice": (dice, -2.880444),
    "grad_norm": (grad_norm, -11.39654),
    "nn_guide": (nn_guide, -20.20338),
    "decision_boundary": (decision_boundary, -1.182133),
    "kl_matching": (kl_matching, 0.1161296),
}


@pytest.mark.parametrize("name", SCORES)
def test_values_of_an_independent_program(name):
    score, expected = SCORES[name]
    found = np.asarray(jax.jit(score)(*draw()))
    assert found.shape == (2,) and found.dtype == jnp.float32
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", SCORES)
def test_a_row_of_nan_has_the_score_nan_and_leaves_the_others(name):
    features, *head = draw()
    score = jax.jit(SCORES[name][0])
    broken = features.copy()
    broken[0, 2] = np.nan
    found, whole = (np.asarray(score(x, *head)) for x in (broken, features))
    np.testing.assert_allclose(found[1], whole[1], rtol=1e-6)
    assert np.isnan(found[0]) or (name == "nn_guide" and not found[0] < 0)


@pytest.mark.parametrize("name", SCORES)
def test_one_row_alone_has_its_score(name):
    features, *head = draw()
    score = jax.jit(SCORES[name][0])
    expected = np.asarray(score(features, *head))[1:]
    np.testing.assert_allclose(score(features[1:], *head), expected, rtol=1e-5)


def test_grad_norm_is_a_gradient_in_the_weights():
    features, weights, bias, _ = draw()

    def loss(weights):
        logits = features[:1] @ weights.T + bias[None]
        return losses.soft_cross_entropy(logits, np.ones((1, 3), "f"))

    expected = -np.abs(jax.jit(jax.grad(loss))(weights)).sum()
    logits = features @ weights.T + bias
    found = np.asarray(jax.jit(metrics.grad_norm)(logits, features))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_decision_boundaries_by_hand_and_of_equal_weights():
    logits, features = np.array([[3.0, 1.0, 0.0]]), np.array([[3.0, 4.0]])
    weights = np.array([[0.0, 0.0], [0.0, 2.0], [3.0, 4.0]])
    decision_boundary = jax.jit(metrics.decision_boundary)
    found = decision_boundary(logits, features, weights, np.zeros(2))
    np.testing.assert_allclose(found, -(2 / 2 + 3 / 5) / 5, rtol=1e-6)
    apart = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]])  # no boundary of equal rows
    found = decision_boundary(logits, features, apart, np.zeros(2))
    np.testing.assert_allclose(found, -(3 / 5) / 5, rtol=1e-6)


def test_templates_are_means_of_the_rows_predicted_so():
    logits = np.log([[0.7, 0.2, 0.1], [0.5, 0.2, 0.3], [0.1, 0.8, 0.1]])
    kl_templates = jax.jit(metrics.kl_templates)
    found = kl_templates(logits)
    expected = [[0.6, 0.2, 0.2], [0.1, 0.8, 0.1], [0, 0, 1]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    dirty = np.concatenate([logits, np.full((2, 3), np.nan)])
    masked = kl_templates(dirty, where=np.arange(5) < 3)
    np.testing.assert_allclose(masked, found, rtol=1e-6)
    same = jax.jit(metrics.kl_matching)(np.log(np.array(expected[:2])), found)
    np.testing.assert_allclose(same, 0, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_odin_moves_inputs_towards_their_prediction(epsilon):
    weights = np.array([[1.0, -2.0], [0.5, 1.0], [-1.0, 0.0]])
    x, temperature = np.array([[0.3, 0.2], [-2.0, 1.0]]), 10.0
    expected = []
    for row in x:
        p = np.exp(weights @ row / temperature)
        p /= p.sum()
        c = p.argmax()
        slope = (weights[c] - p @ weights) / temperature
        q = np.exp(weights @ (row + epsilon * np.sign(slope)) / temperature)
        expected.append(1 - max(q / q.sum()))
    score = partial(metrics.odin, lambda x: x @ weights.T.astype("f"))
    found = jax.jit(partial(score, temperature=temperature, epsilon=epsilon))(x)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_wrong_inputs_are_refused():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="grad_norm: expected features with 2 rows"):
        metrics.grad_norm(x, x[:1])
    with pytest.raises(ValueError, match="expected at most as many neigh"):
        metrics.nn_guide(x, x, x, x)
    with pytest.raises(ValueError, match="decision_boundary: expected weights of"):
        metrics.decision_boundary(x, x, x, x[0])
    with pytest.raises(ValueError, match="kl_matching: expected templates of shape"):
        metrics.kl_matching(x, x)
    with pytest.raises(TypeError, match="odin: expected x of floats"):
        metrics.odin(lambda x: x, np.ones((2, 3), int))
