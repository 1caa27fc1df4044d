"""Hierarchies from logits: trees of every method on the same rows, and their scores.

  python -m experiments.papers.logits_to_hierarchies --workdir=DIR --data_dir=DATA

Parts, the first four unless --only names others:
  mnist     ten clusters of digits, on the features of a SimCLR encoder: heads are
            fitted on the training split without labels, trees grown on the test split.
  emoji     98 clusters of emoji, on features of pictures and names together; the tree
            also against the 9 categories that the 98 subcategories belong to.
  taxonomy  trees over the 98 subcategories themselves, against the real taxonomy.
  imagenet  ImageNet's 1,000 classes against WordNet, by a network's class vectors, and
            by its logits of the images in --images; see `imagenet_hierarchy`, of which
            this is the command without its other options.
  cifar10, cifar100, food101, i_naturalist2021: as mnist, where tensorflow-datasets has
            prepared them in DATA.
Each writes DIR/logits_to_hierarchies_PART.json and .md, its picture, every number in
DIR/PART/results.csv, and in DIR/PART/pages the tree of each method that starts from
logits, with a page to walk it (index.html). Trees that are there already are not grown
again: the same command continues.

DATA has emoji.npz (see repr_jax/data/emoji.py) and the sets of tensorflow-datasets.

Source: Palumbo et al., "From Logits to Hierarchies: Hierarchical Clustering made
  Simple", 2025, https://arxiv.org/abs/2410.07858. Its features are CLIP's and DINOv2's;
  those here are of small encoders trained by this command, so that its figures and ours
  are not comparable. Which split its logits are of is not known to us.
"""

import argparse
import os
import pathlib
import sys
import time

import numpy as np

from experiments.arguments import parser_of, writable_folder
from experiments.launch import sweep
from experiments.papers import (
    hierarchy_data,
    hierarchy_methods,
    hierarchy_scores,
    imagenet_hierarchy,
)
from experiments.papers.hierarchy_scores import Tree
from experiments.results import store
from repr_jax import logs, metrics, trees
from repr_jax.estimators import hierarchy
from repr_jax.estimators.hierarchy import files

DEFAULT = ("mnist", "emoji", "taxonomy", "imagenet")
SHOWN = {
    "taxonomy": ("best F1", "triplets", "cophenetic", "coarse NMI"),
    "emoji": ("NMI", "dendrogram purity", "coarse dendrogram purity", "coarse NMI"),
}
SHOWN_ELSE = ("NMI", "ACC", "dendrogram purity", "lhd_log")


def grown(path: pathlib.Path, grow) -> Tree:
    """The tree in the file, or else grow(), timed, which is then kept there."""
    if path.exists():
        found = hierarchy_data.read_arrays(path, *Tree._fields[:-1])
        return Tree(**{**found, "seconds": float(found["seconds"].sum())})
    began = time.monotonic()
    tree = grow()
    tree = tree._replace(seconds=time.monotonic() - began)
    arrays = {k: v for k, v in tree._asdict().items() if v is not None}
    hierarchy_data.write_arrays(path, arrays)
    return tree


def write_page(folder: pathlib.Path, tree: Tree, names, images) -> None:
    """The folder of a tree of logits, with its page; nothing for other trees.

    names: of the leaves.
    """
    if tree.logits is None:
        return
    content = files.contents(
        hierarchy.fit(tree.logits),
        names,
        images=np.round(255 * images).astype(np.uint8),
        title=folder.name.replace("_", " "),
    )
    files.write(folder, content)


def named_by_majority(data: hierarchy_data.Data, tree: Tree) -> list[str]:
    """A name for each leaf: its number, and the class that most of its rows are of."""
    num = trees.count_leaves(tree.parents)
    rows = data.scored
    table = metrics.contingency(tree.assignments, rows.labels, num_clusters=num)
    most = table.argmax(axis=1)
    names = [data.names[c] if data.names else str(c) for c in most]
    names = [n if some else "no row" for n, some in zip(names, table.sum(axis=1))]
    return [f"{leaf}: {name}" for leaf, name in enumerate(names)]


def file_name(method: str) -> str:
    """A method's name as that of a file."""
    return method.replace(",", "").replace(" ", "_")


def of_clusters(name: str, source, asked) -> dict[str, list[dict[str, float]]]:
    """{method: scores a seed} of trees over clusters."""
    data = hierarchy_data.load(name, source, asked.workdir)
    if asked.smoke:
        data = hierarchy_data.first_rows(data, 64, 3)
    num = int(data.fitted.labels.max()) + 1
    folder, found = pathlib.Path(asked.workdir) / name / "trees", {}
    for method, grow in hierarchy_methods.CLUSTERS.items():
        seeds = 1 if method in hierarchy_methods.FIXED else asked.seeds
        found[method] = []
        for seed in range(seeds):
            since = time.monotonic()
            tree = grown(
                folder / f"{file_name(method)}_seed{seed}.npz",
                lambda grow=grow, seed=seed: grow(data, seed, num, asked.smoke),
            )
            rows = data.scored
            found[method].append(
                hierarchy_scores.of_clusters(tree, rows.labels, rows.coarse)
            )
            if seed == 0:
                names = named_by_majority(data, tree)
                page = folder.parent / "pages" / file_name(method)
                write_page(page, tree, names, rows.images)
            seconds = time.monotonic() - since
            logs.say(f"{name}: {method}, seed {seed}: {seconds:.1f} s")
    return found


