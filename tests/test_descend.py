"""The small loop of estimators against the updates written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from repr_jax import optim


def quadratic(params, extras, key, step):
    """Towards rows drawn anew each step; extras count the steps."""
    row = jax.random.normal(key, params["a"].shape)
    return jnp.sum((params["a"] - row) ** 2), extras + step


def descended(*stops, learning_rate=0.1, after_update=None):
    optimizer = optax.sgd(learning_rate)
    start = {"a": jnp.ones(3)}
    state = optim.start_descent(
        start, optimizer, num_steps=stops[-1], extras=jnp.int32(0)
    )

    @jax.jit
    def run(state, until):
        return optim.descend(
            quadratic,
            state,
            key=jax.random.key(0),
            optimizer=optimizer,
            until=until,
            after_update=after_update,
        )

    for until in stops:
        state = run(state, until)
    assert run._cache_size() == 1  # whatever the number of steps
    return state


def test_descend_is_gradient_descent_on_what_the_step_draws():
    state = descended(4)
    expected, values = np.ones(3), []
    for step in range(4):
        row = jax.random.normal(jax.random.fold_in(jax.random.key(0), step), (3,))
        values.append(np.sum((expected - row) ** 2))
        expected = expected - 0.1 * 2 * (expected - row)
    np.testing.assert_allclose(state.params["a"], expected, rtol=1e-6)
    np.testing.assert_allclose(state.losses, values, rtol=1e-6)
    assert int(state.step) == 4 and int(state.extras) == 0 + 1 + 2 + 3


def test_descent_in_parts_is_the_whole():
    whole, parts = descended(5), descended(2, 3, 5)
    jax.tree.map(np.testing.assert_array_equal, whole, parts)


def test_descend_projects_after_each_update():
    def project(params, extras, step):
        return {"a": jnp.clip(params["a"], 2.0, 3.0)}, extras - step

    state = descended(4, after_update=project)
    assert (state.params["a"] >= 2).all() and int(state.extras) == 0


@pytest.mark.parametrize("num_steps, calls", [(5, [2, 4, 5]), (4, [2, 4]), (1, [1])])
def test_in_chunks_reports_each_chunk(num_steps, calls):
    seen, reported = [], []

    def run(state, until):
        seen.append(until)
        return state + until

    options = dict(num_steps=num_steps, num_chunks=3)
    state = optim.in_chunks(run, 0, progress=lambda *n: reported.append(n), **options)
    assert seen == calls and state == sum(calls)
    assert reported == [(n, num_steps) for n in calls]
    seen.clear()
    optim.in_chunks(run, 0, progress=None, **options)
    assert seen == [num_steps]
