"""Time a tree of logits against a plain NumPy form and scipy's average linkage.

python -m experiments.benchmarks.hierarchy --rows=1281167 --classes=1000

Writes random logits of nested clusters in float16 to a file (2.6 GB at that size; it is
kept and used again if --file is given), maps it into memory, and takes turns: our fit,
and the same algorithm as one writes it with NumPy, which also reads the rows of the
selected group alone, in blocks. Then scipy's average linkage of the largest number of
rows that --scipy_gb of distances allow, and with --growth fits of smaller parts for the
growth of cost with rows and classes. --out=DIR/NAME.json writes what is printed, and a
picture of that growth.

Memory is what a process holds besides the map: the largest RssAnon of /proc, sampled
100 times a second. Run it on an idle machine; the load is printed.
"""

import argparse
import contextlib
import math
import os
import pathlib
import sys
import tempfile
import threading
import time

import numpy as np

from experiments.arguments import at_least, one_line_errors, parser_of, results_file
from experiments.results import store, tables
from repr_jax import figures, files, metrics, trees
from repr_jax.estimators import hierarchy
from repr_jax.workdir import records

DIM = 64
PARTS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of the rows and classes, for the growth
COLUMNS = {  # and formats
    "program": "",
    "rows x classes": "",
    "seconds": ".2f",
    "processor seconds": ".2f",
    "memory beyond the map, MB": ".0f",
}
PLAIN_BLOCK = 4096  # rows; larger ones only need more memory


def nested_directions(rng, num_classes):
    """[K, DIM] float32 unit vectors, in clusters of clusters."""
    directions = np.zeros((1, DIM))
    for scale in (1.0, 0.8, 0.7):  # about ten children each
        children = int(np.ceil(num_classes ** (1 / 3)))
        directions = np.repeat(directions, children, axis=0)
        directions = directions + scale * rng.normal(size=directions.shape)
    directions = directions[rng.permutation(len(directions))[:num_classes]]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions.astype(np.float32)


def write_logits(path, num_rows, num_classes, seed=0):
    """[rows, K] float16: scaled cosines to nested random directions, plus noise."""
    rng = np.random.default_rng(seed)
    directions = nested_directions(rng, num_classes)
    out = np.lib.format.open_memmap(
        path, "w+", dtype=np.float16, shape=(num_rows, num_classes)
    )
    for start in range(0, num_rows, 8192):
        y = rng.integers(num_classes, size=min(8192, num_rows - start))
        x = 20 * directions[y] + 1.3 * rng.normal(size=(len(y), DIM)).astype(np.float32)
        out[start : start + len(y)] = x @ directions.T
    out.flush()


def plain(logits):
    """The algorithm in NumPy as it comes to mind: merges [K - 1, 2] of nodes."""
    num_rows, k = logits.shape

    def best(rows, masked):
        classes, confidence = [], []
        for start in range(0, len(rows), PLAIN_BLOCK):
            x = logits[rows[start : start + PLAIN_BLOCK]].astype(np.float32)
            x[:, masked] = -np.inf
            index = x.argmax(axis=1)
            top = x[np.arange(len(x)), index]
            classes.append(index)
            confidence.append(1 / np.exp(x - top[:, None]).sum(axis=1))
        return np.concatenate(classes), np.concatenate(confidence).astype(np.float64)

    h, g = best(np.arange(num_rows), [])
    counts = np.bincount(h, minlength=k)
    means = np.bincount(h, g, k) / np.maximum(counts, 1)
    score = np.where(counts > 0, means, np.inf)
    group, node, merges = np.arange(k), np.arange(k), []
    for step in range(k - 1):
        merged = score.argmin()
        members = np.flatnonzero(group == merged)
        names = np.unique(group)
        others = names[(names != merged) & np.isfinite(score[names])]
        if len(others):
            moved = np.bincount(*best(np.flatnonzero(np.isin(h, members)), members), k)
            size = np.bincount(group, minlength=k)
            drawn = np.bincount(group, moved, k)[others] / size[others]
            into = others[drawn.argmax()]
            gain = score[into]
        else:
            into, gain = names[names != merged][0], 0.0
        merges.append((node[merged], node[into]))
        kept, gone = min(merged, into), max(merged, into)
        total = score[merged] + gain
        score[kept], score[gone] = total, np.inf
        group[group == gone] = kept
        node[kept] = k + step
    return np.array(merges)


