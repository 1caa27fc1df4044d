"""What orbax is told, in one place: saving a state whole, and getting it back intact.

Orbax writes in the background and atomically, but loads flipped bytes as if they were
right. So every checkpoint carries, in its metadata, one checksum per leaf, taken on the
device before writing and compared after reading.
"""

import contextlib
import functools
import gc
import io
import json
import logging
import math
import os
import time
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from repr_jax import sharding

_LOGGER = logging.getLogger(__name__)


class DamagedError(OSError):
    """A checkpoint exists, but cannot be read or is not what was written."""


def abstract(state):
    """Shapes, dtypes and shardings of a state: what `Checkpoints.restore` wants.

    A leaf without a sharding (a NumPy array, a plain `jax.ShapeDtypeStruct`) is asked
    for on every device.
    """

    def leaf(x):
        x = x if hasattr(x, "sharding") else jax.eval_shape(jnp.asarray, x)
        where = x.sharding or sharding.replicated(sharding.make_mesh())
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)

    return jax.tree.map(leaf, state)


class Checkpoints:
    """The checkpoints of one run, in `directory/<step>`.

    In a run of several processes each makes one and calls its methods alike. Usable in
    a `with`, which waits for the last write.

    Args:
      directory: local or `gs://`; made if missing. Unfinished saves
        (`*.orbax-checkpoint-tmp`) in it are ignored.
      keep_last: >= 1, so many newest checkpoints are kept.
      best_metric: also keep the checkpoint whose metric of this name is lowest; None
        to keep the newest only. NaN counts as infinite, and the first of equals wins.

    Raises:
      ValueError: keep_last < 1.
      PermissionError: the directory cannot be made or written.
    """

    def __init__(self, directory, *, keep_last=2, best_metric=None, best_mode="min"):
        if keep_last < 1:
            raise ValueError(f"keep_last: expected at least 1; got {keep_last}.")
        self.directory = _writable(directory)
        self._keep_last = keep_last
        self._best_metric = best_metric
        self._sign = -1.0 if best_mode == "max" else 1.0
        self._pending = None  # (step, score, response) of the write in the background
        self._damaged = []  # steps that `restore` passed over
        self._scores = {}  # complete step -> its best_metric, None if it has none
        for step in _of_main_process(_complete_steps(self.directory)):
            self._scores[step] = None
            if best_metric is not None:
                with _quiet(), contextlib.suppress(DamagedError):
                    metrics = self._describe(step)["metrics"]
                    self._scores[step] = metrics.get(best_metric)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        try:
            self.close()
        except OSError as failed:  # do not hide the error that ended the block
            if error is None:
                raise
            _LOGGER.warning("%s", failed)

    def save(self, step: int, state, metrics: dict | None = None) -> None:
        """Starts to write a state; returns once it has been copied to the host.

        The caller may donate the arrays at once. A step that is saved already is left
        as it is. At most one write runs: a second save waits for the first.

        Args:
          step: >= 0, names the checkpoint.
          state: a tree of arrays of any dtype, typed keys and empty arrays included,
            all on the same devices; in a run of several processes, global ones.
          metrics: name -> number, kept with the checkpoint.

        Raises:
          OSError: the write before this one failed.
          ValueError: `metrics` lacks `best_metric`, or the state holds no array.
        """
        metrics = {name: float(value) for name, value in (metrics or {}).items()}
        self.wait()
        self._delete(self._damaged)  # or they would count among the last
        self._damaged = []
        if step in self._scores:
            return
        names, leaves = _flatten(state)
        leaves = [x if isinstance(x, jax.Array) else jnp.asarray(x) for x in leaves]
        arrays = {name: x for name, x in zip(names, leaves) if x.size}
        if not arrays:
            raise ValueError("save: expected a state with arrays; got an empty one.")
        sums = dict(zip(arrays, _checksums(list(arrays.values()))))
        described = {n: [_kind(x), sums.get(n)] for n, x in zip(names, leaves)}
        response = ocp.save_checkpointables_async(
            self.directory / str(step),
            {"state": arrays},
            custom_metadata=_sealed({"leaves": described, "metrics": metrics}),
        )
        self._pending = step, metrics.get(self._best_metric), response

    def wait(self) -> None:
        """Returns once the last save is complete; raises OSError if it failed."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        step, score, response = pending
        try:
            response.result()
        except Exception as error:
            raise OSError(
                f"{self.directory}: step {step} could not be saved: {_reason(error)}"
            ) from error
        self._scores[step] = score
        keep = {*sorted(self._scores)[-self._keep_last :], self.best_step()}
        self._delete([step for step in self._scores if step not in keep])

    def close(self) -> None:
        """Waits for the last save; nothing else is held open."""
        self.wait()

    def latest_step(self) -> int | None:
        """The newest complete checkpoint, readable or not; None if there is none."""
        return max(self._scores, default=None)

    def best_step(self) -> int | None:
        """The checkpoint with the lowest `best_metric`; None if there is none."""
        known = sorted((k, v) for k, v in self._scores.items() if v is not None)
        finite = {k: math.inf if math.isnan(v) else self._sign * v for k, v in known}
        return min(finite, key=finite.get, default=None)

    def restore(self, abstract_state, step: int | None = None):
        """The newest state that is intact, or the one of `step`.

        What was passed over, and why, is logged in one line each.

        Args:
          abstract_state: a tree like the saved one, of `jax.ShapeDtypeStruct` with
            shardings or of arrays; see `abstract`. The devices may be others than
            those that saved.
          step: only this one will do; None for the newest.

        Returns:
          (step, state); None if there is no checkpoint at all.

        Raises:
          ValueError: the checkpoint holds another tree, other shapes or dtypes; lists
            the leaves that differ.
          DamagedError: there are checkpoints, and none of them is intact.
          FileNotFoundError: `step` was given and is not there.
        """
        self.wait()
        wanted = abstract(abstract_state)
        if step is not None and step not in self._scores:
            raise FileNotFoundError(
                f"{self.directory}: expected a checkpoint of step {step}; it has "
                f"{sorted(self._scores) or 'none'}."
            )
        steps = sorted(self._scores, reverse=True) if step is None else [step]
        problems = []
        for i, candidate in enumerate(steps):
            state, problem = self._read(candidate, wanted)
            if problem is None:
                self._damaged = steps[:i]
                if problems and sharding.is_main_process():
                    _LOGGER.warning(
                        "%s: %s; continuing from step %d instead.",
                        self.directory,
                        "; ".join(problems),
                        candidate,
                    )
                return candidate, state
            problems.append(f"step {candidate} is damaged ({problem})")
        if problems:
            raise DamagedError(
                f"{self.directory}: expected an intact checkpoint; "
                f"{'; '.join(problems)}."
            )
        return None

    def _delete(self, steps) -> None:
        """Removes steps; the main process does it, the others wait."""
        for step in steps:
            del self._scores[step]
            if sharding.is_main_process():
                (self.directory / str(step)).rmtree(missing_ok=True)
        if steps and jax.process_count() > 1:
            multihost_utils.sync_global_devices("repr_jax.checkpoint.delete")

    def _describe(self, step) -> dict:
        """{"leaves": {name: [kind, checksum]}, "metrics"}; reads no array."""
        path = self.directory / str(step)
        body = _unsealed(ocp.checkpointables_metadata(path).custom_metadata or {})
        if body is None:
            raise DamagedError("its description is missing or changed")
        return body

    def _read(self, step, wanted):
        """(state, None), or (None, what is wrong); the same in every process."""
        with _quiet():
            body, problem = _attempt(lambda: self._describe(step))
            if problem is not None:
                return None, problem
            _check_same(f"{self.directory}: step {step}", wanted, body["leaves"])
            return _attempt(lambda: self._load(step, wanted, body["leaves"]))

    def _load(self, step, wanted, described):
        """Reads a step and compares its checksums; any error means damage."""
        names, structs = _flatten(wanted)
        asked = {name: x for name, x in zip(names, structs) if math.prod(x.shape)}
        path = self.directory / str(step)
        found = ocp.load_checkpointables(path, {"state": asked})["state"]
        for name, x in asked.items():  # a lost description makes a key an integer
            if _kind(found[name]) != _kind(x):
                raise DamagedError(f"{name} came back as {_kind(found[name])}")
        now = _checksums([found[name] for name in asked])
        changed = [n for n, value in zip(asked, now) if described[n][1] != value]
        if changed:
            raise DamagedError(
                f"the contents of {len(changed)} of {len(asked)} leaves changed, "
                f"such as {changed[0]}"
            )
        leaves = [found[n] if n in found else _empty(x) for n, x in zip(names, structs)]
        return jax.tree.unflatten(jax.tree.structure(wanted), leaves)


def _writable(directory) -> epath.Path:
    """Makes the directory if need be; raises PermissionError if it cannot be used."""
    local = "://" not in os.fspath(directory)
    path = epath.Path(os.path.abspath(directory) if local else directory)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionError(
            f"{path}: expected a folder that can be made and written; got "
            f"{error.strerror or error}."
        ) from error
    if local and not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(
            f"{path}: expected a writable folder; this user may not write to it."
        )
    return path


def _complete_steps(path: epath.Path) -> list[int]:
    """Steps whose save was finished; the folder of another has a longer name."""
    steps = [int(child.name) for child in path.iterdir() if child.name.isdigit()]
    if "://" in str(path):  # no renaming there: orbax leaves a mark at the end
        steps = [n for n in steps if (path / str(n) / "commit_success.txt").exists()]
    return sorted(steps)


def _flatten(state) -> tuple[list[str], list[Any]]:
    """Unique names and leaves."""
    pairs = jax.tree_util.tree_leaves_with_path(state)
    names = [jax.tree_util.keystr(path) or "array" for path, _ in pairs]
    return names, [leaf for _, leaf in pairs]


def _kind(x) -> str:
    return f"{x.dtype}{list(x.shape)}"


def _check_same(who, wanted, described, most: int = 8) -> None:
    """Raises ValueError that lists the leaves which are not those wanted."""
    wanted = {name: _kind(x) for name, x in zip(*_flatten(wanted))}
    got = {name: kind for name, (kind, _) in described.items()}
    differ = [
        f"{name}: wanted {wanted.get(name, 'none')}, got {got.get(name, 'none')}"
        for name in {**wanted, **got}
        if wanted.get(name) != got.get(name)
    ]
    if differ:
        listed = "; ".join(differ[:most])
        more = f"; and {len(differ) - most} more" if len(differ) > most else ""
        raise ValueError(f"{who} holds another state than this run's; {listed}{more}.")


def _empty(struct):
    """An array without elements, where it is wanted."""
    make = functools.partial(jnp.zeros, struct.shape, struct.dtype)
    return jax.jit(make, out_shardings=struct.sharding)()


# Checksums


def _checksums(arrays, at_once: int = 16) -> list[int]:
    """One number in [0, 2^32) per array; the same for any sharding of it."""
    sums = []  # fetched in groups: too many unfinished collectives can deadlock
    for i in range(0, len(arrays), at_once):
        sums += jax.device_get([_checksum(x) for x in arrays[i : i + at_once]])
    return [int(x) for x in sums]


@jax.jit
def _checksum(x):
    """Sum over elements of a mix of their bits and position, modulo 2^32.

    The mix is one to one in the bits, so a change of one element always shows, and one
    of several stays hidden once in 2^32 cases. Integer sums do not depend on order.
    A program a shape: one for the whole state takes long to compile.
    """
    words = _words(x)
    position, stride = jnp.zeros(words.shape, jnp.uint32), 1
    for axis in reversed(range(words.ndim)):
        index = jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
        position += index * np.uint32(stride % 2**32)
        stride *= words.shape[axis]
    mixed = words + position * np.uint32(0x9E3779B1)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):  # as in MurmurHash3
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    return jnp.sum(mixed ^ (mixed >> np.uint32(16)), dtype=jnp.uint32)


def _words(x):
    """The bits of any array as uint32; 8-byte elements get a trailing axis of two."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    if jnp.iscomplexobj(x):
        x = jnp.stack([x.real, x.imag], axis=-1)
    size = x.dtype.itemsize
    if size == 8:
        return jax.lax.bitcast_convert_type(x, jnp.uint32)
    if jnp.issubdtype(x.dtype, jnp.floating):
        x = jax.lax.bitcast_convert_type(x, f"uint{8 * size}")
    return x.astype(jnp.uint32)


