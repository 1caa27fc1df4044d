"""The loop, on a linear regression whose every number can be computed by hand."""

import os
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.base import base
from repr_jax import logs, optim, run, train
from repr_jax.data.dataset import Dataset, stacked
from repr_jax.experiment import Experiment

DIM, ROWS = 3, 64
X = np.random.default_rng(0).normal(size=(ROWS, DIM)).astype(np.float32)
Y = (X @ np.arange(1.0, DIM + 1)).astype(np.float32)


def rows_of(step, batch_size):
    return np.random.default_rng((7, step)).integers(ROWS, size=batch_size)


def regression(*, poison_step=-1):
    """y = x . (1, 2, 3); x of step `poison_step` is NaN."""

    def batches(batch_size, start_step=0):
        step = start_step
        while True:
            rows = rows_of(step, batch_size)
            x = X[rows] * (np.nan if step == poison_step else 1)
            yield {"x": x.astype(np.float32), "y": Y[rows]}
            step += 1

    return Dataset(batches, evaluate=None, num_examples={"train": ROWS, "test": ROWS})


def squares(config, *, draw_bad=False):
    """Least squares; `draw_bad` makes one loss in ten infinite, by its key alone."""

    def init(key, batch):
        params = {"weights": jnp.zeros(batch["x"].shape[1])}
        return params, {"updates": jnp.zeros((), jnp.int32)}

    def loss(params, extras, batch, key, step):
        error = batch["x"] @ params["weights"] - batch["y"]
        if draw_bad:
            error += jnp.where(jax.random.uniform(key) < 0.1, jnp.inf, 0.0)
        return jnp.mean(error**2), (extras, {"bias": jnp.mean(error)})

    def after_update(params, extras, step):
        return {"updates": extras["updates"] + 1}

    return Experiment(init, loss, after_update=after_update)


def tiny(**overrides):
    config = base()
    config.num_steps, config.batch_size = 24, 8
    config.log_every = config.checkpoint_every = 4
    config.experiment = squares
    config.dataset = dict(fn=regression)
    config.optimizer = dict(fn=optim.adam, learning_rate=0.1)
    config.update_from_flattened_dict(overrides)
    return config


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("plain")
    return run.train(tiny(), workdir), logs.read(workdir)


def test_the_loop_does_what_a_loop_of_ten_lines_does(plain):
    weights, optimizer = jnp.zeros(DIM), optax.adam(0.1)
    state, losses = optimizer.init(weights), []
    for step in range(24):
        rows = rows_of(step, 8)
        loss, grad = jax.value_and_grad(
            lambda w, x=X[rows], y=Y[rows]: jnp.mean((x @ w - y) ** 2)
        )(weights)
        updates, state = optimizer.update(grad, state)
        weights = optax.apply_updates(weights, updates)
        losses.append(float(loss))
    final, history = plain
    np.testing.assert_allclose(final.params["weights"], weights, rtol=1e-5)
    assert int(final.step) == int(final.extras["updates"]) == 24
    assert [row["step"] for row in history] == [4, 8, 12, 16, 20, 24]
    means = np.reshape(losses, (6, 4)).mean(axis=1)
    np.testing.assert_allclose([row["loss"] for row in history], means, rtol=1e-5)
    assert set(history[0]) == {"step", "loss", "grad_norm", "bias"}


@pytest.mark.parametrize("name", ["steps_per_call", "accumulate"])
def test_grouping_steps_or_parts_changes_nothing(plain, tmp_path, name):
    overrides = {name: 2, "batch_size": 16 if name == "accumulate" else 8}
    reference = plain[0]
    if name == "accumulate":  # each part has eight rows
        reference = run.train(tiny(batch_size=16), tmp_path / "whole")
    state = run.train(tiny(**overrides), tmp_path / "parts")
    np.testing.assert_allclose(
        state.params["weights"], reference.params["weights"], rtol=2e-5
    )


def test_a_run_in_two_halves_is_one_run(plain, tmp_path):
    def interrupt(step, metrics):
        if step == 12:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(train.Interrupted, match="the state is saved"):
        run.train(tiny(), tmp_path, on_log=interrupt)
    assert logs.read(tmp_path)[-1]["step"] < 24
    state = run.train(tiny(), tmp_path)
    chex.assert_trees_all_equal(state, plain[0])
    assert logs.read(tmp_path) == plain[1]


