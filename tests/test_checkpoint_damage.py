"""Whatever happens to the files of a checkpoint: the right values, or one line why not.

REPR_JAX_DAMAGES=300 damages more files at random than the suite has time for.
"""

import logging
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from repr_jax import checkpoint, sharding
from repr_jax.checkpoint import Checkpoints
from repr_jax.workdir import reading

# Threads that read a damaged file complain when nobody waits for them any more.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore:coroutine .* was never awaited:RuntimeWarning",
)


def state_of(step):
    """A state with one large leaf; every value depends on `step`."""
    rng = np.random.default_rng(step)
    kernel = rng.normal(size=(64, 48)).astype(np.float32)
    state = {
        "step": np.int32(step),
        "params": {"kernel": kernel, "bias": np.full(48, step, np.float32)},
        "key": jax.random.key(step),
    }
    return jax.device_put(state, sharding.replicated(sharding.make_mesh()))


def assert_same(actual, expected):
    def plain(state):
        return {**state, "key": jax.random.key_data(state["key"])}

    jax.tree.map(np.testing.assert_array_equal, plain(actual), plain(expected))


def shapes():
    return checkpoint.abstract(state_of(0))


@pytest.fixture
def saved(tmp_path):
    """A directory with the complete steps 10 and 20."""
    with Checkpoints(tmp_path / "run") as checkpoints:
        for step in (10, 20):
            checkpoints.save(step, state_of(step), {"loss": 1 / step})
    return tmp_path / "run"


@pytest.fixture
def warned(caplog):
    caplog.set_level(logging.WARNING, logger="repr_jax.checkpoint")
    return lambda: [r.getMessage() for r in caplog.records if "repr_jax" in r.name]


def files_of(folder):
    return sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())


