"""Accuracy and agreement: by hand, of chance, and of absent or split rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import metrics


def test_accuracy_by_hand():
    actual = jax.jit(metrics.accuracy)(jnp.array([1, 2, 3, 4]), jnp.array([1, 2, 0, 4]))
    assert actual.dtype == jnp.float32
    assert actual == 0.75


def test_accuracy_ignores_absent_rows():
    where = np.array([True, False, True, False])
    actual = metrics.accuracy(
        np.array([1, 9, 2, 9]), np.array([1, 0, 0, 0]), where=where
    )
    assert actual == 0.5
    assert metrics.accuracy(np.arange(4), np.arange(4), where=where & False) == 0


def test_agreement_by_hand():
    predictions = np.array([[1, 2, 3, 4], [1, 2, 0, 4], [1, 0, 3, 4]])
    assert jax.jit(metrics.agreement)(predictions) == 0.5
    where = np.array([False, True, True, True])
    np.testing.assert_allclose(metrics.agreement(predictions, where=where), 1 / 3)
    assert metrics.agreement(predictions[:1]) == 1


@pytest.mark.parametrize("judges", [2, 3])
def test_uniform_guesses_agree_as_often_as_chance(judges):
    guesses = np.random.default_rng(0).integers(10, size=(judges, 200_000))
    chance = 10.0 ** -(judges - 1)
    spread = np.sqrt(chance * (1 - chance) / 200_000)
    assert abs(metrics.agreement(guesses) - chance) < 4 * spread
    accuracy = metrics.accuracy(guesses[0], guesses[1])
    assert abs(accuracy - 0.1) < 4 * np.sqrt(0.09 / 200_000)


def test_split_batch_equals_whole():
    rng = np.random.default_rng(1)
    predictions, where = rng.integers(3, size=(2, 12)), rng.random(12) < 0.7
    shards = jax.vmap(
        lambda a, b, w: (
            metrics.accuracy(a, b, where=w, axis_name="i"),
            metrics.agreement(jnp.stack([a, b]), where=w, axis_name="i"),
        ),
        axis_name="i",
    )
    rows = (x.reshape(4, 3) for x in (*predictions, where))
    split = np.asarray(jax.jit(shards)(*rows))
    whole = jax.jit(metrics.accuracy)(*predictions, where=where)
    np.testing.assert_allclose(split[0], np.full(4, whole), rtol=1e-6)
    np.testing.assert_allclose(split[1], np.full(4, whole), rtol=1e-6)
    np.testing.assert_allclose(
        whole, np.mean((predictions[0] == predictions[1])[where])
    )


def test_classes_of_64_bits_are_told_apart():
    far = np.array([1, 2**32 + 1])
    near = np.array([1, 1], np.int32)
    assert metrics.accuracy(far[::-1], far) == 0
    assert metrics.accuracy(jnp.asarray(near), far) == 0.5
    assert jax.jit(lambda x: metrics.accuracy(x, far))(near) == 0.5
    assert metrics.agreement(np.stack([far, far[:1].repeat(2)])) == 0.5
    assert metrics.brier(np.array([[0.0, 1.0]]), far[1:]) == 1  # of no class
    rejected = metrics.model_specific_targets(far[:1].repeat(2), far)
    np.testing.assert_array_equal(rejected, [False, True])


def test_classes_are_integers():
    with pytest.raises(TypeError, match="accuracy: expected labels of integers"):
        metrics.accuracy(np.arange(2), np.array([0.0, np.nan]))
    with pytest.raises(TypeError, match="agreement: expected predictions of integers"):
        metrics.agreement(np.full((2, 3), np.nan))
    with pytest.raises(TypeError, match="accuracy: expected where bool"):
        metrics.accuracy(np.arange(2), np.arange(2), where=np.arange(2))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"accuracy: expected one shape of rank 1"):
        metrics.accuracy(np.arange(3), np.arange(4))
    with pytest.raises(ValueError, match=r"agreement: expected one shape of rank 2"):
        metrics.agreement(np.arange(3))


@pytest.mark.parametrize(
    ("seed", "macro", "micro"), [(0, 0.415476, 0.4), (1, 0.236905, 0.24)]
)
def test_macro_accuracy_weighs_classes_alike(seed, macro, micro):
    """The last draws of a longer stream."""
    rng = np.random.default_rng(seed)
    for high, size in ((4, 40), (3, 40), (4, 25)):
        rng.integers(0, high, size)
    labels, predictions = rng.integers(0, 3, 25), rng.integers(0, 3, 25)
    assert metrics.macro_accuracy(predictions, labels) == pytest.approx(macro, abs=1e-6)
    assert metrics.accuracy(predictions, labels) == pytest.approx(micro, abs=1e-6)


def test_macro_accuracy_of_rows_that_are_there():
    predictions, labels = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 2])
    assert metrics.macro_accuracy(predictions, labels) == pytest.approx(1 / 3)
    where = np.array([True, True, True, False])
    assert metrics.macro_accuracy(predictions, labels, where=where) == 0.5
    assert metrics.macro_accuracy(predictions, labels, where=where & False) == 0