@contextlib.contextmanager
def peak_memory():
    """A list that holds the largest anonymous memory meanwhile, in MB, at the end."""
    out, stop = [0.0], threading.Event()

    def held():
        for line in pathlib.Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1024
        return 0.0

    def watch():
        while not stop.wait(0.01):
            out[0] = max(out[0], held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield out
    finally:
        stop.set()
        watcher.join()


def measure(name, size, function, *arguments):
    """What one call returned, and its row of COLUMNS, which is printed."""
    with peak_memory() as memory:
        began, cpu = time.perf_counter(), time.process_time()
        out = function(*arguments)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    row = (name, size, seconds, cpu, memory[0])
    print(tables.row_of(tables.shown(table([row]))[0]), flush=True)
    return out, row


def table(rows) -> tables.Table:
    return tables.Table(tuple(COLUMNS), rows, tuple(COLUMNS.values()))


def scipy_rows(gigabytes):
    """How many rows have their pairwise distances in so much memory, as float64."""
    return int(np.sqrt(2 * gigabytes * 2**30 / 8))


def average_linkage(logits):
    """scipy's, of the rows' Euclidean distances."""
    from scipy.cluster.hierarchy import linkage

    return linkage(np.asarray(logits, np.float64), "average")


def growth(logits):
    """[(rows, classes, seconds)] of fits of the first rows and classes."""
    num_rows, k = logits.shape
    sizes = [(int(num_rows * p), k) for p in PARTS]
    sizes += [(num_rows // 4, int(k * p)) for p in PARTS if int(k * p) > 1]
    points = []
    for rows, classes in sizes:
        part = np.ascontiguousarray(logits[:rows, :classes])
        row = measure("ours", f"{rows:,} x {classes:,}", hierarchy.fit, part)[1]
        points.append((rows, classes, row[2]))
    return points


def draw(points) -> bytes:
    """Seconds over rows, at all classes, and over classes; a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=figures.DPI, layout="constrained")
    for axis, part, column, name in zip(
        figure.subplots(1, 2),
        (points[: len(PARTS)], points[len(PARTS) :]),
        (0, 1),
        ("rows", "classes"),
    ):
        x = np.array([point[column] for point in part], float)
        seconds = np.array([point[2] for point in part])
        axis.loglog(x, seconds, "o-", label="measured")
        axis.loglog(
            x, seconds[-1] * x / x[-1], ":", color="gray", label="in proportion"
        )
        axis.set_xlabel(name)
        axis.set_ylabel("seconds")
        axis.legend(frameon=False)
    return figures.png(figure)


def compare(logits, turns) -> tuple[list, str]:
    """Rows of ours and of plain NumPy in turns; how the trees compare, in words."""
    num_rows, num_classes = logits.shape
    size, rows = f"{num_rows:,} x {num_classes:,}", []
    for _ in range(turns):
        tree, ours = measure("ours", size, hierarchy.fit, logits)
        merges, other = measure("plain NumPy", size, plain, logits)
        rows += [ours, other]
    ratio = np.median([b[2] / a[2] for a, b in zip(rows[::2], rows[1::2])])
    parents = np.full(2 * num_classes - 1, -1)
    for step, pair in enumerate(merges):
        parents[pair] = num_classes + step
    same = metrics.triplet_agreement(parents, tree.parents)
    merged = tree.merges[tree.merges[:, 0] >= num_classes, 0]
    reads = trees.node_sums(tree.parents, tree.counts)[merged].sum() / num_rows
    return rows, (
        f"Ours is {ratio:.2f} times as fast; triplets that agree: {same:.4f}; "
        f"classes without rows: {np.sum(tree.counts == 0)}; rows read "
        f"{1 + reads:.2f} times on average."
    )


def opened(path, num_rows, num_classes):
    """The map of the logits, written first if there are none, and in memory."""
    if not os.path.exists(path):
        write_logits(path, num_rows, num_classes)
    logits = files.map_npy("--file", path)
    if logits.shape != (num_rows, num_classes) or logits.dtype != np.float16:
        raise ValueError(
            f"{path}: expected float16 {(num_rows, num_classes)}; got {logits.dtype} "
            f"{logits.shape}."
        )
    np.max(logits.view(np.int16)[::64])  # brings the pages in, for all alike
    return logits


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = parser_of("experiments.benchmarks.hierarchy", __doc__)
    found.add_argument("--rows", type=at_least(1), default=50_000)
    found.add_argument("--classes", type=at_least(2), default=1000)
    found.add_argument("--turns", type=at_least(1), default=1)
    found.add_argument(
        "--file",
        type=os.path.expanduser,
        help="where the logits are, or go; else temporary",
    )
    found.add_argument("--scipy_gb", type=float, default=0.0, help="0: without scipy")
    found.add_argument("--growth", action="store_true", help="fits of smaller parts")
    found.add_argument("--out", type=results_file, help="a .json of results to write")
    return found


def main():
    command = parser()
    args = command.parse_args()
    if not 0 <= args.scipy_gb < math.inf:
        command.error(f"--scipy_gb: expected a number >= 0; got {args.scipy_gb}.")
    load = f"Load {os.getloadavg()[0]:.1f} at the start."
    print(f"{records.hardware()}. {load}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = args.file or os.path.join(folder, "logits.npy")
        with one_line_errors(command):
            logits = opened(path, args.rows, args.classes)
        rows, words = compare(logits, args.turns)
        if args.scipy_gb:
            num = min(scipy_rows(args.scipy_gb), args.rows)
            part, size = np.asarray(logits[:num]), f"{num:,} of these rows"
            rows.append(measure("ours", size, hierarchy.fit, part)[1])
            name = "scipy, average linkage, Euclidean"
            rows.append(measure(name, size, average_linkage, part)[1])
        content = [load, table(rows), words]
        print(words)
        points = growth(logits) if args.growth else []
    if args.out:
        with one_line_errors(command):
            write(args.out, content, points)


def write(out, content, points) -> None:
    """The file of results; with a picture if parts were fitted."""
    if points:
        folder, file = pathlib.Path(out).parent, "pictures/hierarchy_cost.png"
        caption = "Cost against rows and classes"
        content = [*content, store.picture(folder, file, caption, draw(points))]
    store.write(
        out,
        title="Hierarchies from logits: time and memory",
        command=store.command_line("experiments.benchmarks.hierarchy", sys.argv[1:]),
        seeds=[0],
        content=content,
    )


if __name__ == "__main__":
    main()
