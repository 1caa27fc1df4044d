"""Joint embeddings: which part sees what; cosines with prototypes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax.models.joint_embedding import JointEmbedding, PrototypeHead
from repr_jax.models.mlp import MLP

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(5, 4)).astype("f")


def applied(module):
    return jax.jit(functools.partial(module.apply, train=False))


def made(model):
    """Variables, and what the model gives of X."""
    variables = jax.jit(functools.partial(model.init, train=False))(KEY, X)
    return variables, applied(model)(variables, X)


def test_parts_follow_one_another_and_the_predictor_may_be_left_out():
    parts = dict(encoder=MLP((6, 3)), projector=MLP((4, 2)))
    model = JointEmbedding(**parts, predictor=MLP((3, 2)))
    variables, out = made(model)

    def of(module, name, x):
        return applied(module)({"params": variables["params"][name]}, x)

    representation = of(MLP((6, 3)), "encoder", X)
    projection = of(MLP((4, 2)), "projector", representation)
    prediction = of(MLP((3, 2)), "predictor", projection)
    for found, expected in zip(out, (representation, projection, prediction)):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    two = {name: variables["params"][name] for name in ("encoder", "projector")}
    without = applied(JointEmbedding(**parts))({"params": two}, X)
    np.testing.assert_array_equal(without.prediction, without.projection)
    np.testing.assert_array_equal(without.projection, out.projection)


def test_prototypes_are_directions():
    model = PrototypeHead(widths=(6, 3), num_prototypes=7, dtype="bfloat16")
    variables, out = made(model)
    assert out.shape == (5, 7) and out.dtype == jnp.float32
    assert (np.abs(np.asarray(out)) <= 1 + 1e-6).all()
    prototypes = np.asarray(variables["params"]["prototypes"])
    longer = {"params": {**variables["params"], "prototypes": 3 * prototypes}}
    found = applied(model)(longer, X)
    np.testing.assert_allclose(found, out, rtol=1e-4, atol=1e-6)


def test_a_head_of_tokens_is_that_of_rows():
    model = PrototypeHead(widths=(6, 3), num_prototypes=7)
    variables, rows = made(model)
    tokens = applied(model)(variables, np.stack([X, 2 * X]))
    assert tokens.shape == (2, 5, 7)
    np.testing.assert_allclose(tokens[0], rows, rtol=1e-5, atol=1e-6)
