"""Multimodal losses against figures of a linear model; see `multimodal_oracle`."""

import types
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import fusion, gaussian, mixture, mixture_posterior
from tests.losses import multimodal_oracle as oracle
from tests.losses.multimodal_oracle import BATCH, LIKELIHOOD, WHERE, case, four

KEY = jax.random.key(3)
ALL = np.ones((1, 3), bool)


def shared(name, **options):
    """call(key, case, where) of a loss that decodes z alone."""

    def call(key, o, where):
        loss = partial(getattr(losses, name), log_likelihood=LIKELIHOOD, **options)
        keywords = {"where": where}
        if name == "jmvae":
            keywords["joint"] = o.jm, o.jlv
        return loss(key, o.x, o.mean, o.lv, partial(oracle.decode, o), **keywords)

    return call


def with_private(name, **options):
    def call(key, o, where):
        loss = partial(getattr(losses, name), log_likelihood=LIKELIHOOD, **options)
        decode = partial(oracle.decode, o)
        private = oracle.private(o)
        return loss(key, o.x, o.mean, o.lv, decode, private=private, where=where)

    return call


def jnf(key, o, where):
    """Affine flows u = A_m z + c_m."""

    def flow(m):
        log_det = jnp.linalg.slogdet(o.A[m])[1]
        return lambda z: (z @ o.A[m].T + o.c[m][None], jnp.full(len(z), log_det))

    return losses.joint_to_unimodal(
        key,
        o.mean,
        o.lv,
        joint=(o.jm, o.jlv),
        flows=[flow(m) for m in range(3)],
        where=where,
    )


MANY = {
    "jmvae": (shared("jmvae"), four(17.059873, 13.169522, 15.891092, 11.021915)),
    "jmvae, warm-up": (
        shared("jmvae", unimodal_weight=0.3, beta=0.6),
        four(18.106620, 14.084928, 16.353122, 11.314027),
    ),
    "jmvae, first stage of telbo": (
        shared("jmvae", unimodal_weight=0.0),
        four(16.392838, 12.568157, 15.465119, 10.680901),
    ),
    "unimodal_elbo": (
        shared("unimodal_elbo"),
        four(20.024321, 15.487677, 14.442217, 10.719887),
    ),
    "joint_to_unimodal": (jnf, four(15.839622, 12.845356, 13.907014, 9.611318)),
    "dmvae": (
        with_private("dmvae"),
        four(96.387214, 60.416402, 95.352989, 62.042065),
    ),
    "dmvae, weights": (
        with_private("dmvae", beta=2.0, private_beta=0.5),
        four(96.730074, 61.392592, 96.416380, 63.290761),
    ),
    "crmvae": (shared("crmvae"), four(6.425816, 5.819684, 4.871972, 4.163273)),
    "mmvm": (shared("mmvm"), four(21.261210, 16.046348, 14.959273, 10.914946)),
    "mmvm, weights": (
        shared("mmvm", beta=2.0, standard_weight=0.25),
        four(25.535016, 19.060597, 16.810038, 12.375575),
    ),
}


@pytest.mark.parametrize("name", MANY)
def test_losses_are_the_figures_on_average(name):
    call, figures = MANY[name]
    oracle.assert_estimates(call, figures)


@pytest.mark.parametrize(
    "beta, first, second", [(1, 13.994136, 11.124760), (2, 14.939397, 11.907506)]
)
def test_masked_elbo_is_the_figure_on_average(beta, first, second):
    figures = {(0, "full"): first, (1, "full"): second}
    oracle.assert_estimates(shared("masked_elbo", beta=float(beta)), figures)


FLAT = {
    "jmvae": (shared("jmvae"), four(12.836199, 10.296034, 10.351965, 7.667746)),
    "dmvae": (with_private("dmvae"), four(58.598375, 37.953976, 40.969524, 24.291146)),
    "mmvm": (
        shared("mmvm", beta=2.0, standard_weight=0.25),
        four(20.616910, 15.284192, 12.911262, 9.370731),
    ),
    "unimodal_elbo": (
        shared("unimodal_elbo"),
        four(15.106215, 11.711272, 10.543441, 7.715043),
    ),
}


