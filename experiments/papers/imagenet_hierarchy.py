"""The 1,000 classes of ImageNet as a tree, without any data: from a network's weights.

  python -m experiments.papers.imagenet_hierarchy --workdir=DIR

The rows are the class vectors of EfficientNet-Lite0, one a class, all of length tau;
L2H of their logits is held against WordNet, beside agglomerative clustering of the same
vectors. With --images=FOLDER a second tree is of the network's logits of any images,
in folders of their class or flat, over the classes that are some image's best. NAME is
imagenet_hierarchy, or imagenet_images for those:
  DIR/NAME.json and .md    agreement with WordNet, of every method; results.csv has it
                           in full;
  DIR/NAME_audit.json      and .md: merges that WordNet would not make, for spurious
                           correlations; audit.csv has all;
  DIR/class_vectors/tree, DIR/images/tree  linkage, dendrogram.png, and index.html to
                           walk the tree, beside the CSVs.
Logits of images are kept and used again.

Needs the extra `imagenet`, and WordNet 3.0: Debian's wordnet-base, or --wordnet=PATH of
data.noun.

Source: Palumbo et al., "From Logits to Hierarchies: Hierarchical Clustering made
  Simple", 2025, https://arxiv.org/abs/2410.07858, which shows the tree of another
  network from its logits of ImageNet's images, without figures. That class vectors can
  stand in for images is ours.
"""

import argparse
import math
import os
import pathlib
import sys
import time
from collections.abc import Callable

import numpy as np

from experiments.arguments import parser_of, writable_folder
from experiments.papers import hierarchy_scores, imagenet_audit, imagenet_images
from experiments.papers.hierarchy_scores import random_tree
from experiments.results import store
from repr_jax import logs, metrics, trees
from repr_jax.data import image_files, imagenet, wordnet
from repr_jax.data.wordnet import Taxonomy
from repr_jax.estimators import agglomerative, hierarchy
from repr_jax.estimators.hierarchy import files
from repr_jax.models import efficientnet
from repr_jax.ops import checks

TAUS = (5.0, 10.0, 20.0)  # of the table
RANDOM_SEEDS = 3
MIN_LEAVES, SPARED = 5, 10  # nodes of WordNet of 5 leaves to all but 10 are looked for

# Disjoint parts of the tree, by synsets; all other classes are one part more.
THREE = (("n00015388",), ("n00021939",))  # animal, artifact
EIGHT = (
    ("n03575240",),  # instrumentality
    ("n04341686",),  # structure
    ("n00021265", "n07555863"),  # food, and solid food
    ("n01503061",),  # bird
    ("n01661091",),  # reptile
    ("n02159955",),  # insect
    ("n02084071",),  # dog
)


def parts(taxonomy: Taxonomy, num: int, synsets) -> np.ndarray:
    """[num, parts] one-hot: the part of each leaf, the last for those in none."""
    below = trees.below(taxonomy.parents)
    table = np.zeros((num, len(synsets) + 1), np.int64)
    for part, names in enumerate(synsets):
        for name in names:
            for node in range(num, len(below)):
                if taxonomy.synsets[node] == name:
                    table[below[node], part] = 1
    table[:, -1] = 1 - table[:, :-1].sum(axis=1)
    return table


def scores(parents, taxonomy: Taxonomy) -> dict[str, float]:
    """How a tree over classes agrees with WordNet's over the same, which is not binary.

    Of best F1, every node of WordNet counts, also those with the same leaves as their
    only child.
    """
    num = trees.count_leaves(parents)
    below = trees.below(taxonomy.parents)[num:]
    size = below.sum(axis=1)
    wanted = (size >= MIN_LEAVES) & (size <= num - SPARED)
    best = metrics.best_f1(parents, below[wanted]) if wanted.any() else np.nan
    size = size[wanted] if wanted.any() else 1
    reference = wordnet.collapse(taxonomy).parents
    heights = [trees.sizes(p) - 1 for p in (parents, reference)]
    return {
        "DP, 3 parts": metrics.dendrogram_purity(parents, parts(taxonomy, num, THREE)),
        "DP, 8 parts": metrics.dendrogram_purity(parents, parts(taxonomy, num, EIGHT)),
        "best F1": float(np.mean(best)),
        "best F1 by size": float(np.sum(best * size) / np.sum(size)),
        "triplets": metrics.triplet_agreement(parents, reference),
        "cophenetic": metrics.cophenetic_correlation(parents, reference, *heights),
        "Robinson-Foulds": metrics.robinson_foulds(parents, reference),
    }


