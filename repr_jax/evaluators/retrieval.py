"""Retrieval between modalities: each test example finds itself in another modality."""

import itertools
from collections.abc import Sequence

import jax
import numpy as np

from repr_jax import figures, metrics
from repr_jax.evaluators.common import (
    Evaluation,
    Picture,
    Table,
    batches,
    examples,
    needs,
    rows_with,
    with_present,
)
from repr_jax.ops import similarity

QUERIES, FOUND = 5, 8  # lines of a block of the picture, examples found in each
ABOUT = (
    "Each test example looks for itself among all others by another modality. Recall "
    "at k: how often it is among the k nearest. Median rank: 1 is best."
)
CAPTION = (
    "Each line starts with a test example in orange, as the modality that asks shows "
    "it; one without images is shown as what is to be found. Then come the test "
    "examples whose other modality is nearest, the nearest first, the right one framed "
    "in green. Look at what the wrong ones have in common with it. Recall at k counts "
    "the lines with the right one among the first k."
)


@needs("represent")
def evaluate(
    trained, dataset, *, ks: Sequence[int] = (1, 5, 10), batch_size: int = 256
) -> Evaluation:
    """Recall at k from every modality to every other, over the whole test split.

    Args:
      trained: Trained, of two modalities or more.
      dataset: Dataset.
      ks: of recall, each >= 1.
      batch_size: rows encoded at a time.

    Returns:
      "a->b/recall_1" in [0, 1], 1 is best; "a->b/median_rank", 1 is best; of the rows
      that have both. "recall_1": its mean over pairs. Ties count against the query, as
      `metrics.ranks` says. The picture "nearest", if a modality is of images.

    Raises:
      ValueError: the model has fewer than two modalities, or no row has two.
    """
    encodings, there, labels = of_each_modality(trained, dataset, batch_size)
    find = jax.jit(metrics.ranks)
    found, chance, rows, pairs = {}, {}, [], {}
    for a, b in itertools.permutations(encodings, 2):
        both = there[a] & there[b]
        if not np.any(both):
            continue
        pairs[a, b] = both
        ranks = np.asarray(find(encodings[a], encodings[b], where=both))[both]
        for k in ks:
            found[f"{a}->{b}/recall_{k}"] = float(np.mean(ranks < k))
            chance[f"{a}->{b}/recall_{k}"] = min(1.0, k / len(ranks))
        found[f"{a}->{b}/median_rank"] = float(np.median(ranks)) + 1
        chance[f"{a}->{b}/median_rank"] = (len(ranks) + 1) / 2
        rows.append((f"{a} \u2192 {b}", *list(found.values())[-len(ks) - 1 :]))
    if not pairs:
        raise ValueError("retrieval: expected rows with two modalities; got none.")
    for k in ks:
        for numbers in (found, chance):
            values = [numbers[f"{a}->{b}/recall_{k}"] for a, b in pairs]
            numbers[f"recall_{k}"] = float(np.mean(values))
    levels = (chance[f"recall_{k}"] for k in ks)
    medians = [chance[f"{a}->{b}/median_rank"] for a, b in pairs]
    rows.append(("chance", *levels, float(np.mean(medians))))
    header = ("asked \u2192 found", *(f"recall at {k}" for k in ks), "median rank")
    table = Table("Retrieval", ABOUT, header, rows)
    pictures = draw(trained, dataset, encodings, pairs, labels, batch_size)
    headline = tuple(f"recall_{k}" for k in ks)
    return Evaluation(found, pictures, (table,), chance, headline)


