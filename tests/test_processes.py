"""What happens in one process of a run is agreed upon before any waits for another."""

import os
import socket
import subprocess
import sys

import pytest

BOTH = """
import json, os, pathlib, signal, sys, time
import jax, numpy as np
from repr_jax import checkpoint, sharding
from repr_jax.workdir import lock, reading

sharding.initialize("env")
folder, mine = pathlib.Path(sys.argv[1]), jax.process_index() == 1
x = np.arange(24.0, dtype=np.float32).reshape(8, 3)
split = sharding.batch_sharding(sharding.make_mesh())
state = {"x": jax.make_array_from_callback(x.shape, split, lambda index: x[index])}
load, reading.PAUSES = checkpoint.ocp.load_checkpointables, (0.0, 0.01, 0.02)


def failing(times, error):
    calls = []

    def flaky(*arguments):
        calls.append(1)
        if mine and len(calls) <= times:
            raise error
        return load(*arguments)

    checkpoint.ocp.load_checkpointables = flaky


def expect(kind, do):
    try:
        do()
    except kind as error:
        print(type(error).__name__, error, flush=True)
    else:
        raise AssertionError("expected an error")


with checkpoint.Checkpoints(folder / "checkpoints") as checkpoints:
    for step in (1, 2):
        checkpoints.save(step, state)
    checkpoints.wait()
    failing(2, OSError(5, "Input/output error"))
    assert checkpoints.restore(state)[0] == 2
    failing(99, OSError(5, "Input/output error"))
    expect(OSError, lambda: checkpoints.restore(state))
    failing(2, checkpoint.DamagedError("its bytes are odd"))
    step, restored = checkpoints.restore(state)
    assert step == 1
    for shard in restored["x"].addressable_shards:
        np.testing.assert_array_equal(shard.data, x[shard.index])
    failing(99, MemoryError("too large"))
    expect((MemoryError, OSError), lambda: checkpoints.restore(state))
    checkpoint.ocp.load_checkpointables = load
    np.testing.assert_array_equal(checkpoints.arrays()["['x']"], x)


def enter():
    with lock.locked(folder):
        pass


enter()
if not mine:
    (folder / "lock").write_text(json.dumps(lock._this_process()))
expect(lock.InUseError, enter)

with sharding.Preemption() as preemption:
    for step in range(10**6):
        if step == 5 and mine:
            os.kill(os.getpid(), signal.SIGINT)
        if preemption.reached(step):
            break
        time.sleep(0.01)
    print("stopped at", step, preemption.signal.name, flush=True)
"""


@pytest.fixture(scope="module")
def printed(repository, tmp_path_factory):
    """The lines that two processes printed which ran `BOTH` together."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    folder, processes = tmp_path_factory.mktemp("run"), []
    for index in range(2):
        environment = {
            **os.environ,
            "JAX_NUM_CPU_DEVICES": "2",
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
            "JAX_NUM_PROCESSES": "2",
            "JAX_PROCESS_ID": str(index),
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", BOTH, str(folder)],
                cwd=repository,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        outputs = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, outputs):
        assert process.returncode == 0, errors
    return [
        ([x for x in output.splitlines() if not x.startswith("[Gloo]")], errors)
        for output, errors in outputs
    ]


def test_all_agree_that_a_checkpoint_cannot_be_read(printed):
    (first, _), (second, _) = printed
    message = "/checkpoints/2: could not be read, but may be intact: "
    assert first[0].startswith("OSError") and second[0].startswith("OSError")
    assert message + "found by process 1; nothing was deleted." in first[0]
    assert message + "OSError: [Errno 5] Input/output error; " in second[0]


def test_all_agree_on_damage_that_one_has_found(printed):
    (_, first), (_, second) = printed
    assert "step 2 is damaged (found by process 1); continuing from step 1" in first
    assert "damaged" not in second  # the main process speaks


def test_an_error_of_one_machine_ends_all(printed):
    (first, _), (second, _) = printed
    assert first[1].startswith("OSError") and "found by process 1" in first[1]
    assert second[1] == "MemoryError too large"


def test_a_folder_in_use_is_refused_by_all(printed):
    (first, _), (second, _) = printed
    assert first[2].startswith("InUseError") and "in use by process" in first[2]
    assert second[2].startswith("InUseError") and "process 0 cannot use" in second[2]


def test_a_signal_to_one_stops_all_at_one_step(printed):
    (first, _), (second, _) = printed
    step = int(first[3].split()[2])
    assert first[3] == f"stopped at {step} SIGTERM"
    assert second[3] == f"stopped at {step} SIGINT"
    assert 5 <= step < 10**5
