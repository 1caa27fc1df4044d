"""A tree as a folder of files, and files as what the algorithm takes."""

import csv
import io
import json
import os
import pathlib
import shutil

import numpy as np

from repr_jax import metrics
from repr_jax.estimators.hierarchy import nodes
from repr_jax.estimators.hierarchy.merging import Hierarchy
from repr_jax.estimators.hierarchy.page import page
from repr_jax.estimators.hierarchy.picture import dendrogram
from repr_jax.estimators.hierarchy.sparse import Sparse

FILES = (
    "linkage.npy",
    "merges.csv",
    "tree.nwk",
    "tree.json",
    "metrics.json",
    "dendrogram.png",
    "index.html",
)


def read_logits(path) -> np.ndarray | Sparse:
    """[rows, K] memory-mapped from .npy, or Sparse from .npz.

    An .npz has `logits`, or `indices`, `values` and `rest` as in Sparse.
    """
    if os.path.getsize(path) == 0:
        raise ValueError(f"{path}: expected an array; got an empty file.")
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    with found:
        if "logits" in found:
            return found["logits"]
        if set(Sparse._fields) <= set(found):
            return Sparse(*(found[name] for name in Sparse._fields))
        raise ValueError(
            f"{path}: expected an array `logits`, or `indices`, `values` and `rest`; "
            f"got {', '.join(found) or 'none'}."
        )


def read_names(path) -> list[str]:
    """One name a line, or a JSON list."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    if str(path).endswith(".json"):
        names = json.loads(text)
        if not isinstance(names, list):
            raise ValueError(f"{path}: expected a list of names.")
        return [str(name) for name in names]
    return text.splitlines()


def read_labels(path, num_rows: int) -> np.ndarray:
    """[rows] int from 0, from a .npy of numbers or strings."""
    labels = np.load(path, allow_pickle=False)
    if labels.shape != (num_rows,):
        raise ValueError(
            f"{path}: expected {num_rows} labels, one a row of the logits; "
            f"got shape {labels.shape}."
        )
    return np.unique(labels, return_inverse=True)[1]


def scores(tree: Hierarchy, labels) -> dict[str, float]:
    """Everything that labels [rows] tell about the leaves and the tree.

    The three that begin with lhd are distances of our own definition.
    """
    leaf = np.full(len(tree.counts), -1)
    leaf[tree.leaves] = np.arange(len(tree.leaves))
    table = metrics.contingency(
        leaf[tree.assignments], labels, num_clusters=len(tree.leaves)
    )
    parents, heights = tree.parents, nodes.heights(tree)
    found = {
        score.__name__: score(table)
        for score in (
            metrics.nmi,
            metrics.nmi_geometric,
            metrics.adjusted_rand_index,
            metrics.hungarian_accuracy,
            metrics.leaf_purity,
            metrics.mean_leaf_purity,
        )
    }
    found |= {
        score.__name__: score(parents, table)
        for score in (
            metrics.dendrogram_purity,
            metrics.macro_dendrogram_purity,
            metrics.lhd_pair,
            metrics.lhd_log,
        )
    }
    found["lhd_mistake"] = metrics.lhd_mistake(parents, table, heights)
    return {
        name: None if np.isnan(value) else float(value) for name, value in found.items()
    }


def contents(
    tree: Hierarchy,
    names=None,
    *,
    labels=None,
    support=None,
    images=None,
    logits=None,
    title="Hierarchy",
    note="",
) -> dict[str, bytes]:
    """FILES by name; metrics.json if there are labels. The arguments of `page`."""
    linkage = io.BytesIO()
    np.save(linkage, tree.linkage)
    report = nodes.merge_report(tree)
    columns = list(nodes.MERGE_COLUMNS)
    if support is not None:
        columns.append("bootstrap")
        report = [{**row, "bootstrap": s} for row, s in zip(report, support.tolist())]
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(report)
    html = page(
        tree,
        names,
        title=title,
        note=note,
        support=support,
        images=images,
        logits=logits,
    )
    files = {
        "linkage.npy": linkage.getvalue(),
        "merges.csv": table.getvalue().encode(),
        "tree.nwk": (nodes.newick(tree, names) + "\n").encode(),
        "tree.json": nodes.to_json(tree, names).encode(),
        "dendrogram.png": dendrogram(tree, names, support=support),
        "index.html": html.encode(),
    }
    if labels is not None:
        text = json.dumps(scores(tree, labels), indent=2) + "\n"
        files["metrics.json"] = text.encode()
    return files


def check_folder(folder) -> None:
    """ValueError if `write` would take away files that are not its own."""
    folder = pathlib.Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder; got a file.")
    foreign = {x.name for x in folder.iterdir()} - set(FILES) if folder.exists() else ()
    if foreign:
        raise ValueError(
            f"{folder}: expected a new folder or that of an earlier tree; "
            f"it also holds {min(foreign)}."
        )


def write(folder, files: dict[str, bytes]) -> None:
    """Writes a new folder beside and then gives it its name, so it is whole or absent.

    A folder of an earlier tree is replaced.
    """
    check_folder(folder)
    folder = pathlib.Path(folder).absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.partial")
    old = folder.with_name(f".{folder.name}.old")
    for left_over in (partial, old):
        shutil.rmtree(left_over, ignore_errors=True)
    partial.mkdir()
    for name, content in files.items():
        (partial / name).write_bytes(content)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