@pytest.mark.parametrize("name", FLAT)
def test_without_decoders_that_see_z_any_key_gives_the_figure(name):
    call, figures = FLAT[name]
    oracle.assert_equal(call, "flat", figures)


def test_crmvae_with_all_modalities_as_the_divisor():
    """The published code divides by M + 1 whatever a row lacks: so do its figures."""
    call, figures = shared("crmvae"), four(5.492196, 3.923355, 4.155725, 2.832838)
    for (seed, mask), expected in figures.items():
        rows = []
        for row in range(BATCH):
            only = WHERE[mask] & (np.arange(BATCH) == row)[None]
            value = oracle.value(call, KEY, case(seed, "flat"), only)
            rows.append(value * (1 + only.sum()) / 4)
        np.testing.assert_allclose(np.mean(rows), expected, rtol=2e-6)


def test_crmvae_with_that_divisor_is_the_figure_on_average():
    def call(key, o, where):
        count, total = where.sum(axis=0), 0.0
        for size in (2, 3):  # of a row's modalities
            rows = count == size
            value = shared("crmvae")(key, o, where & rows[None])
            total += rows.mean() * value * (1 + size) / 4
        return total

    oracle.assert_estimates(call, {(0, "masked"): 4.759096, (1, "masked"): 3.409148})


def test_points_as_posteriors_give_the_figure():
    figures = four(102.483302, 77.136170, 98.480637, 73.598078)
    oracle.assert_equal(shared("unimodal_elbo"), "cold", figures)
    figures = four(364.734056, 249.870295, 342.142285, 236.815125)
    oracle.assert_equal(with_private("dmvae"), "cold", figures)


def test_the_second_stage_of_telbo_has_a_least_log_variance():
    """-log(1 + |W_d|^2); a published code takes that of the joint encoder instead."""
    W = np.random.default_rng(0).normal(size=(3, 2)).astype("f")
    x, mean = np.zeros((1, 3), "f"), np.zeros((1, 1, 2), "f")

    def loss(log_var, key):
        arrays = (key, (x,), mean, log_var[None, None])
        return losses.unimodal_elbo(
            *arrays, lambda z: (z @ W.T,), log_likelihood=LIKELIHOOD
        )

    least = -np.log1p((W**2).sum(axis=0))
    keys = jax.random.split(KEY, 20_000)
    slope = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(least, keys)
    error = np.std(slope, axis=0) / np.sqrt(len(keys))
    assert (abs(np.mean(slope, axis=0)) < 4 * error).all()


def nexus(key, o, where):
    """Linear messages and top decoders; the bottom latents are drawn here."""
    noise_key, key = jax.random.split(key)
    latents = o.mean + jnp.exp(o.lv / 2) * jax.random.normal(noise_key, o.mean.shape)

    def message(latents):
        return jnp.stack([z @ T.T for z, T in zip(latents, o.T)])

    def encode(h):
        mean = h @ o.C.T
        return mean, jnp.broadcast_to(o.nlv, mean.shape)

    def decode(z):
        return tuple(z @ U.T for U in o.U)

    return losses.nexus_top(
        key, tuple(latents), message, encode, decode, drop_rate=0.0, where=where
    )


def mhvae(key, o, where):
    def below(z):
        mean = z @ o.P.T
        experts = jnp.stack([z @ R.T for R in o.R]) + o.r
        log_var = jnp.broadcast_to(o.R_lv[:, None], experts.shape)
        return (mean, jnp.broadcast_to(o.P_lv, mean.shape)), (experts, log_var)

    return losses.mhvae(
        key,
        o.x,
        o.mean,
        o.lv,
        partial(oracle.decode, o),
        conditionals=(below,),
        log_likelihood=LIKELIHOOD,
        where=where,
    )


@pytest.mark.parametrize(
    "call, figures",
    [
        (nexus, four(24.444482, 19.635031, 25.124564, 21.729707)),
        (mhvae, four(18.011603, 14.668791, 11.536140, 8.652907)),
    ],
)
def test_hierarchies_are_the_figures_on_average(call, figures):
    oracle.assert_estimates(call, figures, times=2_000)


