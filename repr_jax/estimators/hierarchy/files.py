"""A tree as a folder of files, and files as what `fit` takes."""

import contextlib
import io
import json
import os

import numpy as np

from repr_jax import files, metrics, trees
from repr_jax.estimators.hierarchy.merging import Hierarchy
from repr_jax.estimators.hierarchy.sparse import Sparse
from repr_jax.ops import checks

FILES = ("linkage.npy", "tree.nwk", "tree.json", "metrics.json", "dendrogram.png")
FILES += ("index.html",)
LABELS = dict(
    height="height: score of the group that was merged, the lowest of all groups",
    confidence="mean confidence of its rows",
    affinity="affinity: confidence of these rows in the other group, per class",
    bootstrap="share of trees of resampled rows that have this node",
)
EXAMPLES = 4  # images of a class on the page


def read_logits(path) -> np.ndarray | Sparse:
    """[rows, K] from .npy, mapped into memory; Sparse from .npz."""
    if not str(path).endswith(".npz"):
        return files.map_npy("logits", path)
    return Sparse(**files.read_npz("logits", path, Sparse._fields))


def read_names(path) -> list[str]:
    """One name a line; UTF-8, with a byte-order mark or without."""
    return files.read_text("names", path).splitlines()


def read_labels(path, num_rows: int) -> np.ndarray:
    """[rows] int from 0, from a .npy of numbers or strings."""
    labels = files.map_npy("labels", path)
    checks.shape(str(path), (num_rows,), labels=labels)
    if labels.dtype.kind in "fc":
        checks.finite(str(path), labels=labels)
    return np.unique(labels, return_inverse=True)[1]


def read_images(path, num_rows: int) -> np.ndarray:
    """[rows, height, width, 1 or 3] uint8, or floats in [0, 1]."""
    images = files.map_npy("images", path)
    if images.ndim != 4 or len(images) != num_rows or images.shape[3] not in (1, 3):
        wanted = f"[{num_rows}, height, width, 1 or 3]"
        raise ValueError(f"{path}: expected {wanted}; got {images.shape}.")
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise ValueError(f"{path}: expected uint8 or floats; got {images.dtype}.")
    return images


def scores(tree: Hierarchy, labels) -> dict[str, float | None]:
    """Scores of the leaves and of the tree against labels [rows]; None if undefined."""
    table = metrics.contingency(tree.assignments, labels, num_clusters=len(tree.counts))
    found = dict(
        nmi=metrics.nmi(table),
        adjusted_rand_index=metrics.adjusted_rand_index(table),
        hungarian_accuracy=metrics.hungarian_accuracy(table),
        leaf_purity=metrics.leaf_purity(table),
        dendrogram_purity=metrics.dendrogram_purity(tree.parents, table),
        lhd_log=metrics.lhd_log(tree.parents, table),
    )
    return {name: None if np.isnan(x) else float(x) for name, x in found.items()}


def contents(
    tree: Hierarchy,
    names=None,
    *,
    labels=None,
    title: str = "Hierarchy",
    note: str = "",
    support=None,
    images=None,
) -> dict[str, bytes]:
    """FILES by name, metrics.json if there are labels [rows].

    names, title, note: as of `trees.page`. support: [nodes] share of bootstrap trees
    that have each node. images: as of `read_images`; the first of each class are shown.
    """
    num_rows, no_leaf = len(tree.assignments), np.full(len(tree.counts), np.nan)
    if images is not None:
        if len(images) != num_rows:
            raise ValueError(f"images: expected {num_rows}; got {len(images)}.")
        order = np.argsort(tree.assignments, kind="stable")
        rows = np.split(order, np.cumsum(tree.counts)[:-1])
        images = [[images[row] for row in some[:EXAMPLES]] for some in rows]
    details = dict(
        rows=trees.node_sums(tree.parents, tree.counts),
        confidence=np.concatenate([tree.confidences, no_leaf[1:]]),
        affinity=np.concatenate([no_leaf, tree.affinities]),
    )
    if support is not None:
        details["bootstrap"] = np.concatenate([no_leaf, support[len(no_leaf) :]])
    linkage, named = io.BytesIO(), (tree.parents, tree.heights, names)
    np.save(linkage, tree.linkage)
    page = trees.page(
        *named, title=title, note=note, details=details, labels=LABELS, images=images
    )
    found = {
        "linkage.npy": linkage.getvalue(),
        "tree.nwk": trees.newick(*named) + "\n",
        "tree.json": trees.to_json(*named, details),
        "dendrogram.png": trees.dendrogram(tree.parents, names, support=support),
        "index.html": page,
    }
    if labels is not None:
        found["metrics.json"] = json.dumps(scores(tree, labels), indent=2) + "\n"
    return {k: x if isinstance(x, bytes) else x.encode() for k, x in found.items()}


def check_folder(folder) -> None:
    """ValueError or OSError if `write` could not write there, or would overwrite.

    A folder may hold other files, but none of these names, unless of an earlier tree:
    its tree.json says so.
    """
    folder = files.locate(folder)
    there, mark = [x for x in FILES if (folder / x).exists()], folder / "tree.json"
    if there and not (mark.exists() and b'"repr_jax.' in mark.read_bytes()[:100]):
        raise ValueError(
            f"{folder}: expected a folder without {there[0]}, or that of an earlier "
            f"tree."
        )
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder; got a file.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder}: expected a folder that can be written to.")


def write(folder, content: dict[str, bytes]) -> None:
    """Writes the files in the folder, which is made if there is none.

    All are written under other names first, so that none is ever half there; those of
    an earlier tree are replaced, and removed if this one has no such file. tree.json,
    which marks the folder as ours, gets its name first.
    """
    check_folder(folder)
    folder = files.locate(folder)
    with contextlib.ExitStack() as renames:  # at its end, the last one first
        for name in sorted(content, key="tree.json".__eq__):
            partial = renames.enter_context(files.whole(folder / name))
            partial.write_bytes(content[name])
    for name in set(FILES) - set(content):
        (folder / name).unlink(missing_ok=True)
