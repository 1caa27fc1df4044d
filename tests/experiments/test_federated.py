"""Rounds of clients: against loops over them, and against training without clients."""

import os
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.base import base
from experiments import ema_target, federated, supervised, two_view
from repr_jax import losses, run, sharding, train
from repr_jax.data import splits, synthetic
from repr_jax.experiment import Experiment
from repr_jax.models.joint_embedding import JointEmbedding
from repr_jax.models.mlp import MLP
from repr_jax.ops import schedules
from tests.experiments.test_moving_state import assert_close, turned, unchanged

CLIENTS, STEPS, RATE = 4, 2, 0.1


def scaled(key, images):
    return images * jax.random.uniform(key, (len(images), 1, 1, 1), minval=0.5)


def averaged(config):
    config.experiment, config.client = federated.make, two_view.make
    config.loss = dict(fn=losses.nt_xent, temperature=0.5)


def relational(config):
    config.experiment = federated.make_relational
    config.predictor = dict(fn=MLP, widths=(5, 3))
    config.loss = dict(fn=losses.nt_xent, temperature=0.5)
    config.relations = dict(fn=losses.relational_js)


def selective(config):
    config.experiment = federated.make_selective
    del config.second_augment
    config.entry, config.num_classes = "image", 4
    config.strong_augment = dict(fn=turned)
    config.loss = dict(fn=losses.cross_entropy)
    config.selection = dict(fn=losses.selective_pseudo_label, threshold=0.3)
    config.agreement = dict(fn=losses.agreeing_kl)


METHODS = {f.__name__: f for f in (averaged, relational, selective)}
every_method = pytest.mark.parametrize("method", METHODS)


def tiny(method, *, augment=unchanged, **overrides):
    config = base()
    config.num_clients, config.local_steps = CLIENTS, STEPS
    config.num_steps, config.batch_size = 4, CLIENTS * STEPS * 6
    config.log_every, config.checkpoint_every = 1, 2
    config.dataset = dict(
        fn=splits.clients,
        dataset=dict(fn=synthetic.blobs, size=4, num_examples=80),
        num_clients=config.get_ref("num_clients"),
        alpha=0.5,
        labeled=0.5,
        fewest=6,
    )
    config.augment, config.second_augment = dict(fn=augment), dict(fn=turned)
    config.encoder = dict(fn=MLP, widths=(6, 5), batch_norm=True)
    config.projector = dict(fn=MLP, widths=(4, 3))
    config.local_optimizer = dict(fn=optax.sgd, learning_rate=RATE, momentum=0.9)
    config.optimizer = dict(fn=optax.sgd, learning_rate=1.0)
    METHODS[method](config)
    config.update_from_flattened_dict(overrides)
    return config


def first_batch(config, parts):
    batch = next(parts.dataset.train(config.batch_size))
    return batch, train.init_state(parts, config, batch)


def by_client(batch, client, step):
    """What a client sees in one of its steps."""
    rows = np.arange(6) + 6 * (STEPS * client + step)
    return {name: x[rows] for name, x in batch.items()}


def written_out(config):
    """{method: (params, extras, shared, batch) -> loss, extras}"""
    encoder = MLP((6, 5), True)
    joint = JointEmbedding(encoder, MLP((4, 3)), MLP((5, 3)))
    classes = supervised.Classifier(encoder, 4)

    def trained(model, params, extras, x):
        variables = {"params": params, **extras}
        return model.apply(variables, x, train=True, mutable=list(extras))

    def averaged(params, extras, shared, batch):
        client = two_view.make(config)
        value, (extras, _) = client.loss(params, extras, batch, jax.random.key(0), 0)
        return value, extras

    def relational(params, extras, shared, batch):
        x, others = batch["image"][:3], batch["image"][3:]
        back = x[:, :, ::-1]
        a, extras = trained(joint, params, extras, x)
        b, extras = trained(joint, params, extras, back)
        r, extras = trained(joint, params, extras, others)
        of_b, of_r = (
            joint.apply(shared, y, train=False).projection for y in (back, others)
        )
        return (
            losses.nt_xent(a.projection, b.projection, temperature=0.5)
            + losses.nt_xent(a.prediction, of_b, temperature=0.5)
            + losses.relational_js(a.projection, b.projection, r.projection)
            + losses.relational_js(a.prediction, b.prediction, of_r)
        ), extras

    def selective(params, extras, shared, batch):
        x, known = batch["image"], batch["labeled"]
        (_, weak), extras = trained(classes, params, extras, x)
        (_, strong), extras = trained(classes, params, extras, x[:, :, ::-1])
        other, free = classes.apply(shared, x, train=False)[1], dict(where=~known)
        return (
            losses.cross_entropy(weak, batch["label"], where=known)
            + losses.selective_pseudo_label(weak, other, strong, threshold=0.3, **free)
            + losses.agreeing_kl(weak, other, **free)
        ), extras

    return dict(averaged=averaged, relational=relational, selective=selective)


