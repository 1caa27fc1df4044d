"""One run at a time in one folder, and locks of the dead do not count."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from repr_jax.workdir import lock

HOLDS = """
import sys, time
from repr_jax.workdir import lock
with lock.locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def hold(repository):
    """hold(folder) -> another process that holds its lock, until a line is written."""
    processes = []

    def start(folder):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(folder)],
            cwd=repository,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def quick(monkeypatch):
    """Signs of life every 0.2 seconds, death after one second without."""
    monkeypatch.setattr(lock, "BEAT", 0.2)
    monkeypatch.setattr(lock, "PATIENCE", 1.0)


def elsewhere(folder, **changes):
    """Makes the lock look as if a process of another machine held it."""
    path = folder / lock.LOCK
    content = json.loads(path.read_text())
    content |= {"host": "node7", "machine": "node7 boot", **changes}
    path.write_text(json.dumps(content))
    return path


def test_a_second_start_is_refused_and_says_who_where_and_since_when(tmp_path, hold):
    folder = tmp_path / "made" / "run"
    other = hold(folder)
    began = time.monotonic()
    with pytest.raises(lock.InUseError) as error, lock.locked(folder):
        pytest.fail("two hold one folder")
    assert time.monotonic() - began < lock.PATIENCE / 2
    assert re.fullmatch(
        f"{folder}: in use by process {other.pid} on {socket.gethostname()} since "
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00; wait for it, or use another folder.",
        str(error.value),
    )
    other.communicate("\n")
    assert other.returncode == 0 and os.listdir(folder) == []
    with lock.locked(folder), lock.locked(tmp_path / "another"):
        assert os.listdir(folder) == [lock.LOCK]
    assert os.listdir(folder) == []


def test_one_process_cannot_hold_a_folder_twice(tmp_path):
    with lock.locked(tmp_path):
        with pytest.raises(lock.InUseError), lock.locked(tmp_path):
            pytest.fail("held twice")
        assert os.listdir(tmp_path) == [lock.LOCK]


def test_an_error_in_the_block_releases(tmp_path):
    threads = threading.active_count()
    with pytest.raises(KeyError, match="mine"), lock.locked(tmp_path):
        raise KeyError("mine")
    assert os.listdir(tmp_path) == []
    assert threading.active_count() == threads


def test_a_killed_process_of_this_machine_does_not_block(tmp_path, hold):
    other = hold(tmp_path)
    other.send_signal(signal.SIGKILL)
    other.wait()
    began = time.monotonic()
    with lock.locked(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert time.monotonic() - began < lock.PATIENCE / 2


def test_another_process_with_the_number_of_a_dead_one_does_not_block(tmp_path):
    with lock.locked(tmp_path):
        content = json.loads((tmp_path / "lock").read_text())
    (tmp_path / "lock").write_text(json.dumps({**content, "birth": "1"}))
    with lock.locked(tmp_path):
        pass


def test_a_living_process_of_another_machine_blocks(tmp_path, monkeypatch):
    """It shows by its touches alone; this machine knows nothing of its processes."""
    monkeypatch.setattr(lock, "BEAT", 0.2)
    path = tmp_path / lock.LOCK
    path.write_text(json.dumps({"pid": 1, "host": "node7", "machine": "node7 boot"}))
    stop = threading.Event()

    def live():
        while not stop.wait(0.2):
            os.utime(path)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        message = "process 1 on node7 since"
        with (
            pytest.raises(lock.InUseError, match=message),
            lock.locked(tmp_path),
        ):
            pytest.fail("another machine holds it")
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "content", ['{"pid": 1, "host": "node7"}', "", "{", "[3]", "7"]
)
def test_a_lock_without_signs_of_life_blocks_for_a_while_alone(
    tmp_path, quick, content
):
    (tmp_path / "lock").write_text(content)
    began = time.monotonic()
    with lock.locked(tmp_path):
        assert time.monotonic() - began > 0.9
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_lock_that_is_old_by_the_clock_of_its_server_does_not_wait(tmp_path):
    (tmp_path / "lock").write_text('{"pid": 1, "host": "node7"}')
    os.utime(tmp_path / "lock", (1e9, 1e9))
    began = time.monotonic()
    with lock.locked(tmp_path):
        assert time.monotonic() - began < lock.PATIENCE / 2


def test_the_holder_touches_its_lock_and_notices_a_loss(tmp_path, quick, caplog):
    with lock.locked(tmp_path):
        path = tmp_path / "lock"
        os.utime(path, (1e9, 1e9))
        end = time.monotonic() + 20
        while path.stat().st_mtime == 1e9:
            assert time.monotonic() < end
            time.sleep(0.05)
        elsewhere(tmp_path)  # this process was suspended, say, and another took over
        while "no longer held by this process" not in caplog.text:
            assert time.monotonic() < end
            time.sleep(0.05)
    assert os.listdir(tmp_path) == ["lock"]  # the other's


def test_of_many_that_find_a_stale_lock_one_gets_it(tmp_path, quick):
    with lock.locked(tmp_path):
        content = json.loads((tmp_path / "lock").read_text())
    got, refused, together = [], [], threading.Barrier(8)
    release = threading.Event()

    def start():
        together.wait()
        try:
            with lock.locked(tmp_path):
                got.append(1)
                release.wait(20)
        except lock.InUseError:
            refused.append(1)

    for _ in range(20):
        (tmp_path / "lock").write_text(json.dumps({**content, "birth": "1"}))
        got.clear(), refused.clear(), release.clear()
        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 20
        while len(got) + len(refused) < 8 and time.monotonic() < end:
            time.sleep(0.01)
        release.set()
        for thread in threads:
            thread.join()
        assert (len(got), len(refused)) == (1, 7)


def test_a_start_that_was_killed_while_it_took_over_does_not_block(tmp_path, quick):
    with lock.locked(tmp_path):
        content = json.loads((tmp_path / "lock").read_text())
    stale = json.dumps({**content, "birth": "1"})
    (tmp_path / "lock").write_text(stale)
    claim = hashlib.sha256(stale.encode()).hexdigest()[:16]
    (tmp_path / f"lock.{claim}").write_text(json.dumps({**content, "birth": "2"}))
    with lock.locked(tmp_path):
        assert os.listdir(tmp_path) == ["lock"]
    assert os.listdir(tmp_path) == []


def test_there_is_a_lock_at_every_moment_of_a_takeover(tmp_path, monkeypatch):
    """Where it was taken away for a moment, a third start made its own meanwhile."""
    with lock.locked(tmp_path):
        content = json.loads((tmp_path / "lock").read_text())
    path = tmp_path / "lock"
    path.write_text(json.dumps({**content, "birth": "1"}))
    looked = []

    def content_of(asked, read=lock._content):
        looked.append(path.exists())
        return read(asked)

    monkeypatch.setattr(lock, "_content", content_of)
    with lock.locked(tmp_path):
        pass
    assert looked and all(looked)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), lock.locked(tmp_path / "file"):
        pytest.fail("no folder to hold")
