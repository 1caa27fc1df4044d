"""Training steps of the project: of a config, by the loop's own functions."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from experiments.benchmarks.accelerator import measure
from experiments.benchmarks.accelerator.measure import Figures
from repr_jax import config as configs
from repr_jax import optim, run, sharding, train
from repr_jax.data import augment, recipes
from repr_jax.data.dataset import SPLITS, Dataset, of_rows, stacked, unit_pixels
from repr_jax.experiment import TrainState
from repr_jax.models import resnet
from repr_jax.models.mlp import MLP

MOPOE = "configs/multimodal/mopoe_polymnist.py"
SIMCLR = "configs/contrastive/simclr_mnist.py"
MAE = "configs/reconstruction/mae_mnist.py"


def mopoe(smoke: bool) -> Figures:
    """The published MoPoE on PolyMNIST, which each step composes on the device."""
    path = MOPOE + ":smoke" * smoke

    def loaded(**overrides):
        return configs.load(path, overrides)

    yield "float32 (TF32)", partial(one, loaded, "TF32", smoke)
    several = 2 if smoke else 10
    many = dict(steps_per_call=several, log_every=10 * several, num_steps=10 * several)
    many |= dict(checkpoint_every=10 * several)
    form = f"float32 (TF32), {several} steps a call"
    yield form, partial(one, partial(loaded, **many), "TF32", smoke)
    half = {"encoder.dtype": "bfloat16", "decoder.dtype": "bfloat16"}
    yield "bfloat16", partial(one, partial(loaded, **half), "bfloat16", smoke)
    big = {"batch_size": 16 if smoke else 2_048, **half}
    name = f"bfloat16, batch {big['batch_size']:,}"
    yield name, partial(one, partial(loaded, **big), "bfloat16", smoke)


def simclr(smoke: bool) -> Figures:
    """ResNet-50 at 224 x 224; views are flipped images, then those of the paper."""
    size = 32 if smoke else 224
    flipped = dict(fn=augment.horizontal_flip)
    published = dict(fn=recipes.view, **{**recipes.SIMCLR, "size": size})
    for name, views in (("flipped", flipped), ("published views", published)):
        load = partial(simclr_config, views, size, smoke)
        yield f"bfloat16, {name}", partial(one, load, "bfloat16", smoke)


def simclr_config(views, size: int, smoke: bool):
    """That of simclr_mnist.py, with random images and the networks of ImageNet."""
    config = configs.load(SIMCLR + ":smoke" * smoke)
    with config.unlocked():
        config.batch_size = 4 if smoke else 256
        config.dataset = dict(
            fn=random_images, num_examples=config.batch_size, size=size
        )
        config.augment = views
        config.encoder = dict(
            fn=resnet.ResNet,
            features=0,
            block=resnet.Bottleneck,
            blocks=(1, 1) if smoke else (3, 4, 6, 3),
            width=4 if smoke else 64,
            dtype="bfloat16",
        )
        widths = (8, 4) if smoke else (2048, 128)
        config.projector = dict(
            fn=MLP, widths=widths, batch_norm=True, dtype="bfloat16"
        )
        config.optimizer = dict(
            fn=optim.sgd_cosine, peak=0.1, num_steps=config.get_ref("num_steps")
        )
    return config


def mae(smoke: bool) -> Figures:
    """ViT-S/16 at 224 x 224, a quarter of the patches, and the published decoder."""
    yield "bfloat16", partial(one, partial(mae_config, smoke), "bfloat16", smoke)


def mae_config(smoke: bool):
    """That of mae_mnist.py, with random images and the networks of ImageNet."""
    size, patch = (16, 4) if smoke else (224, 16)
    config = configs.load(MAE + ":smoke" * smoke)
    with config.unlocked():
        config.batch_size = 4 if smoke else 512
        config.dataset = dict(
            fn=random_images, num_examples=config.batch_size, size=size
        )
        config.augment = dict(fn=augment.horizontal_flip)
        patches = dict(patch_size=patch, shape=(size, size, 3), dtype="bfloat16")
        encoder = (8, 1, 2) if smoke else (384, 12, 6)
        decoder = (8, 1, 2) if smoke else (512, 8, 16)
        for part, sizes in ((config.encoder, encoder), (config.decoder, decoder)):
            part.update(**dict(zip(("dim", "depth", "num_heads"), sizes)), **patches)
    return config


def random_images(*, num_examples: int, size: int) -> Dataset:
    """ "image" uint8 [batch, size, size, 3], and after `prepare` float32 in [0, 1]."""
    rng = np.random.default_rng(0)
    shape = (num_examples, size, size, 3)
    pixels = rng.integers(256, size=shape, dtype=np.uint8)

    def take(split, rows):
        return {"image": pixels[rows]}

    count = dict.fromkeys(SPLITS, num_examples)
    return of_rows("random_images", take, count, seed=0, prepare=unit_pixels)


def one(load: Callable, arithmetic: str, smoke: bool) -> dict:
    """Times the step of a config on one group of batches that stays on the device."""
    config = load()
    parts = run.build(config)
    many, fixed = config.steps_per_call, dict(parts.dataset.fixed)
    group = next(stacked(parts.dataset.train(config.batch_size), 0, many, many))
    group = sharding.to_global(group, parts.mesh, axis=1)
    call = train.make_call(train.make_step(parts, config), parts.mesh)
    held = draw_state(parts, config)
    program, facts = measure.compiled(call, held, group, fixed, jitted=True)
    if many > 1:  # a loop, of which backends count one turn or all
        facts["GB"] = None
    if facts["TFLOP"] is None:
        facts["TFLOP"] = operations(parts, config)

    def step():
        nonlocal held
        held, (halted, metrics) = program(held, group, fixed)
        return halted, metrics

    found = measure.milliseconds(step, smoke)
    halted, metrics = jax.tree.map(np.asarray, step())
    measure.drop((held, group))
    if halted:
        raise FloatingPointError("a loss or a gradient was not finite")
    ms = found["ms"] / many
    return {
        "ms": ms,
        "spread": found["spread"],
        "examples a second": 1e3 * config.batch_size / ms,
        "arithmetic": arithmetic,
        **facts,
        **measure.peak_mib(),
        "loss": metrics["loss"],
    }


def draw_state(parts, config) -> TrainState:
    """The state before the first step, by the host: compiling it there is quicker."""
    state = train.init_state(*on_host(parts, config))
    return jax.device_put(state, sharding.replicated(parts.mesh))


def on_host(parts, config) -> tuple:
    """The parts on one device of the host, the config, and a batch there."""
    mesh = sharding.make_mesh(jax.devices("cpu")[:1])
    batch = sharding.to_global(next(parts.dataset.train(config.batch_size)), mesh)
    return parts._replace(mesh=mesh), config, batch


def operations(parts, config) -> float | None:
    """TFLOP of a step as the host's backend counts them, where the device's does not.

    Nothing is compiled or computed for it.
    """
    parts, config, batch = on_host(parts, config)
    state = jax.eval_shape(lambda: train.init_state(parts, config, batch))
    group = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), batch)
    call = train.make_call(train.make_step(parts, config), parts.mesh)
    with jax.default_device(jax.devices("cpu")[0]):
        return measure.operations(call.lower(state, group, dict(parts.dataset.fixed)))
