"""A finished run as a function of measurements."""

import jax
import numpy as np
import pytest

from experiments import upsamplers
from repr_jax import config as configs
from repr_jax import run
from repr_jax.ops import measurement


@pytest.mark.slow
def test_a_run_samples_what_its_evaluators_see(tmp_path):
    config = configs.load("configs/diffusion/ddpm_faces.py:smoke")
    state = run.train(config, tmp_path)
    parts = run.build(config)
    raw = next(parts.dataset.evaluate("test", 8))
    image = parts.dataset.prepare(raw)["image"]
    y = np.asarray(measurement.average_pool(4).forward(image))
    sample, params = upsamplers.of_run(tmp_path)
    made = sample(jax.random.key(1), params, y)
    assert made.shape == image.shape and made.min() >= 0 and made.max() <= 1
    restore = run.trained(parts, state, tmp_path).outputs["restore"]
    expected = restore({**raw, "y": y}, jax.random.key(1))
    np.testing.assert_allclose(made, expected, atol=1e-4)
    other = sample(jax.random.key(2), params, y)
    assert np.abs(other - made).max() > 1e-3