# Descriptions


def _sealed(body: dict) -> dict:
    """JSON text with a checksum of its own."""
    text = json.dumps(body)
    return {"repr_jax": text, "crc32": zlib.crc32(text.encode())}


def _unsealed(metadata: dict) -> dict | None:
    """What `_sealed` was given; None if that cannot be had back."""
    text = metadata.get("repr_jax")
    if not isinstance(text, str) or zlib.crc32(text.encode()) != metadata.get("crc32"):
        return None
    return json.loads(text)


# Errors, and agreeing on them


def _attempt(read):
    """(result, None), or (None, problem) if reading failed in any process."""
    try:
        result, problem = read(), None
    except (MemoryError, jax.errors.JaxRuntimeError):  # this machine, not the files
        raise
    except Exception as error:  # orbax has no error of its own for a damaged file
        result, problem = None, _reason(error)
        if not isinstance(error, DamagedError):
            logging.getLogger("asyncio").addFilter(_not_of_orbax)
            time.sleep(0.2)  # let what orbax left behind finish and complain
            gc.collect()
    if jax.process_count() > 1:
        failed = multihost_utils.process_allgather(np.array(problem is not None))
        if problem is None and failed.any():
            problem = f"found by process {int(np.argmax(failed))}"
    return (result, None) if problem is None else (None, problem)


def _not_of_orbax(record: logging.LogRecord) -> bool:
    """False for complaints of reads that orbax gave up; they come at any later time."""
    return "orbax" not in record.getMessage()


def _of_main_process(steps) -> list[int]:
    """The steps that process 0 sees; a slow file system may show others elsewhere."""
    if jax.process_count() == 1:
        return list(steps)
    count = int(multihost_utils.broadcast_one_to_all(np.array(len(steps))))
    mine = np.resize(np.array([*steps, 0]), count)
    return multihost_utils.broadcast_one_to_all(mine).tolist()


def _reason(error: BaseException) -> str:
    """One line: the first cause of an error."""
    seen = set()
    while id(error) not in seen:
        seen.add(id(error))
        error = error.__cause__ or error.__context__ or error
    first = str(error).strip().split("\n")[0]
    if isinstance(error, DamagedError):
        return first
    return f"{type(error).__name__}: {first}"[:120]


@contextlib.contextmanager
def _quiet():
    """Orbax and its threads report at length what `restore` says in a line."""
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
