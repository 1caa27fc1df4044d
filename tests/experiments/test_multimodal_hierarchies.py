"""JNF, Nexus, MHVAE and CVAE on three tiny views."""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from experiments import (
    conditional_vae,
    hierarchical_vae,
    joint_flows,
    multimodal_vae,
    nexus,
    shared_views,
)
from repr_jax import config as configs
from repr_jax import losses, run
from repr_jax.data import synthetic
from repr_jax.models import vae
from repr_jax.models.flows import MaskedAutoregressiveFlow
from repr_jax.models.multimodal_hierarchy import HierarchicalVAE
from repr_jax.models.multimodal_vae import JointEncoder
from repr_jax.ops import hamiltonian, likelihood, subsets
from tests.lanes import slow_unless

NAMES = ("m0", "m1", "m2")
BATCH, DIM = 6, 4
KEY = jax.random.key(4)


def networks():
    c = ml_collections.ConfigDict()
    c.modalities = NAMES
    c.latent_dim = DIM
    c.encoder = dict(
        fn=vae.ConvEncoder, latent_dim=DIM, widths=(4,), hidden=8, shape=(8, 8, 3)
    )
    c.decoder = dict(fn=vae.ConvDecoder, widths=(4,), shape=(8, 8, 3))
    own = c.encoder.copy_and_resolve_references()
    c.joint_encoder = dict(fn=JointEncoder, encoder=own, latent_dim=DIM, widths=(8,))
    return c


def jnf(log_likelihood=likelihood.laplace):
    c = networks()
    c.flow = dict(fn=MaskedAutoregressiveFlow, dim=DIM, hidden=(8,))
    c.loss = dict(fn=losses.joint_to_unimodal)
    c.bound = dict(fn=losses.jmvae, unimodal_weight=0.0, log_likelihood=log_likelihood)
    c.posterior = dict(fn=hamiltonian.sample, num_warmup=3, num_steps=2)
    return joint_flows.make(c)


def of_nexus(log_likelihood=likelihood.laplace):
    c = networks()
    c.update(top_dim=3, message_dim=5, hidden=(6,))
    c.loss = dict(fn=losses.unimodal_elbo, log_likelihood=log_likelihood)
    c.top_loss = dict(fn=losses.nexus_top)
    return nexus.make(c)


def mhvae(log_likelihood=likelihood.laplace):
    c = networks()
    c.model = dict(
        fn=HierarchicalVAE,
        latent_dim=DIM,
        channels=(1, 2),
        widths=(4, 4, 4),
        shape=(8, 8, 3),
    )
    c.loss = dict(fn=losses.mhvae, log_likelihood=log_likelihood)
    c.likelihood_samples = 3
    return hierarchical_vae.make(c)


def cvae(log_likelihood=likelihood.laplace):
    c = networks()
    c.target = "m0"
    c.loss = dict(fn=losses.cvae, log_likelihood=log_likelihood)
    c.thin = dict(fn=subsets.thin, drop_rate=0.5)
    return conditional_vae.make(c)


MAKE = {"jnf": jnf, "nexus": of_nexus, "mhvae": mhvae, "cvae": cvae}
STILL = {"jnf": ("decoders_", "joint_encoder")}  # parts that a loss leaves alone


@functools.cache
def started(name):
    experiment = MAKE[name]()
    dataset = synthetic.multiview(modalities=NAMES, size=8)
    batch = jax.jit(dataset.prepare)(next(dataset.train(BATCH)))
    params, _ = jax.jit(experiment.init)(jax.random.key(0), batch)
    return experiment, params, batch


def with_present(batch, *columns):
    present = jnp.zeros((BATCH, 3), bool)
    return {**batch, "present": present.at[:, list(columns)].set(True)}


@pytest.mark.parametrize("name", MAKE)
def test_a_model_teaches_its_parts_and_an_absent_modality_is_irrelevant(name):
    experiment, params, batch = started(name)
    gradient = jax.jit(
        jax.value_and_grad(lambda p, b: experiment.loss(p, {}, b, KEY, 0)[0])
    )
    value, grads = gradient(params, batch)
    assert np.isfinite(value)
    for part, leaves in grads.items():
        leaves = jax.tree.leaves(leaves)
        assert all(np.isfinite(leaf).all() for leaf in leaves), part
        moves = any((leaf != 0).any() for leaf in leaves)
        assert moves != part.startswith(STILL.get(name, ("none",))), part
    partly = with_present(batch, 0, 2)
    broken = {**partly, "m1": jnp.full_like(batch["m1"], jnp.nan)}
    for a, b in zip(*(jax.tree.leaves(gradient(params, x)) for x in (partly, broken))):
        assert np.isfinite(b).all()
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", slow_unless(("nexus", "cvae"), MAKE))
def test_all_that_is_asked_is_answered_from_any_part_of_the_modalities(name):
    experiment, params, batch = started(name)
    ask = {n: jax.jit(functools.partial(f, params, {})) for n, f in
           experiment.outputs.items()}  # fmt: skip
    for columns in [(), (1,), (0, 2), (0, 1, 2)]:
        partly = with_present(batch, *columns)
        absent = {n: jnp.full_like(batch[n], jnp.nan) for m, n in enumerate(NAMES)
                  if m not in columns}  # fmt: skip
        broken = {**partly, **absent}
        for one in ("represent", "generate"):
            a, b = (jax.tree.leaves(ask[one](x, KEY)) for x in (partly, broken))
            for x, y in zip(a, b):
                assert np.isfinite(x).all() and len(x) == BATCH
                np.testing.assert_array_equal(x, y)
        if not columns and name != "cvae":  # the prior's mean, whatever the row
            np.testing.assert_array_equal(ask["represent"](partly, KEY), 0)
    if "latents" in ask:
        z = ask["latents"](batch, KEY)
        decoded = ask["decode"]({**batch, "z": z}, KEY)
        assert all(decoded[n].shape == batch[n].shape for n in NAMES)
    if "bound" in ask and name != "jnf":  # at beta 1, as the loss is here
        bound = ask["bound"](batch, KEY)
        thinned = name == "cvae"
        loss = experiment.loss(params, {}, batch, KEY, 0)[0]
        assert thinned or abs(bound + loss) < 1e-4 * abs(loss)