def test_nexus_drops_messages_and_decodes_all():
    """Without messages beyond one, a top latent of their mean tells which was kept."""
    latents = tuple(np.full((3_000, 1), x, "f") for x in (1.0, 2.0, 4.0))
    seen = []

    def encode(h):
        seen.append(np.asarray(h)[:, 0])
        return h, 0 * h

    def loss(latents, rate):
        decode = lambda z: (z,) * 3  # noqa: E731
        message = jnp.stack
        return losses.nexus_top(KEY, latents, message, encode, decode, drop_rate=rate)

    loss(latents, 0.4)
    means = {
        round(sum(s) / len(s), 4) for s in [(1,), (2,), (4,), (1, 2), (1, 4), (2, 4)]
    }
    found = np.round(seen[0], 4)
    share = np.mean(abs(found - 7 / 3) > 1e-3)
    assert abs(share - 0.4) < 4 * 0.5 / np.sqrt(3_000)
    assert set(found[abs(found - 7 / 3) > 1e-3].tolist()) == means
    seen.clear()
    loss(latents, 0.0)
    np.testing.assert_allclose(seen[0], 7 / 3, rtol=1e-6)
    decoded = losses.nexus_top(
        KEY, latents, jnp.stack, lambda h: (h, 0 * h - 30), lambda z: (z,) * 3,
        drop_rate=0.0, beta=0.0,
    )  # fmt: skip
    errors = sum((x - 7 / 3) ** 2 for x in (1, 2, 4)) / 2 + 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(decoded, errors, rtol=1e-5)


FUSED = {
    "barycenter": (fusion.barycenter, 16.629075, 12.602830, 18.744159, 13.049466),
    "consensus": (fusion.consensus, 16.566918, 12.192672, 18.566393, 12.854012),
    "hellinger": (fusion.hellinger, 18.285093, 12.890301, 19.521453, 13.188405),
}


@pytest.mark.parametrize("name", FUSED)
def test_fused_bounds_are_the_figures_on_average(name):
    """Of the subset of all, and of the seven subsets."""
    fuse, *figures = FUSED[name]
    for options, pair in (({"subsets": ALL}, figures[:2]), ({}, figures[2:])):
        call = shared("fused_elbo", fuse=fuse, **options)
        oracle.assert_estimates(call, {(s, "full"): x for s, x in enumerate(pair)})
    evidence = (12.461940, 9.952444)
    assert all(bound > log_p for bound, log_p in zip(figures[:2], evidence))


def test_consensus_elbo_is_the_figure_on_average():
    logits = np.arange(7, dtype="f") / 7
    call = shared("consensus_elbo", logits=logits)
    oracle.assert_estimates(
        call, {(0, "full"): 16.081973, (1, "full"): 10.835990}, times=200
    )


def cvae_loss(o, key, prior):
    """x is modality 0, given the others, which this decoder does not see."""
    return losses.cvae(
        key,
        o.x[0],
        o.jm,
        o.jlv,
        lambda z: oracle.decode(o, z)[0],
        prior=prior,
        log_likelihood=LIKELIHOOD,
    )


@pytest.mark.parametrize(
    "network, figures",
    [(True, (6.929322, 9.469189)), (False, (6.795611, 7.605803))],
    ids=["prior_network", "standard_prior"],
)
def test_cvae_is_the_figure_on_average(network, figures):
    def call(key, o, where):
        return cvae_loss(o, key, (o.pm, o.plv) if network else None)

    oracle.assert_estimates(call, {(s, "full"): x for s, x in enumerate(figures)})


def given_draws(o):
    """A Gaussian whose samples are those of the case: z, own w, then w of others."""
    own = [jnp.swapaxes(o.ws[m : m + 1], 0, 1)[:, 0] for m in range(3)]
    others = [jnp.swapaxes(o.wt[:, n], 0, 1) for n in range(3)]
    queue = [jnp.swapaxes(o.zs, 0, 1), *own, *others]
    return types.SimpleNamespace(
        sample=lambda *arguments: queue.pop(0), log_prob=gaussian.log_prob
    )


