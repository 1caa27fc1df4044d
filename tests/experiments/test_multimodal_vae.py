"""What models of three tiny views say: missing views, subsets, samples, densities."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.ops import likelihood
from tests.experiments.three_views import (
    BATCH,
    DIM,
    KEY,
    NAMES,
    config,
    jmvae,
    made,
    plus,
    started,
    with_present,
    with_private,
)
from tests.lanes import slow_unless


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
    z = jax.jit(outputs["latents"])(params, extras, batch, KEY)
    for name, asked in (("generate", batch), ("decode", {**batch, "z": z})):
        both = jax.jit(lambda *a, n=name: (outputs[n](*a), old[n](*a)))
        new, logits = both(params, extras, asked, KEY)
        sigmoid = 1 / (1 + np.exp(-np.asarray(logits["m0"])))
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


WHOLE = {
    "mmvae_plus": plus,
    "jmvae": jmvae,
    "mopoe": lambda: with_private(config()),
    "mmjsd": lambda: config(losses.mmjsd, multimodal_vae.geometric_mean),
}


@pytest.mark.parametrize("name", slow_unless(("mmvae_plus", "mopoe"), WHOLE))
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