def similarities(queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """[n, dim], [m, dim] -> [n, m] cosines."""
    prepared = (similarity.cosine.prepare(x) for x in (queries, keys))
    return np.asarray(jax.jit(similarity.cosine.of_pairs)(*prepared))


def of_each_modality(trained, dataset, batch_size):
    """The test split, encoded from each modality alone.

    Returns:
      {modality: [rows, dim] encodings}; {modality: [rows] bool, which rows have it};
      [rows] labels, or None.
    """
    names = trained.modalities
    if len(names) < 2:
        raise ValueError(
            f"retrieval: expected a model of two or more modalities; got {names}."
        )
    encodings, there = {name: [] for name in names}, {name: [] for name in names}
    labels = []
    for batch in batches(dataset, "test", batch_size):
        rows = np.asarray(batch["where"])
        if "label" in batch:
            labels.append(np.asarray(batch["label"])[rows])
        for name, alone in zip(names, np.eye(len(names), dtype=bool)):
            z = trained.outputs["represent"](with_present(batch, alone))
            encodings[name].append(np.asarray(z, np.float32)[rows])
            there[name].append(rows_with(batch, alone)[rows])
    encodings, there = (
        {name: np.concatenate(parts) for name, parts in x.items()}
        for x in (encodings, there)
    )
    return encodings, there, np.concatenate(labels) if labels else None


def draw(trained, dataset, encodings, pairs, labels, batch_size) -> dict[str, Picture]:
    """For every modality as the question, the nearest images of each other one.

    pairs: {(asked, found): [rows] bool, those with both}.
    """
    batch = next(batches(dataset, "test", batch_size))
    prepared = {**batch, **trained.prepare(batch)}
    images = [n for n in trained.modalities if np.ndim(prepared[n]) == 4]
    lines = []  # asked, found, row that asks, rows found
    for (a, b), both in pairs.items():
        queries = examples(labels, both, QUERIES) if b in images else []
        candidates = np.flatnonzero(both)
        for row in queries:
            score = similarities(encodings[a][[row]], encodings[b][both])[0]
            nearest = np.argsort(-score, kind="stable")[:FOUND]
            lines.append((a, b, row, candidates[nearest]))
    if not lines:
        return {}
    wanted = np.unique(np.concatenate([[row, *found] for *_, row, found in lines]))
    texts = [name for name in ("caption", "label") if name in prepared][:1]
    entries = collect_rows(trained, dataset, wanted, [*images, *texts], batch_size)

    def of(name, rows):
        return entries[name][np.searchsorted(wanted, rows)]

    def drawn(a, b, row, found):
        shown = of(b, found)
        frames = {int(i): figures.RIGHT for i in np.flatnonzero(found == row)}
        asked = a if a in images else b
        if entries[asked].shape[1:] == shown.shape[1:]:
            shown = np.concatenate([of(asked, [row]), shown])
            frames = {0: figures.GIVEN} | {i + 1: c for i, c in frames.items()}
        text = of(texts[0], row) if texts else f"row {row}"
        if texts == ["caption"]:
            text = bytes(text).rstrip(b"\0").decode()
        return figures.Row(str(text), shown, frames=frames)

    blocks = [
        [drawn(*line) for line in block]
        for _, block in itertools.groupby(lines, key=lambda line: line[:2])
    ]
    order = ", ".join(dict.fromkeys(f"{a} \u2192 {b}" for a, b, *_ in lines))
    caption = f"{CAPTION} From top to bottom: {order}."
    picture = Picture("Nearest in another modality", caption, figures.mosaic(blocks))
    return {"nearest": picture}


def collect_rows(trained, dataset, rows, names, batch_size) -> dict[str, np.ndarray]:
    """{name: [rows, ...]}, prepared entries of some rows of the test split, sorted."""
    entries, start = {name: [] for name in names}, 0
    for batch in batches(dataset, "test", batch_size):
        here = np.flatnonzero(batch["where"])
        inside = rows[(rows >= start) & (rows < start + len(here))]
        if len(inside):
            prepared = {**batch, **trained.prepare(batch)}
            for name, parts in entries.items():
                parts.append(np.asarray(prepared[name])[here[inside - start]])
        start += len(here)
        if start > rows[-1]:
            break
    return {name: np.concatenate(parts) for name, parts in entries.items()}