CLUSTERED = {
    "mmvae_plus": (12.732368, 11.415882),
    "mmvae_plus, beta": (11.819678, 11.190013),
    "mmvae_plus_dreg": (12.732368, 11.415882),
    "mmvae_plus_tight": (11.560766, 10.595543),
}


@pytest.mark.parametrize("name", CLUSTERED)
def test_clustered_prior_at_given_samples(name):
    def call(key, o, where):
        loss = with_private(
            name.split(",")[0],
            auxiliary=(np.zeros(1, "f"),) * 3,
            prior=mixture.Mixture(o.mu_c, jnp.zeros_like(o.mu_c), o.logit_c),
            num_samples=3,
            beta=2.0 if "beta" in name else 1.0,
            distribution=given_draws(o),
        )
        return loss(key, o, where)

    for seed, expected in enumerate(CLUSTERED[name]):
        value = oracle.value(call, KEY, case(seed), WHERE["full"])
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_clusters_of_the_expert_means():
    o = case(0)
    clusters = mixture.Mixture(o.mu_c, np.zeros_like(o.mu_c), o.logit_c)
    found = np.argmax(mixture.responsibilities(clusters, o.mean), axis=0)
    assert ["".join(map(str, row)) for row in found] == ["3333", "3313", "1333"]


@pytest.mark.parametrize("seed, expected", [(0, -2.977391), (1, -3.295253)])
def test_log_density_of_clusters(seed, expected):
    o = case(seed)
    clusters = mixture.Mixture(o.mu_c, np.zeros_like(o.mu_c), o.logit_c)
    value = np.mean(mixture.log_prob(clusters, o.jm))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("name", FLAT)
def test_masked_is_deleted_by_hand(name):
    """Every loss of a row is that of its modalities alone, whatever the key."""
    (call, _), where = FLAT[name], WHERE["masked"]
    for seed in (0, 1):
        o, rows = case(seed, "flat"), []
        for row in range(BATCH):
            here = np.flatnonzero(where[:, row])
            cut = o._replace(
                W=[o.W[m] for m in here],
                b=[o.b[m] for m in here],
                V=[o.V[m] for m in here],
                x=[o.x[m][row : row + 1] for m in here],
                jm=o.jm[row : row + 1],
                jlv=o.jlv[row : row + 1],
                **{
                    n: getattr(o, n)[here, row : row + 1]
                    for n in ("mean", "lv", "wm", "wlv")
                },
            )
            there = np.ones((len(here), 1), bool)
            rows.append(oracle.value(call, KEY, cut, there))
        value = oracle.value(call, KEY, o, where)
        np.testing.assert_allclose(value, np.mean(rows), rtol=1e-5)


@pytest.mark.parametrize("seed, expected", [(0, 1.828229), (1, 1.818504)])
def test_the_exact_score_of_latents_pays_the_least(seed, expected):
    """dim - s^2 tr (S + s^2 I)^-1, twice our loss, and any other score pays more."""
    o, sigma, dim = case(seed), 0.5, oracle.DIM
    covariance = o.A[0] @ o.A[0].T + np.eye(dim, dtype="f")
    law = mixture_posterior.make([1.0], o.c[:1], covariance[None])
    z, _ = mixture_posterior.draw(jax.random.key(seed), law, 200_000)
    noise = jax.random.normal(KEY, z.shape)

    def rows(factor):  # twice the loss of each row, so that its error is known
        scores = factor * mixture_posterior.score(law, z + sigma * noise, sigma**2)
        one = lambda *row: losses.score_matching(*(x[None] for x in row))  # noqa: E731
        return 2 * jax.vmap(one)(scores, noise, jnp.full(len(z), sigma))

    exact = rows(1.0)
    error = np.std(exact) / np.sqrt(len(exact))
    assert abs(np.mean(exact) - expected) < 4 * error and error < 0.005
    assert all(np.mean(rows(factor) - exact) > 0 for factor in (0.8, 1.2))
