"""Runs that are compared over processes, and runs that are harmed on purpose."""

import contextlib
import json
import types

import pytest

from experiments.launch import agreement, befall, faults
from repr_jax import files


def test_difference_is_relative_and_of_curves_as_long():
    assert agreement.difference([1.0, 2.1], [1.0, 2.0]) == pytest.approx(0.05)
    assert agreement.difference([-1.0], [1.0]) == 2.0
    assert agreement.difference([1.0], [1.0, 2.0]) == float("inf")
    nan, inf = float("nan"), float("inf")
    for found, expected in (([1.0, nan], [1.0, 2.0]), ([inf], [inf]), ([nan], [nan])):
        assert agreement.difference(found, expected) == inf
    assert agreement.difference([0.0, 2.0], [0.0, 1.0]) == 1.0
    assert agreement.difference([1e-9, 1.0], [0.0, 1.0]) == inf


def test_a_run_that_was_not_stopped_is_not_said_to_go_on(tmp_path, monkeypatch):
    ended = types.SimpleNamespace(
        poll=lambda: 0, wait=lambda: 0, terminate=lambda: None, log="output0.txt"
    )

    @contextlib.contextmanager
    def started(*_):
        yield [ended]

    monkeypatch.setattr(agreement, "started", started)
    with pytest.raises(agreement.FailedError, match="expected to be stopped"):
        agreement.continued("", tmp_path, (1, 1), (1, 2), 10)


def test_a_curve_ends_with_the_numbers_of_the_report(tmp_path):
    rows = [{"step": step, "loss": loss} for step, loss in ((1, 3), (2, 2))]
    rows = [files.checked_text(row) for row in rows]
    (tmp_path / "metrics.jsonl").write_text("".join(rows))
    (tmp_path / "report").mkdir()
    text = files.checked_text({"step": 2, "bound/m0": -5.0})
    (tmp_path / "report" / "metrics.json").write_text(text)
    assert agreement.curve("", tmp_path, (1, 1), 2) == [3, 2, -5.0, 2]


def test_faults_are_those_that_can_befall_a_run():
    known = {fault.__name__ for fault in befall.FAULTS}
    assert {fault.befalls for fault in faults.FAULTS} <= known
    names = [fault.name for fault in faults.FAULTS]
    assert len(set(names)) == len(names)


def test_what_was_done_is_read(tmp_path):
    row = faults.Row("a", 1, "0, 0", "done", 1.5, 2, 0.0, 0.0)
    (tmp_path / "row.json").write_text(json.dumps(row._asdict()))
    assert faults.row_of(tmp_path, faults.FAULTS[0], tmp_path / "none") == row


class Process:
    """One of a run: ended, at a step, or waiting for the other to join."""

    def __init__(self, log, ended, waits=False):
        self.log, self.returncode, self.waits = log, 0 if ended else None, waits
        log.write_text("")

    def poll(self):
        if self.returncode is None and self.waits:
            self.log.write_text(self.log.read_text() + "waiting for all 2 processes")
        return self.returncode

    def wait(self):
        return self.returncode

    def kill(self):
        self.returncode = -9


def test_a_soak_counts_the_kills_that_met_a_run(tmp_path, monkeypatch):
    """Of four starts the second ends before its kill: another run follows.

    In the third the processes have not met, so that the other would wait.
    """
    kinds, started, finished, runs = "kewk", [], [], []

    @contextlib.contextmanager
    def start(workdir):
        kind = kinds[len(started)]
        started.append(workdir.name)
        logs = [tmp_path / f"{len(started)}.{i}" for i in range(2)]
        runs.append([Process(log, kind == "e", kind == "w") for log in logs])
        yield runs[-1]

    def wait(condition, processes=()):
        if kinds[len(runs) - 1] == "k":  # the death of one ends the other
            if any(one.returncode for one in runs[-1]):
                for one in runs[-1]:
                    one.returncode = one.returncode or -6
            return
        while not condition() and all(one.poll() is None for one in processes):
            pass

    far = {"0": [0.0, 0.25], "1": [0.5, 0.0]}
    monkeypatch.setattr(faults, "LIFE", 1e-3)
    monkeypatch.setattr(faults, "start", start)
    monkeypatch.setattr(faults, "wait", wait)
    monkeypatch.setattr(faults, "finish", lambda workdir: finished.append(workdir.name))
    monkeypatch.setattr(faults, "apart", lambda workdir, _: far[workdir.name])
    row = faults.soak(tmp_path, 3, tmp_path / "unbroken")
    assert started == ["0", "0", "1", "1"] and finished == ["1"]
    assert all(one.returncode is not None for both in runs for one in both)
    assert row.said == "3 kills at random times in 2 runs, 1 before they met"
    assert (row.loss, row.metrics) == (0.5, 0.25)


@pytest.mark.slow
def test_devices_and_processes_change_no_number(tmp_path):
    arguments = ["--most=2", "--steps=10", "--methods", "SimCLR"]
    assert agreement.main([f"--workdir={tmp_path}", *arguments]) == 0
    text = (tmp_path / "launch_agreement.json").read_text()
    rows = json.loads(text)["content"][1]["rows"]
    assert [row[0] for row in rows] == [
        "1 x 1",
        "1 x 2",
        "2 x 1",
        "2 x 2",
        "2 x 1, then 1 x 2",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data source hangs", "killed while restoring"])
def test_a_harmed_run_goes_on(tmp_path, capsys, name):
    assert faults.main([f"--workdir={tmp_path}", f"--only={name}"]) == 0
    out = capsys.readouterr().out
    assert "process 1 (pid " in out
    (path,) = tmp_path.glob("*/row.json")
    row = json.loads(path.read_text())
    assert row["lost"] < 8 and row["loss"] < 1e-5 and row["metrics"] < 1e-5
