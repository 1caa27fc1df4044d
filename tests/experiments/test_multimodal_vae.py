"""The multimodal experiment, on three tiny views."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest

from experiments import multimodal_vae
from repr_jax import losses, optim, sharding
from repr_jax.data import synthetic
from repr_jax.models import vae
from repr_jax.models.multimodal_vae import Clusters, JointEncoder, LogVars
from repr_jax.ops import laplace, likelihood, subsets

NAMES = ("m0", "m1", "m2")
BATCH, DIM = 6, 4
KEY = jax.random.key(4)


def config(loss=losses.mopoe, posterior=multimodal_vae.product_of_experts, **options):
    c = ml_collections.ConfigDict()
    c.likelihood_samples = 3
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


def test_what_is_generated_are_means_and_no_logits():
    """Of a categorical likelihood probabilities, also of latents that are given."""
    c = config(log_likelihood=(likelihood.bernoulli, *[likelihood.laplace] * 2))
    experiment = multimodal_vae.make(c)
    _, params, extras, batch = made()
    outputs, old = experiment.outputs, made()[0].outputs
    z = outputs["latents"](params, extras, batch, KEY)
    for name, asked in (("generate", batch), ("decode", {**batch, "z": z})):
        new, logits = (o[name](params, extras, asked, KEY) for o in (outputs, old))
        sigmoid = jax.nn.sigmoid(logits["m0"])
        np.testing.assert_allclose(new["m0"], sigmoid, rtol=1e-6)
        np.testing.assert_array_equal(new["m1"], logits["m1"])


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


def with_private(c, dim=2):
    c.private_encoder = c.encoder.copy_and_resolve_references()
    c.private_encoder.latent_dim = dim
    return c


def started(c, batch=None):
    """The experiment of a config, and its parameters."""
    _, _, _, default = made()
    experiment = multimodal_vae.make(c)
    init = jax.jit(experiment.init)
    return experiment, init(jax.random.key(0), batch or default)[0]


def plus():
    """MMVAE+ with a learned scale of the auxiliary priors and a clustered prior."""
    c = config(losses.mmvae_plus, multimodal_vae.mixture_of_experts, prior_log_var=0.3)
    del c.bound
    c.learned = {
        "auxiliary": dict(fn=LogVars, modalities=NAMES, dim=2),
        "prior": dict(fn=Clusters, num_clusters=5, dim=DIM),
    }
    return with_private(c)


def jmvae():
    c = config(losses.jmvae, multimodal_vae.joint_or_product)
    own = c.encoder.copy_and_resolve_references()
    c.joint_encoder = dict(fn=JointEncoder, encoder=own, latent_dim=DIM, widths=(8,))
    del c.bound
    return c


WHOLE = {
    "mmvae_plus": plus,
    "jmvae": jmvae,
    "mopoe": lambda: with_private(config()),
    "mmjsd": lambda: config(losses.mmjsd, multimodal_vae.geometric_mean),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_model_teaches_all_its_parts_and_answers_all_that_is_asked(name):
    _, _, _, batch = made()
    experiment, params = started(WHOLE[name]())
    grads = jax.jit(jax.grad(lambda p: experiment.loss(p, {}, batch, KEY, 0)[0]))
    for part, leaves in grads(params).items():
        for leaf in jax.tree.leaves(leaves):
            assert np.isfinite(leaf).all(), part
        assert any((leaf != 0).any() for leaf in jax.tree.leaves(leaves)), part
    asked = {
        name: jax.jit(lambda b, ask=ask: ask(params, {}, b, KEY))
        for name, ask in experiment.outputs.items()
        if name not in ("bound", "represent_subsets")
    }
    partly = with_present(batch, 0, 2)
    partly["z"] = asked["latents"](partly)
    broken = {**partly, "m1": jnp.full_like(batch["m1"], jnp.nan)}
    for ask in asked.values():
        for a, b in zip(jax.tree.leaves(ask(partly)), jax.tree.leaves(ask(broken))):
            assert np.isfinite(b).all()
            np.testing.assert_array_equal(a, b)
    weights = asked["log_weights"](partly)
    assert weights["log_likelihood"].shape == (3, 3, BATCH)
    assert weights["log_ratio"].shape == (3, BATCH)
    assert (weights["log_likelihood"][:, 1] == 0).all()
    decoded, generated = asked["decode"](partly), asked["generate"](partly)
    for name in generated:  # of the same latents, in two programs
        np.testing.assert_allclose(decoded[name], generated[name], atol=1e-6)


@pytest.mark.parametrize("name", WHOLE)
def test_subsets_are_represented_together_as_apart(name):
    """Of a batch that lacks a modality, whose subsets are those of what is left."""
    _, _, _, batch = made()
    experiment, params = started(WHOLE[name]())
    ask = {n: jax.jit(partial(f, params, {})) for n, f in experiment.outputs.items()}
    batch = with_present(batch, 0, 2)
    batch["m1"] = jnp.full_like(batch["m1"], jnp.nan)
    chosen = [(0,), (2,), (0, 1), (0, 2), (0, 1, 2)]
    members = np.array([[m in columns for m in range(3)] for columns in chosen])
    given = np.broadcast_to(members, (BATCH, *members.shape))
    together = ask["represent_subsets"]({**batch, "given": given}, KEY)
    assert together.shape == (BATCH, len(chosen), DIM)
    for n, columns in enumerate(chosen):
        own = with_present(batch, *sorted({0, 2} & set(columns)))
        apart = ask["represent"](own, KEY)
        np.testing.assert_allclose(together[:, n], apart, atol=1e-6)
    assert np.ptp(together[:, :2], axis=1).max() > 1e-4  # m0 is not m2
    np.testing.assert_allclose(together[:, 0], together[:, 2], atol=1e-6)


@pytest.mark.parametrize("name", ["mmvae_plus", "mopoe"])
def test_nothing_given_draws_from_the_prior_and_weighs_nothing(name):
    _, _, _, batch = made()
    experiment, params = started(WHOLE[name]())
    given = jnp.zeros((BATCH, 3), bool)
    found = experiment.outputs["log_weights"](
        params, {}, {**batch, "given": given}, KEY
    )
    np.testing.assert_allclose(found["log_ratio"], 0, atol=1e-5)
    assert (found["log_likelihood"] < 0).all()


def wide(h):
    """Log-variances of proposals that reach further than what they propose for."""
    return h + 0.7


PROPOSALS = (
    (losses.mopoe, multimodal_vae.product_of_experts),
    (losses.mopoe, multimodal_vae.mixture_of_products),
    (losses.moe_elbo, multimodal_vae.mixture_of_experts),
)


@pytest.mark.parametrize(("loss", "proposal"), PROPOSALS)
def test_every_proposal_estimates_the_evidence_that_the_prior_does(loss, proposal):
    """Whatever is given, with private latents; within five standard errors."""
    _, _, _, batch = made()
    batch = {name: x[:2] for name, x in batch.items()}
    c = config(loss, proposal)
    c.encoder.log_var = wide
    c = with_private(c)
    c.likelihood_samples = 4_000
    c.loss.log_likelihood = dict(fn=likelihood.laplace, scale=8.0)  # smooth
    experiment, params = started(c)
    ask = jax.jit(partial(experiment.outputs["log_weights"], params, {}))

    def evidence(*given):
        """Estimates of two rows, and their relative standard errors."""
        given = jnp.tile(jnp.array(given, bool), (2, 1))
        found = ask({**batch, "given": given}, KEY)
        total = found["log_likelihood"].sum(axis=1) + found["log_ratio"]
        highest = total.max(axis=0, keepdims=True)
        weights = np.exp(total - highest)
        error = weights.std(axis=0) / weights.mean(axis=0) / np.sqrt(len(weights))
        return highest[0] + np.log(weights.mean(axis=0)), error

    expected, own_error = evidence(0, 0, 0)
    for given in ((1, 1, 1), (0, 1, 0), (1, 0, 1)):
        value, error = evidence(*given)
        assert (error < 0.12).all()
        assert (abs(value - expected) < 5 * np.hypot(error, own_error)).all()


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


@pytest.mark.parametrize("name", SPLIT)
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


def test_a_dozen_modalities_have_all_their_subsets_as_proposals():
    """4,095 products: of the subsets that a row has, and of no other."""
    count, rows = 12, 4
    mean, log_var = np.random.default_rng(0).normal(size=(2, count, rows, 3))
    mean, log_var = mean.astype("f"), log_var.astype("f")
    where = np.ones((count, rows), bool)
    where[2:, 1] = False  # two of a row, and none
    where[:, 2] = False
    call = jax.jit(multimodal_vae.mixture_of_products).lower(mean, log_var, where=where)
    compiled = call.compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 50e6
    found = compiled(mean, log_var, where=where)
    there = np.asarray(found.logits) == 0
    np.testing.assert_array_equal(there.sum(axis=0), [4_095, 3, 0, 4_095])
    assert found.mean.shape == (4_095, rows, 3) and np.isfinite(found.mean).all()
    pair = np.exp(-log_var[:2, 1])
    product = (pair * mean[:2, 1]).sum(axis=0) / pair.sum(axis=0)
    three = np.asarray(found.mean)[there[:, 1], 1]
    np.testing.assert_allclose(three, [*mean[:2, 1], product], rtol=1e-5)


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


def test_rows_are_assigned_to_the_clusters_that_all_their_experts_are_near():
    _, _, _, batch = made()
    experiment, params = started(plus())
    ask = jax.jit(partial(experiment.outputs["assign"], params, {}))
    means = np.stack(
        [experiment.outputs["represent"](params, {}, with_present(batch, m), KEY)
         for m in range(3)]
    )  # fmt: skip
    centers = np.asarray(params["learned_prior"]["mean"])
    logits = -0.5 * ((means[:, :, None] - centers) ** 2 / np.exp(0.3 * 0)).sum(-1)
    odds = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_array_equal(ask(batch, KEY), odds.mean(axis=0).argmax(axis=-1))
    one = with_present(batch, 2)
    np.testing.assert_array_equal(ask(one, KEY), odds[2].argmax(axis=-1))
    density, weights = (
        experiment.outputs[f"cluster_{name}"](params, {}, batch, KEY)
        for name in ("densities", "weights")
    )
    by_row = np.moveaxis(jax.nn.softmax(density + weights[None, None], axis=-1), 1, 0)
    np.testing.assert_allclose(by_row, odds, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.exp(weights), 1 / len(centers), rtol=1e-5)


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
