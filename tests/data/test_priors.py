from functools import partial

import jax
import numpy as np

from repr_jax.data import priors


def test_exact_inference_of_an_independent_program():
    rng = np.random.default_rng(38)
    x, queries = rng.uniform(size=(5, 1)), rng.uniform(size=(2, 1))
    y, targets = rng.normal(size=5), rng.normal(size=2)
    found = priors.exact_nll(x, y, queries, targets)
    np.testing.assert_allclose(found, [91.76824, 0.05973719], rtol=1e-6)


def test_draws_have_the_covariance_of_the_prior_and_exact_inference_is_calibrated():
    make = partial(priors.gaussian_process, num_tasks=4000, num_points=3, noise=0.1)
    x, y = map(np.asarray, jax.jit(make)(jax.random.key(0)))
    assert x.min() >= 0 and x.max() <= 1
    np.testing.assert_allclose(np.var(y), 1.1, atol=0.06)
    squares = (x[:, 0, 0] - x[:, 1, 0]) ** 2
    expected = np.mean(np.exp(-squares / (2 * 0.36)))
    np.testing.assert_allclose(np.mean(y[:, 0] * y[:, 1]), expected, atol=0.06)
    x, y = x[:300], y[:300]
    nll = [
        priors.exact_nll(a[:2], b[:2], a[2:], b[2:], noise=0.1)[0] for a, b in zip(x, y)
    ]
    alone = 0.5 * np.log(2 * np.pi * 1.1) + 0.5
    assert np.mean(nll) < alone - 0.3
