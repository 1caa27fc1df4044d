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
    if labels.shape != (num_rows,):
        raise ValueError(
            f"{path}: expected {num_rows} labels, one a row of the logits; "
            f"got shape {labels.shape}."
        )
    if labels.dtype.kind in "fc" and not np.isfinite(labels).all():
        row = int(np.isfinite(labels).argmin())
        raise ValueError(f"{path}: expected labels; got {labels[row]} in row {row}.")
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
    leaf = np.full(len(tree.counts), -1)
    leaf[tree.leaves] = np.arange(len(tree.leaves))
    table = metrics.contingency(
        leaf[tree.assignments], labels, num_clusters=len(tree.leaves)
    )
    of_leaves = (
        metrics.nmi,
        metrics.nmi_geometric,
        metrics.adjusted_rand_index,
        metrics.hungarian_accuracy,
        metrics.leaf_purity,
        metrics.mean_leaf_purity,
    )
    of_trees = (
        metrics.dendrogram_purity,
        metrics.macro_dendrogram_purity,
        metrics.lhd_pair,
        metrics.lhd_log,
    )
    found = {score.__name__: score(table) for score in of_leaves}
    found |= {score.__name__: score(tree.parents, table) for score in of_trees}
    found["lhd_mistake"] = metrics.lhd_mistake(tree.parents, table, tree.heights)
    return {
        name: None if np.isnan(value) else float(value) for name, value in found.items()
    }


def _page(tree, leaves, details, *, title, note, images, logits) -> str:
    """`trees.page` of a hierarchy, with a few images of each class."""
    if images is not None:
        if len(images) != len(tree.assignments):
            raise ValueError(
                f"images: expected {len(tree.assignments)}, one a row; got "
                f"{len(images)}."
            )
        images = [
            [images[row] for row in classes.examples(tree, logits, [c], EXAMPLES)]
            for c in tree.leaves
        ]
    certainty = tree.margins / np.maximum(tree.affinities, 1e-300)
    order = np.argsort(certainty, kind="stable")
    order = order[(tree.runner_ups[order] >= 0) & (tree.affinities[order] > 0)]
    uncertain = len(tree.leaves) + order[:UNCERTAIN]
    return trees.page(
        tree.parents,
        tree.heights,
        leaves,
        title=title,
        note=note,
        details=details,
        labels=LABELS,
        links=LINKS,
        lists={"Least certain merges (smallest margin for their affinity)": uncertain},
        images=images,
    )


def _merges_csv(tree: Hierarchy, support) -> str:
    """`classes.merge_report` as a table; with support [T] a column more, bootstrap."""
    columns = classes.merge_report(tree)
    columns |= {} if support is None else {"bootstrap": np.asarray(support)}
    rows = zip(*(column.tolist() for column in columns.values()))
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


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
    linkage, leaves = io.BytesIO(), classes.class_names(tree, names)
    np.save(linkage, tree.linkage)
    details = classes.details(tree, support)
    rows, on_nodes = tree.counts[tree.leaves], details.get("bootstrap")
    options = dict(title=title, note=note, images=images, logits=logits)
    texts = {
        "tree.json": trees.to_json(tree.parents, tree.heights, leaves, details),
        "tree.nwk": classes.newick(tree, names) + "\n",
        "merges.csv": _merges_csv(tree, support),
        "index.html": _page(tree, leaves, details, **options),
    }
    if labels is not None:
        texts["metrics.json"] = json.dumps(scores(tree, labels), indent=2) + "\n"
    return {name: text.encode() for name, text in texts.items()} | {
        "linkage.npy": linkage.getvalue(),
        "dendrogram.png": trees.dendrogram(
            tree.parents, leaves, weights=rows, support=on_nodes
        ),
    }


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
