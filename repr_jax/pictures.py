"""What is drawn of a trained model: pictures of test examples, as PNG by name."""

import itertools

import jax
import numpy as np

from repr_jax import figures
from repr_jax.evaluators import retrieval
from repr_jax.evaluators.common import batches, collect, collect_targets, with_present

COLUMNS = 10  # examples in a picture
RANDOM_COLUMNS = 12
MAX_POINTS = 2000  # in the projection of latents
MAX_KEYS = 1000  # test examples to be found
QUERIES, FOUND = 5, 8  # lines of a block, examples found in each


def draw(trained, dataset, batch_size) -> dict[str, bytes]:
    """All pictures that need the model, as PNG by name."""
    everything = np.ones(len(trained.modalities), bool)
    present = everything if trained.modalities else None
    x, labels = collect(trained, dataset, "test", batch_size, present, MAX_POINTS)
    pictures = {}
    if trained.generate is not None:
        pictures |= draw_images(trained, dataset, batch_size)
    elif len(trained.modalities) > 1:
        pictures |= draw_retrieval(trained, dataset, batch_size)
    pictures["latents"] = figures.scatter(x, labels)
    return pictures


def draw_images(trained, dataset, batch_size) -> dict[str, bytes]:
    """Conditional generations, reconstructions and samples; images alone."""
    batch = next(batches(dataset, "test", batch_size, limit=batch_size))
    prepared = trained.prepare(batch)
    shown = examples(batch["label"], batch["where"], COLUMNS)
    key = jax.random.key(0)

    def generated(number, subset, rows):
        own_key = jax.random.fold_in(key, number)
        asked = with_present(batch, subset) if trained.modalities else dict(batch)
        if not np.any(subset):
            nobody = np.zeros_like(batch["where"])  # nothing given, of any modality
            asked["where"] = nobody if not trained.modalities else ~nobody
        images = trained.generate(own_key, asked)
        return {name: np.asarray(value)[rows] for name, value in images.items()}

    some = np.ones(max(len(trained.modalities), 1), bool)
    rebuilt = generated(0, some, shown)
    names = [name for name, x in rebuilt.items() if x.ndim == 4 and name in prepared]
    if not names:
        return {}
    originals = {name: np.asarray(prepared[name])[shown] for name in names}
    between, given_all = [], []
    for m, name in enumerate(names):
        real = figures.Row(f"{name} given", originals[name], given=True)
        given_all.append([real, figures.Row(f"{name} rebuilt", rebuilt[name])])
        if len(names) > 1:
            column = trained.modalities.index(name)
            drawn = generated(m + 1, np.arange(len(some)) == column, shown)
            others = [figures.Row(f"to {n}", drawn[n]) for n in names if n != name]
            between.append([real._replace(label=f"from {name}"), *others])
    pictures = {"conditional": figures.mosaic(between)} if between else {}
    pictures["reconstructions"] = figures.mosaic(given_all)
    rows = np.arange(min(RANDOM_COLUMNS, len(batch["where"])))
    free = generated(len(names) + 1, ~some, rows)
    samples = [figures.Row(name, free[name]) for name in names]
    pictures["unconditional"] = figures.mosaic([samples])
    return pictures


def examples(labels, where, count) -> np.ndarray:
    """Up to `count` rows that are present, sorted by class, as mixed as possible."""
    rows = np.flatnonzero(where)
    turn = np.zeros(len(rows))
    for name in np.unique(labels[rows]):
        mine = labels[rows] == name
        turn[mine] = np.arange(np.sum(mine))  # the first of each class, then seconds
    rows = rows[np.argsort(turn, kind="stable")[:count]]
    return rows[np.argsort(labels[rows], kind="stable")]


def draw_retrieval(trained, dataset, batch_size) -> dict[str, bytes]:
    """For every modality as the question, the nearest images of each other one."""
    encodings = retrieval.of_each_modality(trained, dataset, batch_size, MAX_KEYS)
    batch = next(batches(dataset, "test", batch_size, limit=MAX_KEYS))
    prepared = {**trained.prepare(batch), **batch}
    names = [n for n in trained.modalities if np.ndim(prepared[n]) == 4]
    known = (*names, "label", *(("caption",) if "caption" in prepared else ()))
    _, entries = collect_targets(
        trained, dataset, "test", batch_size, known, limit=MAX_KEYS
    )
    for name in names:
        if entries[name].dtype == np.uint8:  # as the dataset yields it
            entries[name] = entries[name].astype(np.float32) / 255
    labels = [str(label) for label in entries["label"]]
    if "caption" in entries:
        labels = [bytes(text).rstrip(b"\0").decode() for text in entries["caption"]]
    queries = examples(entries["label"], np.ones(len(labels), bool), QUERIES)
    blocks = []
    for a, b in itertools.permutations(trained.modalities, 2):
        if b not in names:
            continue
        scores = retrieval.similarities(encodings[a][queries], encodings[b])
        block = []
        for row, score in zip(queries, scores):
            found = np.argsort(-score, kind="stable")[:FOUND]
            images = entries[b][found]
            right = {int(i): figures.RIGHT for i in np.flatnonzero(found == row)}
            if a in names and entries[a].shape[1:] == images.shape[1:]:
                images = np.concatenate([entries[a][row][None], images])
                right = {0: figures.GIVEN} | {i + 1: c for i, c in right.items()}
            block.append(figures.Row(labels[row], images, frames=right))
        blocks.append(block)
    return {"retrieval": figures.mosaic(blocks)} if blocks else {}
