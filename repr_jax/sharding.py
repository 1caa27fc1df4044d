"""The mesh and where arrays live: the only file that knows about devices.

A batch is split over the axis `data` of the mesh, everything else is on every device,
and losses are written for the global batch, so `jax.jit` puts in the communication and
no gradient needs averaging. What is too large for one device is split too: parameters
and the optimizer's state over `data`, and wide layers and tables over a second axis,
`model`; see `of_state`.
"""

import contextlib
import importlib.util
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from repr_jax import last_words

AXIS = "data"
MODEL = "model"
SMALL = 2**12  # elements: an array of fewer is on every device, whatever is split
HEARTBEAT = 15  # seconds without a sign of life, after which a process counts as dead
WAIT = 30  # seconds, after which a process says again that others have not joined it

_ENV = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_SLURM = (
    "SLURM_JOB_ID",
    "SLURM_STEP_NODELIST",
    "SLURM_NTASKS",
    "SLURM_PROCID",
    "SLURM_LOCALID",
)


def make_mesh(devices=None, model: int = 1) -> Mesh:
    """All devices of all processes, or those given, along the axis `data`.

    With `model` > 1 so many neighbors hold the same rows, along a second axis `model`;
    they are of one process, so that each process still has rows of its own.

    Automatic axes: the explicit kind, which `jax.make_mesh` makes unless told, rejects
    a similarity matrix between the rows of a batch and themselves.

    Raises:
      ValueError: there is no device, or `model` does not divide those of a process.
    """
    devices = jax.devices() if devices is None else list(devices)
    if not devices:
        raise ValueError("make_mesh: expected at least one device; got none.")
    local = len(devices) // len({device.process_index for device in devices})
    if model < 1 or local % model:
        raise ValueError(
            f"make_mesh: expected model to be a divisor of the {local} devices of a "
            f"process; got {model}."
        )
    if model == 1:
        kinds = (AxisType.Auto,)
        return jax.make_mesh(
            (len(devices),), (AXIS,), axis_types=kinds, devices=devices
        )
    in_order = sorted(devices, key=lambda device: (device.process_index, device.id))
    kinds = (AxisType.Auto,) * 2
    return Mesh(np.reshape(in_order, (-1, model)), (AXIS, MODEL), axis_types=kinds)


def replicated(mesh: Mesh) -> NamedSharding:
    """The same values on every device: parameters, optimizer state, counters."""
    return NamedSharding(mesh, PartitionSpec())


def of_state(state, mesh: Mesh, *, fully: bool = False):
    """Where each array of a train state lives: a tree of shardings.

    An array's largest dimension that divides is split over the axis `model`, if the
    mesh has it; and if `fully` the largest of the others over `data`. So a network's
    wide layers are split by their width, one by columns and the next by rows, and a
    table by its rows. Arrays of fewer than SMALL elements, and those of which no
    dimension divides, are on every device.

    Args:
      state: a tree of arrays or of their shapes.
      mesh: from `make_mesh`.
      fully: fully sharded data parallel: parameters are gathered where they are used.
    """
    axes = [MODEL] * (MODEL in mesh.shape) + [AXIS] * fully

    def of(x):
        spec = [None] * len(x.shape)
        by_size = sorted(range(len(spec)), key=lambda i: -x.shape[i])
        for axis in axes if math.prod(x.shape) >= SMALL else ():
            for i in by_size:
                if spec[i] is None and x.shape[i] % mesh.shape[axis] == 0:
                    spec[i] = axis
                    break
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(of, state)


