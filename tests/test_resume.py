"""Runs that are killed, stopped, damaged or split go on as if nothing had happened.

Real processes: each is started by its command line, watched through the files that it
writes, and killed at the end of its test whatever happens.
"""

import collections
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.checkpoint import Checkpoints
from tests.test_logs import events

TIME_LIMIT = 1800  # seconds, for what takes five on a machine that does nothing else
NUM_KILLS = int(os.environ.get("REPR_JAX_KILLS", 5))
SIGNALS = (
    signal.SIGKILL,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
)

CONFIG = """
from configs.multimodal import mopoe_polymnist
from repr_jax.data import synthetic


def get_config(mode=""):
    config = mopoe_polymnist.get_config("smoke")
    config.dataset = dict(fn=synthetic.multiview, modalities=("m0", "m1"), size=8)
    config.encoder.update(widths=(4,), shape=(8, 8, 3))  # little to compile
    config.decoder.update(widths=(4,), shape=(8, 8, 3))
    config.num_steps = 30
    config.checkpoint_every = 4
    config.log_every = 2
    config.evals = dict(bound=config.evals.bound)
    return config
"""


def take_signals():
    """As a shell in the foreground starts a command; one in the background does not."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="module")
def start(repository, tmp_path_factory):
    """start(module or code, *arguments) -> process; its output is in process.log."""
    cache = tmp_path_factory.mktemp("compiled")

    @contextlib.contextmanager
    def start(*command, devices=1, index=None, count=1, port=None):
        paths = [str(repository), os.environ.get("PYTHONPATH")]
        environment = {
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            **os.environ,
            "JAX_NUM_CPU_DEVICES": str(devices),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        if index is not None:
            environment |= {
                "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
                "JAX_NUM_PROCESSES": str(count),
                "JAX_PROCESS_ID": str(index),
            }
        log = tmp_path_factory.mktemp("log") / "output"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=repository,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                preexec_fn=take_signals,
            )
        process.log = log
        try:
            yield process
        finally:
            process.kill()
            process.wait(TIME_LIMIT)

    return start


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    path.write_text(CONFIG)
    return path


def command(config, workdir, *arguments):
    """The arguments of `python` that train in workdir."""
    where = (f"--config={config}", f"--workdir={workdir}")
    return ("-m", "repr_jax.main", *where, *arguments)


def finish(process, code=0):
    """Waits for the end, expects the exit code, and returns what was printed."""
    process.wait(TIME_LIMIT)
    text = process.log.read_text()
    assert process.returncode == code, text
    return text


def rows(workdir):
    path = pathlib.Path(workdir) / "metrics.jsonl"
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def wait_for(condition, process):
    """Returns soon after condition() is true; fails if the process ends before."""
    end = time.monotonic() + TIME_LIMIT
    while not condition():
        assert process is None or process.poll() is None, process.log.read_text()
        assert time.monotonic() < end
        time.sleep(0.002)


def steps(workdir):
    names = os.listdir(pathlib.Path(workdir) / "checkpoints")
    return sorted(int(name) for name in names if name.isdigit())


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def results(workdir):
    """Everything that a run says about itself, but times."""
    workdir = pathlib.Path(workdir)
    return (
        (workdir / "metrics.jsonl").read_text(),
        json.loads((workdir / "report" / "metrics.json").read_text()),
    )


@pytest.fixture(scope="module")
def unbroken(start, config, tmp_path_factory):
    """The workdir of a run that nothing happened to."""
    workdir = tmp_path_factory.mktemp("unbroken") / "run"
    with start(*command(config, workdir)) as process:
        finish(process)
    assert [row["step"] for row in rows(workdir)] == list(range(2, 31, 2))
    return workdir


@pytest.fixture(scope="module")
def stopped(start, config, tmp_path_factory):
    """The workdir of a run that SIGTERM ended, and what it printed."""
    workdir = tmp_path_factory.mktemp("stopped") / "run"
    with start(*command(config, workdir)) as process:
        wait_for(lambda: len(rows(workdir)) >= 5, process)
        process.send_signal(signal.SIGTERM)
        return workdir, finish(process, code=143)


# Kills and stops


@pytest.mark.slow
def test_kills_at_random_moments_then_the_same_command(
    start, config, unbroken, tmp_path
):
    """Anywhere between the import of jax and the end; until finished, again and again.

    REPR_JAX_KILLS=40 kills more often than the suite has time for.
    """
    seed, outcomes, number = random.randrange(2**32), collections.Counter(), 0
    rng, kills, finished = random.Random(seed), [], True
    while number < NUM_KILLS or not finished:
        if finished:
            workdir = tmp_path / str(number)
        kills = [] if finished else kills
        text, finished = "", False
        with start(*command(config, workdir)) as process:
            if number < NUM_KILLS:
                chosen = SIGNALS[number % len(SIGNALS)]
                kills.append((chosen.name, wait_a_while(process, workdir, rng)))
                process.send_signal(chosen)
                number += 1
            process.wait(TIME_LIMIT)
            text = process.log.read_text()
        code, case = process.returncode, f"seed {seed}: {kills}\n{text}"
        assert "Traceback" not in text and "error" not in text, case
        if code == 0:
            finished = True
            assert results(workdir) == results(unbroken), case
            assert shown(workdir) == rows(unbroken), case
            outcomes["finished"] += 1
        elif code == 128 + chosen:
            assert text.endswith("the state is saved. The same command continues.\n")
            outcomes[f"{chosen.name} saved"] += 1
        else:
            assert code == -chosen, case
            outcomes[f"{chosen.name} ended it"] += 1
    print(NUM_KILLS, "kills:", dict(outcomes))


def wait_a_while(process, workdir, rng) -> str:
    """A random time from the first import, or from a row on; less if it ends before."""

    def until(condition):
        while process.poll() is None and not condition():
            time.sleep(0.005)

    maps = pathlib.Path(f"/proc/{process.pid}/maps")
    until(lambda: "jaxlib" in maps.read_text())  # before, Python itself starts
    if rng.random() < 0.3:  # imports, and what precedes the first step
        seconds, more = rng.uniform(0, 10), None
    else:
        seconds, more = rng.uniform(0, 0.5), rng.randrange(15)
        until(lambda: "parameters" in process.log.read_text())  # later rows are gone
        wanted = min(15, len(rows(workdir)) + more)
        until(lambda: len(rows(workdir)) >= wanted)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return f"{seconds:.2f} s" if more is None else f"{more} rows, {seconds:.2f} s"


def shown(workdir) -> list[dict]:
    """The rows that TensorBoard shows: a file takes back what is from its start on."""
    found = {}
    for _, step, values in events(pathlib.Path(workdir)):
        if values == "start":
            found = {n: row for n, row in found.items() if n < step}
        else:
            found[step] = {"step": step, **values}
    return [found[step] for step in sorted(found)]


def test_sigterm_saves_and_the_same_command_continues(
    start, config, unbroken, stopped, tmp_path
):
    workdir, text = stopped
    last = steps(workdir)[-1]
    assert 10 <= last < 30
    assert f"stopped after step {last}; the state is saved." in text
    assert "The same command continues." in text
    assert "Traceback" not in text
    workdir = shutil.copytree(workdir, tmp_path / "run")
    with start(*command(config, workdir)) as process:
        assert f"continuing after step {last} of 30" in finish(process)
    assert results(workdir) == results(unbroken)


# What is refused, and what is survived


def test_another_config_is_refused_with_the_difference(start, config, unbroken):
    before = results(unbroken), steps(unbroken)
    arguments = ("--config.loss.beta=7.0", "--config.batch_size=16")
    with start(*command(config, unbroken, *arguments)) as process:
        text = finish(process, code=2)
    assert "loss.beta: 2.5 there, 7.0 here" in text
    assert "batch_size: 8 there, 16 here" in text
    assert (results(unbroken), steps(unbroken)) == before


def damage(folder):
    """Flips a bit in the middle of every data file of a checkpoint."""
    for path in folder.rglob("d/*"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x10
        path.write_bytes(data)


def test_a_damaged_newest_checkpoint_costs_its_steps_and_no_more(
    start, config, unbroken, stopped, tmp_path
):
    workdir = shutil.copytree(stopped[0], tmp_path / "run")
    *_, before, newest = steps(workdir)
    damage(workdir / "checkpoints" / str(newest))
    with start(*command(config, workdir)) as process:
        text = finish(process)
    said = [line for line in text.splitlines() if f"step {newest} is damaged (" in line]
    assert len(said) == 1
    assert f"continuing from step {before} instead" in said[0]
    assert f"continuing after step {before} of 30" in text
    assert "Traceback" not in text
    assert results(workdir) == results(unbroken)


def test_no_readable_checkpoint_is_an_error_and_not_a_new_start(
    start, config, stopped, tmp_path
):
    workdir = shutil.copytree(stopped[0], tmp_path / "run")
    before = rows(workdir)
    for step in steps(workdir):
        damage(workdir / "checkpoints" / str(step))
    with start(*command(config, workdir)) as process:
        text = finish(process, code=2)
    message = f"error: {workdir}/checkpoints: expected an intact checkpoint; step "
    said = [line for line in text.splitlines() if line.startswith(message)]
    assert len(said) == 1 and said[0].count("is damaged") == len(steps(workdir))
    assert "Traceback" not in text
    assert rows(workdir) == before


# Several processes


def test_two_processes_compute_what_one_does_and_one_goes_on(
    start, config, unbroken, tmp_path
):
    """Two processes of two devices; SIGTERM to one stops both; one device finishes."""
    port = free_port()
    arguments = command(config, tmp_path, "--distributed=env")
    with contextlib.ExitStack() as stack:
        both = [
            stack.enter_context(
                start(*arguments, devices=2, index=index, count=2, port=port)
            )
            for index in range(2)
        ]
        wait_for(lambda: len(rows(tmp_path)) >= 4, both[0])
        both[1].send_signal(signal.SIGTERM)
        for process in both:
            text = finish(process, code=143)
            assert "stopped after step" in text
    stopped = steps(tmp_path)[-1]
    assert 8 <= stopped < 30
    with start(*command(config, tmp_path)) as process:
        assert f"continuing after step {stopped} of 30" in finish(process)
    expected = rows(unbroken)
    assert [row["step"] for row in rows(tmp_path)] == [row["step"] for row in expected]
    for actual, wanted in zip(rows(tmp_path), expected):
        assert actual["loss"] == pytest.approx(wanted["loss"], rel=1e-5), wanted["step"]


@pytest.mark.parametrize("dead", [0, 1])
def test_a_process_that_dies_ends_the_other_with_its_name(
    start, config, tmp_path, dead
):
    text = config.read_text().replace("num_steps = 30", "num_steps = 100_000")
    endless = tmp_path / "endless.py"
    endless.write_text(text.replace("checkpoint_every = 4", "checkpoint_every = 1_000"))
    arguments = command(endless, tmp_path / "run", "--distributed=env")
    port = free_port()
    with contextlib.ExitStack() as stack:
        both = [
            stack.enter_context(start(*arguments, index=index, count=2, port=port))
            for index in range(2)
        ]
        wait_for(lambda: len(rows(tmp_path / "run")) >= 4, both[0])
        both[dead].kill()
        both[1 - dead].wait(60)  # 20 s on a machine that does little else
    log, name = both[1 - dead].log, f"process {dead} (pid {both[dead].pid} on "
    wait_for(lambda: name in log.read_text(), None)  # the last word may come later
    text = log.read_text()
    last = text.splitlines()[-1]
    assert last.startswith(f"error: {name}") and "same command continues" in last
    assert "Traceback" not in text and "stack" not in text, text


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
    port = free_port()
    with contextlib.ExitStack() as stack:
        both = [
            stack.enter_context(
                start(
                    *("-c", AGREES_ON_DAMAGE, str(tmp_path / "run")),
                    devices=2,
                    index=index,
                    count=2,
                    port=port,
                )
            )
            for index in range(2)
        ]
        texts = [finish(process) for process in both]
    for text in texts:
        assert "agreed:" in text and "step 3 is damaged" in text
    warnings = [text.count("continuing from step 2 instead") for text in texts]
    assert warnings == [1, 0]  # the main process speaks


# Checkpoints alone, which takes many more kills in the same time

SAVES_IN_A_LOOP = """
import sys, jax, jax.numpy as jnp
from repr_jax import checkpoint
state = {"step": jnp.int32(0), "w": jnp.zeros((300, 200)), "b": jnp.zeros(())}
with checkpoint.Checkpoints(sys.argv[1], keep_last=2) as checkpoints:
    found = checkpoints.restore(state)
    step = 0 if found is None else found[0]
    while True:
        step += 1
        checkpoints.save(step, jax.tree.map(lambda x: jnp.full_like(x, step), state))
        print(step, flush=True)
"""


def printed_steps(process):
    def read():
        return [int(x) for x in process.log.read_text().split() if x.isdigit()]

    return read


@pytest.mark.slow
def test_kill_while_saving_leaves_the_newest_or_the_one_before_it(start, tmp_path):
    state = {"step": jnp.int32(0), "w": jnp.zeros((300, 200)), "b": jnp.zeros(())}
    for kill in range(4):
        with start("-c", SAVES_IN_A_LOOP, str(tmp_path / "run")) as process:
            printed = printed_steps(process)
            wait_for(lambda printed=printed: len(printed()) >= 3, process)
            time.sleep(random.uniform(0, 0.08))
        begun = printed()[-1]
        with Checkpoints(tmp_path / "run") as checkpoints:
            step, restored = checkpoints.restore(state)
        assert step >= begun - 1, kill
        for leaf in jax.tree.leaves(restored):
            assert np.all(np.asarray(leaf) == step)
