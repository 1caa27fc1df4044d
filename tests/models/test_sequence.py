"""Contexts and predictions of sequences: from the past alone, one map a horizon."""

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.models.mlp import MLP
from repr_jax.models.sequence import Predictive

MODEL = Predictive(encoder=MLP((6, 3)), context_dim=5, horizon=2)
X = np.random.default_rng(0).normal(size=(4, 7, 2, 2)).astype("f")


@jax.jit
def apply(variables, x):
    return MODEL.apply(variables, x, train=False)


@pytest.fixture(scope="module")
def variables():
    return jax.jit(lambda key: MODEL.init(key, X, train=False))(jax.random.key(0))


def test_parts_have_their_shapes_and_maps_are_linear(variables):
    out = apply(variables, X)
    assert out.latents.shape == (4, 7, 3) and out.context.shape == (4, 7, 5)
    kernel = np.asarray(variables["params"]["ahead"]["kernel"], float)
    for k in range(2):
        expected = np.asarray(out.context) @ kernel[:, 3 * k : 3 * k + 3]
        found = out.predictions[:, :, k]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_later_time_changes_no_earlier_context_and_no_other_latent(variables):
    moved = X.copy()
    moved[:, 4] += 1
    plain, found = (jax.tree.map(np.asarray, apply(variables, x)) for x in (X, moved))
    others = [0, 1, 2, 3, 5, 6]
    np.testing.assert_allclose(
        found.latents[:, others], plain.latents[:, others], atol=1e-6
    )
    for name in ("context", "predictions"):
        before, after = getattr(plain, name), getattr(found, name)
        np.testing.assert_allclose(after[:, :4], before[:, :4], atol=1e-6)
        assert (
            (after[:, 4:] != before[:, 4:]).any(axis=(0, *range(2, after.ndim))).all()
        )


def test_the_loss_of_cpc_reaches_every_part(variables):
    @jax.jit
    @jax.grad
    def slope(params):
        out = MODEL.apply({"params": params}, X, train=False)
        return losses.cpc(out.predictions, out.latents)

    gradients = slope(variables["params"])
    assert set(gradients) == {"encoder", "context", "ahead"}
    assert all((np.asarray(g) != 0).any() for g in jax.tree.leaves(gradients))
