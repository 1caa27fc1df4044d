"""A tree as a folder of files, and files as what the algorithm takes."""

import contextlib
import io
import json
import os
import tempfile

import numpy as np

from repr_jax import files, metrics, trees
from repr_jax.estimators.hierarchy import classes
from repr_jax.estimators.hierarchy.merging import Hierarchy
from repr_jax.estimators.hierarchy.sparse import Sparse
from repr_jax.ops import checks

FILES = (
    "linkage.npy",
    "merges.csv",
    "tree.nwk",
    "tree.json",
    "metrics.json",
    "dendrogram.png",
    "index.html",
)
LABELS = dict(
    confidence="mean confidence of its rows",
    entropy="entropy of the rows' classes, in nats",
    score="confidence score of the group that was merged, the lowest at that step",
    support="share of that group's rows whose next best class is in the other group",
    affinity="affinity: confidence of these rows in the other group, per class",
    margin="margin: how much lower the affinity of the second best group is",
    bootstrap="share of trees of resampled rows that have this node",
)
LINKS = dict(runner_up="second best group", merged_into="later merged into")
UNSURE = "Least certain merges (smallest margin for their affinity)"
EXAMPLES, UNCERTAIN = 4, 12  # images of a class, and least certain merges, on the page


def read_logits(path) -> np.ndarray | Sparse:
    """[rows, K] from .npy, mapped, or from `logits` of .npz; or Sparse from .npz."""
    with files.locate(path).open("rb") as file:
        packed = file.read(2) == b"PK"
    if not packed:
        return files.map_npy("logits", path)
    found = files.read_npz("logits", path)
    if "logits" in found:
        return found["logits"]
    if set(Sparse._fields) <= set(found):
        return Sparse(*(found[name] for name in Sparse._fields))
    raise ValueError(
        f"{path}: expected an array `logits`, or `indices`, `values` and `rest`; "
        f"got {', '.join(found) or 'none'}."
    )


def read_names(path) -> list[str]:
    """One name a line, or a JSON list; UTF-8, with a byte-order mark or without."""
    text = files.read_text("names", path)
    if not str(path).endswith(".json"):
        return text.splitlines()
    try:
        names = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: expected a JSON list; {error}.") from None
    if not isinstance(names, list):
        raise ValueError(f"{path}: expected a list of names.")
    return [str(name) for name in names]


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
    shape = images.shape
    if len(shape) != 4 or shape[0] != num_rows or shape[3] not in (1, 3):
        raise ValueError(
            f"{path}: expected [{num_rows}, height, width, 1 or 3]; got {shape}."
        )
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise ValueError(f"{path}: expected uint8 or floats; got {images.dtype}.")
    return images


def scores(tree: Hierarchy, labels) -> dict[str, float | None]:
    """Scores of the leaves and of the tree against labels [rows]; None if undefined.

    The three that begin with lhd are distances of our own definition.
    """
    num, parents = len(tree.leaves), tree.parents
    leaf = np.searchsorted(tree.leaves, tree.assignments)
    table = metrics.contingency(leaf, labels, num_clusters=num)
    found = dict(
        nmi=metrics.nmi(table),
        nmi_geometric=metrics.nmi_geometric(table),
        adjusted_rand_index=metrics.adjusted_rand_index(table),
        hungarian_accuracy=metrics.hungarian_accuracy(table),
        leaf_purity=metrics.leaf_purity(table),
        mean_leaf_purity=metrics.mean_leaf_purity(table),
        dendrogram_purity=metrics.dendrogram_purity(parents, table),
        macro_dendrogram_purity=metrics.macro_dendrogram_purity(parents, table),
        lhd_pair=metrics.lhd_pair(parents, table),
        lhd_log=metrics.lhd_log(parents, table),
        lhd_mistake=metrics.lhd_mistake(parents, table, tree.heights),
    )
    return {name: None if np.isnan(x) else float(x) for name, x in found.items()}


def _examples(tree: Hierarchy, images, logits) -> list[list]:
    """[L] lists of EXAMPLES images: of the rows most probably of the leaf's class.

    The first rows if logits is None.
    """
    if len(images) != len(tree.assignments):
        raise ValueError(
            f"images: expected {len(tree.assignments)}, one a row; got {len(images)}."
        )
    out = []
    for c in tree.leaves:
        rows = np.flatnonzero(tree.assignments == c)
        if logits is not None and len(rows):
            x = np.asarray(logits[rows], np.float64)
            p = np.exp(x - x.max(axis=1, keepdims=True))
            rows = rows[np.argsort(-p[:, c] / p.sum(axis=1), kind="stable")]
        out.append([images[row] for row in rows[:EXAMPLES]])
    return out


def _merges_csv(tree: Hierarchy, support) -> str:
    """`classes.merge_report` as a table; with support [T] a column more, bootstrap."""
    columns = classes.merge_report(tree)
    columns |= {} if support is None else {"bootstrap": np.asarray(support)}
    rows = zip(*(column.tolist() for column in columns.values()))
    return "".join(",".join(map(str, row)) + "\n" for row in [columns, *rows])


def _uncertain(tree: Hierarchy) -> np.ndarray:
    """Nodes of merges that could as well have been others, the least certain first."""
    certainty = tree.margins / np.maximum(tree.affinities, 1e-300)
    order = np.argsort(certainty, kind="stable")
    order = order[(tree.runner_ups[order] >= 0) & (tree.affinities[order] > 0)]
    return len(tree.leaves) + order[:UNCERTAIN]


def contents(
    tree: Hierarchy,
    names=None,
    *,
    labels=None,
    title: str = "Hierarchy",
    note: str = "",
    support=None,
    images=None,
    logits=None,
) -> dict[str, bytes]:
    """FILES by name, metrics.json if there are labels.

    Args:
      tree, names: names of all K classes; their numbers if None.
      labels: [rows] int, the true class of each row, or None.
      title, note: of the page, its heading and a line below it.
      support: [T] share of bootstrap trees that have each merge's node, or None.
      images: [rows, height, width, 1 or 3] uint8, or floats in [0, 1], that belong to
        the rows; a few of each class are embedded. None for no pictures.
      logits: [rows, K], to show the images most probable in their class; None shows
        the first ones.
    """
    linkage = io.BytesIO()
    np.save(linkage, tree.linkage)
    named = (tree.parents, tree.heights, classes.class_names(tree, names))
    details = classes.details(tree, support)
    page = trees.page(
        *named,
        title=title,
        note=note,
        details=details,
        labels=LABELS,
        links=LINKS,
        lists={UNSURE: _uncertain(tree)},
        images=None if images is None else _examples(tree, images, logits),
    )
    picture = trees.dendrogram(
        tree.parents,
        named[2],
        weights=tree.counts[tree.leaves],
        support=details.get("bootstrap"),
    )
    found = {
        "linkage.npy": linkage.getvalue(),
        "merges.csv": _merges_csv(tree, support),
        "tree.nwk": trees.newick(*named) + "\n",
        "tree.json": trees.to_json(*named, details),
        "dendrogram.png": picture,
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
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder; got a file.")
    there, earlier = [name for name in FILES if (folder / name).exists()], False
    if "tree.json" in there:
        with (folder / "tree.json").open("rb") as file:
            earlier = b'"repr_jax.' in file.read(100)
    if there and not earlier:
        raise ValueError(
            f"{folder}: expected a folder without {there[0]}, or that of an earlier "
            f"tree."
        )
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder}: expected a folder that can be written to.")
    with tempfile.TemporaryFile(dir=folder):  # a read-only file system, for example
        pass


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
