"""Targets that follow the network: one step by hand of each kind of memory."""

import jax
import numpy as np
import pytest

from experiments import ema_target, swapped
from repr_jax import losses, run
from repr_jax.config import bind
from repr_jax.models.joint_embedding import JointEmbedding
from repr_jax.models.mlp import MLP
from repr_jax.models.vit import Tokens
from repr_jax.ops.patches import one_per_window
from tests.experiments.test_moving_state import (
    BATCH,
    DIM,
    quarter,
    tiny,
    turned,
    unchanged,
)

KEY = jax.random.key(3)
IMAGES = np.random.default_rng(0).normal(size=(BATCH, 4, 4, 3)).astype("f")
WHERE = np.arange(BATCH) < 6
BATCHES = {
    "whole": {"image": IMAGES},
    "absent": {
        "image": np.where(WHERE[:, None, None, None], IMAGES, np.nan),
        "where": WHERE,
    },
}


def made(method):
    config = tiny(method, augment=unchanged)
    experiment = run.build(config).experiment
    params, extras = jax.jit(experiment.init)(KEY, BATCHES["whole"])
    # A target of its own, so that it matters which network makes what.
    if "target" in extras:
        own = jax.tree.map(np.asarray, extras["target"]["params"])
        moved = jax.tree.map(lambda x: np.float32(0.5) * x + np.float32(0.1), own)
        extras = {**extras, "target": {**extras["target"], "params": moved}}
    return config, experiment, params, extras


def networks(config, params, extras):
    """(prediction, projection) of images by the online and the target network."""
    parts = dict(
        encoder=MLP(config.encoder.widths), projector=MLP(config.projector.widths)
    )
    predictor = {"predictor": MLP((5, DIM))} if "predictor" in params else {}
    online = JointEmbedding(**parts, **predictor)
    target = JointEmbedding(**parts)
    return (
        lambda x: online.apply({"params": params}, x, train=True).prediction,
        lambda x: target.apply(extras["target"], x, train=True).projection,
    )


@pytest.mark.parametrize("name", BATCHES)
def test_byol_predicts_each_view_of_the_target_from_the_other(name):
    config, experiment, params, extras = made("byol")
    batch = BATCHES[name]
    value, _ = jax.jit(experiment.loss)(params, extras, batch, KEY, 0)
    online, target = networks(config, params, extras)
    a, b = IMAGES, turned(KEY, IMAGES)
    where = batch.get("where")
    forth = losses.byol(online(a), target(b), where=where)
    back = losses.byol(online(b), target(a), where=where)
    np.testing.assert_allclose(value, forth + back, rtol=1e-5)


def test_the_target_gets_no_gradient_and_moves_after_the_step_by_the_schedule():
    _, experiment, params, extras = made("byol")
    gradient = jax.grad(
        lambda target: experiment.loss(
            params,
            {**extras, "target": {**extras["target"], "params": target}},
            BATCHES["whole"],
            KEY,
            0,
        )[0]
    )(extras["target"]["params"])
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))
    for step, decay in ((0, 0.5), (3, 0.75), (6, 1.0)):
        moved = experiment.after_update(params, extras, step)["target"]["params"]
        for part in ("encoder", "projector"):
            expected = jax.tree.map(
                lambda old, new, decay=decay: decay * old + (1 - decay) * new,
                extras["target"]["params"][part],
                params[part],
            )
            jax.tree.map(
                lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
                moved[part],
                expected,
            )
        assert set(moved) == {"encoder", "projector"}


@pytest.mark.parametrize("name", BATCHES)
def test_moco_asks_for_the_key_among_the_queue_which_then_gets_it(name):
    config, experiment, params, extras = made("moco")
    batch = BATCHES[name]
    old = np.random.default_rng(1).normal(size=(4, DIM)).astype("f")
    stored = extras["memory"].queue
    stored = stored._replace(
        rows=stored.rows.at[:4].set(old), where=stored.where.at[:4].set(True)
    )
    extras = {**extras, "memory": extras["memory"]._replace(queue=stored)}
    loss = jax.jit(experiment.loss)
    value, (extras, _) = loss(params, extras, batch, KEY, 0)
    online, target = networks(config, params, extras)
    keys, where = target(turned(KEY, IMAGES)), batch.get("where", np.ones(BATCH, bool))
    expected = losses.moco(online(IMAGES), keys, old, temperature=0.5, where=where)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_array_equal(extras["memory"].queue.rows, stored.rows)  # until
    memory = experiment.after_update(params, extras, 0)["memory"]
    newest = np.concatenate([keys[where], old])[: 2 * BATCH]
    np.testing.assert_allclose(memory.queue.rows[: len(newest)], newest, rtol=1e-5)
    assert memory.queue.where.sum() == len(newest)


