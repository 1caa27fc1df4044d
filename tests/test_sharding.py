"""The mesh, batches split over it, and who starts the processes."""

import contextlib
import functools
import io
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import sharding

LAUNCHERS = [
    "SLURM_JOB_ID",
    "SLURM_STEP_NODELIST",
    "SLURM_NTASKS",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "OMPI_MCA_orte_hnp_uri",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_SIZE",
    "KUBERNETES_SERVICE_HOST",
    "JOB_COMPLETION_INDEX",
    "TPU_WORKER_HOSTNAMES",
    "TPU_PROCESS_ADDRESSES",
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
]


@pytest.fixture
def bare(monkeypatch):
    """An environment without launchers, where nothing optional is installed."""
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sharding.importlib.util, "find_spec", lambda name: None)
    return monkeypatch


@pytest.fixture
def calls(monkeypatch):
    """Arguments of jax.distributed.initialize, which is not run."""
    found = []
    monkeypatch.setattr(
        jax.distributed, "initialize", lambda *a, **k: found.append((a, k))
    )
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: False)
    watch = functools.partial(contextlib.nullcontext, io.BytesIO())
    monkeypatch.setattr(sharding, "_watch_over_stderr", watch)
    return found


def test_mesh_holds_all_devices_or_those_given():
    mesh = sharding.make_mesh()
    assert mesh.axis_names == ("data",)
    assert mesh.size == jax.device_count() == 4
    assert mesh.axis_types == (jax.sharding.AxisType.Auto,)
    assert sharding.make_mesh(jax.devices()[:3]).size == 3
    with pytest.raises(ValueError, match="at least one device"):
        sharding.make_mesh([])


def test_to_global_splits_the_batch_axis():
    mesh = sharding.make_mesh()
    batch = {
        "image": np.arange(16 * 6, dtype=np.float32).reshape(16, 2, 3),
        "where": np.arange(16) < 13,
    }
    out = sharding.to_global(batch, mesh)
    for name, value in out.items():
        np.testing.assert_array_equal(value, batch[name])
        assert value.dtype == batch[name].dtype
        assert {len(shard.data) for shard in value.addressable_shards} == {4}
        assert value.sharding.is_equivalent_to(
            sharding.batch_sharding(mesh), value.ndim
        )


def test_to_global_of_stacked_steps_splits_axis_one():
    mesh = sharding.make_mesh()
    x = np.arange(3 * 8 * 2).reshape(3, 8, 2)
    out = sharding.to_global({"x": x}, mesh, axis=1)["x"]
    np.testing.assert_array_equal(out, x)
    assert {shard.data.shape for shard in out.addressable_shards} == {(3, 2, 2)}


def test_similarity_of_a_split_batch_with_itself():
    """What the explicit kind of mesh axis rejects."""
    mesh = sharding.make_mesh()
    x = np.random.default_rng(0).normal(size=(16, 5)).astype(np.float32)
    split = sharding.to_global({"x": x}, mesh)["x"]
    weight = jax.device_put(jnp.eye(5), sharding.replicated(mesh))

    def loss(weight, x):
        rows = x @ weight
        return jnp.mean(jax.nn.logsumexp(rows @ rows.T, axis=-1))

    gradient = jax.jit(jax.grad(loss))
    assert len(weight.sharding.device_set) == 4
    np.testing.assert_allclose(
        gradient(weight, split), gradient(np.eye(5, dtype=np.float32), x), rtol=1e-5
    )


def test_batch_size_is_checked():
    mesh = sharding.make_mesh()
    sharding.check_batch_size(4, mesh)
    sharding.check_batch_size(128, mesh)
    message = "multiple of the 4 devices in 1 process, such as 16; got 18."
    with pytest.raises(ValueError, match=message):
        sharding.check_batch_size(18, mesh)
    with pytest.raises(ValueError, match="such as 4; got 0"):
        sharding.check_batch_size(0, mesh)


def test_one_process_is_the_main_one():
    assert sharding.is_main_process()


HEARTBEAT = {"heartbeat_timeout_seconds": sharding.HEARTBEAT}
SLURM = {name: "1" for name in LAUNCHERS if name.startswith("SLURM")}
K8S = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}


