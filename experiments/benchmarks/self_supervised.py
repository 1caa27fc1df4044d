"""Self-supervised methods of this project beside lightly's, on the same views.

python -m experiments.benchmarks.self_supervised --peer=PYTHON --workdir=DIR

SimCLR, BYOL, Barlow Twins, VICReg and DINO train one convolutional network from one
start by one optimizer on one series of views, here and in a process of PYTHON, an
interpreter that has torch and lightly, see `peers/self_supervised.py`. There the loss
is lightly's class of that name. One evaluator judges both. A step of ours makes its
views, one of the peer reads them from a file. Writes DIR/self_supervised_peer.json and
.md; --smoke takes two steps of eight images.

The configs are those of `experiments.papers.self_supervised`; DINO's has here the
network and the optimizer of the others, and local views of the size of an image.
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from experiments import two_view
from experiments.arguments import at_least, one_line_errors, parser_of, writable_folder
from experiments.benchmarks import processes
from experiments.papers.self_supervised import CONVOLUTIONS, METHODS
from experiments.results import store, tables
from repr_jax import config as configs
from repr_jax import run
from repr_jax.evaluators import knn, linear_probe
from repr_jax.evaluators.common import batches, collect
from repr_jax.train import init_state

NAMES = ("SimCLR", "BYOL", "Barlow Twins", "VICReg", "DINO")
PEER = pathlib.Path(__file__).with_name("peers") / "self_supervised.py"
ABOUT = (
    "{num_steps} steps of {batch_size} digits, the same views on either side; ours "
    "first, then lightly's {versions}. 20 neighbors and a linear probe of {rows} rows "
    "on the test split; ms: the median of a step. {cores} cores, one run at a time. Of "
    "{seeds} seeds, which choose start, views and order."
)


class Side(NamedTuple):
    """What became of a run, here or there."""

    losses: np.ndarray  # [step], of log points; each the mean since the last
    knn: float  # accuracy
    probe: float  # accuracy
    ms: float  # of a step


def config_of(method: str, seed: int, asked):
    """The config of a run: one network and optimizer for all methods."""
    mode = ":smoke" if asked.smoke else ""
    values = {"seed": seed, "num_steps": asked.num_steps}
    values |= {"batch_size": asked.batch_size, "log_every": asked.every}
    values |= {"checkpoint_every": asked.num_steps, "optimizer.warmup_steps": 0}
    config = configs.load(METHODS[method].format("mnist") + mode, values)
    common = configs.load(CONVOLUTIONS.format("mnist") + mode, values)
    with config.unlocked():
        config.encoder = common.encoder
        config.optimizer = {**common.optimizer, "num_steps": asked.num_steps}
        config.optimizer.warmup_steps = asked.num_steps // 20
        if "local_augment" in config:
            config.local_augment.size = 28  # as the network is of one size
    return config


def job_of(method: str, config) -> dict:
    """The numbers of a config that the peer needs, as JSON has them."""

    def ends(name):
        return [config[name].start, config[name].end] if name in config else []

    loss = {n: v for n, v in config.loss.items() if n != "fn"}
    encoder = {n: config.encoder[n] for n in ("widths", "hidden", "features")}
    return dict(
        method=method,
        num_steps=config.num_steps,
        encoder=encoder,
        projector=config.projector.widths,
        batch_norm=config.projector.batch_norm,
        num_prototypes=config.projector.get("num_prototypes", 0),
        predictor=config.predictor.widths if "predictor" in config else [],
        loss=loss,
        peak=config.optimizer.peak,
        warmup_steps=config.optimizer.warmup_steps,
        decay=ends("decay"),
        target_temperature=ends("target_temperature"),
        center_decay=config.get("center_decay", 0.0),
        freeze_steps=config.get("freeze_steps", 0),
        by_target="center_decay" in config,
    )


def write_views(config, parts, folder: pathlib.Path) -> None:
    """views_N.npy, [step, batch, height, width, channels] float32, as the run has them.

    The key of a step is that of `train.make_update`.
    """
    of_images, run_key = two_view.views(config), jax.random.key(config.seed)

    @jax.jit
    def views(batch, step):
        image = parts.dataset.prepare(batch)["image"]
        return of_images(jax.random.fold_in(run_key, step), image)

    files = None
    for step, batch in zip(
        range(config.num_steps), parts.dataset.train(config.batch_size)
    ):
        found = [np.asarray(x) for x in views(batch, step)]
        files = files or [
            np.lib.format.open_memmap(
                folder / f"views_{i}.npy",
                mode="w+",
                dtype=np.float32,
                shape=(config.num_steps, *x.shape),
            )
            for i, x in enumerate(found)
        ]
        for file, x in zip(files, found):
            file[step] = x


def hand_over(method: str, config, parts, folder: pathlib.Path) -> None:
    """What the peer reads: job.json, start.npz, images.npz and views."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text(json.dumps(job_of(method, config)))
    batch = next(parts.dataset.train(config.batch_size))
    params = init_state(parts, config, batch).params
    paths = jax.tree_util.tree_leaves_with_path(params)
    start = {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(x)
        for path, x in paths
    }
    np.savez(folder / "start.npz", **start)
    images = {
        split: np.concatenate(
            [
                np.asarray(parts.dataset.prepare(batch)["image"])[batch["where"]]
                for batch in batches(parts.dataset, split, 256)
            ]
        )
        for split in ("train", "test")
    }
    np.savez(folder / "images.npz", **images)
    write_views(config, parts, folder)


