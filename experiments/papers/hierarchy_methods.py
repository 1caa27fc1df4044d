"""Every way to a tree that the paper's tables compare, as functions of the same rows.

A method of clusters is (data, seed, num_clusters, short) -> Tree over clusters of
`data.scored`; one of classes is (features, labels, seed) -> Tree over the classes. What
is fitted is fitted on `data.fitted`, without its labels unless the name says so;
`short` takes few steps, to try it out.
"""

from collections.abc import Callable

import jax
import numpy as np

from experiments.launch import sweep
from experiments.papers.hierarchy_data import Data
from experiments.papers.hierarchy_scores import Tree, random_tree
from repr_jax import logs
from repr_jax.estimators import (
    agglomerative,
    deep_ect,
    hierarchy,
    hyphc,
    kmeans,
    logistic,
    temi,
    tree_vae,
    turtle,
)
from repr_jax.models.mlp import MLP
from repr_jax.models.tree_vae import fully_connected

MAX_ROWS = 10_000  # that linkage takes: its memory is quadratic
TEMI_HEADS = 4  # of which the best is taken; the authors' recipe has 16
MOST_TREE_VAE = 20  # leaves, a decoder each; as in the paper on CIFAR-100


def of_logits(logits: Callable) -> Callable:
    """The tree that L2H makes of logits(data, key, num_clusters, short)."""

    def method(data: Data, seed: int, num_clusters: int, short: bool) -> Tree:
        scored = np.asarray(logits(data, jax.random.key(seed), num_clusters, short))
        tree = hierarchy.fit(scored)
        return Tree(tree.parents, tree.assignments, logits=scored)

    return method


def kmeans_logits(data, key, num_clusters, short):
    """Of a mixture of equal Gaussians at the centroids, as wide as its rows are."""
    fitted = kmeans.fit(key, data.fitted.features, num_clusters=num_clusters)
    temperature = 2 * fitted.inertia / data.fitted.features.shape[1]
    return kmeans.logits(fitted, data.scored.features, temperature=temperature)


def temi_logits(data, key, num_clusters, short):
    fitted = temi.fit(
        key,
        data.fitted.features,
        num_classes=num_clusters,
        num_heads=TEMI_HEADS,
        **few(short),
    )
    return temi.logits(fitted, data.scored.features)


def turtle_logits(data, key, num_clusters, short):
    fitted = turtle.fit(
        key, (data.fitted.features,), num_classes=num_clusters, **few(short)
    )
    return turtle.logits(fitted, (data.scored.features,))


def linear_logits(data, key, num_clusters, short):
    """Of a classifier that was told the labels of the rows fitted on."""
    fitted = classifier(data.fitted.features, data.fitted.labels, num_clusters)
    return logistic.logits(fitted, data.scored.features)


def classifier(features, labels, num_classes: int) -> logistic.Logistic:
    """The linear classifier of labeled rows; a line says if the fit ended early."""
    fitted = logistic.fit(features, labels, num_classes=num_classes)
    if not fitted.converged:
        logs.say(
            f"The logistic regression had not converged after {fitted.num_steps} steps "
            f"(gradient {fitted.gradient:.1e}): its tree is of the last step."
        )
    return fitted


def linkage(method: str) -> Callable:
    """Agglomerative clustering of the rows scored, cut into clusters."""

    def of_rows(data, seed, num_clusters, short):
        found = agglomerative.fit(
            data.scored.features,
            num_leaves=num_clusters,
            method=method,
            max_rows=MAX_ROWS,
        )
        return Tree(found.parents, found.assignments)

    return of_rows


def kmeans_clusters(data: Data, key, num_clusters: int):
    """[num_clusters, dim] centroids, and the cluster of every row scored."""
    fitted = kmeans.fit(key, data.fitted.features, num_clusters=num_clusters)
    assignments = kmeans.assign(fitted, data.scored.features)
    return np.asarray(fitted.centroids), np.asarray(assignments)


def hyperbolic(data, seed, num_clusters, short):
    """HypHC over the clusters of k-means, by the cosines of their centroids."""
    key, tree_key = jax.random.split(jax.random.key(seed))
    centroids, assignments = kmeans_clusters(data, key, num_clusters)
    found = hyphc.fit(tree_key, cosines(centroids), **few(short))
    return Tree(found.parents, assignments)


