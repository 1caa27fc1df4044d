"""The multimodal experiment, on three tiny views."""

import functools

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.data import synthetic
from repr_jax.models import vae

NAMES = ("m0", "m1", "m2")
BATCH, DIM = 6, 4


def config(loss=losses.mopoe, posterior=multimodal_vae.product_of_experts, **options):
    c = ml_collections.ConfigDict()
    c.modalities = NAMES
    c.encoder = dict(
        fn=vae.ConvEncoder, latent_dim=DIM, widths=(4,), hidden=8, shape=(8, 8, 3)
    )
    c.decoder = dict(fn=vae.ConvDecoder, widths=(4,), shape=(8, 8, 3))
    c.loss = dict(fn=loss, **options)
    c.bound = dict(fn=losses.mopoe)
    c.posterior = dict(fn=posterior)
    return c


@functools.cache
def made(loss=losses.mopoe, posterior=multimodal_vae.product_of_experts):
    experiment = multimodal_vae.make(config(loss, posterior))
    dataset = synthetic.multiview(modalities=NAMES, size=8)
    batch = jax.jit(dataset.prepare)(next(dataset.train(BATCH)))
    params, extras = jax.jit(experiment.init)(jax.random.key(0), batch)
    return experiment, params, extras, batch


def with_present(batch, *columns):
    present = jnp.zeros((BATCH, 3), bool)
    return {**batch, "present": present.at[:, list(columns)].set(True)}


@pytest.mark.parametrize(
    "loss", [losses.mopoe, losses.mvae, losses.moe_elbo], ids=lambda loss: loss.__name__
)
def test_an_absent_modality_is_irrelevant_and_teaches_its_networks_nothing(loss):
    experiment, params, _, batch = made(loss)
    batch = with_present(batch, 0, 2)
    gradient = jax.jit(
        jax.value_and_grad(
            lambda p, b: experiment.loss(p, {}, b, jax.random.key(1), 0)[0]
        )
    )
    value, grads = gradient(params, batch)
    broken, grads_broken = gradient(
        params, {**batch, "m1": jnp.full_like(batch["m1"], jnp.nan)}
    )
    assert value == broken and np.isfinite(value)
    for left, right in zip(jax.tree.leaves(grads), jax.tree.leaves(grads_broken)):
        np.testing.assert_array_equal(left, right)
    for name in ("encoders_1", "decoders_1"):
        assert all((leaf == 0).all() for leaf in jax.tree.leaves(grads[name]))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(grads["encoders_0"]))


def test_padded_rows_do_not_count():
    experiment, params, _, batch = made()
    loss = jax.jit(lambda b: experiment.loss(params, {}, b, jax.random.key(1), 0)[0])
    where = jnp.arange(BATCH) < 4
    short = {name: value[:4] for name, value in batch.items()}
    np.testing.assert_allclose(loss({**batch, "where": where}), loss(short), rtol=1e-5)


def test_the_posterior_of_a_subset_is_the_product_of_its_members():
    experiment, params, extras, batch = made()
    key = jax.random.key(2)
    ask = experiment.outputs["represent"]
    represent = jax.jit(lambda b: ask(params, extras, b, key))
    model_batch = {m: with_present(batch, m) for m in range(3)}
    singles = np.stack([represent(model_batch[m]) for m in range(3)])
    pair = represent(with_present(batch, 0, 1))
    nothing = represent(with_present(batch))
    assert singles.shape == (3, BATCH, DIM)
    assert np.ptp(singles, axis=0).max() > 1e-4  # the experts differ
    low, high = singles[:2].min(axis=0), singles[:2].max(axis=0)
    assert (pair >= low - 1e-6).all() and (pair <= high + 1e-6).all()
    np.testing.assert_array_equal(nothing, np.zeros((BATCH, DIM)))


def test_generation_makes_every_modality_from_any_subset_and_from_none():
    experiment, params, extras, batch = made()
    generate = jax.jit(
        lambda b, k: experiment.outputs["generate"](params, extras, b, k)
    )
    for columns in [(), (1,), (0, 1, 2)]:
        images = generate(with_present(batch, *columns), jax.random.key(3))
        assert set(images) == set(NAMES)
        assert all(x.shape == (BATCH, 8, 8, 3) for x in images.values())
    free = with_present(batch)
    other = {**free, "m0": jnp.zeros_like(batch["m0"])}
    for name in NAMES:
        np.testing.assert_array_equal(
            generate(free, jax.random.key(3))[name],
            generate(other, jax.random.key(3))[name],
        )


def test_the_bound_is_minus_its_own_loss():
    heavy = multimodal_vae.make(config(beta=3.0))
    plain, params, extras, batch = made()
    key = jax.random.key(5)
    bound = jax.jit(heavy.outputs["bound"])(params, extras, batch, key)
    loss, _ = jax.jit(plain.loss)(params, extras, batch, key, 0)
    np.testing.assert_allclose(bound, -loss, rtol=1e-6)
    assert not np.allclose(jax.jit(heavy.loss)(params, extras, batch, key, 0)[0], loss)


def test_a_modality_that_the_batch_lacks_is_named():
    experiment, params, extras, batch = made()
    with pytest.raises(ValueError, match=r"config\.modalities: .* got m1"):
        experiment.loss(
            params, extras, {"m0": batch["m0"], "m2": batch["m2"]}, jax.random.key(0), 0
        )
