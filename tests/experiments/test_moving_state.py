"""What moves between steps: targets, queues and centers, of whole runs at tiny size.

They survive a stop exactly, are the same on one device and on four, both where a batch
comes in parts too, and move once a step also there.
"""

import functools
import os
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.base import base
from experiments import ema_target, swapped
from repr_jax import losses, optim, run, sharding, train
from repr_jax.data import synthetic
from repr_jax.models.joint_embedding import PrototypeHead
from repr_jax.models.mlp import MLP
from repr_jax.models.vit import ViT
from repr_jax.ops import schedules

STEPS, BATCH, DIM = 6, 8, 3


def scaled(key, images):
    return images * jax.random.uniform(key, (len(images), 1, 1, 1), minval=0.5)


def turned(key, images):
    """Without chance: parts of a batch draw other numbers than the whole."""
    return jnp.flip(images, axis=2)


def unchanged(key, images):
    return images


def quarter(key, images):
    """A local view, as if of another size: enlarged to that of the others."""
    corner = images[:, :2, :2]
    return jnp.repeat(jnp.repeat(corner, 2, axis=1), 2, axis=2)


def byol(config):
    config.experiment = ema_target.make
    config.predictor = dict(fn=MLP, widths=(5, DIM))
    config.loss = dict(fn=losses.byol)


def moco(config):
    config.experiment = ema_target.make_queued
    config.queue_size = 2 * BATCH
    config.loss = dict(fn=losses.moco, temperature=0.5)


def dino(config):
    config.experiment = ema_target.make_centered
    config.projector = dict(fn=PrototypeHead, widths=(5, 4), num_prototypes=6)
    config.local_augment, config.num_local = dict(fn=quarter), 2
    config.center_decay, config.freeze_steps = 0.9, 1
    config.target_temperature = dict(
        fn=schedules.linear, start=0.2, end=0.3, num_steps=STEPS
    )
    config.loss = dict(fn=losses.dino)


def udi(config):
    dino(config)
    config.experiment = ema_target.make_consolidated
    config.encoder = dict(
        fn=ViT, patch_size=1, dim=4, depth=1, num_heads=2, shape=(4, 4, 3)
    )
    config.encoder.num_class_tokens = 2
    config.mix, config.window = 0.25, 2
    config.optimizer.peak = 0.01  # tokens start near 0, and layers normalize them


def swav(config):
    config.experiment = swapped.make
    config.local_augment, config.num_local = dict(fn=quarter), 1
    config.num_prototypes, config.freeze_steps = 5, 1
    config.queue_size, config.queue_from = 2 * BATCH, 2
    config.loss = dict(fn=losses.swav)


METHODS = {f.__name__: f for f in (byol, moco, dino, udi, swav)}
every_method = pytest.mark.parametrize("method", METHODS)
# In two parts, those that have all that moves; of whole batches, these are slow tests.
IN_PARTS = {"dino": 2, "swav": 2}
also_in_parts = pytest.mark.parametrize(
    ("method", "accumulate"),
    [
        *((method, IN_PARTS.get(method, 1)) for method in METHODS),
        *(pytest.param(method, 1, marks=pytest.mark.slow) for method in IN_PARTS),
    ],
)


def tiny(method, *, augment=scaled, second=turned, **overrides):
    config = base()
    config.num_steps, config.batch_size = STEPS, BATCH
    config.log_every, config.checkpoint_every = 1, 2
    config.dataset = dict(fn=synthetic.blobs, size=4)
    config.augment, config.second_augment = dict(fn=augment), dict(fn=second)
    config.encoder = dict(fn=MLP, widths=(6, 5))
    config.projector = dict(fn=MLP, widths=(4, DIM))
    config.decay = dict(fn=schedules.cosine, start=0.5, end=1.0, num_steps=STEPS)
    config.optimizer = dict(fn=optim.sgd_cosine, peak=0.1, num_steps=STEPS)
    METHODS[method](config)
    config.update_from_flattened_dict(overrides)
    return config


@functools.cache
def reference(method, folder, accumulate=1):
    config = tiny(method, accumulate=accumulate)
    return run.train(config, folder / f"{method}{accumulate}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reference")


