"""Several players in one loop: each moves its own part, by its own optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.base import base
from repr_jax import logs, optim, run
from repr_jax.data.dataset import Dataset
from repr_jax.experiment import Experiment
from repr_jax.train import NonFiniteError


def normals(*, mean=3.0):
    """One column, normal around `mean`."""

    def train(batch_size, start_step=0):
        step = start_step
        while True:
            rng = np.random.default_rng((5, step))
            yield {"x": rng.normal(mean, 1.0, (batch_size, 1)).astype(np.float32)}
            step += 1

    return Dataset(train, evaluate=None)


def gan(config):
    """A generator that shifts noise, and a linear critic: Wasserstein, penalized."""

    def init(key, batch):
        critic = {"slope": jnp.zeros(()), "moves": jnp.zeros(())}
        return {"critic": critic, "generator": {"shift": jnp.zeros(())}}, {
            "seen": jnp.zeros((), jnp.int32)
        }

    def generated(params, batch, key):
        noise = jax.random.normal(key, batch["x"].shape)
        return noise + params["generator"]["shift"]

    def critic(params, extras, batch, key, step):
        slope = params["critic"]["slope"]
        gap = jnp.mean(slope * generated(params, batch, key)) - jnp.mean(
            slope * batch["x"]
        )
        moves = params["critic"]["moves"]  # its gradient is 1: counts the updates
        extras = {"seen": extras["seen"] + 1}
        return gap + slope**2 + moves, (extras, {"slope": slope})

    def generator(params, extras, batch, key, step):
        slope = params["critic"]["slope"]
        return -jnp.mean(slope * generated(params, batch, key)), (extras, {})

    def generate(params, extras, batch, key):
        return {"x": generated(params, batch, key)}

    losses = {"critic": critic, "generator": generator}
    return Experiment(init, losses, {"generate": generate})


def toy(**overrides):
    config = base()
    config.num_steps, config.batch_size = 300, 64
    config.log_every = config.checkpoint_every = 100
    config.best_metric = ""
    config.experiment = gan
    config.dataset = dict(fn=normals, mean=3.0)
    config.optimizer = dict(
        critic=dict(fn=optim.sgd_cosine, peak=0.1, num_steps=10**9, momentum=0.0),
        generator=dict(fn=optim.adam, learning_rate=0.02),
    )
    config.updates.critic = 5
    config.update_from_flattened_dict(overrides)
    return config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("gan")
    return run.train(toy(), workdir), workdir


def test_alternating_training_moves_the_generator_to_the_data(trained):
    state, workdir = trained
    assert abs(float(state.params["generator"]["shift"]) - 3.0) < 0.3
    names = {"loss", "grad_norm"}
    players = {f"{name}/{p}" for name in names for p in ("critic", "generator")}
    assert set(logs.read(workdir)[-1]) == {"step", "slope/critic", *players}


def test_each_player_takes_its_own_number_of_updates(trained):
    state, _ = trained
    assert int(state.extras["seen"]) == 5 * 300
    moved = float(state.params["critic"]["moves"])  # 0.1 an update, hardly decayed
    np.testing.assert_allclose(moved, -0.1 * 5 * 300, rtol=1e-3)
    assert int(state.opt_state["generator"][0].count) == 300


def test_the_loop_does_what_alternating_updates_by_hand_do(tmp_path):
    """The second player sees what the first has done by then."""
    config = toy(num_steps=3)
    config.log_every = config.checkpoint_every = 1
    state = run.train(config, tmp_path)
    experiment, dataset = gan(config), normals()
    params, extras = experiment.init(None, next(dataset.train(64)))
    optimizers = {"critic": optax.sgd(0.1), "generator": optax.adam(0.02)}
    states = {name: o.init(params[name]) for name, o in optimizers.items()}
    for step, batch in zip(range(3), dataset.train(64)):
        key = jax.random.fold_in(jax.random.key(0), step)
        for number, (name, times) in enumerate({"critic": 5, "generator": 1}.items()):
            for n in range(times):
                own_key = jax.random.fold_in(jax.random.fold_in(key, number), n)

                def of_part(part, name, params, own_key, batch, step):
                    loss = experiment.loss[name]
                    return loss({**params, name: part}, extras, batch, own_key, step)[0]

                grads = jax.grad(of_part)(
                    params[name], name, params, own_key, batch, step
                )
                moves, states[name] = optimizers[name].update(grads, states[name])
                part = optax.apply_updates(params[name], moves)
                params = {**params, name: part}
    for name in params:
        for key, value in params[name].items():
            np.testing.assert_allclose(
                state.params[name][key], value, rtol=1e-5, atol=1e-6
            )


def test_a_run_of_players_in_two_halves_is_one_run(trained, tmp_path):
    short = run.train(toy(num_steps=200), tmp_path)
    assert int(short.step) == 200
    whole = run.train(toy(), tmp_path, amend=True)  # the number of steps alone differs
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(trained[0])):
        np.testing.assert_array_equal(a, b)


def test_a_player_that_is_not_finite_is_named(tmp_path):
    with pytest.raises(NonFiniteError, match="loss/critic"):
        run.train(toy(**{"dataset.mean": float("inf")}), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.optimizer.__delitem__("critic"),
            "each of critic, generator; got gen",
        ),
        (lambda c: c.updates.update(judge=2), "players among critic, generator"),
        (lambda c: c.updates.update(critic=0), "1 update or more; got critic=0"),
    ],
)
def test_players_that_do_not_exist_are_refused(change, message, tmp_path):
    config = toy()
    with config.unlocked():
        change(config)
    with pytest.raises(ValueError, match=message):
        run.train(config, tmp_path / "never")
    assert not (tmp_path / "never").exists()
