"""From a config to a workdir: evaluation while training, other runs' parameters."""

import json
import logging
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.base import base
from experiments.launch import reported
from repr_jax import config as configs
from repr_jax import logs, optim, run, train
from repr_jax.data.dataset import Dataset, of_rows
from repr_jax.evaluators.common import Evaluation, needs
from repr_jax.experiment import Experiment, to_evaluate
from repr_jax.workdir import records, start

X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)


def rows():
    """64 rows of 3 columns, whose sum is to be predicted."""

    def take(split, index):
        return {"x": X[index], "y": X[index].sum(axis=1)}

    return of_rows("rows", take, {"train": 64, "test": 64}, seed=0)


class Net(nn.Module):
    """[batch, dim] -> [batch], with batch normalization."""

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.Dense(8, name="encoder")(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, name="norm")(x)
        return nn.Dense(1, name="head")(x)[:, 0]


def regression(config):
    model = Net()

    def init(key, batch):
        variables = dict(model.init(key, batch["x"], train=False))
        return variables.pop("params"), variables

    def loss(params, extras, batch, key, step):
        variables = {"params": params, **extras}
        y, extras = model.apply(
            variables, batch["x"], train=True, mutable=["batch_stats"]
        )
        return jnp.mean((y - batch["y"]) ** 2), (extras, {})

    def predict(params, extras, batch, key):
        return model.apply({"params": params, **extras}, batch["x"], train=False)

    return Experiment(init, loss, {"predict": predict})


@needs("predict")
def error(trained, dataset, *, scale=1.0):
    """Mean squared error on the test split."""
    total = [
        np.mean((np.asarray(trained.outputs["predict"](batch)) - batch["y"]) ** 2)
        for batch in dataset.evaluate("test", 32)
    ]
    return Evaluation({"mse": scale * float(np.mean(total))})


@needs("logits")
def accuracy(trained, dataset):
    raise AssertionError("is never reached")


def small(**overrides):
    config = base()
    config.num_steps, config.batch_size = 40, 16
    config.log_every = config.checkpoint_every = config.eval_every = 10
    config.experiment = regression
    config.dataset = dict(fn=rows)
    config.optimizer = dict(fn=optim.adam, learning_rate=0.01)
    config.evals.error = dict(fn=error, scale=1.0)
    config.update_from_flattened_dict(overrides)
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = small()
    return config, run.train(config, workdir), workdir


# Evaluation while training


def test_evaluations_while_training_are_rows_of_metrics(finished):
    config, _, workdir = finished
    history = logs.read(workdir)
    found = [row for row in history if "error/mse" in row]
    assert [row["step"] for row in found] == [10, 20, 30, 40]
    final = run.evaluate(config, workdir)
    assert found[-1]["error/mse"] == pytest.approx(final["error/mse"], rel=1e-6)
    stored = reported.read(workdir / "report" / "metrics.json")
    assert stored["error/mse"] == pytest.approx(final["error/mse"])
    assert stored["step"] == final["step"] == 40


def test_a_run_compiles_its_step_once(tmp_path, caplog):
    """Evaluation, checkpoints and log points in between do not make it another."""
    with jax.log_compiles(), caplog.at_level(logging.WARNING, logger="jax"):
        run.train(small(num_steps=30, log_every=5), tmp_path)
    found = [line for line in caplog.messages if re.match(r"Compiling \S*call\b", line)]
    assert len(found) == 1, found


@pytest.mark.parametrize(("mode", "best"), [("min", min), ("max", max)])
def test_the_best_checkpoint_is_that_of_the_best_evaluation(tmp_path, mode, best):
    config = small(best_metric="error/mse", best_mode=mode, keep_last=1)
    run.train(config, tmp_path)
    history = [row for row in logs.read(tmp_path) if "error/mse" in row]
    wanted = best(history, key=lambda row: row["error/mse"])
    found = run.evaluate(config, tmp_path, step="best")
    assert found["step"] == wanted["step"]
    assert found["error/mse"] == pytest.approx(wanted["error/mse"], rel=1e-6)


