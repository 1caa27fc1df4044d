"""Arrays that `public_losses` hands to both sides: (rng, batch, dim) -> {name: array}.

In the order of the arguments of the peer's classes. Floats are differentiated.
"""

import numpy as np

NUM_CLASSES = 5


def views(rng, batch, dim):
    return {name: rng.normal(size=(batch, dim)) for name in ("view_a", "view_b")}


def predicted(rng, batch, dim):
    return dict(zip(("predictions", "targets"), views(rng, batch, dim).values()))


def asked(rng, batch, dim):
    return dict(zip(("queries", "keys"), views(rng, batch, dim).values()))


def one_view(rng, batch, dim):
    return {"x": rng.normal(size=(batch, dim))}


def several(rng, batch, dim, num=4):
    return {"views": rng.normal(size=(num, batch, dim))}


def labeled(rng, batch, dim):
    """Some classes may have one row, or none."""
    labels = rng.integers(NUM_CLASSES, size=batch)
    return one_view(rng, batch, dim) | {"labels": labels}


def even(rng, batch, dim):
    """As many classes as rows of each, one after another."""
    num = int(batch**0.5) + 1
    labels = np.repeat(np.arange(num), num)
    return {"x": rng.normal(size=(num**2, dim)), "labels": labels}


def prototyped(rng, batch, dim, name="prototypes"):
    found = labeled(rng, batch, dim)
    return found | {name: rng.normal(size=(NUM_CLASSES, dim))}


def recalled(rng, batch, dim):
    """With earlier rows, one more than there are new ones."""
    memory_labels = rng.integers(NUM_CLASSES, size=batch + 1)
    memory = rng.normal(size=(batch + 1, dim))
    found = labeled(rng, batch, dim)
    return found | {"memory_labels": memory_labels, "memory": memory}


def carried(rng, batch, dim, num_intervals=40):
    """With the histogram of former batches."""
    histogram = np.append(rng.random(num_intervals), 0.0)
    return views(rng, batch, dim) | {"histogram": histogram / histogram.sum()}


def eight(rng, batch, dim):
    """So few rows that no two of their distances are nearly equal."""
    return labeled(rng, 8, dim)


def weights(rng, batch, dim):
    return {"weights": rng.normal(size=(batch, dim))}


def centers(rng, batch, dim):
    """Three of each of five classes."""
    return {"centers": rng.normal(size=(NUM_CLASSES, 3, dim))}


def centered(rng, batch, dim):
    """Three centers a class."""
    found = labeled(rng, batch, dim)
    return found | {"centers": rng.normal(size=(NUM_CLASSES, 3, dim))}


def triples(rng, batch, dim):
    names = ("anchors", "positives", "negatives")
    return {name: rng.normal(size=(batch, dim)) for name in names}


def captioned(rng, batch, dim, **numbers):
    found = dict(zip(("images", "texts"), views(rng, batch, dim).values()))
    return found | {name: np.float64(value) for name, value in numbers.items()}


def with_captions(rng, batch, dim):
    """Of seven steps and nine words, 0 being none."""
    found = captioned(rng, batch, dim)
    found["logits"] = rng.normal(size=(batch, 7, 9))
    found["labels"] = rng.integers(9, size=(batch, 7))
    return found | {"scale": np.float64(9.0)}


def with_teacher(rng, batch, dim):
    found = captioned(rng, batch, dim)
    found |= {f"target_{name}": rng.normal(size=(batch, dim + 1)) for name in found}
    return found | {"scale": np.float64(9.0)}


def remembered(rng, batch, dim):
    found, square = views(rng, batch, dim), rng.normal(size=(dim, dim))
    return found | {"covariance": square @ square.T}


def sketched(rng, batch, dim):
    return one_view(rng, batch, dim) | {"directions": rng.normal(size=(9, dim))}


def queued(rng, batch, dim):
    names = dict(queries=batch, keys=batch, queue=2 * batch)
    return {name: rng.normal(size=(rows, dim)) for name, rows in names.items()}


def clustered(rng, batch, dim, stored=False):
    """Four views, the first two of high resolution, and a queue of these if asked."""
    found = several(rng, batch, dim) | {"prototypes": rng.normal(size=(7, dim))}
    queue = {"queue": rng.normal(size=(2, batch + 3, dim))}
    return found | (queue if stored else {})


def crops(rng, batch, dim):
    found = {"online": rng.normal(size=(4, batch, dim))}
    found["targets"] = rng.normal(size=(2, batch, dim))
    return found | {"center": rng.normal(size=dim)}


def masked_views(rng, batch, dim):
    """Three views with masks, one without."""
    anchors, targets = rng.normal(size=(3, batch, dim)), rng.normal(size=(batch, dim))
    prototypes = rng.normal(size=(7, dim))
    return {"anchors": anchors, "targets": targets, "prototypes": prototypes}


def patches(rng, batch, dim):
    """Six, of which some are hidden, the first always."""
    found = {name: rng.normal(size=(batch, 6, dim)) for name in ("online", "targets")}
    mask = rng.random((batch, 6)) < 0.4
    mask[:, 0] = True
    return found | {"mask": mask}


def regions(rng, batch, dim, names=("view_a", "view_b")):
    """Four in a view, of three masks, of which some are in one view alone."""
    found = {name: rng.normal(size=(batch, 4, dim)) for name in names}
    masks = ("masks_a", "masks_b")
    return found | {name: rng.integers(3, size=(batch, 4)) for name in masks}


def predicted_regions(rng, batch, dim):
    names = ("online_a", "online_b", "targets_a", "targets_b")
    return regions(rng, batch, dim, names)


def mapped(rng, batch, dim):
    """Two views, with features of six patches each and where these are."""
    found = views(rng, batch, dim)
    found |= {f"patches_{side}": rng.normal(size=(batch, 6, dim)) for side in "ab"}
    return found | {f"places_{side}": rng.random((batch, 6, 2)) for side in "ab"}


def maps(rng, batch, dim):
    """Patches of two networks."""
    return {name: rng.normal(size=(batch, 6, dim)) for name in ("online", "targets")}


def hidden_patches(rng, batch, dim):
    """As many in each image."""
    order = rng.permuted(np.tile(np.arange(6), (batch, 1)), axis=1)
    return maps(rng, batch, dim) | {"mask": order < 2}


def clustered_patches(rng, batch, dim):
    """Of eight images, which lightly clusters at once."""
    found = {"patches": rng.normal(size=(8, batch, dim))}
    found["image_clusters"] = rng.integers(3, size=(8, batch))
    found["clusters"] = rng.integers(24, size=(8, batch))
    return found | {"centroids": rng.normal(size=(24, dim))}


def projected(rng, batch, dim):
    return several(rng, batch, dim) | {"directions": rng.normal(size=(9, dim))}


def frames(rng, batch, dim):
    """Four steps, and predictions of the last three."""
    found = {"predictions": rng.normal(size=(batch, 3, dim))}
    found["embeddings"] = rng.normal(size=(batch, 4, dim))
    return found | {"directions": rng.normal(size=(9, dim))}
