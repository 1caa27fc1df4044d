"""How every estimator is fitted to some rows, and asked about others.

`test_contract.py` holds what is true of all.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax.models.mlp import MLP
from repr_jax.models.tree_vae import fully_connected

KEY, ROWS, DIM, CLASSES = jax.random.key(0), 24, 4, 3
HEAD = np.random.default_rng(1).normal(size=(CLASSES + 1, DIM)).astype("f")
SHORT = dict(num_steps=2, batch_size=8)
ENCODER, DECODER = MLP((4, 2)), MLP((4, DIM))
LATENTS = fully_connected(DIM, num_leaves=2, max_depth=1, latent_dim=2, hidden=4)


class Case(NamedTuple):
    """How an estimator is fitted to rows [rows, DIM], in [0, 1], of three clouds."""

    fit: Callable  # (module, x, labels, **where and axis_name) -> fitted
    apply: Callable | None = None  # (module, fitted, x) -> arrays by row
    on_host: bool = False  # fit takes no traced arrays
    whole: bool = False  # it is fitted to whole numbers made of the rows


def by_key(**options):
    """Of fit(key, x, ...)."""
    return lambda module, x, labels, **masks: module.fit(KEY, x, **options, **masks)


def by_target(module, x, labels, **masks):
    target = jnp.stack([x[:, 0] ** 2, 3 * x[:, 1]], axis=1)
    return module.fit(x, target, penalty=0.1, **masks)


def as_maps(x):
    """Two positions of two features."""
    return x.reshape(-1, 2, 1, 2)


def cosines(module, x, labels):
    """Similarities of rows, of which a row that is not finite spoils some."""
    return module.fit(KEY, x @ x.T, num_steps=2)


def entities_of(x):
    """[rows, DIM] int in {0, 1, 2}; anything where x is absent."""
    return jnp.asarray(3 * x).astype(jnp.int32)


def decoded_around(x):
    """Points of the unit cube for each row, those inside in the middle."""
    points = np.random.default_rng(1).uniform(size=(20, DIM)).astype(np.float32)
    inside = np.sum((points - 0.5) ** 2, axis=1) < 0.3
    return tuple(np.broadcast_to(a, (len(x), *a.shape)) for a in (points, inside))


CASES = {
    "agglomerative": Case(
        lambda module, x, labels: module.fit(x, num_leaves=3), on_host=True
    ),
    "calibrated_gaussians": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, num_classes=CLASSES, head_size=4, **masks
        ),
        lambda module, fitted, x: module.sample(KEY, fitted, num=2),
        on_host=True,
    ),
    "class_boundary": Case(
        lambda module, x, labels, **masks: module.fit(
            np.eye(CLASSES, DIM, dtype=np.float32), x, labels, keep=0.8, **masks
        ),
        lambda module, *args: module.score(*args),
    ),
    "cluster_pruning": Case(  # rows are log densities
        lambda module, x, labels, **masks: module.fit(
            x, np.zeros(DIM, np.float32), dim=2, **masks
        ),
        lambda module, *args: module.assign(*args),
    ),
    "confident_learning": Case(
        lambda module, x, labels, **masks: module.fit(x[:, :CLASSES], labels, **masks),
        lambda module, fitted, x: module.confident_class(fitted, x[:, :CLASSES]),
    ),
    "conformal_sets": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, miscoverage=0.2, **masks
        ),
        lambda module, *args: module.sets(*args),
    ),
    "coupling_flow": Case(
        by_key(num_steps=2, batch_size=8, num_layers=2, hidden=4),
        lambda module, *args: module.log_prob(*args),
    ),
    "deep_ect": Case(
        by_key(encoder=ENCODER, decoder=DECODER, num_leaves=3, **SHORT),
        lambda module, fitted, x: module.assign(fitted, x, encoder=ENCODER),
        on_host=True,
    ),
    "diverse_query": Case(
        by_key(num_queries=4, temperature=0.1), lambda module, fitted, x: fitted.x
    ),
    "event_embedding": Case(
        lambda module, x, labels, **masks: module.fit(
            KEY, entities_of(x), num_entities=3, dim=2, **SHORT, **masks
        ),
        lambda module, fitted, x: module.score(fitted, entities_of(x)),
        whole=True,
    ),
    "deep_svdd": Case(
        by_key(widths=(4, 2), **SHORT), lambda module, *args: module.score(*args)
    ),
    "ecod": Case(
        lambda module, x, labels, **masks: module.fit(x, **masks),
        lambda module, *args: module.score(*args),
    ),
    "gaussian_mixture": Case(
        by_key(num_components=CLASSES, num_steps=2, ridge=1e-3),
        lambda module, *args: module.assign(*args),
    ),
    "gradient_separation": Case(  # rows are gradients
        lambda module, x, labels, **masks: module.fit(x, HEAD[0], **masks),
        lambda module, *args: module.score(*args),
    ),
    "hierarchy": Case(lambda module, x, labels: module.fit(x), on_host=True),
    "hyphc": Case(cosines, on_host=True),
    "invariants": Case(
        by_key(num_layers=2, hidden=4, **SHORT),
        lambda module, *args: module.score(*args),
    ),
    "kernel_ridge": Case(
        by_target, lambda module, *args: module.predict(*args), on_host=True
    ),
    "kmeans": Case(
        by_key(num_clusters=CLASSES), lambda module, *args: module.assign(*args)
    ),
    "knn_distance": Case(
        lambda module, x, labels, **masks: module.fit(x, **masks),
        lambda module, *args: module.score(*args, num_neighbors=3),
    ),
    "label_propagation": Case(
        lambda module, x, labels, **masks: module.fit(
            x, jnp.where(x[:, 3] > 0.13, labels, -1), num_classes=CLASSES, **masks
        ),
        lambda module, *args: module.predict(*args),
    ),
    "local_outlier": Case(
        lambda module, x, labels, **masks: module.fit(x, num_neighbors=3, **masks),
        lambda module, *args: module.score(*args),
    ),
    "logistic": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, num_classes=CLASSES, **masks
        ),
        lambda module, *args: module.predict(*args),
    ),
    "loss_mixture": Case(
        lambda module, x, labels, **masks: module.fit(x[:, 1], **masks),
        lambda module, fitted, x: module.clean_probability(fitted, x[:, 1]),
    ),
    "low_density": Case(  # two labels, and none
        lambda module, x, labels, **masks: module.fit(
            x, labels - 1, num_rounds=2, steps_per_round=3, **masks
        ),
        lambda module, *args: module.score(*args),
    ),
    "naive_bayes": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, num_classes=CLASSES, **masks
        ),
        lambda module, *args: module.predict(*args),
    ),
    "patch_classifier": Case(
        lambda module, x, labels, **masks: module.fit(
            KEY, x, labels == 1, widths=(4,), **SHORT, **masks
        ),
        lambda module, *args: module.patch_scores(*args),
    ),
    "patch_memory": Case(
        by_key(num_rows=6), lambda module, *args: module.patch_scores(*args)
    ),
    "quantile_region": Case(
        lambda module, x, labels, **masks: module.fit(
            x, *decoded_around(x), miscoverage=0.2, **masks
        ),
        lambda module, region, x: module.contains(region, x, *decoded_around(x)),
    ),
    "online_kmeans": Case(
        by_key(num_clusters=CLASSES), lambda module, *args: module.assign(*args)
    ),
    "ordinal": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, num_classes=CLASSES, max_steps=20, **masks
        ),
        lambda module, *args: module.predict(*args),
    ),
    "relation_graph": Case(
        lambda module, x, labels, **masks: module.fit(x, x[:, :CLASSES], **masks),
        lambda module, fitted, x: module.score(fitted, x, x[:, :CLASSES]),
    ),
    "ridge": Case(by_target, lambda module, *args: module.predict(*args)),
    "separation": Case(
        lambda module, x, labels, **masks: module.fit(x, x[:, 1], **masks),
        lambda module, *args: module.score(*args),
    ),
    "spectral_kernel": Case(
        lambda module, x, labels, **masks: module.fit(
            x, x[:, 3] > 0.13, x[:, :2], transform=jnp.square, **masks
        ),
        lambda module, *args: module.predict(*args),
    ),
    "sdm": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, labels, num_classes=CLASSES, **masks
        ),
        lambda module, fitted, x: module.measure(fitted, x, np.zeros(len(x), np.int32))[
            1
        ],
    ),
    "mahalanobis": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, num_classes=CLASSES, ridge=0.01, **masks
        ),
        lambda module, *args: module.relative_score(*args),
    ),
    "padim": Case(
        lambda module, x, labels, **masks: module.fit(as_maps(x), **masks),
        lambda module, fitted, x: module.score(fitted, as_maps(x)),
    ),
    "temperature_scaling": Case(
        lambda module, x, labels, **masks: module.fit(x, labels, **masks),
        lambda module, *args: module.logits(*args),
    ),
    "temi": Case(
        by_key(num_classes=CLASSES, num_heads=1, num_neighbors=3, **SHORT),
        lambda module, *args: module.assign(*args),
        on_host=True,
    ),
    "tree_vae": Case(
        by_key(model=LATENTS, num_leaves=2, **SHORT),
        lambda module, fitted, x: module.assign(fitted, x, model=LATENTS),
        on_host=True,
    ),
    "turtle": Case(
        lambda module, x, labels, **masks: module.fit(
            KEY, (x,), num_classes=CLASSES, num_inner_steps=2, **SHORT, **masks
        ),
        lambda module, fitted, x: module.assign(fitted, (x,)),
        on_host=True,
    ),
    "vim": Case(
        lambda module, x, labels, **masks: module.fit(
            x, HEAD[:CLASSES], HEAD[CLASSES, :CLASSES], num_components=2, **masks
        ),
        lambda module, *args: module.score(*args),
    ),
}
