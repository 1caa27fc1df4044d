import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import optim


def first_steps(optimizer, gradients):
    """The updates of a scalar parameter, one a gradient."""
    state, updates = optimizer.init(jnp.zeros(())), []
    for gradient in gradients:
        update, state = optimizer.update(jnp.float32(gradient), state)
        updates.append(float(update))
    return np.array(updates)


def test_adam_is_algorithm_1_of_the_paper():
    gradients = [0.5, -2.0, 0.25, 3.0]
    mean = variance = 0.0
    expected = []
    for t, gradient in enumerate(gradients, start=1):
        mean = 0.9 * mean + 0.1 * gradient
        variance = 0.999 * variance + 0.001 * gradient**2
        root = np.sqrt(variance / (1 - 0.999**t))
        expected.append(-0.01 * mean / (1 - 0.9**t) / (root + 1e-8))
    actual = first_steps(optim.adam(learning_rate=0.01), gradients)
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_warm_up_rises_from_0_and_the_cosine_ends_at_0():
    constant = [1.0] * 11  # Adam's step is then the learning rate
    rates = -first_steps(optim.adam(learning_rate=0.4, warmup_steps=4), constant)
    np.testing.assert_allclose(rates[:6], [0, 0.1, 0.2, 0.3, 0.4, 0.4], atol=1e-5)
    rates = -first_steps(optim.adam_cosine(peak=1.0, num_steps=10), constant)
    expected = [0.5 * (1 + np.cos(np.pi * step / 10)) for step in range(11)]
    np.testing.assert_allclose(rates, expected, atol=1e-5)
    warm = optim.adam_cosine(peak=1.0, num_steps=10, warmup_steps=2)
    np.testing.assert_allclose(
        -first_steps(warm, constant)[[0, 1, 2, 10]], [0, 0.5, 1, 0], atol=1e-5
    )


def test_clipping_bounds_the_norm_that_adam_sees():
    clipped = optim.adam(learning_rate=0.1, clip_norm=1.0)
    large, small = [100.0, 0.5], [1.0, 0.5]
    np.testing.assert_allclose(
        first_steps(clipped, large), first_steps(clipped, small), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (optim.adam, dict(learning_rate=0.0)),
        (optim.adam, dict(learning_rate=float("nan"))),
        (optim.adam, dict(learning_rate=0.1, clip_norm=0.0)),
        (optim.adam_cosine, dict(peak=-1.0, num_steps=10)),
        (optim.adam_cosine, dict(peak=1.0, num_steps=10, warmup_steps=10)),
    ],
)
def test_impossible_numbers_are_refused(make, options):
    with pytest.raises(ValueError, match="expected"):
        make(**options)
