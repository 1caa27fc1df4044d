"""States that are split over devices: where arrays live, and that no number changes."""

import functools
import math

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from configs.base import base
from experiments import two_view
from repr_jax import config as configs
from repr_jax import losses, optim, run, sharding, train
from repr_jax.data import augment, imagenet, synthetic
from repr_jax.models.mlp import MLP
from tests.lanes import slow_unless

STEPS = 20
SPLIT = {
    "fully": dict(shard_state=True),
    "model": dict(model_devices=2),
    "both": dict(shard_state=True, model_devices=2),
}


def wide(**values) -> ml_collections.ConfigDict:
    """SimCLR of a network whose state is most of what a step holds."""
    config = base(smoke=True)
    config.update(num_steps=STEPS, checkpoint_every=10, batch_size=8, ema_decay=0.9)
    config.experiment = two_view.make
    config.dataset = dict(fn=synthetic.blobs, size=8)
    config.augment = dict(fn=augment.jitter, shift=0.1, zoom=0.1, fill=0.0)
    config.encoder = dict(fn=MLP, widths=(1024, 512), batch_norm=True)
    config.projector = dict(fn=MLP, widths=(512, 16))
    config.loss = dict(fn=losses.nt_xent, temperature=0.5)
    # Adam's first steps act on signs, also of what rounding left, and at 1e-3 that is
    # 1e-4 of the loss within 20 steps: small steps, or what is compared is chaos.
    config.optimizer = dict(fn=optim.adam, learning_rate=2e-5)
    config.update(values)
    return config


def curve(config, workdir, parts=None):
    """The loss after each step, and the final state."""
    found = []
    state = run.train(
        config,
        workdir,
        parts=parts,
        amend=True,
        on_log=lambda step, metrics: found.append(metrics["loss"]),
    )
    return found, state


@pytest.fixture(scope="module")
def replicated(tmp_path_factory):
    return curve(wide(), tmp_path_factory.mktemp("replicated"))[0]


def test_the_largest_dimension_that_divides_is_split():
    both = sharding.make_mesh(model=2)
    assert dict(both.shape) == {"data": 2, "model": 2}
    shapes = dict(
        wide=(64, 128), table=(4096, 16), odd=(65, 127), even=(63, 128), bias=(128,)
    )
    state = {n: jax.ShapeDtypeStruct(s, jnp.float32) for n, s in shapes.items()}
    of = functools.partial(sharding.of_state, state)
    specs = {n: x.spec for n, x in of(both, fully=True).items()}
    assert specs == dict(
        wide=P("data", "model"),
        table=P("model", "data"),
        odd=P(None, None),
        even=P(None, "model"),
        bias=P(None),
    )
    assert of(both)["wide"].spec == P(None, "model")
    flat = sharding.make_mesh()
    assert of(flat, fully=True)["table"].spec == P("data", None)
    assert all(x.is_fully_replicated for x in of(flat).values())


def test_a_table_of_many_classes_is_split_by_class(repository):
    """Else each device would compute a part of all logits, to be summed."""
    name = "configs/classification/instances_imagenet.py"
    config = configs.load(f"{repository}/{name}")
    assert config.num_classes >= imagenet.NUM_TRAIN
    config.update(model_devices=2, batch_size=8)
    config.dataset = dict(fn=synthetic.blobs, size=256)
    state = run.abstract_state(config, run.build(config))
    head = state.params["head"]
    assert head["kernel"].sharding.spec == P(None, "model")
    assert head["bias"].sharding.spec == P("model")


def test_a_mesh_of_two_axes_is_of_whole_processes():
    with pytest.raises(ValueError, match="a divisor of the 4 devices of a process; g"):
        sharding.make_mesh(model=3)
    mesh = sharding.make_mesh(model=2)
    sharding.check_batch_size(6, mesh)
    with pytest.raises(ValueError, match="multiple of the 2 devices"):
        sharding.check_batch_size(7, mesh)


@pytest.mark.parametrize("how", slow_unless(("both",), SPLIT))
def test_a_split_state_changes_no_number(replicated, tmp_path, how):
    expected = replicated
    split_losses, split_state = curve(wide(**SPLIT[how]), tmp_path)
    assert len(expected) == STEPS
    np.testing.assert_allclose(split_losses, expected, rtol=1e-5)
    kernel = split_state.params["encoder"]["Dense_0"]["kernel"]  # [192, 1024]
    parts = 4 if how != "model" else 2
    assert math.prod(kernel.addressable_shards[0].data.shape) == kernel.size // parts


def memory(config):
    """Bytes that a compiled step holds on each device, of its arguments and in all."""
    parts = run.build(config)
    state = run.abstract_state(config, parts)
    where = train.shardings(parts, config, state)
    call = train.make_call(train.make_step(parts, config), parts.mesh, where)
    batch = jax.tree.map(lambda x: x[None], next(parts.dataset.train(8)))
    found = call.lower(state, batch, {}).compile().memory_analysis()
    held = found.argument_size_in_bytes
    return held, held + found.temp_size_in_bytes


def test_a_split_state_takes_less_memory_on_each_device():
    whole, of_step = memory(wide())
    for how, most in (("fully", 0.27), ("model", 0.52), ("both", 0.27)):
        held, in_all = memory(wide(**SPLIT[how]))
        assert held < most * whole, how
        assert in_all < of_step, how


def test_a_split_state_is_continued_on_other_devices(replicated, tmp_path):
    """Saved by four devices in parts, read by two in others, then by one whole."""
    expected = replicated
    found, _ = curve(wide(shard_state=True, num_steps=10), tmp_path)
    for num_devices, num_steps, how in ((2, 15, "both"), (1, 20, "whole")):
        config = wide(num_steps=num_steps, checkpoint_every=5, **SPLIT.get(how, {}))
        mesh = sharding.make_mesh(
            jax.devices()[-num_devices:], model=config.model_devices
        )
        parts = run.build(config, mesh)
        more, state = curve(config, tmp_path, parts)
        found += more
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert len(state.params["encoder"]["Dense_0"]["kernel"].sharding.device_set) == 1


def test_evaluators_see_a_split_state_whole(tmp_path):
    config = wide(**SPLIT["both"], num_steps=1)
    _, state = curve(config, tmp_path)
    parts = run.build(config)
    batch = next(parts.dataset.train(8))
    represent = run.trained(parts, state, tmp_path).outputs["represent"]
    alone = wide(num_steps=1)
    one = run.build(alone, sharding.make_mesh(jax.devices()[:1]))
    restored = run.restore(alone, one, tmp_path)
    expected = run.trained(one, restored, tmp_path).outputs["represent"](batch)
    np.testing.assert_allclose(represent(batch), expected, rtol=1e-4, atol=1e-5)
