"""Evaluation by scikit-learn, faiss, SciPy and MultiVae."""

from functools import partial

import evaluation_arrays as arrays
import faiss
import numpy as np
import torch
from multivae.data.datasets.base import MultimodalBaseDataset
from multivae.models import MoPoE, MoPoEConfig
from scipy import linalg
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier


def faiss_neighbors(smoke):
    bank, labels, queries = arrays.bank(smoke)
    votes = np.eye(arrays.NUM_CLASSES, dtype=np.float32)[labels]

    def call():
        a, b = bank.copy(), queries.copy()
        faiss.normalize_L2(a)
        faiss.normalize_L2(b)
        index = faiss.IndexFlatIP(a.shape[1])
        index.add(a)
        _, rows = index.search(b, arrays.neighbors(smoke))
        return votes[rows].mean(axis=1).mean(axis=0)

    return call


def sklearn_neighbors(smoke):
    bank, labels, queries = arrays.bank(smoke)
    options = dict(algorithm="brute", metric="cosine")

    def call():
        model = KNeighborsClassifier(arrays.neighbors(smoke), **options)
        return model.fit(bank, labels).predict_proba(queries).mean(axis=0)

    return call


def faiss_clusters(smoke):
    x = arrays.normal("clusters", smoke)
    count, steps = arrays.clusters(smoke)
    options = dict(niter=steps, min_points_per_centroid=1)

    def call():
        most = dict(max_points_per_centroid=len(x))  # or it takes some rows alone
        model = faiss.Kmeans(x.shape[1], count, **options, **most)
        return model.train(x) / len(x)

    return call


def sklearn_clusters(smoke):
    x = arrays.normal("clusters", smoke)
    count, steps = arrays.clusters(smoke)
    options = dict(n_init=1, max_iter=steps, tol=0, random_state=0)
    return lambda: KMeans(count, **options).fit(x).inertia_ / len(x)


def sklearn_head(smoke, dtype=np.float32, tol=1e-6):
    x, labels = arrays.head(smoke)
    x = x.astype(dtype)

    def call():
        model = LogisticRegression(C=1.0, tol=tol, max_iter=1_000)
        return model.fit(x, labels).predict_log_proba(x[:10])

    return call


def scipy_frechet(smoke):
    pair = arrays.features(smoke)

    def call():
        a, b = (x.astype(np.float64) for x in pair)
        mean, of_a, of_b = a.mean(0) - b.mean(0), np.cov(a.T), np.cov(b.T)
        root = linalg.sqrtm(of_a @ of_b)
        return mean @ mean + np.trace(of_a + of_b - 2 * root.real)

    return call


def multivae(smoke):
    num_samples, _, latent_dim = arrays.likelihood(smoke)
    rows = {name: torch.from_numpy(x) for name, x in arrays.modalities(smoke).items()}
    config = MoPoEConfig(
        n_modalities=len(rows),
        latent_dim=latent_dim,
        input_dims={name: tuple(x.shape[1:]) for name, x in rows.items()},
        decoders_dist=dict.fromkeys(rows, "laplace"),
        decoder_dist_params={name: {"scale": arrays.LAPLACE} for name in rows},
    )
    torch.manual_seed(0)
    model, inputs = MoPoE(config).eval(), MultimodalBaseDataset(data=rows)
    count = len(next(iter(rows.values())))

    @torch.no_grad()
    def call():
        return -model.compute_joint_nll(inputs, K=num_samples) / count

    return call


PROGRAMS = {
    "nearest neighbors": {"faiss": faiss_neighbors, "scikit-learn": sklearn_neighbors},
    "k-means": {"faiss": faiss_clusters, "scikit-learn": sklearn_clusters},
    "linear head": {
        "scikit-learn": sklearn_head,
        "scikit-learn, float64": partial(sklearn_head, dtype=np.float64, tol=1e-8),
    },
    "Frechet distance": {"SciPy": scipy_frechet},
    "likelihood": {"MultiVae": multivae},
}


def problems(smoke):
    return {
        name: {peer: partial(prepare, smoke) for peer, prepare in programs.items()}
        for name, programs in PROGRAMS.items()
    }
