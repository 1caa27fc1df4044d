"""The small encoder of images: the sizes of its layers."""

import jax
import jax.numpy as jnp
import pytest

from repr_jax.models.convnet import ConvNet

SHAPE = (2, 9, 8, 3)


@pytest.mark.parametrize(
    ("hidden", "dense"), [(5, [(2 * 3 * 6, 5), (5, 7)]), (0, [(2 * 3 * 6, 7)])]
)
def test_every_width_halves_the_image_and_the_hidden_layer_may_be_left_out(
    hidden, dense
):
    model = ConvNet(features=7, widths=(4, 6), hidden=hidden)
    out, variables = jax.eval_shape(
        lambda key: model.init_with_output(key, jnp.zeros(SHAPE), train=False),
        jax.random.key(0),
    )
    params = variables["params"]
    assert out.shape == (2, 7) and out.dtype == jnp.float32
    assert params["Conv_0"]["kernel"].shape == (3, 3, 3, 4)
    assert params["Conv_1"]["kernel"].shape == (3, 3, 4, 6)
    found = [params[n]["kernel"].shape for n in sorted(params) if n[:5] == "Dense"]
    assert found == dense
