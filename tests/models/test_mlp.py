"""What the networks compute, against loops."""

from functools import partial

import jax
import numpy as np
import pytest

from repr_jax.models.mlp import MLP


def made(model, x):
    return jax.jit(partial(model.init, train=False))(jax.random.key(0), x)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.2])
def test_mlp_matches_loops(slope):
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    model = MLP((5, 4, 2), negative_slope=slope, uniform_init=True)
    params = made(model, x)["params"]
    expected = []
    for row in x.reshape(4, 6).astype(np.float64):
        for layer in range(3):
            dense = params[f"Dense_{layer}"]
            kernel, bias = np.asarray(dense["kernel"]), np.asarray(dense["bias"])
            row = [
                bias[j] + sum(row[i] * kernel[i, j] for i in range(len(row)))
                for j in range(len(bias))
            ]
            if layer < 2:
                row = [v if v > 0 else slope * v for v in row]
        expected.append(row)
    found = jax.jit(partial(model.apply, train=False))({"params": params}, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_uniform_init_is_bounded_by_the_inputs_of_each_layer():
    model = MLP((400, 300), uniform_init=True)
    params = made(model, np.zeros((1, 16), "f"))["params"]
    for name, num_inputs in (("Dense_0", 16), ("Dense_1", 400)):
        bound = num_inputs**-0.5
        for values in map(np.asarray, params[name].values()):
            assert np.abs(values).max() <= bound
            np.testing.assert_allclose(np.std(values), bound / np.sqrt(3), rtol=0.08)


def test_default_init_has_biases_of_zero():
    params = made(MLP((4, 3)), np.zeros((1, 2), "f"))
    assert not np.any(params["params"]["Dense_0"]["bias"])


def test_a_normalized_output_has_mean_0_and_variance_1_over_the_batch():
    x = np.random.default_rng(3).normal(2.0, 3.0, size=(64, 5)).astype("f")
    model = MLP((8, 4), normalized=True)
    variables = made(model, x)
    assert set(variables["params"]) == {"Dense_0", "Dense_1"}  # nothing to learn
    apply = partial(model.apply, train=True, mutable=["batch_stats"])
    out = np.asarray(jax.jit(apply)(variables, x)[0])
    np.testing.assert_allclose(np.mean(out, axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.var(out, axis=0), 1, rtol=1e-3)
