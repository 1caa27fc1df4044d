import functools

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.models.bottom_up_vae import BottomUpVAE
from repr_jax.models.vae_layers import DenseDecoder, DenseEncoder


def made(num_priors=1):
    return BottomUpVAE(
        encoders=(DenseEncoder(3, (8,), (4, 4)), DenseEncoder(2, (8,), (3,))),
        priors=(DenseEncoder(3, (8,), (2,)),) * num_priors,
        decoder=DenseDecoder((8,), (4, 4)),
    )


def test_a_bound_reaches_every_parameter():
    model = made()
    x = np.random.default_rng(0).uniform(size=(5, 4, 4)).astype("f")
    key = jax.random.key(0)
    variables = jax.jit(functools.partial(model.init, train=False))(key, x)

    def part(variables, method, level=None):
        rest = () if level is None else (level,)
        return lambda z: model.apply(variables, z, *rest, train=True, method=method)

    def loss(variables):
        return losses.hierarchical_elbo(
            key,
            x,
            *part(variables, "encode")(x),
            part(variables, "decode"),
            encoders=(part(variables, "encode_above", 0),),
            priors=(part(variables, "prior", 0),),
        )

    assert jax.eval_shape(part(variables, "encode"), x).mean.shape == (5, 3)
    slopes = jax.jit(jax.grad(loss))(variables)
    slopes = jax.tree.map(lambda g: np.abs(np.asarray(g)).max(), slopes)
    assert min(jax.tree.leaves(slopes)) > 0
    apply = functools.partial(model.apply, train=False)
    assert jax.eval_shape(apply, variables, x).shape == x.shape


def test_another_number_of_priors_is_refused():
    x = np.zeros((2, 4, 4), "f")
    with pytest.raises(ValueError, match="BottomUpVAE: expected one prior less"):
        made(num_priors=2).init(jax.random.key(0), x, train=False)
