"""Flows against their Jacobians."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.models.flows import MaskedAutoregressiveFlow, autoregressive_masks


@pytest.mark.parametrize("dim", [1, 5])
def test_a_flow_has_an_inverse_a_log_determinant_and_an_order(dim):
    flow = MaskedAutoregressiveFlow(dim=dim, hidden=(31, 30), num_blocks=1)
    z = jax.random.normal(jax.random.key(0), (3, dim))
    params = flow.init(jax.random.key(1), z, method="to_noise")
    u, log_det = flow.apply(params, z, method="to_noise")
    np.testing.assert_allclose(u, z[:, ::-1])  # the identity at first
    np.testing.assert_array_equal(log_det, 0)
    params = jax.tree.map(
        lambda x: x + 0.5 * jax.random.normal(jax.random.key(2), x.shape), params
    )
    to_noise = jax.jit(lambda z: flow.apply(params, z, method="to_noise"))
    u, log_det = to_noise(z)
    back = flow.apply(params, u, method="from_noise")
    np.testing.assert_allclose(back, z, rtol=1e-4, atol=1e-4)
    jacobian = jax.vmap(jax.jacfwd(lambda row: to_noise(row[None])[0][0]))(z)
    _, expected = np.linalg.slogdet(np.float64(jacobian))
    np.testing.assert_allclose(log_det, expected, rtol=1e-4, atol=1e-5)
    assert (np.triu(jacobian[:, ::-1], 1) == 0).all()
    below = np.tril(jacobian[:, ::-1], -1)
    assert dim == 1 or (below[:, 1:, 0] != 0).any(axis=0).all()


def test_blocks_reverse_the_order():
    flow = MaskedAutoregressiveFlow(dim=4, hidden=(8,), num_blocks=2)
    z = jnp.ones((1, 4))
    params = flow.init(jax.random.key(1), z, method="to_noise")
    params = jax.tree.map(lambda x: x + 0.3, params)
    to_noise = functools.partial(flow.apply, params, method="to_noise")
    jacobian = jax.jacfwd(lambda row: to_noise(row[None])[0][0])(z[0])
    assert (np.asarray(jacobian) != 0).sum() > 10  # of 16; one block has 10
    back = flow.apply(params, to_noise(z)[0], method="from_noise")
    np.testing.assert_allclose(back, z, rtol=1e-4)


def test_masks_of_several_layers_let_no_output_see_itself():
    masks = autoregressive_masks(3, (4, 5))
    through = masks[0] @ masks[1] @ masks[2]  # [in, 2 * out]
    sees = through.reshape(3, 2, 3) > 0
    np.testing.assert_array_equal(sees[:, 0], np.triu(np.ones((3, 3)), 1) > 0)
    np.testing.assert_array_equal(sees[:, 1], sees[:, 0])