def scores(x, y, x_test, y_test) -> tuple[float, float]:
    """Accuracies of 20 neighbors and of a linear probe."""
    options = dict(num_neighbors=20, num_classes=int(y.max()) + 1)
    votes = np.asarray(knn.shares(x, y, x_test, **options))
    nearest = float(np.mean(votes.argmax(axis=1) == y_test))
    return nearest, linear_probe.score(x, y, x_test, y_test).accuracy


def ours(config, parts, workdir) -> Side:
    """A run of this project."""
    losses, times = [], []

    def on_log(step, metrics):
        losses.append(metrics["loss"])
        times.append(time.perf_counter())

    state = run.train(config, workdir, parts=parts, on_log=on_log)
    model = run.trained(parts, state, workdir)
    found = [collect(model, parts.dataset, s, 256) for s in ("train", "test")]
    ms = 1e3 * np.diff(times) / config.log_every
    return Side(np.array(losses), *scores(*found[0], *found[1]), float(np.median(ms)))


def theirs(config, parts, folder: pathlib.Path, peer: str) -> Side:
    """The same by the peer, of what `hand_over` wrote.

    Raises:
      ValueError: its process failed; the end of what it said.
    """
    processes.run(peer, PEER, folder)
    found = np.load(folder / "peer.npz")
    labels = {
        split: np.concatenate(
            [b["label"][b["where"]] for b in batches(parts.dataset, split, 256)]
        )
        for split in ("train", "test")
    }
    pairs = [(found[split], labels[split]) for split in ("train", "test")]
    losses = found["losses"].reshape(-1, config.log_every).mean(axis=1)
    ms = 1e3 * statistics.median(found["seconds"][1:])
    return Side(losses, *scores(*pairs[0], *pairs[1]), ms)


def both(method: str, seed: int, asked) -> tuple[Side, Side]:
    """One start and one series of views, trained here and there; the views go again."""
    config = config_of(method, seed, asked)
    parts = run.build(config)
    folder = pathlib.Path(asked.workdir) / method.replace(" ", "_") / f"seed{seed}"
    hand_over(method, config, parts, folder / "peer")
    here = ours(config, parts, folder / "run")
    there = theirs(config, parts, folder / "peer", asked.peer)
    shutil.rmtree(folder / "peer")
    for side, who in ((here, "ours"), (there, "peer")):
        print(f"{method}, seed {seed}, {who}: {side._replace(losses=side.losses[-1])}")
    return here, there


