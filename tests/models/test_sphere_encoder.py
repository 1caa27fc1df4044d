from functools import partial

import jax
import numpy as np

from repr_jax.models.sphere_encoder import SphereEncoder


def test_means_have_length_1_and_concentrations_are_above_the_least():
    x = np.random.default_rng(0).normal(size=(6, 3, 2)).astype("f")
    model = SphereEncoder(latent_dim=4, hidden=8, least=7.0)
    variables = jax.jit(lambda key: model.init(key, x, train=False))(jax.random.key(0))
    posterior = jax.jit(partial(model.apply, train=True))(variables, 50 * x)
    assert posterior.mean.shape == (6, 4) and posterior.concentration.shape == (6,)
    np.testing.assert_allclose(np.linalg.norm(posterior.mean, axis=1), 1, rtol=1e-5)
    params = jax.tree.map(np.asarray, variables["params"])
    h = np.maximum(50 * x.reshape(6, 6) @ params["Dense_0"]["kernel"], 0)
    raw = (h @ params["concentration_head"]["kernel"])[:, 0]
    expected = 7 + np.logaddexp(0, raw)
    np.testing.assert_allclose(posterior.concentration, expected, rtol=1e-5)
    assert np.all(np.asarray(posterior.concentration) >= 7) and np.std(raw) > 0