def batch_sharding(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Array axis `axis` split over `data`; 1 if axis 0 stacks several steps."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))


def to_global(batch, mesh: Mesh, axis: int = 0):
    """This process's rows of a batch -> global arrays, split over `data`.

    Args:
      batch: a dict (or any tree) of NumPy arrays with this process's rows on `axis`;
        process i holds rows [i n, (i + 1) n) of the global batch. Do not write to them
        afterwards: on CPU the result may share their memory.
      mesh: from `make_mesh`.
      axis: the array axis that holds the batch.

    Returns:
      The same tree of jax arrays, whose `axis` has the global batch size.
    """
    sharding = batch_sharding(mesh, axis)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, x), batch
    )


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Raises ValueError unless every device of the mesh gets as many rows as any."""
    processes = len({device.process_index for device in mesh.devices.flat})
    parts = mesh.shape[AXIS]  # a multiple of the processes
    if batch_size < 1 or batch_size % parts:
        below = max(batch_size // parts, 1) * parts
        raise ValueError(
            f"batch_size: expected a multiple of the {parts} devices in "
            f"{processes} process{'es' if processes > 1 else ''}, such as {below}; "
            f"got {batch_size}."
        )


def is_main_process() -> bool:
    """True in one process of all: the one that writes logs and reports."""
    return jax.process_index() == 0


def launcher() -> str | None:
    """Which launcher started this process, among those that jax can read by itself.

    Returns:
      "tpu", "slurm", "ompi" (Open MPI up to 4), "mpi4py" (any MPI, when mpi4py is
      installed), "k8s" (an indexed Job or a JobSet, with the package `kubernetes`), or
      None. Looks at the environment and at installed packages; touches no device.
    """

    def installed(package):
        return importlib.util.find_spec(package) is not None

    env = os.environ
    hosts = {"TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES"} & env.keys()
    # Importing jax sets TPU_SKIP_MDS_QUERY on a machine without TPU chips.
    if installed("libtpu") and (hosts or "TPU_SKIP_MDS_QUERY" not in env):
        return "tpu"
    if all(name in env for name in _SLURM):
        return "slurm"
    if "OMPI_MCA_orte_hnp_uri" in env:
        return "ompi"
    if {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"} & env.keys() and installed("mpi4py"):
        return "mpi4py"
    if {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= env.keys():
        return "k8s" if installed("kubernetes") else None
    return None


def initialize(mode: str = "auto") -> None:
    """Joins the processes of one run; before any other use of jax's devices.

    Args:
      mode: "none": this process is the whole run. "env": JAX_COORDINATOR_ADDRESS
        (host:port of process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID say which one it
        is. "auto": asks the launcher (TPU slice, Slurm, MPI, Kubernetes) if there is
        one, else as "none".

    Raises:
      ValueError: an unknown mode, or variables that are missing or not in range.
    """
    if mode not in ("auto", "none", "env"):
        raise ValueError(f"distributed: expected auto, none or env; got {mode!r}.")
    if mode == "none" or jax.distributed.is_initialized():
        return
    if mode == "env":
        address, count, index = _from_environment()
        which = dict(coordinator_address=address, num_processes=count, process_id=index)
        _join(f"all {count} processes of this run to join at {address}", **which)
        return
    found = launcher()
    if found is not None:
        method = found if found == "mpi4py" else None  # the others find themselves
        _join("all processes of this run to join", cluster_detection_method=method)


def _join(awaited: str, **which) -> None:
    """Joins the others; when one of them dies, the last line of this one names it.

    awaited: what this process says that it waits for. A late start is no error: jax
    waits five minutes.
    """
    with _watch_over_stderr() as tell, _saying_that_it_waits(awaited):
        jax.distributed.initialize(**which, heartbeat_timeout_seconds=HEARTBEAT)
        place = f"pid {os.getpid()} on {socket.gethostname()}".encode()[:80].ljust(80)
        places = multihost_utils.process_allgather(np.frombuffer(place, np.uint8))
        tell.write(b"\n".join(bytes(x).strip() for x in np.atleast_2d(places)))


@contextlib.contextmanager
def _saying_that_it_waits(awaited: str):
    """A line on stderr every WAIT seconds, until the block ends."""
    begun, ended = time.monotonic(), threading.Event()

    def say():
        while not ended.wait(WAIT):
            since = time.monotonic() - begun
            print(f"waiting for {awaited}, since {since:.0f} s", file=sys.stderr)

    thread = threading.Thread(target=say, daemon=True, name="waiting")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _watch_over_stderr():
    """Lets `last_words` read what compiled code writes, from here on.

    Yields the file in which it is told the places of all processes. Of one process
    alone nobody will ask, and the watch ends with the block.
    """
    stderr, of_python = os.dup(2), sys.stderr
    (reading, writing), (places, tell) = os.pipe(), os.pipe()
    watch = subprocess.Popen(
        [sys.executable, "-S", last_words.__file__, str(places)],
        stdin=reading,
        pass_fds=[places],
    )
    os.close(reading)
    os.close(places)
    os.dup2(writing, 2)  # of compiled code
    os.close(writing)
    sys.stderr = os.fdopen(stderr, "w", buffering=1, errors="backslashreplace")
    with os.fdopen(tell, "wb") as file:
        yield file
    if jax.process_count() == 1:
        os.dup2(stderr, 2)
        watch.wait()
        sys.stderr.close()
        sys.stderr = of_python


def _from_environment() -> tuple[str, int, int]:
    """(address, number of processes, index of this one) from the three variables."""
    missing = [name for name in _ENV if not os.environ.get(name)]
    if missing:
        raise ValueError(
            f"distributed=env: expected {', '.join(_ENV)} to be set; "
            f"got no {', '.join(missing)}."
        )
    address, count, index = (os.environ[name] for name in _ENV)
    if ":" not in address:
        raise ValueError(f"{_ENV[0]}: expected host:port; got {address!r}.")
    if not (count.isdigit() and index.isdigit() and int(index) < int(count)):
        raise ValueError(
            f"distributed=env: expected 0 <= {_ENV[2]} < {_ENV[1]}; "
            f"got {index!r} and {count!r}."
        )
    return address, int(count), int(index)


def end_at_sigterm() -> None:
    """From now on SIGTERM ends this process at once: there is nothing to save.

    In a run of several processes jax takes the signal and only remembers it.
    """
    if jax.distributed.is_initialized():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Preemption:
    """Notices that the run has to stop: by a signal here, or the cluster's notice.

    SIGTERM, Ctrl-C (SIGINT), SIGHUP and SIGQUIT ask once: the run saves and stops. One
    more, a second later or after that, ends the process at once, or interrupts it in
    a notebook. Sooner it counts as the same: launchers signal a process and its group.
    What this process was started to ignore (nohup) stays ignored. Only the main thread
    of Python can be asked, between two computations.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

    def __enter__(self):
        self.signal = None  # the one that asked; a cluster's notice counts as SIGTERM
        self._distributed = jax.distributed.is_initialized()
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            # In a run of several processes jax's own handler of SIGTERM tells them all.
            for number in self.SIGNALS[1:] if self._distributed else self.SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._ask)
        return self

    def _ask(self, number, frame):
        now = time.monotonic()
        if self.signal is None:
            self.signal, self._since = signal.Signals(number), now
            if self._distributed:
                os.kill(os.getpid(), signal.SIGTERM)
        elif now - self._since > 1.0:
            by_hand = hasattr(sys, "ps1")  # ending a notebook would lose all of it
            ends = self._previous[number] if by_hand else signal.SIG_DFL
            signal.signal(number, ends)
            os.kill(os.getpid(), number)

    def asked(self) -> bool:
        """True once a signal came here; of use only where no other process waits."""
        return self.signal is not None and not self._distributed

    def reached(self, step: int) -> bool:
        """True on every host at one and the same step."""
        if not self._distributed:
            return self.asked()
        reached = multihost_utils.reached_preemption_sync_point(step)
        if reached and self.signal is None:
            self.signal = signal.SIGTERM
        return reached

    def __exit__(self, *_):
        for number, previous in self._previous.items():
            signal.signal(number, previous)
