"""The command line of `repr_jax.estimators.hierarchy`."""

import argparse
import os
import sys
import time

import numpy as np

from repr_jax.estimators import hierarchy
from repr_jax.estimators.hierarchy import Sparse, files, host
from repr_jax.ops import checks

AGGREGATIONS = dict(
    sum_mean=hierarchy.sum_mean,
    sum_sum=hierarchy.sum_sum,
    mean_mean=hierarchy.mean_mean,
    mean_all=hierarchy.mean_all,
)
EXAMPLE = "python -m repr_jax.estimators.hierarchy LOGITS.npy --labels=Y.npy --out=DIR"


class Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line and exit code 2, as for every other wrong input."""
        self.exit(2, f"hierarchy: {message}\n")


def reporter(quiet: bool):
    """(what, done, total) -> a line on stderr, every five seconds."""
    last = time.monotonic()

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        if not quiet and time.monotonic() - last > 5:
            last = time.monotonic()
            print(f"{what}: {done:,} of {total:,}", file=sys.stderr, flush=True)

    return report


def parse(argv) -> argparse.Namespace:
    """The command line."""
    out = Parser(
        prog="python -m repr_jax.estimators.hierarchy",
        description="A tree over the classes of any model, from its logits.",
        epilog=f"Example: {EXAMPLE}",
    )
    add = out.add_argument
    add("logits", help=".npy [rows, classes]; .npz with indices, values, rest (top-m)")
    add("--labels", help=".npy of each row's true class: writes metrics.json")
    add("--names", help="names of the classes, one a line, or a JSON list")
    add("--images", help=".npy [rows, height, width, 1 or 3]: examples in index.html")
    add("--out", help="folder to write; LOGITS_hierarchy beside the logits by default")
    add("--aggregation", choices=AGGREGATIONS, default="sum_mean")
    add("--empty", choices=("last", "zero", "drop"), default="last")
    add("--temperature", type=float, default=1.0, help="divides the logits")
    add("--bootstrap", type=int, default=0, help="resampled trees for the support")
    add("--threads", type=int, help="all processors by default")
    add("--quiet", action="store_true", help="no progress")
    return out.parse_args(argv)


def check(args, logits, names) -> tuple[int, int]:
    """Rows and classes; ValueError for what `fit` allows and is likely a mistake."""
    if isinstance(logits, Sparse):
        if np.ndim(logits.indices) != 2 or np.size(logits.indices) == 0:
            raise ValueError("logits: expected indices of shape [rows, m].")
        if args.temperature != 1 or args.bootstrap:
            raise ValueError("logits: top-m logits take no temperature or bootstrap.")
        rows, classes = len(logits.indices), int(np.max(logits.indices)) + 1
        classes = max(classes, len(names or ()))
    else:
        rows, classes = host.check_logits("logits", logits).shape
        if rows < classes:
            raise ValueError(
                f"logits: expected at least as many rows as classes; got {rows} rows "
                f"of {classes} (is the array transposed?)."
            )
    if classes == 1:
        raise ValueError("logits: expected two classes or more; got one column.")
    if args.bootstrap and args.empty == "drop":
        raise ValueError("--bootstrap: expected --empty=last or zero with it.")
    checks.count("--bootstrap", minimum=0, bootstrap=args.bootstrap)
    checks.count("--threads", threads=1 if args.threads is None else args.threads)
    if names is not None and len(names) != classes:
        raise ValueError(
            f"{args.names}: expected {classes} names, one a class; got {len(names)}."
        )
    return rows, classes


def grown(args, logits, num_classes: int):
    """The tree, [T] support of its nodes or None, and what sparse logits leave open."""
    options = dict(aggregation=AGGREGATIONS[args.aggregation], empty=args.empty)
    if isinstance(logits, Sparse):
        found = hierarchy.fit_sparse(logits, num_classes=num_classes, **options)
        missing = (
            f" Of the rows, {found.unresolved_rows:.2%} once had no kept logit left, "
            f"in {found.unresolved_moves:.2%} of all re-assignments."
        )
        return found.tree, None, missing
    options |= dict(temperature=args.temperature, num_threads=args.threads)
    options |= dict(progress=reporter(args.quiet))
    tree, support = hierarchy.fit(logits, **options), None
    if args.bootstrap:
        others = hierarchy.bootstrap(logits, num_samples=args.bootstrap, **options)
        support = hierarchy.clade_support(tree, others)
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
        f"{int(np.sum(tree.counts == 0)):,} are no row's best ({args.empty}); "
        f"aggregation {args.aggregation}, temperature {args.temperature:g}.{missing}"
    )
    content = files.contents(
        tree,
        names,
        labels=labels,
        support=support,
        images=images,
        logits=None if isinstance(logits, Sparse) else logits,
        title=os.path.basename(name),
        note=note,
    )
    files.write(folder, content)
    print(
        f"{note} This took {seconds:.1f} s; {folder} has {', '.join(sorted(content))}."
    )


def main(argv=None) -> None:
    """Exit code 0; 2 with one line for wrong input; 130 when interrupted."""
    args = parse(argv)
    try:
        run(args)
    except (ValueError, TypeError, OSError, EOFError, ImportError) as error:
        message = " ".join(str(error).split())
        print(f"hierarchy: {message}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("hierarchy: interrupted; nothing was written.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
