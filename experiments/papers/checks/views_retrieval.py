"""Checks of retrieval: hash codes, priors of candidates, hard negatives, records."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend, hidden, unit
from repr_jax import losses, metrics
from repr_jax.ops import mixing, sparse

CHECKS: list[Check] = []
check = checks_in(CHECKS)


@check(
    "similarity distribution calibration",
    "losses.similarity_calibration",
    "mAP of 32 bits by Hamming distance, features of digits",
    beats="codes as similar as the features, same network",
)
def calibrated(seed):
    x, y = toys.some(*toys.digits("train"), range(10), 4_000)
    t, label = toys.some(*toys.digits("test"), range(10), 1_000)
    teacher = toys.classifier(seed, x[:1_000], y[:1_000], num_steps=300)
    x, t = (unit(np.asarray(hidden(teacher, rows)) + 1e-6) for rows in (x, t))

    def standardized(z):  # the last layer of the paper's network
        return (z - z.mean(0, keepdims=True)) / (z.std(0, keepdims=True) + 1e-3)

    def precision(term):
        def loss(params, key):
            some = batch(key, x, size=256)[0]
            z = standardized(apply(params, some))
            halves = some[:128], some[128:], z[:128], z[128:]
            return term(*halves) + losses.code_quantization(z)

        start = toys.dense(jax.random.key(seed), (64, 128, 32))
        params = descend(loss, start, seed=seed, num_steps=500)
        z = np.asarray(apply(params, t))
        codes = np.float32(np.where(z >= np.asarray(apply(params, x)).mean(0), 1, -1))
        return toys.retrieval(codes, label)

    def direct(a, b, code_a, code_b):
        first, second = (jnp.sum(_unit(u) * _unit(v), axis=1) for u, v in (
            (a, b), (code_a, code_b)
        ))  # fmt: skip
        return jnp.mean(jnp.abs(first - second))

    return precision(losses.similarity_calibration), precision(direct)


def _unit(z):
    return z / jnp.sqrt(jnp.sum(z**2, axis=1, keepdims=True) + 1e-12)


def _with_prior(seed):
    """log p(c | q) with a prior of weight 1.5 added, and the prior: 20 draws of 100."""
    rng = np.random.default_rng(seed)
    for _ in range(20):
        prior = rng.normal(size=100)
        evidence = 2 * np.eye(100) + rng.normal(size=(100, 100))
        yield np.float32(evidence + 1.5 * prior), np.float32(prior)


@check(
    "BLiM",
    "metrics.prior_normalized",
    "recall at 1 among 100, prior weight as planted",
    beats="the likelihood alone",
)
def prior(seed):
    def recall(strength):
        found = [
            toys.right(metrics.prior_normalized(s, p, strength=strength), range(100))
            for s, p in _with_prior(seed)
        ]
        return np.mean(found)

    return recall(1.5), recall(0.0)


@check(
    "hubness",
    "metrics.hubness",
    "skewness of how often a row is near, 2,000 Gaussian rows of 50 dimensions",
    beats="rows of 3 dimensions",
)
def hubs(seed):
    x = np.float32(np.random.default_rng(seed).normal(size=(2_000, 50)))
    return tuple(float(metrics.hubness(rows)) for rows in (x, x[:, :3]))


def _questions(seed):
    """Queries, keys and two negatives each of 1,200 rows, and which are hard.

    The negatives of hard ones are nearly the key.
    """
    rng = np.random.default_rng(seed)
    topics = rng.normal(size=(40, 24))
    meaning = topics[np.arange(1_200) % 40] + 0.5 * rng.normal(size=(1_200, 24))
    hard = np.arange(1_200) % 3 == 0
    distance = np.where(hard, 0.25, 1.0)[:, None, None]
    near = meaning[:, None] + distance * rng.normal(size=(1_200, 2, 24))
    maps = rng.normal(size=(2, 24, 48)) / 5

    def text(z, kind):
        return np.float32(np.tanh(z @ maps[kind]))

    return text(meaning, 0), text(meaning, 1), text(near, 1), hard


def _asked(seed, loss_of):
    """Recall at 1 of new hard queries, among all keys and their negatives."""
    queries, keys, negatives, hard = _questions(seed)
    train = slice(0, 800)

    def encoded(params, *rows):
        return [apply(p, r) for p, r in zip(params, rows)]

    def loss(params, key):
        drawn = jax.random.split(key)
        q, k, n = batch(drawn[0], *(a[train] for a in (queries, keys, negatives)))
        rows = apply(params[0], q), apply(params[1], k), apply(params[1], n)
        return loss_of(drawn[1], *rows)

    start = [
        toys.dense(k, (48, 128, 32)) for k in jax.random.split(jax.random.key(seed))
    ]
    params = descend(loss, start, seed=seed, num_steps=500)
    q, k = (
        unit(np.asarray(apply(p, a[800:]))) for p, a in zip(params, (queries, keys))
    )
    n = unit(np.asarray(apply(params[1], negatives[800:].reshape(-1, 48))))
    scores = q @ np.concatenate([k, n]).T
    rows = np.flatnonzero(hard[800:])
    return toys.right(scores[rows], rows)


@check(
    "KaLM focal weights",
    "losses.focal_info_nce",
    "recall at 1 of hard queries, gamma 0.5, temperature 0.05",
    beats="gamma 0",
)
def focal(seed):
    def loss(gamma):
        return lambda key, q, k, n: losses.focal_info_nce(
            q, k, n, gamma=gamma, temperature=0.05
        )

    return _asked(seed, loss(0.5)), _asked(seed, loss(0.0))


@check(
    "KaLM mixed negatives",
    "ops.mixing.mixed_negatives",
    "recall at 1 of hard queries, mixtures of negatives added",
    beats="the negatives alone",
)
def mixed(seed):
    def plain(key, q, k, n):
        return losses.focal_info_nce(q, k, n, temperature=0.05)

    def more(key, q, k, n):
        return plain(key, q, k, jnp.concatenate([n, mixing.mixed_negatives(key, n)], 1))

    return _asked(seed, more), _asked(seed, plain)


# fmt: off
_SYLLABLES = [
    "ba", "co", "di", "fu", "ga", "hel", "in", "jo", "ka", "lem",
    "mo", "nar", "os", "pel", "qui", "ro", "sta", "tor", "ul", "ven",
]
# fmt: on


def _names(rng, num):
    """Names of four words, and others of the same: an acronym of some, or typos."""
    names, aliases = [], []
    for i in range(num):
        words = ["".join(rng.choice(_SYLLABLES, 3)) for _ in range(4)]
        names.append(" ".join(words))
        if i % 2:  # the first word is kept, the others are initials
            alias = words[0] + " " + " ".join(w[0] for w in words[1:])
        else:
            letters = list(names[-1])
            for place in rng.integers(len(letters), size=3):
                letters[place] = rng.choice(list("abcdefghijklmnop"))
            alias = "".join(letters)
        aliases.append(alias)
    return names, aliases


def _grams(names, sizes, buckets=1_024):
    """[names, buckets] hashed counts of pieces of letters, and of initials."""
    x = np.zeros((len(names), buckets), np.float32)
    for row, name in zip(x, names):
        text = f" {name} "
        pieces = [text[i : i + n] for n in sizes for i in range(len(text) - n + 1)]
        for piece in pieces:
            code = sum(ord(c) * 131**i for i, c in enumerate(piece))
            row[code % buckets] += 1
    return x


def _best_f1(scores, matches):
    order = np.argsort(-scores)
    true = np.cumsum(matches[order])
    return float(np.max(2 * true / (np.arange(1, len(order) + 1) + matches.sum())))


@check(
    "LinkOrgs",
    "losses.pair_match",
    "best F1 of pairs among 400 new names, acronyms and typos",
    beats="Jaccard similarity of trigrams",
)
def linked(seed):
    rng = np.random.default_rng(seed)
    (a, b), (c, d) = _names(rng, 3_000), _names(rng, 400)
    a, b, new, alias = (_grams(names, (1, 2, 3)) for names in (a, b, c, d))

    def loss(params, key):
        network, bias, scale = params
        some, other = (apply(network, r) for r in batch(key, a, b, size=64))
        shifts = [jnp.roll(other, i, axis=0) for i in range(8)]  # 1 match in 8
        pairs = jnp.concatenate([some] * 8), jnp.concatenate(shifts)
        matches = jnp.arange(8 * 64) < 64
        return losses.pair_match(*pairs, matches, bias=bias, scale=jnp.exp(scale))

    start = toys.dense(jax.random.key(seed), (1_024, 128, 32)), 1.0, 0.0
    start = jax.tree.map(jnp.asarray, start)
    (network, _, _) = descend(loss, start, seed=seed, num_steps=500)
    z, other = (np.asarray(apply(network, rows)) for rows in (new, alias))
    distances = np.linalg.norm(z[:, None] - other, axis=2)
    x, y = (_grams(names, (3,)) > 0 for names in (c, d))
    both = np.float32(x) @ np.float32(y).T
    jaccard = both / (x.sum(1)[:, None] + y.sum(1) - both)
    matches = np.eye(400, dtype=bool).ravel()
    return _best_f1(-distances.ravel(), matches), _best_f1(jaccard.ravel(), matches)


TERMS, LENGTH = 400, 30


def _corpus(seed):
    """Documents about three terms, marked by what stands before them; their queries.

    A word of the first twenty stands before a term that matters; other terms are as
    rare and as frequent, but not what the document is about.
    """
    rng = np.random.default_rng(seed)
    documents = rng.integers(20, TERMS, size=(1_500, LENGTH))
    markers = rng.integers(20, size=(1_500, 3))
    places = np.argsort(rng.uniform(size=(1_500, LENGTH // 2)), axis=1)[:, :3] * 2
    rows = np.arange(1_500)[:, None]
    documents[rows, places] = markers
    salient = documents[rows, places + 1]
    extra = rng.integers(20, TERMS, size=(1_500, 3))  # of no help
    return documents, np.concatenate([salient, extra], axis=1), markers


def _reciprocal_rank(scores):
    """Of query i and document i."""
    own = np.diag(scores)[:, None]
    return float(np.mean(1 / (1 + np.sum(scores > own, axis=1))))


def _bm25(queries, documents, k=0.9, b=0.4):
    counts = np.asarray(sparse.term_sum(documents, np.ones(documents.shape), TERMS))
    frequency = (counts > 0).sum(0)
    idf = np.log(1 + (len(documents) - frequency + 0.5) / (frequency + 0.5))
    weights = idf * counts * (k + 1) / (counts + k)  # all are of one length
    return (
        np.asarray(sparse.term_sum(queries, np.ones(queries.shape), TERMS)) @ weights.T
    )


def _weigher(seed):
    """The trained weights of tokens of documents and of queries, and the corpus."""
    documents, queries, _ = _corpus(seed)

    def weights(params, ids):
        vectors, network = params
        here = jnp.asarray(vectors)[ids]
        before = jnp.pad(here, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        z = apply(network, jnp.concatenate([before, here], axis=2))[..., 0]
        return jax.nn.relu(z + 1)

    def loss(params, key):
        q, d = batch(key, queries[:1_000], documents[:1_000], size=64)
        asked = sparse.term_sum(q, weights(params, q), TERMS)
        found = sparse.term_max(d, weights(params, d), TERMS)
        return losses.cross_entropy(asked @ found.T, jnp.arange(64))

    keys = jax.random.split(jax.random.key(seed))
    start = jax.random.normal(keys[0], (TERMS, 16)), toys.dense(keys[1], (32, 32, 1))
    params = descend(loss, start, seed=seed, num_steps=500, rate=3e-3)
    return documents[1_000:], queries[1_000:], lambda ids: weights(params, ids)


@check(
    "uniCOIL",
    "ops.sparse.term_max",
    "mean reciprocal rank of 500 new documents, marked terms",
    beats="BM25",
)
def terms(seed):
    documents, queries, weights = _weigher(seed)
    asked = sparse.term_sum(queries, weights(queries), TERMS)
    found = sparse.term_max(documents, weights(documents), TERMS)
    scores = np.asarray(asked @ found.T)
    return _reciprocal_rank(scores), _reciprocal_rank(_bm25(queries, documents))


@check(
    "uniCOIL in 8 bits",
    "ops.sparse.quantize",
    "share of pairs of documents in the same order, 8 bits",
    beats="2 bits",
)
def quantized(seed):
    documents, queries, weights = _weigher(seed)
    asked = np.asarray(sparse.term_sum(queries, weights(queries), TERMS))
    found = np.asarray(sparse.term_max(documents, weights(documents), TERMS))
    largest = float(max(asked.max(), found.max()))
    exact = asked[:100] @ found.T

    def same(bits):
        rows = [
            np.asarray(sparse.quantize(w, bits=bits, largest=largest), np.int64)
            for w in (asked[:100], found)
        ]
        scores = rows[0] @ rows[1].T
        first, second = np.triu_indices(len(documents), 1)
        kept = [
            np.mean(np.sign(e[first] - e[second]) == np.sign(s[first] - s[second]))
            for e, s in zip(exact, scores)
        ]
        return np.mean(kept)

    return same(8), same(2)