def at_random(data, seed, num_clusters, short):
    """A random binary tree over the clusters of k-means: what chance gives."""
    _, assignments = kmeans_clusters(data, jax.random.key(seed), num_clusters)
    return Tree(random_tree(seed, num_clusters), assignments)


def autoencoder(pixels: int, num_leaves: int):
    """What `deep_ect.fit` and `deep_ect.assign` take, with ClustPy's 10 dimensions."""
    encoder, decoder = MLP((512, 256, 10)), MLP((256, 512, pixels))
    return dict(encoder=encoder, decoder=decoder), dict(encoder=encoder)


def latents(pixels: int, num_leaves: int):
    """What `tree_vae.fit` and `tree_vae.assign` take."""
    model = fully_connected(pixels, num_leaves=num_leaves)
    return dict(model=model), dict(model=model)


def deep(estimator, modules: Callable, most: int | None = None) -> Callable:
    """DeepECT or TreeVAE, which see pixels in place of features.

    most: leaves, where more take too long.
    """

    def of_images(data, seed, num_clusters, short):
        num_leaves = num_clusters if most is None else min(num_clusters, most)
        fitting, applying = modules(data.fitted.images[0].size, num_leaves)
        found = estimator.fit(
            jax.random.key(seed),
            data.fitted.images,
            num_leaves=num_leaves,
            progress=sweep.progress(estimator.__name__),
            **fitting,
            **few(short),
        )
        assigned = estimator.assign(found, data.scored.images, **applying)
        return Tree(found.parents, np.asarray(assigned))

    return of_images


CLUSTERS = {
    "L2H, TURTLE": of_logits(turtle_logits),
    "L2H, TEMI": of_logits(temi_logits),
    "L2H, k-means": of_logits(kmeans_logits),
    "L2H, classifier told the labels": of_logits(linear_logits),
    "average linkage": linkage("average"),
    "complete linkage": linkage("complete"),
    "Ward": linkage("ward"),
    "HypHC of k-means": hyperbolic,
    "DeepECT": deep(deep_ect, autoencoder),
    "TreeVAE": deep(tree_vae, latents, MOST_TREE_VAE),
    "random tree of k-means": at_random,
}
FIXED = ("average linkage", "complete linkage", "Ward")  # the same for every seed
FIXED += ("L2H, classifier told the labels",)


def classes_of_logits(features, labels, seed):
    """L2H of a linear classifier of all rows."""
    num = int(labels.max()) + 1
    fitted = classifier(features, labels, num)
    logits = np.asarray(logistic.logits(fitted, features))
    tree = hierarchy.fit(logits)
    return Tree(tree.parents, np.arange(num), logits=logits)


def classes_of_means(method: str) -> Callable:
    """Agglomerative clustering of the mean features of classes."""

    def of_rows(features, labels, seed):
        found = agglomerative.fit_classes(features, labels, method=method)
        return Tree(found.parents, np.arange(len(found.means)))

    return of_rows


def classes_in_hyperbolic_space(features, labels, seed):
    """HypHC of the cosines of the mean features of classes."""
    means = class_means(features, labels)
    found = hyphc.fit(jax.random.key(seed), cosines(means))
    return Tree(found.parents, np.arange(len(means)))


def classes_at_random(features, labels, seed):
    num = int(labels.max()) + 1
    return Tree(random_tree(seed, num), np.arange(num))


CLASSES = {
    "L2H, linear classifier": classes_of_logits,
    "average linkage of means": classes_of_means("average"),
    "complete linkage of means": classes_of_means("complete"),
    "Ward of means": classes_of_means("ward"),
    "HypHC of means": classes_in_hyperbolic_space,
    "random tree": classes_at_random,
}
RANDOM = ("HypHC of means", "random tree")  # not the same for every seed


def few(short: bool) -> dict:
    """Keywords of a fit that is only tried out."""
    return dict(num_steps=2) if short else {}


def class_means(features, labels) -> np.ndarray:
    """[classes, dim], the mean of the rows of each class."""
    total = np.zeros((int(labels.max()) + 1, features.shape[1]))
    np.add.at(total, labels, features)
    return total / np.bincount(labels)[:, None]


def cosines(x) -> np.ndarray:
    """[n, n], moved to [0, 1]."""
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return (1 + x @ x.T) / 2