def test_dino_moves_its_center_by_the_targets_of_both_global_views():
    _, experiment, params, extras = made("dino")
    batch = BATCHES["absent"]
    _, (extras, _) = jax.jit(experiment.loss)(params, extras, batch, KEY, 0)
    memory = jax.tree.map(np.asarray, extras["memory"])
    assert memory.count == 2 * WHERE.sum() and (memory.mean == 0).all()
    moved = jax.jit(experiment.after_update)(params, extras, 0)["memory"]
    np.testing.assert_allclose(moved.mean, 0.1 * memory.total / 12, rtol=1e-5)
    assert (np.abs(memory.total) <= 12).all() and (memory.total != 0).all()  # cosines
    represent = jax.jit(experiment.outputs["represent"])
    out = represent(params, extras, {"image": IMAGES}, None)
    zeros = jax.tree.map(np.zeros_like, params)
    of_target = represent(zeros, extras, {"image": IMAGES}, None)
    np.testing.assert_array_equal(out, of_target)  # the online network has no say


def test_the_sharpness_of_targets_follows_the_step():
    _, experiment, params, extras = made("dino")
    loss = jax.jit(experiment.loss)
    values = [
        loss(params, extras, BATCHES["whole"], KEY, step)[0] for step in (0, 3, 6, 9)
    ]
    assert len({float(v) for v in values[:3]}) == 3 and values[2] == values[3]


def test_dino_freezes_its_prototypes_at_first():
    config, experiment, params, extras = made("dino")
    assert config.freeze_steps == 1
    gradient = jax.jit(jax.grad(experiment.loss, has_aux=True))
    early, late = (
        gradient(params, extras, BATCHES["absent"], KEY, step)[0]["projector"]
        for step in (0, 1)
    )
    assert not np.any(early.pop("prototypes"))
    assert np.any(late.pop("prototypes"))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(early))


def softmax(x):
    p = np.exp(x - x.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def cross_view_in_loops(online, goals, where, temperature):
    """Mean over rows and pairs of different views; centers are still at 0."""
    terms = []
    for j, goal in enumerate(goals):
        for i, view in enumerate(online):
            if i != j:
                p, q = softmax(view / 0.1), softmax(goal / temperature)
                terms.append(-(q * np.log(p)).sum(-1)[where].mean())
    return np.mean(terms)


def test_udi_compares_both_class_tokens_and_the_patches():
    config, experiment, params, extras = made("udi")
    value, (after, _) = jax.jit(experiment.loss)(
        params, extras, BATCHES["absent"], KEY, 0
    )
    parts = Tokens(bind(config.encoder)()), bind(config.projector)()
    model = JointEmbedding(*parts)
    corner = quarter(None, IMAGES)
    seen = (IMAGES, turned(None, IMAGES), corner, corner)

    def logits(variables, x):
        return np.float64(model.apply(variables, x, train=True).projection)

    online = [logits({"params": params}, x) for x in seen]
    target = [logits(extras["target"], x) for x in seen[:2]]
    keys = jax.random.split(jax.random.fold_in(KEY, ema_target.AFTER_VIEWS))
    mixed = []
    for key, tokens in zip(keys, target):
        sampled = np.asarray(one_per_window(key, BATCH, (4, 4), 2))
        patches = np.stack([t[2:][s].mean(0) for t, s in zip(tokens, sampled)])
        mixed.append(0.25 * patches + 0.75 * tokens[:, 0])
    first, second = ([x[:, n] for x in online] for n in (0, 1))
    levels = [
        (first, [x[:, 0] for x in target], WHERE),
        (second, mixed, WHERE),
        ([x[:, 2:] for x in online[:2]], [x[:, 2:] for x in target], WHERE),
    ]
    expected = np.mean([cross_view_in_loops(*level, 0.2) for level in levels])
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    moved = jax.jit(experiment.after_update)(params, after, 0)["memory"]
    for center, (_, goals, _) in zip(moved, levels):
        mean = np.concatenate([x[WHERE].reshape(-1, 6) for x in goals]).mean(0)
        np.testing.assert_allclose(center.mean, 0.1 * mean, rtol=1e-4, atol=1e-6)
    out = experiment.outputs["represent"](params, extras, {"image": IMAGES}, None)
    variables = {"params": extras["target"]["params"]["encoder"]}
    tokens = parts[0].apply(variables, IMAGES, train=False)
    np.testing.assert_allclose(out, tokens[:, :2].reshape(BATCH, 8), atol=1e-6)


def test_swav_freezes_its_prototypes_at_first_and_uses_its_queue_later():
    config, experiment, params, extras = made("swav")
    assert config.experiment is swapped.make and config.freeze_steps == 1
    gradient = jax.jit(jax.grad(experiment.loss, has_aux=True))
    frozen, (extras, _) = gradient(params, extras, BATCHES["absent"], KEY, 0)
    assert not np.any(frozen["prototypes"])
    kernel = np.asarray(frozen["encoder"]["Dense_0"]["kernel"])
    assert np.isfinite(kernel).all() and (kernel != 0).any()
    after, _ = gradient(params, extras, BATCHES["absent"], KEY, 1)
    assert np.any(after["prototypes"])
    extras = jax.jit(experiment.after_update)(params, extras, 0)
    assert np.sum(extras["queue"].queue.where) == WHERE.sum()
    loss = jax.jit(experiment.loss)
    empty = jax.jit(experiment.init)(KEY, BATCHES["whole"])[1]
    early, late = (
        [loss(params, e, BATCHES["whole"], KEY, step)[0] for e in (extras, empty)]
        for step in (1, 2)
    )
    assert early[0] == early[1] and late[0] != late[1]
