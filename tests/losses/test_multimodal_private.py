"""Private latents, and losses that came with them, against float64 loops."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.losses.multimodal_views import PRIVATE
from repr_jax.ops import laplace
from repr_jax.ops.batch import row_keys
from tests.losses import multimodal_oracle as oracle
from tests.losses.multimodal_oracle import LIKELIHOOD, WHERE, case

KEY = jax.random.key(5)
BETA, OWN_BETA = 1.5, 0.7
MASK = WHERE["masked"]
O = case(0)  # noqa: E741
VARIANCE, OWN_VARIANCE = np.exp(np.float64(O.lv)), np.exp(np.float64(O.wlv))


def noise(key, shape, draw=jax.random.normal):
    """[row] arrays, as losses draw them."""
    keys = row_keys(key, MASK.any(axis=0))
    return [np.asarray(draw(k, shape), float) for k in keys]


def own_latents(key, lead=(), draw=jax.random.normal, scale=1.0):
    """[modality][row] samples of q(w_m)."""
    key, samples = jax.random.fold_in(key, PRIVATE), []
    for m in range(3):
        eps = noise(jax.random.fold_in(key, m), (*lead, 1), draw)
        deviation = scale * np.sqrt(OWN_VARIANCE[m])
        samples.append([O.wm[m, i] + deviation[i] * eps[i] for i in range(4)])
    return samples


def log_p(row, z, w, targets):
    """sum_m log N(x_m; W_m z + V_m w_m + b_m, I); w of each modality."""
    total = 0.0
    for m in targets:
        mean = O.W[m].astype(float) @ z + O.V[m].astype(float) @ w[m] + O.b[m]
        error = O.x[m][row] - mean
        total -= 0.5 * (error @ error + len(error) * math.log(2 * math.pi))
    return total


def kl(mean, variance, prior_mean=0.0, prior_variance=1.0):
    ratio = variance / prior_variance
    distance = (mean - prior_mean) ** 2 / prior_variance
    return 0.5 * np.sum(ratio - 1 - np.log(ratio) + distance)


def own_kl(row, targets):
    return sum(kl(O.wm[m, row], OWN_VARIANCE[m, row]) for m in targets)


def product(row, members, prior):
    precision = sum((1 / VARIANCE[m, row] for m in members), np.full(2, float(prior)))
    weighted = sum(O.mean[m, row] / VARIANCE[m, row] for m in members)
    return weighted / precision, 1 / precision


def over_rows(term):
    return np.mean([term(i, tuple(np.flatnonzero(MASK[:, i]))) for i in range(4)])


def subsets_of(seen):
    sizes = range(1, len(seen) + 1)
    return [s for n in sizes for s in itertools.combinations(seen, n)]


def picked(key, row, options):
    uniform = float(jax.random.uniform(row_keys(key, MASK.any(axis=0))[row]))
    return options[int(uniform * len(options))]


def mopoe_in_loops():
    subset_key, noise_key = jax.random.split(KEY)
    eps, w = noise(noise_key, (2,)), own_latents(noise_key)

    def posterior(row, members):
        return product(row, members, len(members) == 3)

    def term(row, seen):
        options = subsets_of(seen)
        mean, variance = posterior(row, picked(subset_key, row, options))
        z = mean + np.sqrt(variance) * eps[row]
        kls = np.mean([kl(*posterior(row, s)) for s in options])
        own = [x[row] for x in w]
        return BETA * kls + OWN_BETA * own_kl(row, seen) - log_p(row, z, own, seen)

    return over_rows(term)


def mvae_in_loops():
    _, noise_key = jax.random.split(KEY)
    keys = [jax.random.fold_in(noise_key, n) for n in range(4)]
    eps, w = [noise(k, (2,)) for k in keys], [own_latents(k) for k in keys]

    def term(row, seen):
        parts = {0: seen} if len(seen) > 1 else {}
        parts |= {1 + m: (m,) for m in seen}
        total = 0.0
        for n, members in parts.items():
            mean, variance = product(row, members, True)
            z = mean + np.sqrt(variance) * eps[n][row]
            own = [x[row] for x in w[n]]
            total += BETA * kl(mean, variance) + OWN_BETA * own_kl(row, members)
            total -= log_p(row, z, own, members)
        return total

    return over_rows(term)


def moe_elbo_in_loops():
    eps, w = noise(KEY, (3, 2)), own_latents(KEY, (3,))

    def term(row, seen):
        parts = []
        for m in seen:
            z = O.mean[m, row] + np.sqrt(VARIANCE[m, row]) * eps[row][m]
            own = [x[row][m] for x in w]
            divergence = BETA * kl(O.mean[m, row], VARIANCE[m, row])
            parts.append(divergence - log_p(row, z, own, seen))
        return np.mean(parts) + OWN_BETA * own_kl(row, seen)

    return over_rows(term)


def mvtcae_in_loops(correlation=0.6):
    eps, w = noise(KEY, (2,)), own_latents(KEY)

    def term(row, seen):
        mean, variance = product(row, seen, False)
        z, count = mean + np.sqrt(variance) * eps[row], len(seen)
        kls = [kl(mean, variance, O.mean[m, row], VARIANCE[m, row]) for m in seen]
        total = BETA * (1 - correlation) * kl(mean, variance)
        total += BETA * correlation / count * sum(kls)
        total += OWN_BETA * own_kl(row, seen)
        own = [x[row] for x in w]
        return total - (count - correlation) / count * log_p(row, z, own, seen)

    return over_rows(term)


EXPERT_WEIGHTS, PRIOR_WEIGHT = (0.5, 2.0, 1.0), 0.8


def shares_of(seen):
    """Of the experts that a row has, then of the prior."""
    weights = np.array([*(EXPERT_WEIGHTS[m] for m in seen), PRIOR_WEIGHT])
    return weights / weights.sum()


def with_prior(row, seen):
    """[(mean, variance)], the prior last."""
    experts = [(O.mean[m, row].astype(float), VARIANCE[m, row]) for m in seen]
    return [*experts, (np.zeros(2), np.ones(2))]


def picked_expert(key, row, seen):
    uniform = float(jax.random.uniform(row_keys(key, MASK.any(axis=0))[row]))
    weights = [EXPERT_WEIGHTS[m] for m in seen]
    place = uniform * sum(weights)
    return next(n for n, end in enumerate(np.cumsum(weights)) if place < end)


def mmjsd_in_loops():
    choice_key, noise_key = jax.random.split(KEY)
    eps, w = noise(noise_key, (2,)), own_latents(noise_key)

    def term(row, seen):
        shares, every = shares_of(seen), with_prior(row, seen)
        precision = sum(s / v for s, (_, v) in zip(shares, every))
        mean = sum(s * m / v for s, (m, v) in zip(shares, every)) / precision
        divergence = sum(
            s * kl(m, v, mean, 1 / precision) for s, (m, v) in zip(shares, every)
        )
        m, v = every[picked_expert(choice_key, row, seen)]
        own = [x[row] for x in w]
        total = BETA * divergence + OWN_BETA * own_kl(row, seen)
        return total - log_p(row, m + np.sqrt(v) * eps[row], own, seen)

    return over_rows(term)


def log_normal(z, mean, variance):
    return -0.5 * np.sum(np.log(2 * np.pi * variance) + (z - mean) ** 2 / variance)


def mmjsd_arithmetic_in_loops():
    choice_key, noise_key = jax.random.split(KEY)
    eps, w = noise(noise_key, (4, 2)), own_latents(noise_key)

    def term(row, seen):
        shares, every = shares_of(seen), with_prior(row, seen)
        z = [m + np.sqrt(v) * eps[row][n] for n, (m, v) in zip([*seen, 3], every)]
        divergence = 0.0
        for share, one, own in zip(shares, z, every):
            mixture = sum(
                s * np.exp(log_normal(one, *q)) for s, q in zip(shares, every)
            )
            divergence += share * (log_normal(one, *own) - np.log(mixture))
        own = [x[row] for x in w]
        total = BETA * divergence + OWN_BETA * own_kl(row, seen)
        return total - log_p(row, z[picked_expert(choice_key, row, seen)], own, seen)

    return over_rows(term)


def mmvae_iwae_in_loops():
    eps, w = noise(KEY, (2, 3, 2)), own_latents(KEY, (2, 3))

    def log_weight(row, seen, m, k):
        z = O.mean[m, row] + np.sqrt(VARIANCE[m, row]) * eps[row][k, m]
        own = [x[row][k, m] for x in w]
        mixture = [
            np.exp(log_normal(z, O.mean[r, row], VARIANCE[r, row])) for r in seen
        ]
        total = log_p(row, z, own, seen) + log_normal(z, 0.0, np.ones(2))
        for n in seen:
            total += log_normal(own[n], 0.0, np.ones(1))
            total -= log_normal(own[n], O.wm[n, row], OWN_VARIANCE[n, row])
        return total - np.log(np.mean(mixture))

    def term(row, seen):
        weights = [[log_weight(row, seen, m, k) for k in range(2)] for m in seen]
        return -np.mean(np.log(np.mean(np.exp(weights), axis=1)))

    return over_rows(term)


PLUS = dict(num_samples=2, prior_log_var=0.3)
AUXILIARY = tuple(np.array([x], "f") for x in (-0.5, 0.2, 0.9))


def mmvae_plus_in_loops(tight=False):
    """Laplace everywhere; scale b has variance 2 b^2."""
    eps = noise(KEY, (2, 3, 2), jax.random.laplace)
    own = own_latents(KEY, (2,), jax.random.laplace, math.sqrt(0.5))
    key = jax.random.fold_in(KEY, PRIVATE - 1)
    others = [
        noise(jax.random.fold_in(key, n), (2, 3, 1), jax.random.laplace)
        for n in range(3)
    ]

    def log_laplace(x, mean, variance):
        scale = np.sqrt(variance / 2)
        return -np.sum(abs(x - mean) / scale + np.log(2 * scale))

    def log_weight(row, seen, m, k):
        z = O.mean[m, row] + np.sqrt(VARIANCE[m, row] / 2) * eps[row][k, m]
        scales = [math.exp(float(a[0]) / 2) / math.sqrt(2) for a in AUXILIARY]
        w = [scales[n] * others[n][row][k, m] for n in range(3)]
        w[m] = own[m][row][k]
        mixture = [
            np.exp(log_laplace(z, O.mean[r, row], VARIANCE[r, row])) for r in seen
        ]
        prior = math.exp(PLUS["prior_log_var"])
        ratio = log_laplace(z, 0.0, np.full(2, prior)) - np.log(np.mean(mixture))
        ratio += log_laplace(w[m], 0.0, np.full(1, prior))
        ratio -= log_laplace(w[m], O.wm[m, row], OWN_VARIANCE[m, row])
        return log_p(row, z, w, seen) + BETA * ratio

    def term(row, seen):
        weights = [[log_weight(row, seen, m, k) for k in range(2)] for m in seen]
        if tight:
            return -np.log(np.mean(np.exp(weights)))
        return -np.mean(np.log(np.mean(np.exp(weights), axis=1)))

    return over_rows(term)


BOTH = dict(beta=BETA, private_beta=OWN_BETA)
JSD = dict(expert_weights=EXPERT_WEIGHTS, prior_weight=PRIOR_WEIGHT, **BOTH)
LAPLACE = dict(distribution=laplace, auxiliary=AUXILIARY, beta=BETA, **PLUS)
LOOPS = {
    "mopoe": (mopoe_in_loops, BOTH),
    "mvae": (mvae_in_loops, BOTH),
    "moe_elbo": (moe_elbo_in_loops, BOTH),
    "mmvae_iwae": (mmvae_iwae_in_loops, dict(num_samples=2)),
    "mmvae": (mmvae_iwae_in_loops, dict(num_samples=2)),
    "mvtcae": (mvtcae_in_loops, dict(correlation=0.6, **BOTH)),
    "mmjsd": (mmjsd_in_loops, JSD),
    "mmjsd_arithmetic": (mmjsd_arithmetic_in_loops, JSD),
    "mmvae_plus": (mmvae_plus_in_loops, LAPLACE),
    "mmvae_plus_dreg": (mmvae_plus_in_loops, LAPLACE),
    "mmvae_plus_tight": (partial(mmvae_plus_in_loops, tight=True), LAPLACE),
}


def evaluated(name, options, o=O, where=MASK):
    loss = partial(getattr(losses, name), log_likelihood=LIKELIHOOD, **options)
    decode, private = partial(oracle.decode, o), oracle.private(o)
    return loss(KEY, o.x, o.mean, o.lv, decode, private=private, where=where)


@pytest.mark.parametrize("name", LOOPS)
def test_losses_with_private_latents_match_the_papers(name):
    loops, options = LOOPS[name]
    actual = jax.jit(partial(evaluated, name, options))()
    np.testing.assert_allclose(actual, loops(), rtol=2e-5)


def test_only_its_own_expert_teaches_a_private_posterior_in_mmvae_plus():
    """Where its term is without weight, x_n gives q(w_n) no gradient: no shortcut."""

    def by_private_mean(name, **options):
        """Of a loss in which the inputs matter through their likelihoods alone."""

        def loss(wm, x):
            o = O._replace(wm=wm, x=x)
            return evaluated(name, dict(num_samples=1, **options), o, WHERE["full"])

        return partial(jax.jit(jax.grad(loss)), O.wm)

    moved = (O.x[0], O.x[1], O.x[2] + 1)
    for name, options in (("mmvae_iwae", {}), ("mmvae_plus", {"auxiliary": AUXILIARY})):
        before, after = map(by_private_mean(name, **options), (O.x, moved))
        # a third of it by each expert, or by the own one alone
        expected = -float(O.V[2].sum()) * (1 if name == "mmvae_iwae" else 1 / 3) / 4
        change = np.asarray(after) - np.asarray(before)
        np.testing.assert_allclose(change[2], expected, rtol=1e-4)
        np.testing.assert_allclose(change[:2], 0, atol=1e-6)


def test_dreg_of_mmvae_plus_has_the_mean_gradient_of_the_bound():
    """One sample: exact in expectation. And the posteriors' scores are really gone."""

    def gradients(name):
        def loss(arrays, key, beta):
            o = O._replace(**arrays)
            decode, private = partial(oracle.decode, o), oracle.private(o)
            arguments = (key, o.x, o.mean, o.lv, decode)
            keywords = dict(private=private, where=MASK, log_likelihood=LIKELIHOOD)
            keywords |= dict(auxiliary=AUXILIARY, num_samples=1, beta=beta)
            return getattr(losses, name)(*arguments, **keywords)

        arrays = {name: getattr(O, name) for name in ("lv", "wlv")}
        keys = jax.random.split(KEY, 3_000)
        found = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0, None)))
        return [found(arrays, keys, beta) for beta in (1.0, 2.0)]

    for plain, dreg in zip(gradients("mmvae_plus"), gradients("mmvae_plus_dreg")):
        for name in plain:
            difference = np.asarray(plain[name]) - np.asarray(dreg[name])
            error = np.std(difference, axis=0) / math.sqrt(len(difference))
            assert (abs(np.mean(difference, axis=0)) <= 4.5 * error + 1e-6).all()
            assert abs(difference).max() > 1e-2


