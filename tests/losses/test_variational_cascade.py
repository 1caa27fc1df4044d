"""The loss of two VAEs in a row, against float64 loops and by hand."""

import jax
import numpy as np
import pytest

from repr_jax import losses

cvad = jax.jit(losses.cvad)


def drawn(batch=4):
    rng = np.random.default_rng(0)
    shapes = [(3, 2, 1), (3, 2, 1), (2,), (2,), (5,), (5,)]
    return [rng.normal(size=(batch, *s)).astype("f") for s in shapes]


@pytest.mark.parametrize("where", [np.ones(4, bool), np.array([1, 0, 0, 1], bool)])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_loss_of_loops(beta, where):
    x, rebuilt, *latents = (a.astype(float) for a in drawn())
    total = 0.0
    for i in np.flatnonzero(where):
        total += sum((a - b) ** 2 for a, b in zip(x[i].ravel(), rebuilt[i].ravel()))
        for mean, log_var in (latents[:2], latents[2:]):
            for m, v in zip(mean[i], log_var[i]):
                total += beta * 0.5 * (m**2 + np.exp(v) - 1 - v)
    expected = total / where.sum() / 6
    found = jax.jit(lambda *a: losses.cvad(*a, beta=beta, where=where))(*drawn())
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_by_hand():
    """1 / 4 for pixels that are off by a half, and 1 / 2 + 2 nats over 4 pixels."""
    x, mean, other = np.ones((3, 2, 2), "f"), np.ones((3, 1), "f"), np.ones((3, 4), "f")
    found = cvad(x, x / 2, mean, 0 * mean, other, 0 * other)
    np.testing.assert_allclose(found, 1 / 4 + (1 / 2 + 2) / 4, rtol=1e-6)
    row = cvad(x[:1], x[:1] / 2, mean[:1], 0 * mean[:1], other[:1], 0 * other[:1])
    np.testing.assert_allclose(row, found, rtol=1e-6)


def test_what_does_not_fit_is_refused():
    arrays = drawn()
    with pytest.raises(ValueError, match="cvad: expected one shape"):
        losses.cvad(arrays[0], arrays[1][:, :2], *arrays[2:])
    with pytest.raises(ValueError, match="cvad: expected second_mean with 4 rows"):
        losses.cvad(*arrays[:4], arrays[4][:3], arrays[5])
    with pytest.raises(ValueError, match="expected beta >= 0"):
        losses.cvad(*arrays, beta=-1.0)