def table_of(found: dict[str, Sequence[tuple[Side, Side]]]) -> tables.Table:
    """A line a method: every number of ours and, beside it, of the peer."""
    fields = {"20 neighbors": "knn", "linear probe": "probe", "ms": "ms"}
    lines = []
    for method, pairs in found.items():
        cells = [
            tables.over_seeds(getattr(side, field) for side in sides)
            for field in fields.values()
            for sides in zip(*pairs)
        ]
        last = [[side.losses[-1] for side in sides] for sides in zip(*pairs)]
        lines.append((method, *cells, *map(tables.over_seeds, last)))
    names = [f"{n}, {who}" for n in (*fields, "last loss") for who in ("ours", "peer")]
    formats = ("", *(".3f",) * 4, ".1f", ".1f", ".4f", ".4f")
    return tables.Table(("method", *names), lines, formats)


def versions(peer: str) -> str:
    """Of lightly and torch there; "" where they are not."""
    code = "import torch, lightly; print(lightly.__version__, 'on torch', "
    code += "torch.__version__)"
    try:
        done = subprocess.run([peer, "-c", code], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def main(arguments=None) -> int:
    """Trains every method with every seed on both sides; the exit code."""
    parser = parser_of("experiments.benchmarks.self_supervised", __doc__)
    add = parser.add_argument
    add("--workdir", type=writable_folder, required=True, metavar="DIR")
    add("--peer", default=sys.executable, help="a Python with torch and lightly")
    add("--only", default=",".join(NAMES), help="methods, with commas")
    add("--seeds", type=at_least(1), default=3)
    add("--num_steps", type=at_least(2), default=1_000)
    add("--batch_size", type=at_least(2), default=128)
    add("--smoke", action="store_true", help="two steps of eight images")
    asked = parser.parse_args(arguments)
    if asked.smoke:
        asked.num_steps, asked.batch_size = 2, 8
    asked.every = 1 if asked.smoke else 10
    methods = asked.only.split(",")
    for name in methods:
        if name not in NAMES:
            parser.error(f"--only: expected some of {', '.join(NAMES)}; got {name}.")
    if asked.num_steps % asked.every or asked.num_steps == asked.every:
        parser.error(  # a step's time is that between two points of the log
            f"--num_steps: expected a multiple of {asked.every}, at least "
            f"{2 * asked.every}; got {asked.num_steps}."
        )
    there = versions(asked.peer)
    if not there:
        print(f"error: expected torch and lightly in {asked.peer}.", file=sys.stderr)
        return 2
    with one_line_errors(parser):
        found = {m: [both(m, s, asked) for s in range(asked.seeds)] for m in methods}
        print(write(asked, there, found))
    return 0


def write(asked, there: str, found: dict[str, Sequence[tuple[Side, Side]]]) -> str:
    """The file of results; returns its markdown."""
    rows = run.build(config_of("SimCLR", 0, asked)).dataset.num_examples["train"]
    numbers = dict(num_steps=asked.num_steps, batch_size=asked.batch_size, rows=rows)
    numbers |= dict(versions=there, cores=os.cpu_count(), seeds=asked.seeds)
    return store.write(
        pathlib.Path(asked.workdir) / "self_supervised_peer.json",
        title="Self-supervised methods beside lightly's",
        command=f"python -m experiments.benchmarks.self_supervised --peer=PYTHON "
        f"--only='{asked.only}' --seeds={asked.seeds} --num_steps={asked.num_steps} "
        f"--batch_size={asked.batch_size}{' --smoke' * asked.smoke} --workdir=DIR",
        seeds=range(asked.seeds),
        content=[ABOUT.format(**numbers), table_of(found)],
    )


if __name__ == "__main__":
    sys.exit(main())
