"""What happens in one process of a run is agreed upon before any waits for another."""

import re
import shutil
import signal

import pytest

from repr_jax import logs
from tests.lanes import slow_unless
from tests.runs import (
    TIME_LIMIT,
    command,
    finish,
    results,
    steps,
    together,
    wait_for,
)

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
def printed(start, tmp_path_factory):
    """Of two processes that ran `BOTH` together: the lines of it, and all output."""
    folder = tmp_path_factory.mktemp("run")
    with together(start, "-c", BOTH, str(folder), devices=2) as both:
        texts = [finish(process) for process in both]
    own = ("OSError", "MemoryError", "InUseError", "stopped at")
    return [([x for x in t.splitlines() if x.startswith(own)], t) for t in texts]


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


# Runs


def test_two_processes_compute_what_one_does_and_one_goes_on(
    start, tiny, unbroken, tmp_path
):
    """Two processes of two devices; SIGTERM to one stops both; one device finishes."""
    arguments = command(tiny, tmp_path, "--distributed=env")
    with together(start, *arguments, devices=2) as both:
        wait_for(lambda: len(logs.read(tmp_path)) >= 4, both[0])
        both[1].send_signal(signal.SIGTERM)
        for process in both:
            text = finish(process, code=143)
            assert "stopped after step" in text
    stopped = steps(tmp_path)[-1]
    assert 8 <= stopped < 30
    with start(*command(tiny, tmp_path)) as process:
        assert f"continuing after step {stopped} of 30" in finish(process)
    expected = logs.read(unbroken)
    found = logs.read(tmp_path)
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for actual, wanted in zip(found, expected):
        assert actual["loss"] == pytest.approx(wanted["loss"], rel=1e-5), wanted["step"]


def befallen(process, what, *arguments):
    """The arguments of `python` for a run of which one process meets with that."""
    arguments = command(*arguments, "--distributed=env")[2:]
    fault = what.replace(" ", "_")
    return ("-m", "experiments.launch.befall", str(process), fault, *arguments)


def expect_its_name(both, dead, name=None):
    """Waits for the end of the other process; its last line names the dead one."""
    both[1 - dead].wait(60)  # 20 s on a machine that does little else
    log, name = both[1 - dead].log, name or f"process {dead} (pid {both[dead].pid} on "
    wait_for(lambda: name in log.read_text(), None)  # the last word may come later
    text = log.read_text()
    last = text.splitlines()[-1]
    assert last.startswith(f"error: {name}") and "same command continues" in last
    assert "Traceback" not in text and "stack" not in text, text


@pytest.mark.parametrize("dead", slow_unless((0,), (0, 1)))
def test_a_process_that_dies_ends_the_other_with_its_name(start, tiny, tmp_path, dead):
    text = tiny.read_text().replace("num_steps = 30", "num_steps = 100_000")
    endless = tmp_path / "endless.py"
    endless.write_text(text.replace("checkpoint_every = 4", "checkpoint_every = 1_000"))
    arguments = command(endless, tmp_path / "run", "--distributed=env")
    with together(start, *arguments) as both:
        wait_for(lambda: len(logs.read(tmp_path / "run")) >= 4, both[0])
        both[dead].kill()
        expect_its_name(both, dead)


LATE = """
import os, time
from repr_jax import sharding

sharding.WAIT = 0.5
if os.environ["JAX_PROCESS_ID"] == "1":
    time.sleep(4)
sharding.initialize("env")
print("joined", flush=True)
"""


def test_a_process_that_joins_late_is_waited_for_with_a_line(start):
    with together(start, "-c", LATE) as both:
        first, second = (finish(process).splitlines() for process in both)
    line = (
        r"waiting for all 2 processes of this run to join at 127.0.0.1:\d+, since \d+ s"
    )
    assert sum(bool(re.fullmatch(line, text)) for text in first) >= 3
    assert "joined" in first and "joined" in second


# What befalls it, and what the other says; of process 0 in the slow tests.
NAMELESS = ("dies before it has a name", "process {} of this run died or cannot be")
ABSENT = ("never joins", "not every process of this run has joined it in time")


@pytest.mark.parametrize(
    ("dead", "what", "name"),
    [
        (1, *NAMELESS),
        pytest.param(0, *NAMELESS, marks=pytest.mark.slow),
        (1, *ABSENT),
        pytest.param(0, *ABSENT, marks=pytest.mark.slow),
    ],
)
def test_a_death_before_all_have_met(start, tiny, tmp_path, dead, what, name):
    """Of pids nothing is known by then; who never came is known to nobody."""
    with together(start, *befallen(dead, what, tiny, tmp_path)) as both:
        both[dead].wait(TIME_LIMIT)
        expect_its_name(both, dead, name.format(dead))
        assert both[1 - dead].returncode == -signal.SIGABRT
    assert not logs.read(tmp_path)


