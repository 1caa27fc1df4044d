"""Checks of bounds of mutual information, and of sequences that predict themselves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import DOWN, Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend
from repr_jax import losses, metrics
from repr_jax.evaluators import linear_probe
from repr_jax.models.mlp import MLP
from repr_jax.models.sequence import Predictive

CHECKS: list[Check] = []
check = checks_in(CHECKS)


def _scores(params, a, b):
    """[rows, rows] of a critic that sees both at once."""
    grid = jnp.meshgrid(jnp.arange(len(a)), jnp.arange(len(b)), indexing="ij")
    pairs = jnp.concatenate([a[grid[0]], b[grid[1]]], axis=-1)
    return apply(params, pairs.reshape(len(a) * len(b), -1)).reshape(len(a), -1)


INFORMATION, CANDIDATES = 4.0, 32  # nats, above log 32


def _correlated(key, num):
    """Normal rows [num, 4] twice, of INFORMATION nats of each other."""
    rho = np.sqrt(1 - np.exp(-2 * INFORMATION / 4))
    a, noise = jax.random.normal(key, (2, num, 4))
    return a, rho * a + np.sqrt(1 - rho**2) * noise


@functools.lru_cache(4)
def _critic(seed, bound):
    """Scores of 500 fresh pairs by a critic that was trained on one of the bounds."""

    def loss(params, key):
        return bound(_scores(params, *_correlated(key, CANDIDATES)))

    start = toys.dense(jax.random.key(seed), (8, 64, 64, 1))
    params = descend(loss, start, seed=seed, num_steps=800)
    return _scores(params, *_correlated(jax.random.key(seed + 1_000), 500))


@check(
    "NWJ",
    "losses.nwj",
    "distance of the held-out bound to 4 nats of normal rows" + DOWN,
    beats="InfoNCE of as many candidates, at most log 32",
)
def nwj(seed):
    def loss(params, key):
        scores = _scores(params, *_correlated(key, CANDIDATES))
        return losses.cross_entropy(scores, jnp.arange(CANDIDATES))

    start = toys.dense(jax.random.key(seed), (8, 64, 64, 1))
    params = descend(loss, start, seed=seed, num_steps=800)

    def held_out(key):
        scores = _scores(params, *_correlated(key, CANDIDATES))
        value = losses.cross_entropy(scores, jnp.arange(CANDIDATES))
        return metrics.info_nce_bound(value, CANDIDATES)

    keys = jax.random.split(jax.random.key(seed + 1_000), 50)
    other = float(jnp.mean(jax.jit(jax.vmap(held_out))(keys)))
    ours = -float(losses.nwj(_critic(seed, losses.nwj)))
    return abs(ours - INFORMATION), abs(other - INFORMATION)


@check(
    "Donsker-Varadhan",
    "losses.donsker_varadhan",
    "distance of the held-out bound to 4 nats of normal rows" + DOWN,
    beats="NWJ",
)
def donsker_varadhan(seed):
    bounds = (
        -float(bound(_critic(seed, bound)))
        for bound in (losses.donsker_varadhan, losses.nwj)
    )
    return tuple(abs(bound - INFORMATION) for bound in bounds)


@check(
    "Jensen-Shannon critic",
    "losses.jensen_shannon",
    "distance to 4 nats of NWJ with its critic, held out" + DOWN,
    beats="with a critic trained on NWJ",
)
def jensen_shannon(seed):
    scores = _critic(seed, losses.jensen_shannon) + 1, _critic(seed, losses.nwj)
    return tuple(abs(-float(losses.nwj(each)) - INFORMATION) for each in scores)


def _halves(split):
    """Upper and lower halves of digits [rows, 98], and labels."""
    x, y = toys.digits(split)
    x = x.reshape(len(x), 196)
    return x[:, :98], x[:, 98:], y


def _couple(params, x):
    """An invertible map that keeps volumes: each half moves by a network of the other.

    Information of two such outputs is that of their inputs.
    """
    a, b = x[:, ::2], x[:, 1::2]
    for layer in params:
        a, b = b, a + apply(layer, b)
    return jnp.concatenate([a, b], axis=1)


def _half_probe(encode):
    """Test accuracy of digits by a linear probe of what is made of upper halves."""
    (x, _, y), (t, _, label) = (_halves(split) for split in ("train", "test"))
    rows = (np.asarray(encode(some)) for some in (x[:500], t[:1_000]))
    return linear_probe.score(next(rows), y[:500], next(rows), label[:1_000]).accuracy


@check(
    "bounds of an invertible encoder",
    "losses.nwj",
    "linear probe of upper halves of digits, NWJ with lower halves",
    beats="the same encoder before: its information is the same",
)
def invertible(seed):
    keys = jax.random.split(jax.random.key(seed), 9)
    couplings = [toys.dense(key, (49, 64, 49)) for key in keys[:8]]
    start = {
        "upper": couplings[:4],
        "lower": couplings[4:],
        "critic": 0.01 * jax.random.normal(keys[8], (98, 98)),
    }
    upper, lower, _ = _halves("train")

    def loss(params, key):
        some = batch(key, upper, lower)
        a, b = (_couple(params[k], x) for k, x in zip(("upper", "lower"), some))
        return losses.nwj(a @ params["critic"] @ b.T)

    params = descend(loss, start, seed=seed, num_steps=400)
    return tuple(
        _half_probe(lambda x, p=p: _couple(p["upper"], x)) for p in (params, start)
    )


@check(
    "simpler critics",
    "losses.nwj",
    "linear probe of upper halves of digits, bilinear critic",
    beats="a critic that sees both at once",
)
def simpler_critics(seed):
    upper, lower, _ = _halves("train")
    keys = jax.random.split(jax.random.key(seed), 3)
    encoders = [toys.dense(key, (98, 128, 16)) for key in keys[:2]]
    found = []
    critics = (
        (lambda kernel, a, b: a @ kernel @ b.T, 0.1 * jnp.eye(16)),
        (_scores, toys.dense(keys[2], (32, 64, 1))),
    )
    for scores, critic in critics:

        def loss(params, key, scores=scores):
            some = batch(key, upper, lower, size=64)
            a, b = (apply(p, x) for p, x in zip(params["encoders"], some))
            return losses.nwj(scores(params["critic"], a, b))

        start = {"encoders": encoders, "critic": critic}
        params = descend(loss, start, seed=seed, num_steps=400)
        found.append(_half_probe(lambda x, p=params: apply(p["encoders"][0], x)))
    return tuple(found)


RHO = 0.9  # of a value and the one after it


def _autoregressive(key, num, kernels):
    """[num, 4, 8] steps of a Gaussian autoregression behind a random nonlinearity."""
    keys = jax.random.split(key, 4)
    x = [jax.random.normal(keys[0], (num, 1))]
    for k in keys[1:]:
        noise = jax.random.normal(k, (num, 1))
        x.append(RHO * x[-1] + (1 - RHO**2) ** 0.5 * noise)
    return jnp.tanh(jnp.stack(x, axis=1) @ kernels[0]) @ kernels[1]


@check(
    "bound of CPC",
    "metrics.info_nce_bound",
    "distance of the held-out bound to the information, 128 candidates" + DOWN,
    beats="8 candidates, as many steps",
)
def cpc_bound(seed):
    keys = jax.random.split(jax.random.key(seed), 5)
    kernels = jax.random.normal(keys[0], (1, 8)), jax.random.normal(keys[1], (8, 8))
    start = {
        "encoder": toys.dense(keys[2], (8, 64, 8)),
        "ahead": toys.dense(keys[3], (8, 64, 8)),
    }

    def value(params, key, num):
        x = _autoregressive(key, num, kernels).reshape(-1, 8)
        z, ahead = (apply(params[k], x) for k in ("encoder", "ahead"))
        return losses.cpc(ahead.reshape(num, 4, 1, 8), z.reshape(num, 4, 8))

    def distance(num):
        def loss(params, key):
            return value(params, key, num)

        params = descend(loss, start, seed=seed, num_steps=400)
        fresh = jax.random.split(keys[4], 100)
        found = jax.lax.map(jax.jit(lambda key: value(params, key, num)), fresh)
        bound = metrics.info_nce_bound(jnp.mean(found), num)
        return abs(float(bound) + 0.5 * np.log(1 - RHO**2))

    return distance(128), distance(8)


STEPS, STATES = 16, 4  # of sequences, and of their hidden chain


def _sequences(rng, domain, num):
    """[num, 16, 12] of a chain of 4 states as a domain shows it; states [num, 16]."""
    law = np.random.default_rng((domain, 1))
    moves = 0.7 * np.eye(STATES)[np.roll(np.arange(STATES), -1)] + 0.3 / STATES
    means = law.normal(size=(STATES, 6))
    kernel = law.normal(size=(6, 12))
    states = np.zeros((num, STEPS), int)
    states[:, 0] = rng.integers(STATES, size=num)
    for t in range(1, STEPS):
        draws = rng.uniform(size=(num, 1)) < moves.cumsum(1)[states[:, t - 1]]
        states[:, t] = draws.argmax(1)
    latents = means[states] + rng.normal(size=(num, STEPS, 6))
    return np.float32(np.tanh(latents @ kernel / 2)), states


def _in_context(params, x, mask):
    """Latents [rows, 16, 16] of steps, and context of three steps to either side."""
    z = apply(params["encoder"], x.reshape(-1, 12)).reshape(*x.shape[:2], 16)
    seen = jnp.where(mask[..., None], params["hidden"][None, None], z)
    padded = jnp.pad(seen, [(0, 0), (3, 3), (0, 0)])
    near = [padded[:, i : i + STEPS] for i in range(7)]
    near = jnp.concatenate(near, axis=-1).reshape(-1, 7 * 16)
    return z, toys.hidden(params["context"], near).reshape(*x.shape[:2], -1), near


def _wav2vec_start(seed):
    keys = jax.random.split(jax.random.key(seed), 4)
    return {
        "encoder": toys.dense(keys[0], (12, 64, 16)),
        "context": toys.dense(keys[1], (7 * 16, 64, 16)),
        "hidden": jnp.zeros(16),
        "codes": toys.dense(keys[2], (16, 16)),
        "entries": jax.random.normal(keys[3], (16, 16)),
    }


def _wav2vec(seed, x, diversity=0.1):
    """Trained for 400 steps to find hidden steps, as entries of a codebook of 16."""

    def loss(params, key):
        keys = jax.random.split(key)
        (some,) = batch(keys[0], x, size=32)
        mask = jax.random.bernoulli(keys[1], 0.4, some.shape[:2])
        z, _, near = _in_context(params, some, mask)
        context = apply(params["context"], near).reshape(z.shape)
        p = jax.nn.softmax(apply(params["codes"], z.reshape(-1, 16)))
        hard = jax.nn.one_hot(jnp.argmax(p, axis=1), 16)
        code = p + jax.lax.stop_gradient(hard - p)
        targets = (code @ params["entries"]).reshape(z.shape)
        value = losses.masked_contrastive(context, targets, mask)
        return value + diversity * losses.codebook_diversity(p[None])

    return descend(loss, _wav2vec_start(seed), seed=seed, num_steps=400)


def _states(params, seed):
    """Test accuracy of states of domain 0 by a probe of contexts of 20 sequences."""
    rng = np.random.default_rng(seed + 1_000)
    rows = []
    for num in (20, 200):
        x, states = _sequences(rng, 0, num)
        context = _in_context(params, x, np.zeros(x.shape[:2], bool))[1]
        rows += [np.asarray(context).reshape(num * STEPS, -1), states.ravel()]
    return linear_probe.score(*rows).accuracy


@functools.lru_cache(1)
def _in_domain(seed):
    return _wav2vec(seed, _sequences(np.random.default_rng(seed), 0, 200)[0])


@check(
    "wav2vec 2.0",
    "losses.masked_contrastive",
    "probe of hidden states, 20 labeled sequences",
    beats="a network that was not trained",
)
def wav2vec(seed):
    return tuple(_states(p, seed) for p in (_in_domain(seed), _wav2vec_start(seed)))


@check(
    "wav2vec 2.0 in its domain",
    "losses.masked_contrastive",
    "probe of hidden states, trained on 200 sequences",
    beats="trained on 2000 of another domain",
)
def domains(seed):
    other, _ = _sequences(np.random.default_rng(seed), 1, 2_000)
    return _states(_in_domain(seed), seed), _states(_wav2vec(seed, other), seed)


@check(
    "diversity of codebooks",
    "losses.codebook_diversity",
    "perplexity of the use of 16 entries",
    beats="without the term",
)
def diversity(seed):
    x, _ = _sequences(np.random.default_rng(seed), 0, 200)
    found = []
    for params in (_in_domain(seed), _wav2vec(seed, x, 0.0)):
        z = apply(params["encoder"], x.reshape(-1, 12))
        codes = np.argmax(apply(params["codes"], z), axis=1)
        shares = np.bincount(codes) / len(codes)
        found.append(np.exp(-np.sum(shares * np.log(np.maximum(shares, 1e-12)))))
    return tuple(found)


@check(
    "CPC",
    "losses.cpc",
    "probe of hidden states, contexts of the past, 20 labeled sequences",
    beats="the last four steps as they are",
)
def cpc(seed):
    model = Predictive(MLP((64, 16)), context_dim=32, horizon=3)
    x, _ = _sequences(np.random.default_rng(seed), 0, 1_000)
    start = model.init(jax.random.key(seed), x[:2], train=False)

    def loss(params, key):
        found = model.apply(params, batch(key, x, size=32)[0], train=True)
        return losses.cpc(found.predictions, found.latents)

    params = descend(loss, start, seed=seed, num_steps=300)
    rng, ours, raw = np.random.default_rng(seed + 1_000), [], []
    for num in (20, 200):
        some, states = _sequences(rng, 0, num)
        padded = np.pad(some, [(0, 0), (3, 0), (0, 0)])
        past = np.concatenate([padded[:, i : i + STEPS] for i in range(4)], axis=-1)
        context = np.asarray(model.apply(params, some, train=False).context)
        for rows, values in ((ours, context), (raw, past)):
            rows += [values.reshape(num * STEPS, -1), states.ravel()]
    return tuple(linear_probe.score(*rows).accuracy for rows in (ours, raw))