@pytest.mark.parametrize(
    ("variables", "packages", "expected"),
    [
        ({}, (), None),
        ({}, ("mpi4py", "kubernetes"), None),
        (SLURM, (), "slurm"),
        ({"SLURM_JOB_ID": "7"}, (), None),  # a notebook in an allocation, no step
        ({"OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1"}, (), "ompi"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, ("mpi4py",), "mpi4py"),
        ({"PMI_SIZE": "2"}, ("mpi4py",), "mpi4py"),
        (K8S, ("kubernetes",), "k8s"),
        (K8S, (), None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, ("kubernetes",), None),  # no Job
        ({"TPU_SKIP_MDS_QUERY": "1"}, ("libtpu",), None),  # libtpu without chips
        ({}, ("libtpu",), "tpu"),
        (
            {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "a,b"},
            ("libtpu",),
            "tpu",
        ),
    ],
)
def test_launcher_is_found(bare, calls, variables, packages, expected):
    bare.delenv("TPU_SKIP_MDS_QUERY", raising=False)
    for name, value in variables.items():
        bare.setenv(name, value)
    bare.setattr(
        sharding.importlib.util, "find_spec", lambda name: name in packages or None
    )
    assert sharding.launcher() == expected
    sharding.initialize("auto")
    method = "mpi4py" if expected == "mpi4py" else None
    wanted = {"cluster_detection_method": method, **HEARTBEAT}
    assert calls == ([((), wanted)] if expected else [])


def test_slurm_variables_are_those_jax_reads(bare):
    """A slip in a name would turn a Slurm job into as many runs as it has tasks."""
    from jax._src.clusters.slurm_cluster import SlurmCluster

    assert not SlurmCluster.is_env_present()
    for name in SLURM:
        bare.setenv(name, "1")
    assert SlurmCluster.is_env_present()


def test_environment_says_which_process_this_is(bare, calls):
    bare.setenv("JAX_COORDINATOR_ADDRESS", "127.0.0.1:1234")
    bare.setenv("JAX_NUM_PROCESSES", "4")
    with pytest.raises(ValueError, match="got no JAX_PROCESS_ID"):
        sharding.initialize("env")
    bare.setenv("JAX_PROCESS_ID", "4")
    with pytest.raises(ValueError, match="got '4' and '4'"):
        sharding.initialize("env")
    bare.setenv("JAX_PROCESS_ID", "3")
    sharding.initialize("env")
    place = dict(coordinator_address="127.0.0.1:1234", num_processes=4, process_id=3)
    assert calls == [((), {**place, **HEARTBEAT})]
    bare.setenv("JAX_COORDINATOR_ADDRESS", "localhost")
    with pytest.raises(ValueError, match="expected host:port"):
        sharding.initialize("env")


def test_initialize_none_and_unknown(bare, calls):
    for name in SLURM:
        bare.setenv(name, "1")
    sharding.initialize("none")
    assert calls == []
    with pytest.raises(ValueError, match="auto, none or env; got 'yes'"):
        sharding.initialize("yes")


# Signals


@pytest.mark.parametrize("number", sharding.Preemption.SIGNALS)
def test_a_signal_asks_the_run_to_stop_and_is_named(number):
    before = {n: signal.getsignal(n) for n in sharding.Preemption.SIGNALS}
    with sharding.Preemption() as preemption:
        assert not preemption.asked() and not preemption.reached(3)
        signal.raise_signal(number)
        signal.raise_signal(number)  # at once: a launcher that signals twice
        assert preemption.asked() and preemption.reached(4)
        assert preemption.signal == number
    assert {n: signal.getsignal(n) for n in before} == before


def test_what_the_process_was_started_to_ignore_stays_ignored():
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with sharding.Preemption() as preemption:
            signal.raise_signal(signal.SIGHUP)
            assert not preemption.asked()
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_a_second_signal_interrupts_in_a_notebook(monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with sharding.Preemption() as preemption:
        signal.raise_signal(signal.SIGINT)
        preemption._since -= 2
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


SAVES_FOR_A_MINUTE = """
import signal, threading, time
from repr_jax import sharding
with sharding.Preemption() as preemption:
    print("ready", flush=True)
    while not preemption.reached(0):
        time.sleep(0.01)
    print(preemption.signal.name, flush=True)
    threading.Event().wait(60)
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGHUP])
def test_a_second_signal_ends_the_process_at_once(repository, second):
    process = subprocess.Popen(
        [sys.executable, "-c", SAVES_FOR_A_MINUTE],
        cwd=repository,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "SIGINT\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.2)  # it saves
        process.send_signal(second)
        assert process.wait(20) == -second
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