@pytest.mark.parametrize(
    ("dead", "what"),
    [
        (1, "dies while saving"),
        pytest.param(0, "dies while all agree", marks=pytest.mark.slow),
        pytest.param(1, "dies while all agree", marks=pytest.mark.slow),
        pytest.param(0, "dies while saving", marks=pytest.mark.slow),
        pytest.param(1, "dies before it saves", marks=pytest.mark.slow),
    ],
)
def test_a_death_while_saving_costs_that_checkpoint_alone(
    start, tiny, unbroken, tmp_path, dead, what
):
    """The third: of step 12, after those of steps 4 and 8."""
    with together(start, *befallen(dead, what, tiny, tmp_path)) as both:
        both[dead].wait(TIME_LIMIT)
        assert both[dead].returncode == -signal.SIGKILL, both[dead].log.read_text()
        expect_its_name(both, dead)
    whole = steps(tmp_path)
    assert whole[:2] == [4, 8] and set(whole[2:]) <= {12}
    with start(*command(tiny, tmp_path)) as process:
        text = finish(process)
    assert f"continuing after step {whole[-1]} of 30" in text
    assert "damaged" not in text
    for actual, wanted in zip(logs.read(tmp_path), logs.read(unbroken), strict=True):
        assert actual["loss"] == pytest.approx(wanted["loss"], rel=1e-5), wanted["step"]
    assert not list((tmp_path / "checkpoints").glob("*tmp*"))


@pytest.mark.slow
@pytest.mark.parametrize("process", [0, 1])
def test_data_that_break_in_one_process_are_named_by_it(start, tiny, tmp_path, process):
    """The others are at a step meanwhile, and must not be waited for."""
    with together(
        start, *befallen(process, "reads broken data", tiny, tmp_path)
    ) as both:
        text = finish(both[process], code=2)
        expect_its_name(both, process)
    assert text.endswith("error: a/b.png: expected a whole image; it is cut.\n")
    assert "Traceback" not in text
    assert steps(tmp_path) == [4]
    with start(*command(tiny, tmp_path)) as again:
        assert "continuing after step 4 of 30" in finish(again)


@pytest.mark.slow
def test_slow_compilation_is_no_death(start, tiny, tmp_path):
    """Of one process, for longer than the others would miss a sign of life."""
    arguments = befallen(1, "compiles slowly", tiny, tmp_path)
    with together(start, *arguments) as both:
        for process in both:
            finish(process)
    assert [row["step"] for row in logs.read(tmp_path)] == list(range(2, 31, 2))


@pytest.mark.parametrize("mode", slow_unless(("train",), ("train", "eval")))
def test_sigterm_ends_an_evaluation_in_time(start, tiny, unbroken, tmp_path, mode):
    """jax only takes note of it in a run of several processes."""
    workdir = shutil.copytree(unbroken, tmp_path / "run")
    before = results(workdir)
    arguments = (tiny, workdir, f"--mode={mode}")
    with together(start, *befallen(1, "evaluates slowly", *arguments)) as both:
        for process in both:
            wait_for(lambda log=process.log: "evaluates" in log.read_text(), process)
        both[1].send_signal(signal.SIGTERM)
        both[1].wait(20)
        assert both[1].returncode == -signal.SIGTERM
        expect_its_name(both, 1)
    assert results(workdir) == before
    with start(*command(*arguments)) as process:
        finish(process)
    assert results(workdir) == before


AGREES_ON_DAMAGE = """
import os, pathlib, shutil, sys
import jax, numpy as np
from jax.experimental import multihost_utils
from repr_jax import checkpoint, sharding

sharding.initialize("env")
folder = pathlib.Path(sys.argv[1])
mesh = sharding.make_mesh()
x = np.random.default_rng(0).normal(size=(8, 4000)).astype(np.float32)
split = sharding.batch_sharding(mesh)
state = {
    "split": jax.make_array_from_callback(x.shape, split, lambda index: x[index]),
    "whole": jax.make_array_from_callback(
        x.shape, sharding.replicated(mesh), lambda index: x
    ),
}


def alter(function):
    if sharding.is_main_process():
        function()
    multihost_utils.sync_global_devices("altered")


def flip():
    path = max((folder / "3").rglob("*"), key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


with checkpoint.Checkpoints(folder) as checkpoints:
    assert checkpoints.restore(state) is None
    for step in (1, 2, 3):
        checkpoints.save(step, state)
    checkpoints.wait()
    alter(flip)
    step, _ = checkpoints.restore(state)
    assert step == 2, step
    checkpoints.save(3, state)
    step, restored = checkpoints.restore(state)
    assert step == 3, step
    for name in state:
        for shard in restored[name].addressable_shards:
            np.testing.assert_array_equal(shard.data, x[shard.index])
    alter(lambda: shutil.rmtree(folder / "3" / "state" / "d"))
    alter(lambda: shutil.rmtree(folder / "2" / "state" / "ocdbt.process_1"))
    alter(lambda: shutil.rmtree(folder / "2" / "state" / "ocdbt.process_0"))
    try:
        checkpoints.restore(state)
    except checkpoint.DamagedError as error:
        print("agreed:", error)
"""


def test_processes_agree_on_what_is_damaged(start, tmp_path):
    arguments = ("-c", AGREES_ON_DAMAGE, str(tmp_path / "run"))
    with together(start, *arguments, devices=2) as both:
        texts = [finish(process) for process in both]
    for text in texts:
        assert "agreed:" in text and "step 3 is damaged" in text
    warnings = [text.count("continuing from step 2 instead") for text in texts]
    assert warnings == [1, 0]  # the main process speaks
