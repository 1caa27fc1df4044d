"""The command line of `repr_jax.estimators.hierarchy`."""

import argparse
import os
import sys
import time

import numpy as np

from repr_jax.estimators import hierarchy
from repr_jax.estimators.hierarchy import Sparse, files, host

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


class Progress:
    """Lines on stderr: rewritten on a terminal, else one now and then."""

    def __init__(self, quiet: bool):
        self.quiet, self.terminal = quiet, sys.stderr.isatty()
        self.last, self.open = time.monotonic(), False

    def __call__(self, what: str, done: int, total: int) -> None:
        wait = 0.2 if self.terminal else 5.0
        late = time.monotonic() - self.last > wait
        if self.quiet or not (late or (done == total and (self.open or self.terminal))):
            return
        self.last, self.open = time.monotonic(), done < total
        end = "\r" if self.terminal and done < total else "\n"
        line = f"{what}: {done:,} of {total:,}"
        print(f"{line:50}", end=end, file=sys.stderr, flush=True)


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
    if args.bootstrap < 0:
        raise ValueError(f"--bootstrap: expected 0 or more; got {args.bootstrap}.")
    if args.bootstrap and args.empty == "drop":
        raise ValueError("--bootstrap: expected --empty=last or zero with it.")
    if args.threads is not None and args.threads < 1:
        raise ValueError(f"--threads: expected 1 or more; got {args.threads}.")
    if names is not None and len(names) != classes:
        raise ValueError(
            f"{args.names}: expected {classes} names, one a class; got {len(names)}."
        )
    return rows, classes


def fitted(args, logits, num_classes: int, progress):
    """The tree, and a sentence on what sparse logits leave unresolved."""
    options = dict(empty=args.empty, aggregation=AGGREGATIONS[args.aggregation])
    if not isinstance(logits, Sparse):
        options |= dict(temperature=args.temperature, num_threads=args.threads)
        return hierarchy.fit(logits, progress=progress, **options), ""
    found = hierarchy.fit_sparse(logits, num_classes=num_classes, **options)
    return found.tree, (
        f" Of the rows, {found.unresolved_rows:.2%} once had no kept logit left, "
        f"in {found.unresolved_moves:.2%} of all re-assignments."
    )


def bootstrap_support(args, logits, tree, progress) -> np.ndarray | None:
    """[T] share of resampled trees that have each merge's node, if asked for."""
    if not args.bootstrap:
        return None
    resampled = hierarchy.bootstrap(
        logits,
        num_samples=args.bootstrap,
        aggregation=AGGREGATIONS[args.aggregation],
        empty=args.empty,
        temperature=args.temperature,
        num_threads=args.threads,
        progress=progress,
    )
    return hierarchy.clade_support(tree, resampled)


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
    progress, began = Progress(args.quiet), time.monotonic()
    tree, missing = fitted(args, logits, num_classes, progress)
    seconds = time.monotonic() - began
    support = bootstrap_support(args, logits, tree, progress)
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
        f"{note} The fit took {seconds:.1f} s; {folder} has "
        f"{', '.join(sorted(content))}."
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
