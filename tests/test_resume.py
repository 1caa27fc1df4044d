"""Runs that are killed, stopped or damaged go on as if nothing had happened."""

import collections
import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import logs
from repr_jax.checkpoint import Checkpoints
from tests.runs import TIME_LIMIT, command, finish, results, steps, wait_for
from tests.test_logs import events

NUM_KILLS = int(os.environ.get("REPR_JAX_KILLS", 5))
MOST = 4  # kills of one run: then it may finish, and is compared
SIGNALS = (
    signal.SIGKILL,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
)


@pytest.fixture(scope="module")
def stopped(start, tiny, tmp_path_factory):
    """The workdir of a run that SIGTERM ended, and what it printed."""
    workdir = tmp_path_factory.mktemp("stopped") / "run"
    with start(*command(tiny, workdir)) as process:
        wait_for(lambda: len(logs.read(workdir)) >= 5, process)
        process.send_signal(signal.SIGTERM)
        return workdir, finish(process, code=143)


# Kills and stops


@pytest.mark.slow
def test_kills_at_random_moments_then_the_same_command(start, tiny, unbroken, tmp_path):
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
        with start(*command(tiny, workdir)) as process:
            if number < NUM_KILLS and len(kills) < MOST:
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
            assert shown(workdir) == logs.read(unbroken), case
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
        seconds = rng.uniform(0, rng.choice([0.05, 0.5]))  # in training, or after it
        more = rng.randrange(15)
        until(lambda: "parameters" in process.log.read_text())  # later rows are gone
        wanted = min(15, len(logs.read(workdir)) + more)
        until(lambda: len(logs.read(workdir)) >= wanted)
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
    start, tiny, unbroken, stopped, tmp_path
):
    workdir, text = stopped
    last = steps(workdir)[-1]
    assert 10 <= last < 30
    assert f"stopped after step {last}; the state is saved." in text
    assert "The same command continues." in text
    assert "Traceback" not in text
    workdir = shutil.copytree(workdir, tmp_path / "run")
    with start(*command(tiny, workdir)) as process:
        assert f"continuing after step {last} of 30" in finish(process)
    assert results(workdir) == results(unbroken)


# What is refused, and what is survived


def test_another_config_is_refused_with_the_difference(start, tiny, unbroken):
    before = results(unbroken), steps(unbroken)
    arguments = ("--config.loss.beta=7.0", "--config.batch_size=32")
    with start(*command(tiny, unbroken, *arguments)) as process:
        text = finish(process, code=2)
    assert "loss.beta: 2.5 there, 7.0 here" in text
    assert "batch_size: 16 there, 32 here" in text
    assert (results(unbroken), steps(unbroken)) == before


def damage(folder):
    """Flips a bit in the middle of every data file of a checkpoint."""
    for path in folder.rglob("d/*"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x10
        path.write_bytes(data)


def test_a_damaged_newest_checkpoint_costs_its_steps_and_no_more(
    start, tiny, unbroken, stopped, tmp_path
):
    workdir = shutil.copytree(stopped[0], tmp_path / "run")
    *_, before, newest = steps(workdir)
    damage(workdir / "checkpoints" / str(newest))
    with start(*command(tiny, workdir)) as process:
        text = finish(process)
    said = [line for line in text.splitlines() if f"step {newest} is damaged (" in line]
    assert len(said) == 1
    assert f"continuing from step {before} instead" in said[0]
    assert f"continuing after step {before} of 30" in text
    assert "Traceback" not in text
    assert results(workdir) == results(unbroken)


def test_no_readable_checkpoint_is_an_error_and_not_a_new_start(
    start, tiny, stopped, tmp_path
):
    workdir = shutil.copytree(stopped[0], tmp_path / "run")
    before = logs.read(workdir)
    for step in steps(workdir):
        damage(workdir / "checkpoints" / str(step))
    with start(*command(tiny, workdir)) as process:
        text = finish(process, code=2)
    message = f"error: {workdir}/checkpoints: expected an intact checkpoint; step "
    said = [line for line in text.splitlines() if line.startswith(message)]
    assert len(said) == 1 and said[0].count("is damaged") == len(steps(workdir))
    assert "Traceback" not in text
    assert logs.read(workdir) == before


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
