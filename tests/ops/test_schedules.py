import functools

import jax
import numpy as np
import pytest

from repr_jax.ops import schedules


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (schedules.cosine, [0.9, 0.95, 1.0, 1.0]),
        (schedules.linear, [0.9, 0.95, 1.0, 1.0]),
        (functools.partial(schedules.cosine, start=0.4, end=0.0), [0.4, 0.2, 0.0, 0.0]),
    ],
)
def test_from_start_to_end_and_no_farther(schedule, values):
    keywords = dict(start=0.9, end=1.0) if not hasattr(schedule, "keywords") else {}
    at = jax.jit(functools.partial(schedule, num_steps=100, **keywords))
    found = [at(step) for step in (0, 50, 100, 150)]
    np.testing.assert_allclose(found, values, atol=1e-6)


def test_the_cosine_is_the_published_one_and_ends_at_exactly_1():
    for k in (3, 30, 99):
        formula = 1 - (1 - 0.99) * (np.cos(np.pi * k / 100) + 1) / 2
        value = schedules.cosine(k, start=0.99, end=1.0, num_steps=100)
        np.testing.assert_allclose(value, formula, rtol=1e-6)
    assert schedules.cosine(100, start=0.99, end=1.0, num_steps=100) == 1
    assert schedules.constant(7, value=0.25) == 0.25
