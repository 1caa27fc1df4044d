"""Two views of an image: both reach the loss, absent rows do not."""

from functools import partial

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from experiments import two_view
from repr_jax import losses
from repr_jax.models.mlp import MLP
from repr_jax.ops.batch import masked_mean


def scaled(key, images):
    return images * jax.random.uniform(key, (len(images), 1, 1, 1), minval=0.5)


def distance(a, b, *, where):
    return masked_mean(jnp.sum((a - b) ** 2, axis=-1), where=where)


@pytest.fixture(scope="module")
def experiment():
    config = ml_collections.ConfigDict(
        {
            "augment": dict(fn=scaled),
            "encoder": dict(fn=MLP, widths=(6, 5), batch_norm=True),
            "projector": dict(fn=MLP, widths=(4, 3)),
            "loss": dict(fn=distance),
        }
    )
    return two_view.make(config)


@pytest.fixture(scope="module")
def batch():
    images = np.random.default_rng(0).normal(size=(8, 2, 2, 1)).astype(np.float32)
    return {"image": images}


@pytest.fixture(scope="module")
def started(experiment, batch):
    return jax.jit(experiment.init)(jax.random.key(0), batch)


def test_the_loss_compares_projections_of_two_different_views(
    experiment, batch, started
):
    value, (extras, terms) = jax.jit(experiment.loss)(
        *started, batch, jax.random.key(1), 0
    )
    assert value > 1e-4 and terms == {}  # views differ, though there is one network
    other, _ = jax.jit(experiment.loss)(*started, batch, jax.random.key(2), 0)
    assert value != other
    before = jax.tree.leaves(started[1]["batch_stats"])
    after = jax.tree.leaves(extras["batch_stats"])
    assert all(np.any(np.asarray(a) != b) for a, b in zip(before, after))


def test_absent_rows_do_not_reach_the_loss(experiment, batch, started):
    where = np.arange(8) < 5
    images = np.where(where[:, None, None, None], batch["image"], np.nan)
    loss = jax.jit(jax.value_and_grad(experiment.loss, has_aux=True))
    (value, _), grads = loss(
        *started, {"image": images, "where": where}, jax.random.key(1), 0
    )
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_the_representation_is_the_encoder_before_the_projector(
    experiment, batch, started
):
    params, extras = started
    found = jax.jit(experiment.outputs["represent"])(params, extras, batch, None)
    encoder = MLP(widths=(6, 5), batch_norm=True)
    variables = {
        "params": params["encoder"],
        "batch_stats": extras["batch_stats"]["encoder"],
    }
    encode = jax.jit(partial(encoder.apply, train=False))
    expected = encode(variables, batch["image"])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_predictor_predicts_the_other_view_which_gets_no_gradient(batch):
    config = ml_collections.ConfigDict(
        {
            "augment": dict(fn=scaled),
            "second_augment": dict(fn=negative),
            "encoder": dict(fn=MLP, widths=(6, 5)),
            "projector": dict(fn=MLP, widths=(4, 3)),
            "predictor": dict(fn=MLP, widths=(2, 3)),
            "loss": dict(fn=losses.negative_cosine),
        }
    )
    experiment = two_view.make_predicted(config)
    params, extras = jax.jit(experiment.init)(jax.random.key(0), batch)
    assert set(params) == {"encoder", "projector", "predictor"}
    key = jax.random.key(1)
    value, _ = jax.jit(experiment.loss)(params, extras, batch, key, 0)
    model = two_view.joint_embedding(config)

    @jax.jit
    def expected(key):
        a, b = (
            model.apply({"params": params}, augment(k, batch["image"]), train=True)
            for augment, k in zip((scaled, negative), jax.random.split(key))
        )
        forth = losses.negative_cosine(a.prediction, b.projection)
        back = losses.negative_cosine(b.prediction, a.projection)
        return (forth + back) / 2

    np.testing.assert_allclose(value, expected(key), rtol=1e-5)


def negative(key, images):
    return -images


def test_local_views_follow_the_two_global_ones(batch):
    config = ml_collections.ConfigDict(
        {
            "augment": dict(fn=scaled),
            "local_augment": dict(fn=corner),
            "num_local": 3,
        }
    )
    views = jax.jit(two_view.views(config))
    found = [np.asarray(v) for v in views(jax.random.key(0), batch["image"])]
    assert [v.shape[1] for v in found] == [2, 2, 1, 1, 1]
    assert (found[0] != found[1]).any()


def corner(key, images):
    return images[:, :1, :1]
