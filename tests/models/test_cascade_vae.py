"""A second VAE that sees maps of the first one's both halves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.models.cascade_vae import CascadeVAE


def made(shape=(16, 12, 2), **options):
    model = CascadeVAE(
        shape, **{"latent_dims": (3, 5), "widths": (4, 4, 6, 8)} | options
    )
    x = np.random.default_rng(0).uniform(size=(3, *shape)).astype("f")
    return model, jax.jit(lambda k: model.init(k, x, train=False))(jax.random.key(0)), x


@pytest.mark.parametrize("shape", [(16, 16, 1), (16, 12, 2), (14, 9, 3)])
def test_images_of_any_size_come_back(shape):
    model, variables, x = made(shape)
    found = jax.jit(functools.partial(model.apply, train=False))(variables, x)
    assert found.reconstruction.shape == x.shape
    assert found.reconstruction.min() > 0 and found.reconstruction.max() < 1
    assert found.first.mean.shape == (3, 3) and found.second.log_var.shape == (3, 5)


def test_a_row_draws_by_its_key_and_a_test_decodes_means():
    model, variables, x = made()
    keys = jax.random.split(jax.random.key(1), 3)
    drawn = jax.jit(lambda x, keys: model.apply(variables, x, keys, train=True))
    one, other = drawn(x, keys), drawn(x[::-1], keys[::-1])
    np.testing.assert_allclose(
        one.reconstruction, other.reconstruction[::-1], atol=1e-6
    )
    assert np.abs(drawn(x, keys[::-1]).reconstruction - one.reconstruction).max() > 1e-4
    np.testing.assert_array_equal(one.first.mean, drawn(x, keys[::-1]).first.mean)
    apply = jax.jit(functools.partial(model.apply, train=False))
    means = [apply(variables, x).reconstruction for _ in range(2)]
    np.testing.assert_array_equal(*means)


def test_the_second_sees_the_encoder_and_the_decoder_of_the_first():
    model, variables, x = made()

    def second(params):
        found = model.apply({"params": params}, x, train=False)
        return jnp.sum(found.second.mean**2)

    slopes = jax.jit(jax.grad(second))(variables["params"])
    moved = {
        k for k, g in slopes.items() if max(np.abs(a).max() for a in g.values()) > 0
    }
    assert {"first_down_0", "first_down_1", "first_unfold", "first_up_1"} <= moved
    assert not {"first_up_2", "first_log_var", "second_unfold"} & moved
    assert slopes["second_down_0"]["kernel"].shape[2] == 6 - 2 + 4  # of both maps


def test_the_loss_reaches_every_parameter():
    model, variables, x = made()
    keys = jax.random.split(jax.random.key(1), 3)

    def loss(params):
        found = model.apply({"params": params}, x, keys, train=True)
        return losses.cvad(x, found.reconstruction, *found.first, *found.second)

    slopes = jax.jit(jax.grad(loss))(variables["params"])
    assert all(np.abs(a).max() > 0 for a in jax.tree.leaves(slopes))


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="CascadeVAE: expected 4 widths"):
        made(widths=(4, 4))
    model, variables, x = made()
    with pytest.raises(ValueError, match=r"expected images \[batch, \*\(16, 12, 2\)\]"):
        model.apply(variables, x[:, :8], train=False)