def depth(parents) -> int:
    """Edges from the root to the lowest leaf."""
    return int(trees.depths(np.asarray(parents)).max())


def class_vector_logits(kernel, bias, *, length: float) -> np.ndarray:
    """[K, K] float64: a linear classifier's logits of its own class vectors.

    logits_ij = length * w_i . w_j / |w_i| + b_j, one row for each class.

    Args:
      kernel: [dim, K] float, a vector w for each class in its columns.
      bias: [K] float.
      length: > 0, that of the features that the classifier is used to. The longer, the
        nearer to 1 are confidences: L2H cannot order those within 1e-7 of 1.

    Raises:
      ValueError: shapes do not fit, a vector is zero, or length is not above 0.
    """
    who = "class_vector_logits"
    kernel, bias = np.asarray(kernel, np.float64), np.asarray(bias, np.float64)
    checks.same_shape(who, rank=2, kernel=kernel)
    checks.shape(who, kernel.shape[1:], bias=bias)
    checks.positive(who, length=length)
    norm = np.linalg.norm(kernel, axis=0)
    if not np.all(norm > 0):
        raise ValueError(f"{who}: expected vectors; that of {norm.argmin()} is zero.")
    return length * (kernel / norm).T @ kernel + bias


def fit_finely(logits) -> hierarchy.Hierarchy:
    """L2H of confidences rounded to 2^-30, where those of `fit` are float32 before.

    So it tells some apart that are within 1e-7 of 1.
    """
    num = logits.shape[1]
    kept = hierarchy.sparsify(logits, num)
    return hierarchy.fit_sparse(kept, num_classes=num).tree


def of_class_vectors(kernel, bias, taus) -> dict[str, Callable[[int], np.ndarray]]:
    """{method: seed -> parents}, all of the same vectors."""
    unit = (kernel / np.linalg.norm(kernel, axis=0)).T.astype(np.float64)
    num = len(unit)

    def l2h(fit, tau):
        logits = class_vector_logits(kernel, bias, length=tau)
        return lambda seed: fit(logits).parents

    def linkage(method, metric):
        return lambda seed: (
            agglomerative.fit(
                unit, num_leaves=num, method=method, metric=metric
            ).parents
        )

    found = {f"L2H, tau {tau:g}": l2h(hierarchy.fit, tau) for tau in taus}
    found |= {f"L2H, tau {tau:g}, to 2^-30": l2h(fit_finely, tau) for tau in taus}
    return found | {
        "average linkage": linkage("average", "cosine"),
        "Ward": linkage("ward", "euclidean"),
        "complete linkage": linkage("complete", "cosine"),
        "single linkage": linkage("single", "cosine"),
        "random tree": lambda seed: random_tree(seed, num),
    }


def feature_bootstrap(kernel, bias, *, length, num_samples) -> list:
    """Trees of class vectors whose features are drawn with replacement, seed by seed.

    With one row a class, rows cannot be drawn again without losing classes.
    """
    found = []
    for sample in range(num_samples):
        rng = np.random.default_rng((0, sample))
        drawn = kernel[rng.integers(len(kernel), size=len(kernel))]
        logits = class_vector_logits(drawn, bias, length=length)
        found.append(hierarchy.fit(logits))
    return found


def write(asked, part: str, found, tree, taxonomy, names, *, support, page) -> str:
    """Everything of a part but its logits; returns the results as markdown.

    page: further arguments of `files.contents`.
    """
    workdir, title, note = pathlib.Path(asked.workdir), page["title"], page["note"]
    name = {"class_vectors": "imagenet_hierarchy", "images": "imagenet_images"}[part]
    command = (
        "python -m experiments.papers.imagenet_hierarchy --workdir=DIR "
        f"--tau={asked.tau:g} --bootstrap={asked.bootstrap}"
    )
    facts = dict(
        command=command + (" --images=FOLDER" if part == "images" else ""), seeds=[0]
    )
    of_merges = None if support is None else support[len(names) :]
    merges = imagenet_audit.rows(tree, wordnet.collapse(taxonomy), names, of_merges)
    store.write_csv(workdir / part / "audit.csv", imagenet_audit.COLUMNS, merges)
    content = imagenet_audit.content(merges)
    path = workdir / f"{name}_audit.json"
    store.write(path, title=f"{title}: merges to look at", content=content, **facts)

    rows, path = hierarchy_scores.csv_rows(found), workdir / part / "results.csv"
    store.write_csv(path, hierarchy_scores.CSV_HEADER, rows)
    content = files.contents(tree, names, support=support, **page)
    files.write(workdir / part / "tree", content)
    file, caption = f"pictures/{name}.png", f"{len(names):,} classes"
    picture = store.picture(workdir, file, caption, content["dendrogram.png"])
    content = [note, hierarchy_scores.table(found), picture]
    return store.write(workdir / f"{name}.json", title=title, content=content, **facts)


