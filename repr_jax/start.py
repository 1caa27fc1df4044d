"""Parameters of another run, or of a file, as the start of this one."""

from collections.abc import Sequence

import jax
import numpy as np
from etils import epath

from repr_jax import checkpoint

SHOWN = 8  # paths that a summary or an error lists


def read(source, step: str = "") -> dict[str, np.ndarray]:
    """{"params/encoder/kernel": array} of a run's workdir, or of an .npz file.

    Args:
      source: a workdir: the moving average of its parameters if it kept one, and its
        extras. Or an .npz, whose names have slashes; those that start with neither
        params/ nor extras/ are of params.
      step: of the checkpoint; "" for the newest, "best" for the best.

    Raises:
      FileNotFoundError: there is no such run, checkpoint or file.
    """
    path = epath.Path(source).expanduser()
    if path.suffix == ".npz":
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        known = ("params/", "extras/")
        return {
            name if name.startswith(known) else f"params/{name}": x
            for name, x in arrays.items()
        }
    return checkpoint.read_model(path / "checkpoints", step)


def take(source, params, extras, *, prefixes: Sequence[str] = (), step: str = ""):
    """The trees with what the source has of them.

    Args:
      source, step: as of `read`.
      params, extras: of this run.
      prefixes: paths that must be taken, such as "params/encoder" and
        "extras/batch_stats/encoder"; "params/encoder=params/backbone" takes ours from
        another place there. Empty takes whatever has the same path and shape.

    Returns:
      params, extras, and a summary of what was and was not taken.

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
    unused = len(theirs) - len(taken)
    summary = (
        f"start: {len(taken)} of {len(leaves)} arrays taken from {source} "
        f"({unused} of its arrays not used); not taken: {_some(left) or 'none'}"
    )
    return tree["params"], tree["extras"], summary


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
