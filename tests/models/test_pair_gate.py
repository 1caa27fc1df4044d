"""Gates of pairs of classes: symmetric, learned, and the formula in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.models.pair_gate import PairGate

MODEL = PairGate(num_classes=4, dim=3, embedding_dim=5, hidden=6)
LABELS, PARTNERS = np.array([0, 1, 2, 3, 0, 1]), np.array([1, 1, 0, 2, 3, 0])


@pytest.fixture(scope="module")
def variables():
    init = jax.jit(MODEL.init, static_argnames="train")
    return init(jax.random.key(0), LABELS, PARTNERS, train=False)


@jax.jit
def gates(variables, labels, partners):
    return MODEL.apply(variables, labels, partners, train=False)


@jax.jit
def trained(variables, labels, partners):
    out, extras = MODEL.apply(
        variables, labels, partners, train=True, mutable=["batch_stats"]
    )
    return out, extras["batch_stats"]


def in_loops(variables, statistics=None):
    """Of running statistics, or for None of the batch's own."""
    p = jax.tree.map(lambda x: np.asarray(x, float), variables["params"])
    table = p["Embed_0"]["embedding"]
    x = np.array([(table[a] + table[b]) / 2 for a, b in zip(LABELS, PARTNERS)])
    for i in range(2):
        x = np.maximum(x, 0)
        mean, var = x.mean(axis=0), x.var(axis=0)
        if statistics is not None:
            norm = statistics[f"BatchNorm_{i}"]
            mean, var = np.asarray(norm["mean"]), np.asarray(norm["var"])
        norm, dense = p[f"BatchNorm_{i}"], p[f"Dense_{i}"]
        x = (x - mean) / np.sqrt(var + 1e-5) * norm["scale"] + norm["bias"]
        x = x @ dense["kernel"] + dense["bias"]
    return 1 / (1 + np.exp(-x))


def test_gates_are_those_of_the_formula(variables):
    found = gates(variables, LABELS, PARTNERS)
    assert found.shape == (6, 3) and found.dtype == jnp.float32
    expected = in_loops(variables, variables["batch_stats"])
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    found, statistics = trained(variables, LABELS, PARTNERS)
    np.testing.assert_allclose(found, in_loops(variables), rtol=1e-4)
    moved = statistics["BatchNorm_0"]["mean"]
    before = np.asarray(variables["batch_stats"]["BatchNorm_0"]["mean"])
    assert (np.asarray(moved) != before).any()


def test_a_pair_has_no_order_and_pairs_differ(variables):
    found = np.asarray(gates(variables, LABELS, PARTNERS))
    swapped = gates(variables, PARTNERS, LABELS)
    np.testing.assert_allclose(swapped, found, rtol=1e-6)
    np.testing.assert_allclose(found[0], found[5], rtol=1e-6)  # both of 0 and 1
    assert len(np.unique(found.round(5), axis=0)) == 5
    assert (found > 0).all() and (found < 1).all()


def test_the_loss_of_gated_pairs_trains_classes_that_are_there(variables):
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(size=(2, 6, 3)).astype("f")
    labels, partners = np.array([0, 1, 2, 0, 1, 2]), np.array([1, 2, 0, 0, 1, 2])

    @jax.jit
    @jax.grad
    def slope(params):
        found = MODEL.apply(
            {**variables, "params": params}, labels, partners, train=False
        )
        return losses.gated_pairs(queries, keys, found, labels, partners)

    gradient = np.asarray(slope(variables["params"])["Embed_0"]["embedding"])
    np.testing.assert_array_equal((gradient != 0).any(axis=1), [1, 1, 1, 0])


def test_bad_labels_are_named(variables):
    with pytest.raises(TypeError, match="PairGate: expected labels of integers"):
        gates(variables, LABELS.astype("f"), PARTNERS)
    with pytest.raises(ValueError, match="PairGate: expected one shape of rank 1"):
        gates(variables, LABELS[:5], PARTNERS)