def of_taxonomy(source, asked) -> dict[str, list[dict[str, float]]]:
    """{method: scores a seed} of trees over the subcategories of emoji."""
    data = hierarchy_data.load("emoji", source, asked.workdir)
    rows = data.scored
    labels, coarse = hierarchy_data.numbered(rows.labels, rows.coarse)
    names = [data.names[c] for c in np.unique(rows.labels)]
    folder, found = pathlib.Path(asked.workdir) / "taxonomy" / "trees", {}
    for method, grow in hierarchy_methods.CLASSES.items():
        seeds = asked.seeds if method in hierarchy_methods.RANDOM else 1
        found[method] = []
        for seed in range(seeds):
            tree = grown(
                folder / f"{file_name(method)}_seed{seed}.npz",
                lambda grow=grow, seed=seed: grow(rows.features, labels, seed),
            )
            found[method].append(hierarchy_scores.of_taxonomy(tree, coarse))
            page = folder.parent / "pages" / file_name(method)
            write_page(page, tree, names, rows.images)
        logs.say(f"taxonomy: {method}")
    return found


def write(name: str, found, asked) -> str:
    """Results, picture and CSV of a part; returns the results as markdown."""
    workdir, file = pathlib.Path(asked.workdir), f"logits_to_hierarchies_{name}"
    rows, path = hierarchy_scores.csv_rows(found), workdir / name / "results.csv"
    store.write_csv(path, hierarchy_scores.CSV_HEADER, rows)
    png = hierarchy_scores.draw(found, SHOWN.get(name, SHOWN_ELSE))
    caption = "Bars are means, points are seeds"
    picture = store.picture(workdir, f"pictures/{file}.png", caption, png)
    return store.write(
        workdir / f"{file}.json",
        title=f"Hierarchies from logits: {name}",
        command="python -m experiments.papers.logits_to_hierarchies --workdir=DIR "
        f"--data_dir=DATA --seeds={asked.seeds} --only={name}"
        + (" --smoke" if asked.smoke else ""),
        seeds=range(asked.seeds),
        content=[hierarchy_scores.table(found), picture],
    )


def parse(arguments) -> argparse.Namespace:
    """The command line."""
    parser = parser_of("experiments.papers.logits_to_hierarchies", __doc__)
    parser.add_argument(
        "--workdir",
        type=writable_folder,
        required=True,
        help="folder of runs and results",
    )
    parser.add_argument(
        "--data_dir",
        type=os.path.expanduser,
        default="",
        help="where emoji.npz and sets are",
    )
    parser.add_argument("--only", default=",".join(DEFAULT), help="parts, with commas")
    parser.add_argument("--seeds", type=int, default=3, help="of what is random")
    parser.add_argument(
        "--images",
        type=os.path.expanduser,
        help="for imagenet: a folder of images or folders",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="two steps of everything, few rows"
    )
    found = parser.parse_args(arguments)
    found.only = tuple(found.only.split(","))
    known = (*hierarchy_data.sources("", False), "taxonomy", "imagenet")
    unknown = [name for name in found.only if name not in known]
    if unknown:
        parser.error(f"--only: expected some of {', '.join(known)}; got {unknown[0]}.")
    if found.seeds < 1:
        parser.error(f"--seeds: expected at least 1; got {found.seeds}.")
    if not found.data_dir and set(found.only) - {"mnist", "imagenet"}:
        parser.error("--data_dir: expected the folder of the data; got none.")
    return found


def of_imagenet(asked) -> int:
    """The command of ImageNet's classes, in DIR/imagenet; its exit code."""
    arguments = [f"--workdir={pathlib.Path(asked.workdir) / 'imagenet'}"]
    if asked.images:
        arguments.append(f"--images={asked.images}")
    if asked.smoke:
        arguments.append("--bootstrap=0")
    return imagenet_hierarchy.main(arguments)


def main(arguments=None) -> int:
    """Grows and scores the trees of every part, in turn; the exit code."""
    asked = parse(arguments)
    sources = hierarchy_data.sources(asked.data_dir, asked.smoke)
    for name in asked.only:
        if name == "imagenet":
            if code := of_imagenet(asked):
                return code
            continue
        try:
            if name == "taxonomy":
                found = of_taxonomy(sources["emoji"], asked)
            else:
                found = of_clusters(name, sources[name], asked)
            text = write(name, found, asked)
        except (sweep.FailedError, ValueError, OSError, ImportError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 3 if isinstance(error, sweep.FailedError) else 2
        print(f"\n{name}\n\n{text}", flush=True)
    print(f"results: {asked.workdir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
