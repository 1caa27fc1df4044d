"""What evaluates a representation or a generative model, beside scikit-learn, faiss,
SciPy and MultiVae.
"""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from configs.multimodal import mopoe_arrays
from experiments.benchmarks.speed.peers import evaluation_arrays as arrays
from experiments.benchmarks.speed.turns import Problem, Subject
from repr_jax import metrics, run, train
from repr_jax.data import arrays as own_arrays
from repr_jax.data.dataset import Dataset
from repr_jax.estimators import kmeans, logistic
from repr_jax.evaluators import knn, likelihood
from repr_jax.ops import likelihood as log_likelihoods
from repr_jax.ops.numerics import pairwise_dot

TEXT = (
    "Float32 arrays in, a result out, checks of the input included. Nearest neighbors: "
    "equal votes of the nearest by cosine; both sides normalize and fit anew in each "
    "call. k-means: k-means++ seeds (faiss: random rows), one start, as many Lloyd "
    "steps each; starts are drawn otherwise, so that its difference is that of the "
    "inertia of two local minima. Linear head: logistic regression with penalty 1 (C = "
    "1) until converged, ours by Newton's method, the peer's by L-BFGS; the difference "
    "is that of log-probabilities of ten rows, and L-BFGS in float32 stops short of "
    "the minimum. Frechet distance: float64 on both sides. Likelihood of 16 rows by "
    "1,000 samples: MoPoE of three modalities, a dense layer of 512 and 32 latents, "
    "Laplace, weights at their start, which differ, as do the samples. Ours draws each "
    "sample from the mixture of all subsets, 16 samples of all rows a call; MultiVae "
    "all samples of a row from one subset, 100 of one row a call, and ends with a "
    "sigmoid. Limits: the product of queries and bank; the products of rows and "
    "centroids, and their maxima; the products of both covariances; decoding all "
    "samples."
)


def neighbors(smoke: bool) -> Callable:
    """Returns the mean vote for each class."""
    bank, labels, queries = map(jnp.asarray, arrays.bank(smoke))
    options = dict(num_classes=arrays.NUM_CLASSES, temperature=np.inf)
    vote = partial(knn.shares, num_neighbors=arrays.neighbors(smoke), **options)
    return lambda: jnp.mean(vote(bank, labels, queries), axis=0)


def neighbors_limit(smoke: bool) -> Callable:
    bank, _, queries = map(jnp.asarray, arrays.bank(smoke))
    return partial(jax.jit(pairwise_dot), queries, bank)


def clusters(smoke: bool) -> Callable:
    """Returns the inertia."""
    x = jnp.asarray(arrays.normal("clusters", smoke))
    count, steps = arrays.clusters(smoke)
    options = dict(num_clusters=count, max_steps=steps)
    return lambda: kmeans.fit(jax.random.key(0), x, **options).inertia


def clusters_limit(smoke: bool) -> Callable:
    x = jnp.asarray(arrays.normal("clusters", smoke))
    count, steps = arrays.clusters(smoke)
    centroids = jnp.stack([x[step : step + count] for step in range(steps)])

    def products(x, centroids):
        return jax.lax.map(lambda c: jnp.max(pairwise_dot(x, c), axis=1), centroids)

    return partial(jax.jit(products), x, centroids)


def head(smoke: bool) -> Callable:
    """Returns log-probabilities of the classes of ten rows."""
    x, labels = map(jnp.asarray, arrays.head(smoke))

    def call():
        found = logistic.fit(x, labels, num_classes=arrays.NUM_CLASSES, penalty=1.0)
        return jax.nn.log_softmax(logistic.logits(found, x[:10]))

    return call


def frechet(smoke: bool) -> Callable:
    return partial(metrics.frechet_distance, *arrays.features(smoke))


def frechet_limit(smoke: bool) -> Callable:
    pair = [x.astype(np.float64) for x in arrays.features(smoke)]
    return lambda: [x.T @ x for x in pair]


def small_mopoe(smoke: bool) -> tuple[Callable, Dataset]:
    """A model with random weights as evaluators see it, and its dataset."""
    _, width, latent_dim = arrays.likelihood(smoke)
    rows = arrays.modalities(smoke)
    modality = (next(iter(rows.values())).shape[1:], log_likelihoods.laplace)
    config = mopoe_arrays.of(dict.fromkeys(rows, modality), num_classes=2)
    config.latent_dim, config.evals = latent_dim, {}
    for name in rows:
        config.encoders[name].widths = config.decoders[name].widths = (width,)
    options = dict(entries=tuple(rows), test_data=rows)
    config.dataset = dict(fn=own_arrays.load, data=rows, **options)
    config.batch_size = len(jax.devices())
    parts = run.build(config)
    state = train.init_state(parts, config, next(parts.dataset.train(1)))
    return run.trained(parts, state, ""), parts.dataset


def joint(smoke: bool) -> Callable:
    """Returns the mean log-likelihood of a row."""
    num_samples = arrays.likelihood(smoke)[0]
    trained, dataset = small_mopoe(smoke)
    batch_size = arrays.SIZES["rows"][smoke][0]  # a larger one would be filled up
    options = dict(num_samples=num_samples, given=(), batch_size=batch_size, limit=None)
    return lambda: likelihood.evaluate(trained, dataset, **options).numbers["joint"]


def decoding(smoke: bool) -> Callable:
    """The products of decoders, of all samples of a row at a time."""
    num_samples, width, latent_dim = arrays.likelihood(smoke)
    rows = arrays.modalities(smoke)
    num_rows, dim = next(iter(rows.values())).shape
    rng = np.random.default_rng(0)
    shapes = (num_samples, latent_dim), (width, latent_dim), (dim, width)
    z, first, last = (rng.normal(size=s).astype(np.float32) for s in shapes)

    def decode(z):
        return jnp.max(pairwise_dot(pairwise_dot(z, first), last), axis=1)

    def products(z):
        scales = jnp.arange(num_rows * len(rows), dtype=z.dtype)
        return jax.lax.map(lambda scale: decode(z * scale), scales)

    return partial(jax.jit(products), z)


def problems(smoke: bool) -> Iterator[Problem]:
    def named(text, *made, **same):
        return Problem(text, *(partial(make, smoke) for make in made), **same)

    yield named("nearest neighbors", neighbors, neighbors_limit)
    yield named("k-means", clusters, clusters_limit)
    yield named("linear head", head)
    yield named("Frechet distance", frechet, frechet_limit)
    yield named("likelihood", joint, decoding, same=False)


SUBJECT = Subject("Speed of evaluation", TEXT, problems)