def test_one_modality_of_mmvae_plus_is_a_vae_of_both_latents():
    """In expectation; here with decoders that see neither, so for the KLs alone."""
    o = case(0, "flat")
    one = o._replace(
        W=o.W[:1], b=o.b[:1], V=o.V[:1], x=o.x[:1],
        mean=o.mean[:1], lv=o.lv[:1], wm=o.wm[:1], wlv=o.wlv[:1],
    )  # fmt: skip
    options = dict(auxiliary=AUXILIARY[:1], log_likelihood=LIKELIHOOD)

    def loss(key):
        decode, private = partial(oracle.decode, one), oracle.private(one)
        arguments = (key, one.x, one.mean, one.lv, decode)
        return losses.mmvae_plus(*arguments, private=private, **options)

    values = jax.jit(jax.vmap(loss))(jax.random.split(KEY, 20_000))
    both = (
        np.concatenate(p, axis=-1)
        for p in zip((one.mean[0], one.lv[0]), (one.wm[0], one.wlv[0]))
    )
    decode = lambda z: jnp.broadcast_to(one.b[0], one.x[0].shape)  # noqa: E731
    elbo = jax.jit(partial(losses.elbo, decode=decode, log_likelihood=LIKELIHOOD))
    expected = float(elbo(KEY, one.x[0], *both))
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values) - expected) < 4 * error < 0.2


