"""Parameters of another run, or of a file, as the start of this one."""

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from etils import epath

from repr_jax import checkpoint, files
from repr_jax.workdir import records

_KEY = re.compile(r"\.(\w+)")  # the field of the train state in a key path
_KEYS = re.compile(r"\['((?:[^'\\]|\\.)*)'\]|\[(\d+)\]")  # the rest of it
SHOWN = 8  # paths that a summary or an error lists


class Taken(NamedTuple):
    """What a run started from, by the paths of arrays."""

    source: str
    taken: list[str]
    not_taken: list[str]  # of this run, which start as they were initialized
    not_used: list[str]  # of the source

    def summary(self) -> str:
        """For the person who watches."""
        arrays = len(self.taken) + len(self.not_taken)
        return (
            f"start: {len(self.taken)} of {arrays} arrays taken from {self.source} "
            f"({len(self.not_used)} of its arrays not used); not taken: "
            f"{_some(self.not_taken) or 'none'}"
        )


def read(source, step: str = "") -> dict[str, np.ndarray]:
    """{"params/encoder/kernel": array} of a run's workdir, or of an .npz file.

    Args:
      source: a workdir: the moving average of its parameters if it kept one, and its
        extras. Or an .npz, whose names have slashes; those that start with neither
        params/ nor extras/ are of params.
      step: of the checkpoint; "" for the newest, "best" for the best.

    Raises:
      FileNotFoundError: there is no such run, checkpoint or file. ValueError: it is no
        .npz of plain arrays.
    """
    path = epath.Path(source).expanduser()
    if path.suffix == ".npz":
        arrays = files.read_npz("config.start", path)
        known = ("params/", "extras/")
        return {
            name if name.startswith(known) else f"params/{name}": x
            for name, x in arrays.items()
        }
    return _of_run(path, step)


def _of_run(workdir, step: str) -> dict[str, np.ndarray]:
    """As `read`, of a workdir."""
    best = {"best_metric": None, "best_mode": "min"}
    if step == "best":
        stored = json.loads(records.stored_text(workdir))
        best = {name: stored[name] for name in best if name in stored}
    folder = workdir / "checkpoints"
    if not folder.exists():
        raise FileNotFoundError(
            f"{workdir}: expected a run with checkpoints; got none."
        )
    with checkpoint.Checkpoints(folder, read_only=True, **best) as checkpoints:
        number = checkpoints.best_step() if step == "best" else int(step or -1)
        if number is None:
            raise FileNotFoundError(f"{workdir}: expected a best checkpoint; got none.")
        number = None if number < 0 else number
        arrays = checkpoints.arrays(number, (".params", ".extras", ".ema"))
    found = {}
    for name, x in arrays.items():
        field, keys = _KEY.match(name).group(1), _KEYS.findall(name)
        found["/".join([field, *(a or b for a, b in keys)])] = x
    # the average, where there is one, is of params [0] and of some extras by path [1]
    averaged = {n: x for n, x in found.items() if n.startswith("ema/")}
    found = {n: x for n, x in found.items() if n not in averaged}
    for name, x in averaged.items():
        part, _, path = name.removeprefix("ema/").partition("/")
        found[f"{'params' if part == '0' else 'extras'}/{path}"] = x
    return found


def take(source, params, extras, *, prefixes: Sequence[str] = (), step: str = ""):
    """The trees with what the source has of them.

    Args:
      source, step: as of `read`.
      params, extras: of this run.
      prefixes: paths that must be taken, such as "params/encoder" and
        "extras/batch_stats/encoder"; "params/encoder=params/backbone" takes ours from
        another place there. Empty takes whatever has the same path and shape.

    Returns:
      params, extras, and Taken.

    Raises:
      ValueError: an array below a prefix is missing there or of another shape, or
        nothing fits at all.
    """
    theirs = read(source, step)
    leaves, structure = jax.tree_util.tree_flatten_with_path(
        {"params": params, "extras": extras}
    )
    taken, left, missing, out = [], [], [], []
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        there = _place(name, prefixes)
        found = theirs.get(there) if there is not None else None
        fits = found is not None and found.shape == leaf.shape
        if fits:
            leaf = jax.device_put(found.astype(leaf.dtype), leaf.sharding)
        elif there is not None and prefixes:
            shape = "none" if found is None else str(found.shape)
            missing.append(f"{there}: wanted {leaf.shape}, got {shape}")
        (taken if fits else left).append(name)
        out.append(leaf)
    if missing or not taken:
        reasons = missing or sorted(theirs)
        raise ValueError(
            f"config.start: expected {source} to have "
            f"{'what the prefixes name' if missing else 'arrays of this model'}; "
            f"{_some(reasons)}."
        )
    tree = jax.tree_util.tree_unflatten(structure, out)
    used = {_place(name, prefixes) for name in taken}
    taken = Taken(str(source), taken, left, sorted(set(theirs) - used))
    return tree["params"], tree["extras"], taken


def _place(name: str, prefixes: Sequence[str]) -> str | None:
    """Where an array of ours is found there; None if no prefix covers it."""
    if not prefixes:
        return name
    for prefix in prefixes:
        ours, _, there = prefix.partition("=")
        if name == ours or name.startswith(ours.rstrip("/") + "/"):
            return (there or ours) + name[len(ours) :]
    return None


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