def flip(path, position):
    data = bytearray(path.read_bytes())
    if data:
        data[position] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_damage_to_any_file_is_survived(saved, damage, warned):
    """Whatever happens to one file, what is restored is what was saved."""
    fell_back, by_checksum = set(), 0
    shutil.copytree(saved, saved.with_name("intact"))
    names = [path.relative_to(saved) for path in files_of(saved / "20")]
    for name in names:
        size = (saved / name).stat().st_size
        for part in (0.02, 0.5, 0.95) if damage == "flipped" else (0,):
            if damage == "flipped":
                flip(saved / name, int(part * size))
            elif damage == "truncated":
                (saved / name).write_bytes((saved / name).read_bytes()[: size // 2])
            else:
                (saved / name).unlink()
            with Checkpoints(saved) as checkpoints:
                step, state = checkpoints.restore(shapes())
            assert_same(state, state_of(step))
            if step == 10:
                fell_back.add(str(name))
                message = warned()[-1]
                assert "step 20 is damaged (" in message
                assert "continuing from step 10 instead" in message
                assert "\n" not in message
                by_checksum += "the contents of" in message
            shutil.copy(saved.with_name("intact") / name, saved / name)
    assert "20/_CHECKPOINT_METADATA" in fell_back
    assert any("/d/" in name for name in fell_back)
    if damage == "flipped":
        assert by_checksum > 0  # orbax alone would have used these numbers


def test_a_flipped_byte_of_the_arrays_is_noticed_wherever_it_is(saved, warned):
    """Twenty places over the file that holds the large array."""
    largest = max(files_of(saved / "20"), key=lambda path: path.stat().st_size)
    for position in range(50, largest.stat().st_size, largest.stat().st_size // 20):
        flip(largest, position)
        with Checkpoints(saved) as checkpoints:
            step, state = checkpoints.restore(shapes())
        assert_same(state, state_of(step))  # a few bytes of the file are not used
        flip(largest, position)
    assert sum("the contents of 1 of 4 leaves" in text for text in warned()) >= 15


def damage(folder):
    largest = max(files_of(folder), key=lambda path: path.stat().st_size)
    flip(largest, largest.stat().st_size // 2)


@pytest.mark.parametrize("next_step", [15, 20])
def test_a_damaged_step_is_replaced_by_the_next_save(saved, next_step):
    damage(saved / "20")
    with Checkpoints(saved, keep_last=1) as checkpoints:
        assert checkpoints.restore(shapes())[0] == 10
        assert sorted(os.listdir(saved)) == ["10", "20"]  # looking changes nothing
        checkpoints.save(next_step, state_of(next_step))
        step, state = checkpoints.restore(shapes())
        assert step == next_step
        assert_same(state, state_of(next_step))
        assert os.listdir(saved) == [str(next_step)]


def test_no_intact_checkpoint_is_an_error_that_names_the_folder(saved):
    damage(saved / "20")
    shutil.rmtree(saved / "10" / "state")
    with Checkpoints(saved) as checkpoints:
        with pytest.raises(checkpoint.DamagedError) as error:
            checkpoints.restore(shapes())
        message = str(error.value)
        assert message.startswith(f"{saved}: expected an intact checkpoint; step 20 is")
        assert "step 10 is damaged" in message
        assert "\n" not in message
        with pytest.raises(checkpoint.DamagedError, match="step 20 is damaged"):
            checkpoints.restore(shapes(), 20)
        with pytest.raises(FileNotFoundError, match=r"step 15; it has \[10, 20\]"):
            checkpoints.restore(shapes(), 15)
    assert sorted(os.listdir(saved)) == ["10", "20"]


def test_damage_does_not_disturb_the_best(saved, tmp_path):
    with Checkpoints(tmp_path, keep_last=1, best_metric="loss") as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, state_of(step), {"loss": step})
    (tmp_path / "3" / "_CHECKPOINT_METADATA").write_text("{")
    with Checkpoints(tmp_path, keep_last=1, best_metric="loss") as checkpoints:
        assert checkpoints.best_step() == 1
        assert checkpoints.restore(shapes())[0] == 1


# Damage at random

NUM_DAMAGES = int(os.environ.get("REPR_JAX_DAMAGES", 12))


def damage_at_random(folder, rng, path=None):
    """Does something to one file, or to a folder, below `folder`; says what."""
    paths = sorted(folder.rglob("*"))
    path = path or rng.choice([path for path in paths if path.is_file()])
    data = bytearray(path.read_bytes())
    kind = rng.choice(
        ["flip", "cut", "lose", "zero", "noise", "grow", "swap", "folder", "tree"]
    )
    if kind == "flip" and data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[rng.randrange(len(data) + 1) :]
    elif kind == "zero":
        data = bytes(len(data))
    elif kind == "noise":
        data = rng.randbytes(len(data))
    elif kind == "grow":
        data += rng.randbytes(9)
    elif kind == "swap":  # with another file of the folder
        data = rng.choice([path for path in paths if path.is_file()]).read_bytes()
    path.write_bytes(data)
    if kind in ("lose", "folder"):
        path.unlink()
    if kind == "folder":
        path.mkdir()
    if kind == "tree":
        path = rng.choice([path for path in paths if path.is_dir()] or [folder])
        shutil.rmtree(path)
    return f"{kind} {path.relative_to(folder)}"


def test_random_damage_gives_the_right_values_or_one_line(tmp_path, saved, capfd):
    """Also to both steps at once; a start that is possible happens, and saves again."""
    seed = random.randrange(2**32)
    outcomes = {10: 0, 20: 0, "none": 0}
    for number in range(NUM_DAMAGES):
        rng = random.Random(f"{seed} {number}")
        run = shutil.copytree(saved, tmp_path / f"damaged{number}")
        what = [damage_at_random(run, rng) for _ in range(rng.choice([1, 1, 2, 4]))]
        case = f"seed {seed}, damage {number}: {what}"
        try:
            with Checkpoints(run, best_metric="loss") as checkpoints:
                found = checkpoints.restore(shapes())
                step = None if found is None else found[0]
                if step is not None:
                    assert_same(found[1], state_of(step))
                checkpoints.save(30, state_of(30), {"loss": 0.0})
            with Checkpoints(run, best_metric="loss") as checkpoints:
                assert_same(checkpoints.restore(shapes())[1], state_of(30))
        except checkpoint.DamagedError as error:
            assert "\n" not in str(error), case
            outcomes["none"] += 1
        except BaseException as error:
            raise AssertionError(case) from error
        else:
            outcomes[step] = outcomes.get(step, 0) + 1
        shutil.rmtree(run)
    assert "Traceback" not in capfd.readouterr().err
    print(NUM_DAMAGES, "damages; restored:", outcomes)


# Errors of reading that may pass


def failing(monkeypatch, times, error):
    """Makes orbax fail to read so often; returns what counts the calls."""
    calls, load = [], checkpoint.ocp.load_checkpointables

    def flaky(path, wanted):
        calls.append(path.name)
        if len(calls) <= times:
            raise error
        return load(path, wanted)

    monkeypatch.setattr(reading, "PAUSES", (0.0, 0.01, 0.02))
    monkeypatch.setattr(checkpoint.ocp, "load_checkpointables", flaky)
    return calls


ERRORS = [
    OSError(5, "Input/output error"),
    PermissionError(13, "Permission denied"),
    TimeoutError(110, "Connection timed out"),
    OSError(116, "Stale file handle"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_that_passes_costs_nothing(saved, warned, monkeypatch, error):
    calls = failing(monkeypatch, 2, error)
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.restore(shapes())[0] == 20
    assert calls == ["20"] * 3 and warned() == []


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_error_that_stays_is_raised_and_deletes_nothing(saved, monkeypatch, wrapped):
    error = OSError(5, "Input/output error")
    if wrapped:  # as orbax does
        error, cause = KeyError("some handler"), error
        error.__cause__ = cause
    calls = failing(monkeypatch, 4, error)
    with Checkpoints(saved, keep_last=1) as checkpoints:
        message = f"{saved}/20: could not be read, but may be intact: OSError: .*Input"
        with pytest.raises(OSError, match=message) as raised:
            checkpoints.restore(shapes())
        assert not isinstance(raised.value, checkpoint.DamagedError)
        assert "\n" not in str(raised.value)
        assert calls == ["20"] * 4 and sorted(os.listdir(saved)) == ["10", "20"]
        assert checkpoints.restore(shapes())[0] == 20


def test_an_error_of_the_description_is_none_of_the_content(saved, monkeypatch):
    read_bytes, asked = type(checkpoint.epath.Path(saved)).read_bytes, []

    def flaky(path):
        asked.append(path)
        if path.name == "_CHECKPOINT_METADATA" and len(asked) < 3:
            raise OSError(5, "Input/output error")
        return read_bytes(path)

    monkeypatch.setattr(reading, "PAUSES", (0.0, 0.01, 0.02))
    monkeypatch.setattr(type(checkpoint.epath.Path(saved)), "read_bytes", flaky)
    with Checkpoints(saved, best_metric="loss") as checkpoints:
        assert checkpoints.best_step() == 20


def test_an_error_of_the_program_is_no_damage(saved, monkeypatch):
    failing(monkeypatch, 9, NotImplementedError("another orbax"))
    with Checkpoints(saved) as checkpoints, pytest.raises(NotImplementedError):
        checkpoints.restore(shapes())
    assert sorted(os.listdir(saved)) == ["10", "20"]


@pytest.mark.parametrize("origin", ["orbax/handler.py", "[tensorstore_spec='{}']", ""])
def test_what_threads_of_orbax_say_later_is_hidden_and_nothing_else(caplog, origin):
    """They hand each error over as well; asyncio tells of those nobody waited for."""
    reading.hide_tracebacks_of_orbax()
    error = ValueError(f"OUT_OF_RANGE: Error opening driver {origin}")
    logger = logging.getLogger("asyncio")
    logger.error("Future exception was never retrieved", exc_info=error)
    logger.error("no exception, of tensorstore")
    assert len(caplog.records) == 1 + (not origin)


# Kills while deleting

DELETES_AND_IS_KILLED = """
import os, signal, sys
from etils import epath
import jax.numpy as jnp
from repr_jax.checkpoint import Checkpoints
rmtree = type(epath.Path("/")).rmtree
def killed(path, **options):
    if path.exists():
        (path / "_CHECKPOINT_METADATA").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
type(epath.Path("/")).rmtree = killed
with Checkpoints(sys.argv[1], keep_last=1) as checkpoints:
    checkpoints.save(30, {"w": jnp.zeros(3)})
"""


def test_a_kill_while_deleting_leaves_nothing_in_the_way(saved, repository):
    code = [sys.executable, "-c", DELETES_AND_IS_KILLED, str(saved)]
    assert subprocess.run(code, cwd=repository).returncode == -signal.SIGKILL
    left = sorted(os.listdir(saved))
    assert left == ["10.deleted", "20", "30"] or left == ["10", "20.deleted", "30"]
    with Checkpoints(saved, best_metric="loss") as checkpoints:
        assert checkpoints.latest_step() == 30
        assert checkpoints.arrays()["['w']"].shape == (3,)
        assert not any("deleted" in name for name in os.listdir(saved))


def test_a_step_that_cannot_be_deleted_is_a_line(saved, warned, monkeypatch):
    def refuse(folder):
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(checkpoint.lock, "delete", refuse)
    with Checkpoints(saved, keep_last=1) as checkpoints:
        checkpoints.save(30, state_of(30))
    assert len(warned()) == 2
    assert f"{saved}: step 10 could not be deleted: OSError: [Errno 16]" in warned()[0]
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.restore(shapes())[0] == 30
