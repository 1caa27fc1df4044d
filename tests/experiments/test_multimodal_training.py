"""How multimodal models train: schedules, dropped views, devices, two stages."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import multimodal_vae
from repr_jax import losses, optim, sharding
from repr_jax.data import synthetic
from repr_jax.models import vae
from repr_jax.ops import laplace, subsets
from tests.experiments.three_views import (
    DIM,
    KEY,
    NAMES,
    config,
    jmvae,
    made,
    started,
    with_present,
    with_private,
)
from tests.lanes import slow_unless


def test_a_schedule_scales_an_argument_of_the_loss_by_the_step():
    _, _, _, batch = made()
    c = config(beta=3.0)
    c.schedules = dict(
        beta=dict(fn=optax.linear_schedule, init_value=0.0, end_value=1.0)
    )
    c.schedules.beta.transition_steps = 10
    experiment, params = started(c)
    traced = []

    @jax.jit
    def loss(step):
        traced.append(step)
        return experiment.loss(params, {}, batch, KEY, step)[0]

    values = [loss(step) for step in (0, 5, 10, 20)]
    assert len(traced) == 1
    fixed = [started(config(beta=beta))[0] for beta in (0.0, 1.5, 3.0, 3.0)]
    for value, one in zip(values, fixed):
        expected = jax.jit(one.loss)(params, {}, batch, KEY, 0)[0]
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_a_schedule_of_what_the_loss_is_not_given_is_refused():
    c = config()
    c.schedules = {"beta": dict(fn=optax.constant_schedule, value=1.0)}
    with pytest.raises(ValueError, match=r"config\.schedules: .* gives; got beta"):
        multimodal_vae.make(c)


def test_thinning_trains_on_fewer_modalities_and_evaluates_all():
    plain, params, extras, batch = made()
    c = config()
    c.thin = dict(fn=subsets.thin, drop_rate=1.0)  # one remains
    experiment = multimodal_vae.make(c)
    thinned = jax.jit(experiment.loss)(params, extras, batch, KEY, 0)[0]
    whole = jax.jit(plain.loss)(params, extras, batch, KEY, 0)[0]
    assert thinned < whole / 2  # of one modality, not of three
    bounds = [
        jax.jit(e.outputs["bound"])(params, extras, batch, KEY)
        for e in (plain, experiment)
    ]
    assert bounds[0] == bounds[1]


def test_free_nats_are_added_for_the_mean_of_the_experts():
    _, params, _, batch = made()
    batch = with_present(batch, 0, 2)
    c = config(beta=2.0)
    plain = multimodal_vae.make(c)
    c.free_nats = 5.0
    free = multimodal_vae.make(c)
    values = [jax.jit(e.loss)(params, {}, batch, KEY, 0)[0] for e in (plain, free)]
    encoder = vae.ConvEncoder(latent_dim=DIM, widths=(4,), hidden=8, shape=(8, 8, 3))
    lacking = 0.0
    for m in (0, 2):
        own = {"params": params[f"encoders_{m}"]}
        posterior = encoder.apply(own, batch[NAMES[m]], train=False)
        lacking += losses.free_nats(*posterior, nats=5.0)
    np.testing.assert_allclose(values[1] - values[0], 2 * lacking / 3, rtol=1e-3)
    bounds = [
        jax.jit(e.outputs["bound"])(params, {}, batch, KEY) for e in (plain, free)
    ]
    assert bounds[0] == bounds[1]
    c.loss = dict(fn=losses.moe_elbo, distribution=laplace)
    with pytest.raises(ValueError, match=r"config\.free_nats: expected 0 unless"):
        multimodal_vae.make(c)


FIVE = tuple(f"m{m}" for m in range(5))


SPLIT = {
    "mopoe": (losses.mopoe, multimodal_vae.product_of_experts),
    "mmvae": (losses.mmvae, multimodal_vae.mixture_of_experts),
    "mvae": (losses.mvae, multimodal_vae.product_of_experts),
    "mmjsd": (losses.mmjsd, multimodal_vae.geometric_mean),
    "mvtcae": (losses.mvtcae, multimodal_vae.product_of_experts),
}


@pytest.mark.parametrize("name", slow_unless(("mopoe",), SPLIT))
def test_one_and_four_devices_have_the_same_loss_of_incomplete_rows(name):
    """From the same parameters and noise, with five views of which some are absent."""
    options = {"num_subsets": 1} if name == "mvae" else {}
    if name == "mmvae":  # weights of more samples are of log-likelihoods far from 0
        options["num_samples"] = 1
    c = with_private(config(*SPLIT[name], **options))
    c.modalities, rows = FIVE, 8
    dataset = synthetic.multiview(modalities=FIVE, size=8)
    batch = dict(next(dataset.train(rows)))
    here = np.random.default_rng(0).random((rows, 5)) < 0.6
    here[3] = False  # a row of nothing
    batch |= {"present": here, "where": np.arange(rows) != 5}
    experiment, params = started(c, batch)

    @jax.jit
    def gradient(params, batch):
        loss = lambda p: experiment.loss(p, {}, batch, KEY, 0)[0]  # noqa: E731
        return jax.value_and_grad(loss)(params)

    found = []
    for devices in (jax.devices()[:1], jax.devices()):
        mesh = sharding.make_mesh(devices)
        whole = jax.device_put(params, sharding.replicated(mesh))
        found.append(gradient(whole, sharding.to_global(batch, mesh)))
    assert len(jax.devices()) == 4
    for one, four in zip(*map(jax.tree.leaves, found)):
        scale = np.abs(one).max()
        np.testing.assert_allclose(one, four, rtol=1e-4, atol=1e-5 * scale)


ALONE = {  # of one modality: how many times the bound of a VAE the loss is
    "mopoe": (losses.mopoe, {"prior_expert": "none"}, 1.0),
    "moe_elbo": (losses.moe_elbo, {}, 1.0),
    "mvtcae": (losses.mvtcae, {"correlation": 0.3}, 0.7),
}


@pytest.mark.parametrize("name", ALONE)
def test_one_modality_trains_as_a_vae(name):
    """The same encoder and decoder; the noise is the same, or there is next to none."""
    loss, options, times = ALONE[name]
    _, params, _, batch = made()
    c = config(loss, **options)
    c.modalities = NAMES[:1]
    experiment = multimodal_vae.make(c)
    own = {part: x for part, x in params.items() if part.endswith("_0")}
    own = jax.tree.map(jnp.copy, own)
    if name == "mopoe":  # draws by another key
        head = own["encoders_0"]["log_var_head"]
        head["bias"] = jnp.full_like(head["bias"], -24.0)
    found = jax.jit(
        jax.value_and_grad(lambda p: experiment.loss(p, {}, batch, KEY, 0)[0])
    )(own)

    def plain(p):
        encoder = vae.ConvEncoder(
            latent_dim=DIM, widths=(4,), hidden=8, shape=(8, 8, 3)
        )
        decoder = vae.ConvDecoder(widths=(4,), shape=(8, 8, 3))
        posterior = encoder.apply({"params": p["encoders_0"]}, batch["m0"], train=True)
        decode = lambda z: decoder.apply({"params": p["decoders_0"]}, z, train=True)  # noqa: E731
        return times * losses.elbo(KEY, batch["m0"], *posterior, decode)

    expected = jax.jit(jax.value_and_grad(plain))(own)
    for a, b in zip(*map(jax.tree.leaves, (found, expected))):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_a_second_stage_trains_its_experts_beside_a_joint_encoder_that_stays():
    _, _, _, batch = made()
    c = jmvae()
    c.loss = dict(fn=losses.unimodal_elbo)
    experiment, params = started(c)
    adam = dict(fn=optim.adam, learning_rate=0.1)
    optimizer = optim.only(moves="^encoders_", optimizer=adam)
    grads = jax.jit(jax.grad(lambda p: experiment.loss(p, {}, batch, KEY, 0)[0]))
    moves, _ = optimizer.update(grads(params), optimizer.init(params), params)
    for part, leaves in moves.items():
        moved = any((leaf != 0).any() for leaf in jax.tree.leaves(leaves))
        assert moved == part.startswith("encoders_"), part