@pytest.mark.parametrize("name", [n for n in LOOPS if n != "mmvae"] + ["dmvae"])
def test_an_absent_modality_gets_no_private_gradient(name):
    options = LOOPS[name][1] if name in LOOPS else BOTH
    where = np.array([[True], [False], [True]]) & WHERE["full"]

    def loss(wm, V):
        return evaluated(name, options, O._replace(wm=wm, V=V), where)

    wm = O.wm.copy()
    wm[1] = np.nan
    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(wm, O.V)
    by_mean, by_decoder = jax.tree.map(np.asarray, gradients)
    assert (by_mean[1] == 0).all() and (by_decoder[1] == 0).all()
    for m in (0, 2):
        assert np.isfinite(by_mean[m]).all() and abs(by_mean[m]).max() > 0


def test_errors_of_private_latents():
    decode = partial(oracle.decode, O)
    arrays = (KEY, O.x, O.mean, O.lv, decode)
    means, log_vars = oracle.private(O)
    with pytest.raises(ValueError, match="mopoe: expected 3 private_means, one per"):
        losses.mopoe(*arrays, private=(means[:2], log_vars))
    with pytest.raises(ValueError, match=r"mopoe: .* rank 2; got private_mean\[1\]"):
        losses.mopoe(*arrays, private=((means[0], means[1][0], means[2]), log_vars))
    with pytest.raises(ValueError, match=r"dmvae: expected private .*; got None"):
        losses.dmvae(*arrays, private=None)
    plus = partial(losses.mmvae_plus, *arrays, private=(means, log_vars))
    with pytest.raises(ValueError, match="mmvae_plus: expected 3 auxiliary, one per"):
        plus(auxiliary=AUXILIARY[:2])
    with pytest.raises(ValueError, match=r"auxiliary\[0\] of shape \(1,\); got \(2,\)"):
        plus(auxiliary=(np.zeros(2, "f"), *AUXILIARY[1:]))
    with pytest.raises(ValueError, match="mmjsd: expected 3 expert_weights, one per"):
        losses.mmjsd(*arrays, private=(means, log_vars), expert_weights=(1.0, 1.0))
    with pytest.raises(ValueError, match="mopoe: expected subsets of a modality or"):
        losses.mopoe(*arrays, private=(means, log_vars), subsets=np.zeros((1, 3), bool))
