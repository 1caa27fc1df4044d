"""pSp: what is encoded comes back nearer, of a frozen generator; the debiased one."""

import jax
import ml_collections
import numpy as np
import optax
import pytest

from experiments import style_encoder, upsamplers
from repr_jax import losses
from repr_jax.data import augment
from repr_jax.models import style_gan
from repr_jax.models.classifier import ConvClassifier
from repr_jax.ops import measurement

POOL = measurement.average_pool(4)


def layers(images):
    """In place of a network's."""
    return images, measurement.average_pool(2).forward(images)


def config_of(fair=False):
    config = ml_collections.ConfigDict()
    widths = dict(style_dim=4, width=2, max_width=4)
    config.generator = dict(fn=style_gan.Generator, size=8, **widths)
    config.encoder = dict(fn=style_gan.Encoder, **widths)
    config.features = dict(fn=layers)
    config.factors = (1, 2, 4)
    config.loss = dict(fn=losses.psp)
    config.operator = dict(fn=measurement.average_pool, factor=4)
    if fair:
        config.augment = dict(fn=augment.affine)
        config.classifier = dict(fn=ConvClassifier, num_classes=2, dropout=0.0)
        config.contrast = dict(fn=losses.sup_con, temperature=0.07)
        config.attribute = dict(fn=losses.cross_entropy)
        config.curriculum = dict(rate=0.5, every=10)
    return config


def batch_of(rows=8):
    images = np.random.default_rng(0).uniform(size=(rows, 8, 8, 3)).astype("f")
    return {"image": images, "label": np.arange(rows) % 2}


@jax.jit
def moved_by_noise(key, params):
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, 100)
    moved = [p + 0.2 * jax.random.normal(k, p.shape) for p, k in zip(leaves, keys)]
    return jax.tree.unflatten(structure, moved)


@pytest.fixture(scope="module")
def psp():
    """The experiment, a generator whose images differ, and images of it."""
    experiment = style_encoder.make(config_of())
    params, extras = jax.jit(experiment.init)(jax.random.key(0), batch_of())
    frozen = moved_by_noise(jax.random.key(1), extras["generator"])
    for name, part in frozen.items():
        if name.startswith("to_color"):  # so that images are within [0, 1]
            part["kernel"] = 0.1 * part["kernel"]
    model = style_gan.Generator(size=8, style_dim=4, width=2, max_width=4)
    z = jax.random.normal(jax.random.key(2), (8, style_gan.latent_dim(8, 4)))
    images = jax.jit(lambda z: model.apply({"params": frozen}, z, train=False))(z)
    return experiment, params, {"generator": frozen}, {"image": images}


def test_training_comes_nearer_and_leaves_the_generator(psp):
    experiment, params, extras, batch = psp
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(params, state, number):
        key = jax.random.key(number)
        (value, (kept, _)), grads = jax.value_and_grad(
            experiment.loss["encoder"], has_aux=True
        )(params, extras, batch, key, number)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value, kept

    state, found = optimizer.init(params), []
    for number in range(60):
        params, state, value, kept = step(params, state, number)
        found.append(float(value))
    assert np.mean(found[-10:]) < 0.7 * np.mean(found[:10])
    jax.tree.map(np.testing.assert_array_equal, kept, extras)
    assert set(params) == {"encoder"}


def test_restoring_is_a_function_of_the_measurement(psp):
    experiment, params, extras, batch = psp
    sample = jax.jit(upsamplers.sampler(experiment, (8, 8, 3)))
    y = np.asarray(jax.jit(POOL.forward)(batch["image"]))
    made = np.asarray(sample(jax.random.key(0), (params, extras), y))
    assert made.shape == (8, 8, 8, 3) and made.min() >= 0 and made.max() <= 1
    again = sample(jax.random.key(1), (params, extras), y)
    np.testing.assert_array_equal(again, made)
    np.testing.assert_allclose(made[1:], made[:-1], atol=1e-6)  # the average, at first
    moved = moved_by_noise(jax.random.key(4), params)
    made = np.asarray(sample(jax.random.key(0), (moved, extras), y))
    part = sample(jax.random.key(0), (moved, extras), y[2:3])
    np.testing.assert_allclose(part, made[2:3], atol=1e-5)
    assert np.abs(made[1:] - made[:-1]).max(axis=(1, 2, 3)).min() > 1e-4
    restored = jax.jit(experiment.outputs["restore"])(moved, extras, batch, None)
    np.testing.assert_allclose(restored, made, atol=1e-5)


def test_what_restores_nothing_is_no_upsampler(psp):
    experiment = psp[0]._replace(outputs={"generate": None})
    with pytest.raises(ValueError, match="upsamplers: expected the output 'restore'"):
        upsamplers.sampler(experiment, (8, 8, 3))


def test_inputs_are_means_of_places():
    images = batch_of(400)["image"]
    found = jax.jit(style_encoder._coarsened, static_argnums=2)(
        jax.random.key(0), images, (1, 2, 4)
    )
    sizes = []
    for x, seen in zip(np.asarray(images), np.asarray(found)):
        means = {
            f: np.kron(
                x.reshape(8 // f, f, 8 // f, f, 3).mean(axis=(1, 3)), np.ones((f, f, 1))
            )
            for f in (1, 2, 4)
        }
        (factor,) = [f for f in means if np.allclose(seen, means[f], atol=1e-5)]
        sizes.append(factor)
    counts = [sizes.count(f) for f in (1, 2, 4)]
    assert min(counts) > 90 and sum(counts) == 400


def test_the_debiased_loss_adds_contrast_and_attribute_as_steps_go_by(psp):
    extras, batch = psp[2], {**psp[3], "label": np.arange(8) % 2}
    experiment = style_encoder.make_fair(config_of(fair=True))
    params, _ = jax.jit(experiment.init)(jax.random.key(0), batch)
    loss, key = jax.jit(experiment.loss["encoder"]), jax.random.key(3)
    values = {}
    for step in (0, 9, 10, 25):
        value, (_, terms) = loss(params, extras, batch, key, step)
        values[step] = float(value)
    terms = jax.tree.map(float, terms)
    assert values[0] == values[9]
    added = 0.5 * (terms["contrast"] + terms["attribute"])
    np.testing.assert_allclose(values[10] - values[9], added, rtol=1e-4)
    np.testing.assert_allclose(values[25] - values[9], 2 * added, rtol=1e-4)
    # styles are all equal at first: each of 32 views is found among the 31 others
    np.testing.assert_allclose(terms["contrast"], np.log(31), rtol=1e-4)
    value, _ = jax.jit(experiment.loss["classifier"])(params, extras, batch, key, 0)
    assert 0.3 < value < 1.5  # about log 2
    grads = jax.jit(jax.grad(experiment.loss["classifier"], has_aux=True))
    moved, _ = grads(params, extras, batch, key, 0)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(moved["encoder"]))
