import math
from functools import partial

import jax
import numpy as np
import pytest

from repr_jax.ops import uncertainty


def energy_from_the_paper(logits, temperature):
    return [
        -temperature * math.log(sum(math.exp(x / temperature) for x in row))
        for row in np.asarray(logits, np.float64)
    ]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_energy_matches_the_paper(temperature):
    logits = np.random.default_rng(0).normal(0, 3, size=(5, 4)).astype(np.float32)
    actual = jax.jit(uncertainty.energy)(logits, temperature=temperature)
    expected = energy_from_the_paper(logits, temperature)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


SCORES = {
    "max_softmax": uncertainty.max_softmax,
    "max_logit": uncertainty.max_logit,
    "energy": uncertainty.energy,
    "entropy": uncertainty.entropy,
    "generalized_entropy": partial(uncertainty.generalized_entropy, top=3),
}
JITTED = {name: jax.jit(score) for name, score in SCORES.items()}
mutual_information = jax.jit(uncertainty.mutual_information)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_softmax", 1 - 0.7511929),
        ("energy", -3.885508),
        ("entropy", 0.7227406),
        ("generalized_entropy", 2.380937),
    ],
)
def test_value_of_an_independent_program(name, value):
    logits = 2 * np.random.default_rng(2).normal(size=(2, 6))
    found = np.asarray(JITTED[name](logits))
    np.testing.assert_allclose(found[0], value, rtol=1e-5)
    np.testing.assert_allclose(mutual_information(logits), 0.1773847, rtol=1e-5)


@pytest.mark.parametrize("name", SCORES)
def test_a_constant_lowers_energies_and_nothing_else(name):
    logits = np.random.default_rng(0).normal(0, 3, size=(5, 4)).astype(np.float32)
    moved = np.subtract(JITTED[name](logits + 2), JITTED[name](logits))
    away = -2 if name in ("energy", "max_logit") else 0
    np.testing.assert_allclose(moved, away, atol=2e-6)


@pytest.mark.parametrize("name", SCORES)
def test_each_score_of_sure_rows_as_in_float64(name):
    """1 - p is 1e-9 and less, which float32 does not tell from 0 beside 1."""
    logits = np.array([[20.0, 0.0, 0.0], [25.0, 0.0, 0.0], [40.0, 1.0, -np.inf]])
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    rest = p[:, 1:].sum(axis=1) / p.sum(axis=1)
    p /= p.sum(axis=1, keepdims=True)
    logs = np.log(np.where(p > 0, p, 1))
    logs[:, 0] = np.log1p(-rest)
    complements = np.concatenate([rest[:, None], 1 - p[:, 1:]], axis=1)
    expected = {
        "max_softmax": rest,
        "max_logit": -logits[:, 0],
        "energy": -logits[:, 0] + logs[:, 0],
        "entropy": -(p * logs).sum(axis=1),
        "generalized_entropy": (p**0.1 * complements**0.1).sum(axis=1),
    }[name]
    found = JITTED[name](logits.astype("f"))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_members_that_agree_have_no_mutual_information_and_others_at_most_log_of_two():
    logits = np.random.default_rng(0).normal(0, 3, size=(5, 4)).astype(np.float32)
    same = mutual_information(np.stack([logits, logits]))
    np.testing.assert_allclose(same, 0, atol=1e-6)
    opposed = np.array([[[1e4, 0.0]], [[0.0, 1e4]]], np.float32)
    found = mutual_information(opposed)
    np.testing.assert_allclose(found, math.log(2), rtol=1e-6)


def test_vacuity_is_1_without_evidence():
    evidence = np.exp(np.random.default_rng(26).normal(size=(2, 4)))
    found = jax.jit(uncertainty.vacuity)(evidence)
    np.testing.assert_allclose(found, [0.3295131, 0.395773], rtol=1e-5)
    np.testing.assert_array_equal(uncertainty.vacuity(np.zeros((2, 3))), 1)


@pytest.mark.parametrize("name", [*SCORES, "mutual_information", "vacuity"])
def test_nan_stays_nan_and_integers_are_refused(name):
    score = SCORES.get(name) or getattr(uncertainty, name)
    x = np.ones((2, 3, 4), np.float32)
    x[:, 1, 2] = np.nan
    found = np.isnan(np.asarray(jax.jit(score)(x)).reshape(-1, 3))
    np.testing.assert_array_equal(found, [[False, True, False]] * len(found))
    with pytest.raises(TypeError, match=f"{name}: expected .* of floats"):
        score(np.ones((2, 3), int))


def test_equal_logits_by_hand_and_a_constant_is_seen():
    logits = np.full((1, 8), 2.0, np.float32)
    energy = JITTED["energy"]
    np.testing.assert_allclose(energy(logits), -2 - math.log(8), rtol=1e-6)
    moved = np.subtract(energy(logits + 5), energy(logits))
    np.testing.assert_allclose(moved, -5.0, rtol=1e-6)
    assert np.isfinite(energy(np.full((1, 3), 1e4, np.float32))).all()