def test_a_best_checkpoint_by_a_training_mean(finished):
    config, _, workdir = finished
    history = [row for row in logs.read(workdir) if "loss" in row]
    wanted = min(history, key=lambda row: row["loss"])["step"]
    assert run.evaluate(config, workdir, step="best")["step"] == wanted


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"best_metric": "knn/accuracy"}, r"grad_norm, loss, error/\.\.\."),
        ({"best_metric": "error/mse", "eval_every": 0}, "divisor of checkpoint_every"),
        (
            {
                "best_metric": "error/mse",
                "evals.other": {"fn": error},
                "eval_names": ("other",),
            },
            r"grad_norm, loss, other/\.\.\.",
        ),
        ({"evals.error.fn": accuracy}, "output 'logits'"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_training(
    tmp_path, overrides, message
):
    config = small()
    with config.unlocked():
        config.update_from_flattened_dict(overrides)
        if config.evals.error.fn is accuracy:
            del config.evals.error.scale
    with pytest.raises(ValueError, match=message):
        run.train(config, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_choice_of_an_evaluator_may_need_outputs_too(tmp_path):
    """Such as a sampler that needs a decoder."""
    config = small()
    config.evals.error = dict(fn=error, scale=dict(fn=accuracy))
    with pytest.raises(ValueError, match=r"config\.evals\.error: .* output 'logits'"):
        run.train(config, tmp_path / "never")


def test_two_evaluators_of_one_kind_are_two_results(finished):
    config, _, workdir = finished
    config = small()
    config.evals.twice = dict(fn=error, scale=2.0)
    found = run.evaluate(config, workdir)
    assert found["twice/mse"] == pytest.approx(2 * found["error/mse"])


def test_while_training_only_those_are_called_that_are_named(tmp_path):
    config = small(eval_names=("other",), num_steps=10, checkpoint_every=10)
    config.eval_every, config.best_metric = 10, "other/mse"
    config.evals.other = dict(fn=error, scale=2.0)
    run.train(config, tmp_path)
    names = {name for row in logs.read(tmp_path) for name in row if "/" in name}
    assert names == {"other/mse"}
    assert "error/mse" in run.evaluate(config, tmp_path, step="best")


# The moving average


def test_the_average_has_the_statistics_that_belong_to_it(tmp_path):
    """What batch normalization remembers is averaged as the parameters are."""
    config = small(ema_decay=0.5, num_steps=3, log_every=1, checkpoint_every=1)
    config.eval_every = 1
    state = run.train(config, tmp_path / "average")
    expected = None
    for steps in range(4):
        plain = small(num_steps=max(steps, 1), log_every=1, checkpoint_every=1)
        plain.eval_every = 1
        if steps:
            now = run.train(plain, tmp_path / str(steps))
        else:
            parts = run.build(plain)
            now = train.init_state(parts, plain, next(parts.dataset.train(16)))
        now = jax.tree.map(np.asarray, (now.params, now.extras))
        expected = (
            now
            if expected is None
            else jax.tree.map(lambda a, b: 0.5 * a + 0.5 * b, expected, now)
        )
    params, extras = to_evaluate(state)
    for got, want in zip(
        jax.tree.leaves((params, extras)), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    moved = extras["batch_stats"]["norm"]["mean"]
    assert not np.allclose(moved, state.extras["batch_stats"]["norm"]["mean"])


# Starting from another run


def test_a_run_starts_from_the_parameters_of_another(finished, tmp_path, capsys):
    _, before, workdir = finished
    config = small(**{"start.source": str(workdir), "num_steps": 10})
    config.optimizer.learning_rate = 1e-12
    state = run.train(config, tmp_path)
    np.testing.assert_allclose(
        state.params["encoder"]["kernel"], before.params["encoder"]["kernel"], rtol=1e-5
    )
    assert "8 of 8 arrays taken" in capsys.readouterr().err


def test_only_what_the_prefixes_name_is_taken(finished, tmp_path):
    _, before, workdir = finished
    parts = run.build(small())
    fresh = train.init_state(parts, small(), next(parts.dataset.train(16)))
    prefixes = ("params/encoder", "extras/batch_stats/norm")
    params, extras, taken = start.take(
        workdir, fresh.params, fresh.extras, prefixes=prefixes
    )
    np.testing.assert_array_equal(
        params["encoder"]["kernel"], before.params["encoder"]["kernel"]
    )
    np.testing.assert_array_equal(
        extras["batch_stats"]["norm"]["mean"],
        before.extras["batch_stats"]["norm"]["mean"],
    )
    np.testing.assert_array_equal(
        params["head"]["kernel"], fresh.params["head"]["kernel"]
    )
    assert "params/head/kernel" in taken.not_taken and len(taken.taken) == 4
    assert taken.not_used == taken.not_taken and "4 of 8 arrays" in taken.summary()


def test_a_run_starts_from_the_moving_average_of_another(tmp_path):
    before = run.train(small(ema_decay=0.9, num_steps=10), tmp_path / "first")
    found = start.read(tmp_path / "first")
    params, extras = to_evaluate(before)
    np.testing.assert_array_equal(
        found["params/encoder/kernel"], params["encoder"]["kernel"]
    )
    np.testing.assert_array_equal(
        found["extras/batch_stats/norm/mean"], extras["batch_stats"]["norm"]["mean"]
    )
    config = small(num_steps=10, **{"start.source": str(tmp_path / "first")})
    run.train(config, tmp_path / "second")
    (line,) = map(json.loads, (tmp_path / "second" / "starts.jsonl").open())
    assert line["start"]["not_taken"] == line["start"]["not_used"] == []
    assert "extras/batch_stats/norm/mean" in line["start"]["taken"]


def test_arrays_of_a_file_are_taken_from_another_place(tmp_path):
    parts = run.build(small())
    fresh = train.init_state(parts, small(), next(parts.dataset.train(16)))
    kernel = np.arange(24.0).reshape(3, 8)
    np.savez(tmp_path / "w.npz", **{"backbone/kernel": kernel})
    params, _, _ = start.take(
        tmp_path / "w.npz",
        fresh.params,
        fresh.extras,
        prefixes=("params/encoder/kernel=params/backbone/kernel",),
    )
    np.testing.assert_array_equal(params["encoder"]["kernel"], kernel)
    with pytest.raises(ValueError, match=r"encoder/bias: wanted \(8,\), got none"):
        start.take(
            tmp_path / "w.npz",
            fresh.params,
            fresh.extras,
            prefixes=("params/encoder",),
        )
    with pytest.raises(ValueError, match=r"arrays of this model; params/backbone"):
        start.take(tmp_path / "w.npz", fresh.params, fresh.extras)


# Workdirs of other configs, and older ones


def test_train_refuses_a_workdir_of_another_config(finished):
    _, _, workdir = finished
    other = small(**{"optimizer.learning_rate": 0.5})
    with pytest.raises(ValueError, match=r"learning_rate: 0\.01 there, 0\.5 here"):
        run.train(other, workdir)


def test_amended_values_are_recorded(tmp_path):
    run.train(small(num_steps=10), tmp_path)
    config = small(num_steps=20)
    config.optimizer.learning_rate = 0.001
    state = run.train(config, tmp_path, amend=True)
    assert int(state.step) == 20
    starts = [json.loads(x) for x in (tmp_path / "starts.jsonl").open()]
    assert [line["step"] for line in starts] == [0, 10]
    assert starts[0]["changes"] == []
    assert any("learning_rate: 0.01 there" in line for line in starts[1]["changes"])
    assert json.loads((tmp_path / "config.json").read_text())["num_steps"] == 20


def test_a_config_of_an_older_revision_gets_the_defaults_that_it_lacks(tmp_path):
    text = json.loads(configs.to_json(small()))
    for name in ("ema_decay", "start", "updates", "best_mode"):
        del text[name]
    (tmp_path / records.CONFIG_FILE).write_text(json.dumps(text))
    config = records.stored_config(tmp_path, trusted=["tests"])
    assert config.ema_decay == 0.0 and config.start.source == ""
    assert records.check_workdir(small(), tmp_path) == ""


@pytest.mark.parametrize(
    "code",
    ["subprocess:getoutput", "repr_jax.workdir.records:subprocess.getoutput", "os"],
)
def test_a_stored_config_may_not_name_the_code_of_others(tmp_path, code):
    text = json.loads(configs.to_json(base()))
    text["experiment"] = {"code": code}
    (tmp_path / records.CONFIG_FILE).write_text(json.dumps(text))
    wanted = r"config\.json: .*--trust=(subprocess|os|repr_jax)"
    with pytest.raises(ValueError, match=wanted):
        records.stored_config(tmp_path)


def test_code_of_a_trusted_package_may_be_named(tmp_path):
    text = json.loads(configs.to_json(base()))
    text |= {"experiment": {"code": "chex:assert_rank"}, "dataset": {}}
    (tmp_path / records.CONFIG_FILE).write_text(json.dumps(text))
    assert callable(records.stored_config(tmp_path, trusted=["chex"]).experiment)


@pytest.mark.parametrize("name", ["experiment", "dataset"])
def test_a_config_without_what_is_trained_is_refused(tmp_path, name):
    config = small()
    del config[name]
    with pytest.raises(ValueError, match=f"config.{name}: expected a choice"):
        run.build(config)
    (tmp_path / records.CONFIG_FILE).write_text(configs.to_json(config))
    with pytest.raises(ValueError, match=f"json: config.{name}: expected a choice"):
        records.stored_config(tmp_path, trusted=["tests"])


# A graph, whose axis 0 is not the batch


def ring():
    """Batches of node numbers; features and neighbors of all nodes are fixed."""
    features = np.arange(10, dtype=np.float32)
    fixed = {"features": features, "next": np.roll(np.arange(10), -1)}

    def train(batch_size, start_step=0):
        while True:
            yield {"node": np.arange(batch_size) % 10}

    return Dataset(train, evaluate=None, fixed=fixed)


def over_edges(config):
    def init(key, batch):
        assert batch["features"].shape == (10,)
        return {"w": jnp.zeros(())}, {}

    def loss(params, extras, batch, key, step):
        neighbor = batch["features"][batch["next"][batch["node"]]]
        return jnp.mean((params["w"] - neighbor) ** 2), (extras, {})

    return Experiment(init, loss)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_fixed_entries_are_whole_in_every_part_of_a_batch(tmp_path, accumulate):
    config = base()
    config.experiment, config.dataset = over_edges, dict(fn=ring)
    config.optimizer = dict(fn=optim.adam, learning_rate=0.1)
    config.num_steps, config.batch_size, config.accumulate = 10, 80, accumulate
    config.log_every = config.checkpoint_every = 10
    state = run.train(config, tmp_path)
    first = logs.read(tmp_path)[0]["loss"]
    assert 0.9 < float(state.params["w"]) < 1.1 and first < 28.5  # mean of squares
