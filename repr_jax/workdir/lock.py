"""The folder of a run: who may write to it, and how folders in it are deleted."""

import contextlib
import datetime
import hashlib
import json
import logging
import os
import pathlib
import socket
import threading
import time
import uuid

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from repr_jax import sharding

LOCK = "lock"
BEAT = 5.0  # seconds between the signs of life of the process that holds a lock
PATIENCE = 120.0  # seconds without one, after which its holder counts as dead

_DOOMED = ".deleted"  # ends the name of a folder that is being deleted
_LOGGER = logging.getLogger(__name__)


class InUseError(OSError):
    """Another process writes to this folder."""


@contextlib.contextmanager
def locked(workdir):
    """Holds `workdir/lock`, so that no second run writes to the same folder.

    The file is made in one step that shared file systems have too, and says which
    process holds it; the process touches it every few seconds. A lock whose process
    has ended on this machine is taken over at once, one of another machine after two
    minutes without a touch; the start waits for that, or refuses at the next touch. A
    process that is suspended for longer loses its lock, and says so when it goes on.
    Object stores (`gs://`) have no such step, and are not locked. In a run of several
    processes all call this and process 0 holds the lock.

    Raises:
      InUseError: in every process; names the process, the machine and since when.
      OSError: the folder cannot be made or written.
    """
    error = held = None
    if sharding.is_main_process() and "://" not in os.fspath(workdir):
        try:
            path = pathlib.Path(workdir) / LOCK
            path.parent.mkdir(parents=True, exist_ok=True)
            held = _acquire(path)
        except OSError as caught:  # the others must not wait for this process
            error = caught
    if jax.process_count() > 1:
        failed = multihost_utils.broadcast_one_to_all(np.array(error is not None))
        if failed and error is None:
            error = InUseError(f"{workdir}: process 0 cannot use it.")
    if error is not None:
        raise error
    if held is None:
        yield
        return
    released = threading.Event()
    beats = threading.Thread(target=_beat, args=(path, held, released), daemon=True)
    beats.start()
    try:
        yield
    finally:
        released.set()
        beats.join()
        if _content(path)[0] == held:
            path.unlink()


def _acquire(path) -> str:
    """Makes the lock, and returns what is in it.

    The lock of a dead holder is replaced in one step, so that there is one at every
    moment, by the only start that holds the claim to it: a lock of its own, named
    after the content that it replaces.
    """
    while True:
        try:
            with path.open("x") as file:
                mine = json.dumps(_this_process())
                file.write(mine)
            return mine
        except FileExistsError:
            found = _wait_for_sign_of_life(path)
        if found is None:
            continue
        name = hashlib.sha256(found.encode()).hexdigest()[:16]
        claim = path.with_name(f"{path.name}.{name}")
        mine = _acquire(claim)
        if _content(path)[0] == found:
            claim.replace(path)
            return mine
        claim.unlink()  # another start was faster, and is done


def _wait_for_sign_of_life(path) -> str | None:
    """Content of a lock whose holder is dead, None if it is gone; else InUseError."""
    found, touched = _content(path)
    if touched is None:
        return None
    try:
        holder = {"pid": "?", "host": "?", "since": "?", **json.loads(found)}
    except (ValueError, TypeError, RecursionError):  # just made, or broken
        holder = {"pid": "?", "host": "?", "since": "?"}
    in_use = InUseError(
        f"{path.parent}: in use by process {holder['pid']} on {holder['host']} since "
        f"{holder['since']}; wait for it, or use another folder."
    )
    if holder.get("machine") == _machine():
        if _birth(holder["pid"]) == holder.get("birth"):
            raise in_use
        return found
    # Only changes of the time are looked at: clocks of two machines differ.
    end = time.monotonic() + PATIENCE
    if _server_time(path) - touched > 2 * PATIENCE:
        end = 0.0
    while time.monotonic() < end:
        time.sleep(min(BEAT, PATIENCE) / 5)
        now = _content(path)
        if now[0] != found:  # released, taken by another, or just written
            return _wait_for_sign_of_life(path)
        if now[1] != touched:
            raise in_use
    return found


def _beat(path, held, released) -> None:
    """Touches the lock until it is released, or is another's."""
    while not released.wait(BEAT):
        try:
            if _content(path)[0] != held:
                _LOGGER.warning("%s: no longer held by this process.", path)
                return
            os.utime(path)
        except OSError:  # the next beat may reach the file server
            continue


def _content(path) -> tuple[str | None, float | None]:
    """(text, time of the last touch) of a lock; (None, None) if there is none."""
    try:
        with path.open(errors="replace") as file:  # opening asks the server anew
            return file.read(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None, None


def _server_time(path) -> float:
    """Now, by the clock that stamps files in this folder."""
    probe = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    probe.write_text("")
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _this_process() -> dict:
    now = datetime.datetime.now(datetime.UTC)
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": now.isoformat(sep=" ", timespec="seconds"),
        "machine": _machine(),
        "birth": _birth(os.getpid()),
    }


def _machine() -> str:
    """Names what has one list of processes: a boot of a machine, or a container."""
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return socket.gethostname()


def _birth(pid) -> str | None:
    """When a process of this machine began, in its own unit; None if there is none.

    Numbers of processes are used again; together with this they are not.
    """
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, TypeError, OverflowError):
        return None
    except PermissionError:  # there is one, of another user
        pass
    try:
        fields = pathlib.Path(f"/proc/{int(pid)}/stat").read_text()
    except OSError:
        return "running"
    state, *fields = fields.rpartition(")")[2].split()
    return None if state == "Z" else fields[18]


# What is in it


def check_writable(path: epath.Path) -> None:
    """Makes the directory if need be; raises PermissionError if it cannot be used."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionError(
            f"{path}: expected a folder that can be made and written; got "
            f"{error.strerror or error}."
        ) from error
    if "://" not in str(path) and not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(
            f"{path}: expected a writable folder; this user may not write to it."
        )


def delete(folder: epath.Path) -> None:
    """Deletes a folder; if killed meanwhile, what is left has another name."""
    doomed = folder.with_name(folder.name + _DOOMED)
    doomed.rmtree(missing_ok=True)
    folder.rename(doomed)
    doomed.rmtree(missing_ok=True)


def finish_deleting(parent: epath.Path) -> None:
    """Deletes what a killed process had begun to delete in a folder."""
    for doomed in parent.glob("*" + _DOOMED):
        with contextlib.suppress(OSError):  # the next start tries again
            doomed.rmtree(missing_ok=True)
