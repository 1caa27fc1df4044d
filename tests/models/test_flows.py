"""Flows against their Jacobians."""

import functools

import jax
import numpy as np
import pytest

from repr_jax.models.flows import MaskedAutoregressiveFlow, autoregressive_masks


def compiled(flow):
    """init, to_noise and from_noise."""
    return (
        jax.jit(functools.partial(call, method=method))
        for call, method in (
            (flow.init, "to_noise"),
            (flow.apply, "to_noise"),
            (flow.apply, "from_noise"),
        )
    )


@pytest.mark.parametrize("dim", [1, 5])
def test_a_flow_has_an_inverse_a_log_determinant_and_an_order(dim):
    flow = MaskedAutoregressiveFlow(dim=dim, hidden=(31, 30), num_blocks=1)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(3, dim)).astype("f")
    init, to_noise, from_noise = compiled(flow)
    params = init(jax.random.key(1), z)
    u, log_det = to_noise(params, z)
    np.testing.assert_allclose(u, z[:, ::-1])  # the identity at first
    np.testing.assert_array_equal(log_det, 0)
    params = jax.tree.map(
        lambda x: np.asarray(x) + 0.5 * rng.normal(size=x.shape).astype("f"), params
    )
    u, log_det = to_noise(params, z)
    back = from_noise(params, u)
    np.testing.assert_allclose(back, z, rtol=1e-4, atol=1e-4)
    slopes = jax.vmap(jax.jacfwd(lambda row: to_noise(params, row[None])[0][0]))
    jacobian = np.asarray(jax.jit(slopes)(z))
    _, expected = np.linalg.slogdet(np.float64(jacobian))
    np.testing.assert_allclose(log_det, expected, rtol=1e-4, atol=1e-5)
    assert (np.triu(jacobian[:, ::-1], 1) == 0).all()
    below = np.tril(jacobian[:, ::-1], -1)
    assert dim == 1 or (below[:, 1:, 0] != 0).any(axis=0).all()


def test_blocks_reverse_the_order():
    flow = MaskedAutoregressiveFlow(dim=4, hidden=(8,), num_blocks=2)
    z = np.ones((1, 4), "f")
    init, to_noise, from_noise = compiled(flow)
    params = init(jax.random.key(1), z)
    params = jax.tree.map(lambda x: np.asarray(x) + np.float32(0.3), params)
    slopes = jax.jacfwd(lambda row: to_noise(params, row[None])[0][0])
    jacobian = jax.jit(slopes)(z[0])
    assert (np.asarray(jacobian) != 0).sum() > 10  # of 16; one block has 10
    back = from_noise(params, to_noise(params, z)[0])
    np.testing.assert_allclose(back, z, rtol=1e-4)


def test_masks_of_several_layers_let_no_output_see_itself():
    masks = autoregressive_masks(3, (4, 5))
    through = masks[0] @ masks[1] @ masks[2]  # [in, 2 * out]
    sees = through.reshape(3, 2, 3) > 0
    np.testing.assert_array_equal(sees[:, 0], np.triu(np.ones((3, 3)), 1) > 0)
    np.testing.assert_array_equal(sees[:, 1], sees[:, 0])