def test_a_finished_run_is_not_trained_again(plain, tmp_path):
    run.train(tiny(num_steps=4), tmp_path)
    again = run.train(tiny(num_steps=4), tmp_path, on_log=pytest.fail)
    assert int(again.step) == 4


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_that_is_not_finite_stops_the_run_and_names_the_term(
    tmp_path, accumulate
):
    config = tiny(accumulate=accumulate, batch_size=16)
    config.dataset = dict(fn=regression, poison_step=10)
    with pytest.raises(train.NonFiniteError, match=r"step 11: .*bias.* after step 10"):
        run.train(config, tmp_path)
    state = run.restore(config, run.build(config), tmp_path)
    assert int(state.step) == 10 and not bool(state.halted)
    assert np.isfinite(state.params["weights"]).all()


def test_the_moving_average_follows_the_parameters(tmp_path):
    config = tiny(ema_decay=0.5, num_steps=4)
    state = run.train(config, tmp_path)
    expected, weights = np.zeros(DIM), []
    run.train(tiny(num_steps=4), tmp_path / "plain")
    for steps in range(1, 5):
        short = tiny(num_steps=steps, log_every=1, checkpoint_every=1)
        state_then = run.train(short, tmp_path / str(steps))
        weights.append(np.asarray(state_then.params["weights"]))
        expected = 0.5 * expected + 0.5 * weights[-1]
    np.testing.assert_allclose(state.ema[0]["weights"], expected, rtol=1e-5)


def test_a_run_compiles_its_step_once():
    config = tiny(num_steps=10, steps_per_call=2)
    config.log_every = config.checkpoint_every = 2
    parts = run.build(config)
    call = train.make_call(train.make_step(parts, config), parts.mesh)
    state = train.init_state(parts, config, next(parts.dataset.train(8)))
    for host in stacked(parts.dataset.train(8), 0, 10, 2):
        batch = train.sharding.to_global(host, parts.mesh, axis=1)
        state, _ = call(state, batch, {})
    assert call._cache_size() == 1
    assert int(state.step) == 10


def unlucky(config):
    return squares(config, draw_bad=True)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_bad_draw_is_found_again_by_its_key(tmp_path, accumulate):
    config = tiny(accumulate=accumulate, batch_size=16, num_steps=96)
    config.experiment = unlucky
    with pytest.raises(train.NonFiniteError, match=r"step \d+: bias, loss is not"):
        run.train(config, tmp_path)


def test_a_half_written_row_of_metrics_does_not_count(tmp_path):
    run.train(tiny(num_steps=8), tmp_path)
    whole = logs.read(tmp_path)
    with (tmp_path / logs.METRICS).open("a") as file:
        file.write('{"step": 12, "lo')
    assert logs.read(tmp_path) == whole and len(whole) == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"num_steps": 0}, "num_steps"),
        ({"batch_size": 10}, "4 devices"),
        ({"steps_per_call": 5}, "multiple of steps_per_call"),
        ({"accumulate": 3}, "multiple of accumulate"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"keep_last": 0}, "keep_last: expected at least 1; got 0"),
        ({"data_patience": np.nan}, "data_patience: expected at least 1; got nan"),
        ({"best_metric": "los"}, "expected one of bias, grad_norm, loss"),
        ({"best_mode": "lowest"}, "min or max; got 'lowest'"),
        ({"eval_every": -1}, "eval_every: expected at least 0"),
        ({"eval_names": ("knn",)}, "eval_names: expected some of .*; got 'knn'"),
        ({"eval_every": 3, "steps_per_call": 2}, "eval_every: .* steps_per_call"),
        ({"optimizer.learning_rate": -1.0}, "learning_rate > 0; got -1.0"),
    ],
)
def test_impossible_numbers_are_refused_before_anything_is_written(
    tmp_path, overrides, message
):
    workdir = tmp_path / "never"
    with pytest.raises(ValueError, match=message):
        run.train(tiny(**overrides), workdir)
    assert not workdir.exists()
