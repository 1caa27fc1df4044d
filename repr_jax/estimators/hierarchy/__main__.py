"""The command line of `repr_jax.estimators.hierarchy`."""

import argparse
import os
import sys
import time

import numpy as np

from repr_jax import trees
from repr_jax.estimators import hierarchy
from repr_jax.estimators.hierarchy import Sparse, files, host, merging
from repr_jax.ops import checks


def parse(argv) -> argparse.Namespace:
    """The command line."""
    prog = "python -m repr_jax.estimators.hierarchy"
    what = "A tree over the classes of any model, from its logits."
    out = argparse.ArgumentParser(prog=prog, description=what)
    add = out.add_argument
    add("logits", help=".npy [rows, classes]; .npz with indices, values, rest (top-m)")
    add("--labels", help=".npy of each row's true class: writes metrics.json")
    add("--names", help="names of the classes, one a line")
    add("--images", help=".npy [rows, height, width, 1 or 3]: examples in index.html")
    add("--out", help="folder to write; LOGITS_hierarchy beside the logits by default")
    add("--aggregation", choices=merging.AGGREGATIONS, default="sum_mean")
    add("--temperature", type=float, default=1.0, help="divides the logits")
    add("--bootstrap", type=int, default=0, help="resampled trees for the support")
    add("--threads", type=int, help="all processors by default")
    return out.parse_args(argv)


def check(args, logits, names) -> tuple[int, int]:
    """Rows and classes; ValueError for what `fit` allows and is likely a mistake."""
    if isinstance(logits, Sparse):
        if args.temperature != 1 or args.bootstrap:
            raise ValueError("logits: top-m logits take no temperature or bootstrap.")
        rows, classes = len(logits.indices), 1 + int(np.max(logits.indices, initial=0))
        classes = max(classes, len(names or ()))
    else:
        rows, classes = host.check_logits("logits", logits).shape
        if rows < classes:
            raise ValueError(
                f"logits: expected at least as many rows as classes; got {rows} rows "
                f"of {classes} (is the array transposed?)."
            )
    checks.count("--bootstrap", minimum=0, bootstrap=args.bootstrap)
    checks.count("--threads", threads=1 if args.threads is None else args.threads)
    if names is not None and len(names) != classes:
        raise ValueError(
            f"{args.names}: expected {classes} names, one a class; got {len(names)}."
        )
    return rows, classes


def grown(args, logits, num_classes: int):
    """The tree, [nodes] support or None, and what sparse logits leave open."""
    options = dict(aggregation=args.aggregation)
    if isinstance(logits, Sparse):
        found = hierarchy.fit_sparse(logits, num_classes=num_classes, **options)
        missing = f" {found.unresolved:.2%} of re-assignments had no kept logit left."
        return found.tree, None, missing
    options |= dict(temperature=args.temperature, num_threads=args.threads)
    tree, support = hierarchy.fit(logits, **options), None
    if args.bootstrap:
        others = hierarchy.bootstrap(logits, num_samples=args.bootstrap, **options)
        support = trees.clade_support(tree.parents, [x.parents for x in others])
    return tree, support, ""


def run(args) -> None:
    """Reads, fits, writes; whatever can be wrong is checked before the fit."""
    name = args.logits.removesuffix(".npy").removesuffix(".npz")
    folder = args.out or f"{name}_hierarchy"
    files.check_folder(folder)
    logits = files.read_logits(args.logits)
    names = files.read_names(args.names) if args.names else None
    num_rows, num_classes = check(args, logits, names)
    labels = files.read_labels(args.labels, num_rows) if args.labels else None
    images = files.read_images(args.images, num_rows) if args.images else None
    began = time.monotonic()
    tree, support, missing = grown(args, logits, num_classes)
    seconds = time.monotonic() - began
    note = (
        f"{num_rows:,} rows, {num_classes:,} classes, of which "
        f"{int(np.sum(tree.counts == 0)):,} are no row's best; aggregation "
        f"{args.aggregation}, temperature {args.temperature:g}.{missing}"
    )
    options = dict(labels=labels, support=support, images=images, note=note)
    content = files.contents(tree, names, title=os.path.basename(name), **options)
    files.write(folder, content)
    print(
        f"{note} This took {seconds:.1f} s; {folder} has {', '.join(sorted(content))}."
    )


def main(argv=None) -> None:
    """Exit code 0; 2 with one line for wrong input."""
    args = parse(argv)
    try:
        run(args)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print("hierarchy:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