def assert_close(actual, expected):
    leaves = zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True)
    for a, b in leaves:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@every_method
def test_what_moves_moves_and_the_target_is_apart_from_the_network(method, folder):
    state = reference(method, folder)
    start = train.init_state(
        parts := run.build(tiny(method)),
        tiny(method),
        next(parts.dataset.train(BATCH)),
    )
    for name in set(state.extras) - {"online"}:
        for a, b in zip(
            jax.tree.leaves(state.extras[name]), jax.tree.leaves(start.extras[name])
        ):
            assert a.shape == b.shape and a.dtype == b.dtype
    if method == "swav":
        assert state.extras["queue"].queue.where.all()
        assert not state.extras["queue"].waiting.where.any()
        return
    online = {name: state.params[name] for name in ("encoder", "projector")}
    target = state.extras["target"]["params"]
    chex.assert_trees_all_equal_shapes(online, target)
    assert not np.array_equal(kernel(online), kernel(target))
    first = kernel(start.extras["target"]["params"])
    np.testing.assert_array_equal(first, kernel(start.params))  # a copy at first
    assert not np.array_equal(first, kernel(target))


def kernel(params):
    """The first of the encoder."""
    return next(x for x in jax.tree.leaves(params["encoder"]) if x.ndim == 2)


@also_in_parts
def test_a_stopped_run_goes_on_exactly(method, accumulate, folder, tmp_path):
    config = tiny(method, accumulate=accumulate)

    def interrupt(step, metrics):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(train.Interrupted):
        run.train(config, tmp_path, on_log=interrupt)
    restored = run.restore(config, run.build(config), tmp_path)
    assert 3 <= int(restored.step) < STEPS
    state = run.train(config, tmp_path)
    chex.assert_trees_all_equal(state, reference(method, folder, accumulate))


@also_in_parts
def test_one_device_and_four_do_the_same(method, accumulate, folder, tmp_path):
    config = tiny(method, accumulate=accumulate)
    parts = run.build(config)
    assert parts.mesh.size == 4
    alone = parts._replace(mesh=sharding.make_mesh(jax.devices()[:1]))
    state = run.train(config, tmp_path, parts=alone)
    expected = reference(method, folder, accumulate)
    assert_close((state.params, state.extras), (expected.params, expected.extras))


@pytest.mark.parametrize("method", ["byol", "moco", "dino"])
def test_parts_of_a_batch_move_once_a_step(method, tmp_path):
    """Not in as many small moves; rows of a queue are those of the batch, in order of
    the parts."""
    fixed = dict(augment=unchanged, num_steps=3, checkpoint_every=3)
    whole = run.train(tiny(method, **fixed), tmp_path / "whole")
    parts = run.train(tiny(method, accumulate=2, **fixed), tmp_path / "parts")
    assert_close(parts.params, whole.params)
    assert_close(parts.extras["target"], whole.extras["target"])
    for a, b in zip(*(in_order(s.extras["memory"]) for s in (parts, whole))):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def in_order(memory):
    """Arrays of a memory, rows of a queue in an order of their own."""
    if not hasattr(memory, "queue"):
        return jax.tree.leaves(memory)
    rows = np.asarray(memory.queue.rows)
    assert memory.queue.where.all() and not memory.waiting.where.any()
    return [rows[np.argsort(rows[:, 0])]]


def test_codes_of_a_part_are_balanced_over_it_and_the_queue_moves_once(tmp_path):
    """Projections of frozen networks: what the queue holds are those of whole batches,
    as the codes alone depend on the parts."""
    fixed = dict(augment=unchanged, num_steps=3, checkpoint_every=3)
    fixed["optimizer.peak"] = 1e-30
    states = [
        run.train(tiny("swav", accumulate=n, **fixed), tmp_path / str(n))
        for n in (1, 2)
    ]
    rows = [np.asarray(s.extras["queue"].queue.rows) for s in states]
    whole, parts = (r[np.argsort(r[:, 0])] for r in rows)
    assert_close(parts, whole)