@every_method
def test_a_round_is_that_of_a_loop_over_clients(method):
    config = tiny(method)
    parts = run.build(config)
    batch, state = first_batch(config, parts)
    local = jax.jit(jax.value_and_grad(written_out(config)[method], has_aux=True))
    shared = {"params": state.params, **state.extras}
    optimizer = optax.sgd(RATE, momentum=0.9)
    ends, values = [], []
    for client in range(CLIENTS):
        params, extras = state.params, state.extras
        opt_state = optimizer.init(params)
        for step in range(STEPS):
            rows = by_client(batch, client, step)
            (value, extras), grads = local(params, extras, shared, rows)
            moves, opt_state = optimizer.update(grads, opt_state)
            params = optax.apply_updates(params, moves)
            values.append(value)
        ends.append((params, extras))
    sizes = parts.dataset.fixed["client_sizes"]
    assert len(set(sizes)) > 1 and len(sizes) == CLIENTS
    weights = sizes / sizes.sum()
    expected = jax.tree.map(lambda *x: sum(w * y for w, y in zip(weights, x)), *ends)
    step = jax.jit(train.make_step(parts, config))
    after, metrics = step(state, batch, dict(parts.dataset.fixed))
    assert_close((after.params, after.extras), expected)
    means = np.array(values).reshape(CLIENTS, STEPS).mean(1)
    np.testing.assert_allclose(metrics["loss"], means @ weights, rtol=1e-5)
    away = jax.tree.map(jnp.subtract, state.params, after.params)
    np.testing.assert_allclose(metrics["grad_norm"], optax.global_norm(away), rtol=1e-3)


def test_one_client_of_one_step_trains_as_without_clients(tmp_path):
    few = dict(num_clients=1, local_steps=1, batch_size=8)
    config = tiny("averaged", **few)
    config.local_optimizer = dict(fn=optax.sgd, learning_rate=RATE)
    state = run.train(config, tmp_path / "round")
    plain = tiny("averaged", **few)
    plain.experiment, plain.optimizer = two_view.make, config.local_optimizer
    expected = run.train(plain, tmp_path / "plain")
    assert_close((state.params, state.extras), (expected.params, expected.extras))


def test_half_the_rate_of_the_server_goes_half_the_way():
    config = tiny("averaged")
    parts = run.build(config)
    batch, state = first_batch(config, parts)
    half = parts._replace(optimizers={"": optax.sgd(0.5)})
    after, halfway = (
        jax.jit(train.make_step(p, config))(state, batch, dict(p.dataset.fixed))[0]
        for p in (parts, half)
    )
    middle = jax.tree.map(lambda a, b: (a + b) / 2, state.params, after.params)
    assert_close(halfway.params, middle)


def test_targets_of_clients_move_in_their_steps_and_are_averaged_too():
    config = tiny("averaged")
    config.client = ema_target.make
    config.predictor = dict(fn=MLP, widths=(5, 3))
    config.loss = dict(fn=losses.byol)
    config.decay = dict(fn=schedules.cosine, start=0.0, end=1.0, num_steps=STEPS)
    parts = run.build(config)
    batch, state = first_batch(config, parts)
    step = jax.jit(train.make_step(parts, config))
    after, _ = step(state, batch, dict(parts.dataset.fixed))
    kernels = [
        tree["encoder"]["Dense_0"]["kernel"]
        for tree in (after.params, after.extras["target"]["params"])
    ]
    # at decay 0 and then 1/2: halfway between the first and the second local step
    assert not np.array_equal(*kernels)
    later, _ = step(after, batch, dict(parts.dataset.fixed))  # past the schedule
    assert_close(later.extras["target"]["params"], after.extras["target"]["params"])


@every_method
def test_a_stopped_run_goes_on_exactly_and_is_the_same_on_one_device(method, tmp_path):
    smooth = {"encoder.batch_norm": False}  # of few rows, it makes roundings grow
    config = tiny(method, augment=scaled, **smooth)

    def interrupt(step, metrics):
        if step == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(train.Interrupted):
        run.train(config, tmp_path / "stopped", on_log=interrupt)
    parts = run.build(config)
    assert parts.mesh.size == 4
    assert 1 <= int(run.restore(config, parts, tmp_path / "stopped").step) < 4
    state = run.train(config, tmp_path / "stopped")
    whole = run.train(config, tmp_path / "whole")
    chex.assert_trees_all_equal(state, whole)
    alone = parts._replace(mesh=sharding.make_mesh(jax.devices()[:1]))
    one = run.train(config, tmp_path / "one", parts=alone)
    assert_close((one.params, one.extras), (whole.params, whole.extras))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (dict(accumulate=2), "config.accumulate: expected 1"),
        (dict(batch_size=44), r"local_steps \(8\); got 44"),
    ],
)
def test_batches_without_rounds_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        run.build(tiny("averaged", **overrides))


def test_what_clients_keep_must_have_a_mean():
    config = tiny("averaged")
    config.client = ema_target.make_queued
    config.loss, config.queue_size = dict(fn=losses.moco), 48
    config.decay = dict(fn=schedules.cosine, start=0.5, end=1.0, num_steps=4)
    with pytest.raises(TypeError, match=r"ema.average: expected .*where.* of floats"):
        run.abstract_state(config, run.build(config))


def test_several_players_are_refused():
    config = tiny("averaged")
    losses_of_two = {"critic": None, "generator": None}
    config.client = lambda config: Experiment(None, losses_of_two)
    with pytest.raises(ValueError, match="one loss; got those of critic, generator"):
        federated.make(config)
