"""Whatever happens to any file of a workdir: a right start, or one line why not.

REPR_JAX_DAMAGES=300 damages more files at random than the suite has time for.
"""

import collections
import functools
import json
import os
import random
import shutil
import signal

import jax
import numpy as np
import pytest

from repr_jax import logs, run
from repr_jax.main import INPUT_ERRORS
from repr_jax.train import Interrupted
from repr_jax.workdir import lock, records
from tests.experiments.test_fit import of_kmeans
from tests.test_checkpoint_damage import damage_at_random
from tests.test_run import small

# Threads that read a damaged file complain when nobody waits for them any more.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore:coroutine .* was never awaited:RuntimeWarning",
)

NUM_DAMAGES = int(os.environ.get("REPR_JAX_DAMAGES", 10))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped halfway, with a lock that nobody holds: its workdir."""
    workdir = tmp_path_factory.mktemp("stopped") / "run"

    def stop(step, metrics):
        if step == 20:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        run.train(small(), workdir, on_log=stop)
    run.evaluate(small(), workdir)
    dead = {**lock._this_process(), "birth": "0"}
    (workdir / lock.LOCK).write_text(json.dumps(dead))
    return workdir


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """The workdir of a fit, evaluated."""
    workdir = tmp_path_factory.mktemp("fitted") / "run"
    run.train(of_kmeans(), workdir)
    run.evaluate(of_kmeans(), workdir)
    return workdir


def damaged(workdir, copy, rng) -> list[str]:
    """Copies the workdir and damages it; says what."""
    shutil.copytree(workdir, copy)
    said = []
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        if not copy.exists() or not list(copy.iterdir()):
            break
        place = rng.choice(sorted(copy.iterdir()))
        if place.is_file():
            said.append(damage_at_random(copy, rng, place))
        elif any(path.is_file() for path in place.rglob("*")):
            said.append(f"{damage_at_random(place, rng)} in {place.name}")
        elif rng.random() < 0.5:
            shutil.rmtree(place)
            said.append(f"lost {place.name}")
    return said


def check_damages(workdir, tmp_path, make, first, capfd, monkeypatch):
    """Many damages to copies of a workdir; `first` is the undisturbed end."""
    monkeypatch.setattr(lock, "PATIENCE", 0.2)
    parts, seed, outcomes = run.build(make()), random.randrange(2**32), []
    for number in range(NUM_DAMAGES):
        rng = random.Random(f"{seed} {number}")
        copy = tmp_path / str(number)
        what = damaged(workdir, copy, rng)
        case = f"seed {seed}, damage {number}: {what}"
        by_command = rng.random() < 0.7  # or by what the workdir has stored
        try:
            config = make()
            if not by_command:
                config = records.stored_config(copy, trusted=["tests"])
            state = run.train(config, copy, parts=parts if by_command else None)
            numbers = run.evaluate(config, copy, parts=parts if by_command else None)
        except INPUT_ERRORS as error:
            text = str(error)
            assert str(copy) in text, f"{case}: {error!r}"
            assert "\n" not in text or "written by another config" in text, case
            outcomes.append(f"refused: {type(error).__name__}")
        except BaseException as error:
            raise AssertionError(case) from error
        else:
            both = all(name in str(what) for name in ("config.json", "starts.jsonl"))
            if both and not by_command:  # what it was, and its checksum
                outcomes.append("not to be known")
                continue
            same = functools.partial(np.testing.assert_array_equal, err_msg=case)
            jax.tree.map(same, state, first[0])
            assert numbers == first[1], case
            rows = logs.read(copy)
            assert all(row in first[2] for row in rows), case
            assert rows == first[2] or "metrics.jsonl" in str(what), case
            outcomes.append("right")
        error = capfd.readouterr().err
        assert "Traceback" not in error, f"{case}\n{error}"
        shutil.rmtree(copy, ignore_errors=True)
    return collections.Counter(outcomes)


def end_of(make, workdir):
    """What an undisturbed run ends with: its state, its numbers, its rows."""
    state = run.train(make(), workdir)
    return state, run.evaluate(make(), workdir), logs.read(workdir)


def test_a_damaged_run_ends_right_or_says_why_not(
    stopped, tmp_path, capfd, monkeypatch
):
    first = end_of(small, tmp_path / "whole")
    print(check_damages(stopped, tmp_path, small, first, capfd, monkeypatch))


def test_a_damaged_fit_is_fitted_again_or_says_why_not(
    fitted, tmp_path, capfd, monkeypatch
):
    first = end_of(of_kmeans, tmp_path / "whole")
    print(check_damages(fitted, tmp_path, of_kmeans, first, capfd, monkeypatch))