def class_vectors(asked, nouns, names) -> str:
    """The part without data; its results as markdown."""
    params = efficientnet.load()["params"]["classes"]
    kernel, bias = params["kernel"], params["bias"]
    taxonomy = wordnet.tree(nouns, imagenet.synsets())
    found = {}
    methods = of_class_vectors(kernel, bias, sorted({*TAUS, asked.tau}))
    for method, grow in methods.items():
        found[method] = []
        for seed in range(RANDOM_SEEDS if method == "random tree" else 1):
            began = time.monotonic()
            parents = grow(seed)
            seconds = time.monotonic() - began
            row = scores(parents, taxonomy)
            found[method].append(row | dict(depth=depth(parents), seconds=seconds))
        logs.say(f"{method}: {seconds:.2f} s")
    logits = class_vector_logits(kernel, bias, length=asked.tau)
    tree, support = hierarchy.fit(logits), None
    if asked.bootstrap:
        others = feature_bootstrap(
            kernel, bias, length=asked.tau, num_samples=asked.bootstrap
        )
        support = trees.clade_support(tree.parents, [x.parents for x in others])
    return write(
        asked,
        "class_vectors",
        found,
        tree,
        taxonomy,
        names,
        support=support,
        page=dict(
            title="ImageNet from class vectors",
            note=f"Class vectors of EfficientNet-Lite0, of length {asked.tau:g}. No "
            f"image was used; {asked.bootstrap} draws of their features give support.",
        ),
    )


def of_images(asked, nouns, names) -> str:
    """The part of images; its results as markdown."""
    paths, labels = image_files.list_folder(asked.images, who="--images")
    logits = imagenet_images.logits(paths, pathlib.Path(asked.workdir) / "images")
    present = np.unique(logits.argmax(axis=1))
    if len(present) < 2:
        raise ValueError(f"{asked.images}: expected images of two classes or more.")
    if len(present) < imagenet.NUM_CLASSES:
        logits = logits[:, present]
    began = time.monotonic()
    tree = hierarchy.fit(logits)
    seconds = time.monotonic() - began
    support = None
    if asked.bootstrap:
        others = hierarchy.bootstrap(logits, num_samples=asked.bootstrap)
        support = trees.clade_support(tree.parents, [x.parents for x in others])
    taxonomy = wordnet.tree(nouns, [imagenet.synsets()[c] for c in present])
    row = scores(tree.parents, taxonomy)
    row |= dict(depth=depth(tree.parents), seconds=seconds)
    return write(
        asked,
        "images",
        {f"L2H, {len(paths):,} images, {len(present):,} classes": [row]},
        tree,
        taxonomy,
        [names[c] for c in present],
        support=support,
        page=dict(
            labels=labels and np.unique(labels, return_inverse=True)[1],
            images=imagenet_images.Images(paths),
            title="ImageNet from images",
            note=f"EfficientNet-Lite0's logits of {len(paths):,} images, for the "
            f"{len(present):,} classes that are some image's best.",
        ),
    )


def parse(arguments) -> argparse.Namespace:
    """The command line."""
    parser = parser_of("experiments.papers.imagenet_hierarchy", __doc__)
    add = parser.add_argument
    add("--workdir", type=writable_folder, required=True, help="folder of results")
    add(
        "--images",
        type=os.path.expanduser,
        help="a folder of images, or of folders of images",
    )
    add("--wordnet", help="data.noun; where Debian puts it by default")
    add("--tau", type=float, default=10.0, help="length of class vectors")
    add("--bootstrap", type=int, default=20, help="trees for the support; 0: none")
    found = parser.parse_args(arguments)
    if not 0 < found.tau < math.inf or found.bootstrap < 0:
        parser.error("expected a finite --tau above 0 and --bootstrap 0 or more.")
    return found


def main(arguments=None) -> int:
    """Both parts, in turn; the exit code."""
    asked = parse(arguments)
    try:
        nouns, names = wordnet.read(asked.wordnet), imagenet.class_names()
        print(class_vectors(asked, nouns, names), flush=True)
        if asked.images:
            print(of_images(asked, nouns, names), flush=True)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"results: {asked.workdir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
