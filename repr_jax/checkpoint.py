"""Saves the state of a run whole, and gives it back intact, or says what is wrong.

Orbax writes in the background and atomically, but loads flipped bytes as if they were
right. So every checkpoint carries, in its metadata, one checksum per leaf, taken on the
device before writing and compared after reading. Which steps are kept is decided here:
orbax's `Checkpointer` takes a half-deleted step for a whole one, and does not open a
folder in which one byte of a step's metrics has changed.
"""

import contextlib
import json
import logging
import math
import os

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from repr_jax import sharding
from repr_jax.workdir import checksums, contents, lock, reading
from repr_jax.workdir.reading import DamagedError

_LOGGER = logging.getLogger(__name__)
_MARK = "commit_success.txt"  # orbax writes it into a finished step, last


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
    a `with`, which waits for the last write. Only missing files and content that is not
    what was written are damage. Any other failure to read is tried again a few times
    and then an OSError in every process, and no step is deleted because of it.

    Args:
      directory: local or `gs://`; made if missing. Unfinished saves
        (`*.orbax-checkpoint-tmp`) in it are ignored.
      keep_last: >= 1, so many newest checkpoints are kept.
      best_metric: also keep the best of the checkpoints that were saved with a metric
        of this name; None to keep the newest only. NaN is worst, and the first of
        equals wins.
      best_mode: "min" or "max", which value of best_metric is best.
      read_only: the folder is neither made nor changed, and `save` is an error.

    Raises:
      ValueError: keep_last < 1, or an unknown best_mode.
      PermissionError: the directory cannot be made or written.
    """

    def __init__(
        self,
        directory,
        *,
        keep_last: int = 2,
        best_metric: str | None = None,
        best_mode: str = "min",
        read_only: bool = False,
    ):
        if keep_last < 1:
            raise ValueError(f"keep_last: expected at least 1; got {keep_last}.")
        if best_mode not in ("min", "max"):
            raise ValueError(f"best_mode: expected min or max; got {best_mode!r}.")
        local = "://" not in os.fspath(directory)
        self.directory = epath.Path(os.path.abspath(directory) if local else directory)
        self._keep_last = keep_last
        self._best_metric, self._sign = best_metric, 1 if best_mode == "min" else -1
        self._read_only = read_only
        self._pending = None  # (step, score, response) of the write in the background
        self._damaged = []  # steps that were passed over
        reading.hide_tracebacks_of_orbax()
        self._scores = {}  # complete step -> score, lower is better; None without one
        if not read_only:
            lock.check_writable(self.directory)
            if sharding.is_main_process():
                lock.finish_deleting(self.directory)
        for step in _complete_steps(self.directory):
            self._scores[step] = None
            if best_metric is not None:
                try:
                    self._scores[step] = self._score(self._describe(step)["metrics"])
                except DamagedError as error:
                    self._warn(f"step {step} cannot be the best ({error})")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if error is None:
            self.close()
        elif jax.process_count() > 1:  # the others may be at a step, and not here
            with contextlib.suppress(Exception):
                if self._pending is not None:
                    self._pending[2].result()
        else:
            try:
                self.close()
            except OSError as failed:  # do not hide the error that ended the block
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
          OSError: this write could not begin, or the one before it failed.
          ValueError: the state holds no array.
        """
        if self._read_only:
            raise PermissionError(f"{self.directory}: opened for reading only.")
        metrics = {name: float(value) for name, value in (metrics or {}).items()}
        self.wait()
        self._delete(self._damaged)  # or they would count among the last
        self._damaged = []
        if step in self._scores:
            return
        names, leaves = contents.flatten(state)
        leaves = [x if isinstance(x, jax.Array) else jnp.asarray(x) for x in leaves]
        arrays = {name: x for name, x in zip(names, leaves) if x.size}
        if not arrays:
            raise ValueError("save: expected a state with arrays; got an empty one.")
        sums = dict(zip(arrays, checksums.of(list(arrays.values()))))
        described = {n: [contents.kind(x), sums.get(n)] for n, x in zip(names, leaves)}
        try:
            response = ocp.save_checkpointables_async(
                self.directory / str(step),
                {"state": arrays},
                custom_metadata=checksums.sealed(
                    {"leaves": described, "metrics": metrics}
                ),
            )
        except OSError as error:
            raise self._not_saved(step, reading.reason(error)) from error
        self._pending = step, self._score(metrics), response

    def wait(self) -> None:
        """Returns once the last save is complete; raises OSError if it failed."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        step, score, response = pending
        failed = None
        try:
            response.result()
        except Exception as error:  # orbax has no error of its own for a failed write
            failed = error
        worst, process = reading.worst_of(reading.FATAL if failed else reading.FINE)
        if worst != reading.FINE:
            why = reading.reason(failed) if failed else f"process {process} failed"
            raise self._not_saved(step, why) from failed
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
        """The checkpoint with the best `best_metric`; None if none has it."""
        scored = [(v, step) for step, v in self._scores.items() if v is not None]
        return min(scored, default=(None, None))[1]

    def restore(self, abstract_state, step: int | None = None):
        """The newest state that is intact, or the one of `step`.

        What was passed over, and why, is logged in one line.

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
          OSError: a checkpoint could not be read, and may be intact.
        """
        wanted = abstract(abstract_state)
        names, structs = contents.flatten(wanted)
        asked = {name: x for name, x in zip(names, structs) if math.prod(x.shape)}

        def read(step):
            described = self._describe(step)["leaves"]
            contents.check_same(f"{self.directory}: step {step}", wanted, described)
            found = self._load(step, asked, described)
            leaves = [
                found[n] if n in found else contents.empty(x)
                for n, x in zip(names, structs)
            ]
            return jax.tree.unflatten(jax.tree.structure(wanted), leaves)

        return self._first_intact(read, step)

    def arrays(
        self, step: int | None = None, prefix: str | tuple[str, ...] = ""
    ) -> dict[str, np.ndarray]:
        """The arrays of a checkpoint, whatever its tree, by `jax.tree_util.keystr`.

        Args:
          step: only this one will do; None for the newest that is intact.
          prefix: only names that begin so, or with one of several, are read; such as
            ".params['encoder']".

        Returns:
          name -> array in host memory; typed keys are left out. In a run of several
          processes each gets all of them.

        Raises:
          FileNotFoundError: there is no checkpoint, or none of `step`.
          DamagedError, OSError: as `restore`.
        """

        def read(step):
            described = self._describe(step)["leaves"]
            arrays = {}
            for name, (kind, _) in described.items():
                dtype, _, shape = kind.partition("[")
                if name.startswith(prefix) and not dtype.startswith("key<"):
                    x = np.zeros((), jnp.dtype(dtype))
                    arrays[name] = np.broadcast_to(x, json.loads("[" + shape))
            asked = {name: x for name, x in arrays.items() if x.size}
            return arrays | (self._load(step, asked, described) if asked else {})

        found = self._first_intact(read, step)
        if found is None:
            raise FileNotFoundError(
                f"{self.directory}: expected a checkpoint; got none."
            )
        return found[1]

    def _first_intact(self, read, step):
        """(step, read(step)) of the newest step that is intact; None without steps."""
        self.wait()
        if step is not None and step not in self._scores:
            raise FileNotFoundError(
                f"{self.directory}: expected a checkpoint of step {step}; it has "
                f"{sorted(self._scores) or 'none'}."
            )
        steps = sorted(self._scores, reverse=True) if step is None else [step]
        problems = []
        for i, candidate in enumerate(steps):
            try:
                result = read(candidate)
            except DamagedError as error:
                problems.append(f"step {candidate} is damaged ({error})")
                continue
            self._damaged = steps[:i]
            if problems:
                self._warn(
                    f"{'; '.join(problems)}; continuing from step {candidate} instead"
                )
            return candidate, result
        if problems:
            raise DamagedError(
                f"{self.directory}: expected an intact checkpoint; "
                f"{'; '.join(problems)}."
            )
        return None

    def _describe(self, step) -> dict:
        """{"leaves": {name: [kind, checksum]}, "metrics"}; reads no array."""
        path = self.directory / str(step)

        def read(_):  # orbax would take an error of reading for an empty description
            return checksums.unsealed((path / "_CHECKPOINT_METADATA").read_bytes())

        return reading.agreed(path, read)

    def _load(self, step, asked, described) -> dict:
        """name -> array, for the names in `asked`; what was saved, or DamagedError."""
        path = self.directory / str(step)

        def load(_):
            with reading.orbax_alone():
                found = ocp.load_checkpointables(path, {"state": asked})["state"]
            for name, x in asked.items():  # a lost description makes a key an integer
                if contents.kind(found[name]) != contents.kind(x):
                    raise DamagedError(
                        f"{name} came back as {contents.kind(found[name])}"
                    )
            return found

        def verify(found):
            now = checksums.of([found[name] for name in asked])
            changed = [n for n, value in zip(asked, now) if described[n][1] != value]
            if changed:
                raise DamagedError(
                    f"the contents of {len(changed)} of {len(asked)} leaves changed, "
                    f"such as {changed[0]}"
                )
            return found

        return reading.agreed(path, load, verify)

    def _score(self, metrics) -> float | None:
        value = metrics.get(self._best_metric)
        if value is None:
            return None
        return math.inf if math.isnan(value) else self._sign * value

    def _not_saved(self, step, why) -> OSError:
        """The error to raise; frees what the write took of a disk that may be full."""
        if sharding.is_main_process():
            with contextlib.suppress(OSError):
                for path in self.directory.glob(f"{step}.orbax-checkpoint-tmp*"):
                    path.rmtree(missing_ok=True)
        kept = f"steps {sorted(self._scores)} are" if self._scores else "no step is"
        return OSError(
            f"{self.directory}: step {step} could not be saved: {why}; {kept} kept."
        )

    def _delete(self, steps) -> None:
        """Removes steps; the main process does it, the others wait."""
        for step in steps:
            del self._scores[step]
            if sharding.is_main_process():
                try:
                    if "://" in str(self.directory):  # folders have no names there
                        (self.directory / str(step) / _MARK).unlink(missing_ok=True)
                    lock.delete(self.directory / str(step))
                except OSError as error:
                    self._warn(
                        f"step {step} could not be deleted: {reading.reason(error)}"
                    )
        if steps and jax.process_count() > 1:
            multihost_utils.sync_global_devices("repr_jax.checkpoint.delete")

    def _warn(self, text) -> None:
        if sharding.is_main_process():
            _LOGGER.warning("%s: %s.", self.directory, text)


def _complete_steps(path: epath.Path) -> list[int]:
    """Steps whose save was finished, as process 0 sees them, in order."""

    def read(_):
        names = [child.name for child in path.iterdir()] if path.exists() else []
        steps = [int(n) for n in names if n.isdecimal() and str(int(n)) == n]
        if "://" in str(path):  # no renaming there: orbax leaves a mark at the end
            steps = [n for n in steps if (path / str(n) / _MARK).exists()]
        return sorted(steps)

    steps = reading.agreed(path, read)
    if jax.process_count() == 1:
        return steps
    count = int(multihost_utils.broadcast_one_to_all(np.array(len(steps))))
    steps = np.resize(np.array([*steps, 0]), count)
    return multihost_utils.broadcast_one_to_all(steps).tolist()