@pytest.mark.parametrize("name", MAKE)
def test_what_is_generated_are_means_and_no_logits(name):
    """Of the likelihood that the bound has, where the loss has none."""
    experiment, params, batch = started(name)
    logits, means = (
        jax.jit(functools.partial(one.outputs["generate"], params, {}))(batch, KEY)
        for one in (experiment, MAKE[name](likelihood.bernoulli))
    )
    for target, x in means.items():
        np.testing.assert_allclose(x, jax.nn.sigmoid(logits[target]), rtol=1e-5)


def test_nothing_given_weighs_nothing_in_a_hierarchy():
    experiment, params, batch = started("mhvae")
    given = jnp.zeros((BATCH, 3), bool)
    ask = jax.jit(functools.partial(experiment.outputs["log_weights"], params, {}))
    found = ask({**batch, "given": given}, KEY)
    np.testing.assert_allclose(found["log_ratio"], 0, atol=1e-4)
    assert found["log_likelihood"].shape == (3, 3, BATCH)
    of_all = ask(batch, KEY)["log_ratio"]
    assert (abs(of_all) > 1e-3).all()


def test_jnf_draws_from_the_flow_of_one_modality():
    """At first flows are the identity, so a single posterior is the expert's own."""
    experiment, params, batch = started("jnf")
    ask = jax.jit(functools.partial(experiment.outputs["latents"], params, {}))
    keys = jax.random.split(KEY, 400)
    draws = jax.vmap(lambda k: ask(with_present(batch, 1), k))(keys)
    mean, log_var = experts_of(params, batch)
    error = np.exp(log_var[1] / 2) / 20
    assert (abs(draws.mean(axis=0) - mean[1]) < 5 * error).all()


def experts_of(params, batch):
    encoder = vae.ConvEncoder(latent_dim=DIM, widths=(4,), hidden=8, shape=(8, 8, 3))
    found = [
        encoder.apply({"params": params[f"encoders_{m}"]}, batch[n], train=False)
        for m, n in enumerate(NAMES)
    ]
    return tuple(np.stack(x) for x in zip(*found))


def test_a_target_that_is_no_modality_is_refused():
    c = networks()
    c.target = "m7"
    c.loss = dict(fn=losses.cvae)
    with pytest.raises(ValueError, match=r"config\.target: .* got 'm7'"):
        conditional_vae.make(c)


def shared(*names):
    c = networks()
    c.modalities = names
    c.loss = dict(fn=losses.deep_cca)
    c.posterior = dict(fn=multimodal_vae.mixture_of_experts)
    return shared_views.make(c)


def test_experts_of_what_is_shared_learn_from_rows_that_have_both():
    """Of three views one is absent: its expert and all decoders learn nothing."""
    _, params, batch = started("jnf")
    params = {part: x for part, x in params.items() if not part.startswith("flows")}
    experiment = shared(*NAMES)
    partly = with_present(batch, 0, 2)
    partly["m1"] = jnp.full_like(batch["m1"], jnp.nan)

    def loss(params):
        value, (_, terms) = experiment.loss(params, {}, partly, KEY, 0)
        return value, terms

    (value, terms), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    mean, _ = experts_of(params, batch)
    expected = losses.deep_cca(mean[0], mean[2])
    np.testing.assert_allclose(terms["m0+m2"], expected, rtol=1e-4)
    np.testing.assert_allclose(value, expected / 3, rtol=1e-4)  # others have no row
    for part, leaves in grads.items():
        moves = any((leaf != 0).any() for leaf in jax.tree.leaves(leaves))
        assert moves == (part in ("encoders_0", "encoders_2")), part
    found = jax.jit(functools.partial(experiment.outputs["represent"], params, {}))
    np.testing.assert_allclose(
        found(partly, KEY), (mean[0] + mean[2]) / 2, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(found(with_present(batch), KEY), 0)


def test_flows_of_what_is_shared_move_with_new_heads_alone():
    """Hidden layers of experts stay as canonical correlations made them."""
    config = configs.load("configs/multimodal/jnf_dcca_polymnist_small.py:smoke")
    params = run.abstract_state(config, run.build(config)).params
    leaves = jax.tree_util.tree_leaves_with_path(params)
    paths = [jax.tree_util.keystr(x, simple=True, separator="/") for x, _ in leaves]
    moving = {path for path in paths if re.search(config.optimizer.moves, path)}
    expected = {path for path in paths if path.startswith("flows_")}
    for m in range(len(config.modalities)):
        names = itertools.product(("mean", "log_var"), ("kernel", "bias"))
        expected |= {f"encoders_{m}/{head}_head/{x}" for head, x in names}
    assert moving == expected and len(expected) > 8 and len(paths) > len(moving)


def test_one_modality_shares_nothing():
    with pytest.raises(ValueError, match=r"config\.modalities: expected two or more"):
        shared("m0")
