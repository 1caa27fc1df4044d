"""Grids of runs: what is left is done side by side, what is finished is read."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from absl import flags
from ml_collections import config_flags

from experiments.papers import grid
from repr_jax import config as configs

CONFIG = "configs/contrastive/multimodal_identifiability.py:smoke"


def a_run(name="a", **overrides):
    return grid.Run(name, CONFIG, {"seed": 3, **overrides})


def store(run, workdir, metrics):
    """What a run leaves behind that was trained and evaluated."""
    report = workdir / run.name / "report"
    report.mkdir(parents=True)
    (report / "metrics.json").write_text(json.dumps(metrics))
    text = configs.to_json(configs.load(run.config, run.overrides))
    (workdir / run.name / "config.json").write_text(text)


@pytest.fixture
def script(monkeypatch):
    """Runs become a few lines of Python in place of `repr_jax.main`."""

    def use(code):
        monkeypatch.setattr(
            grid, "command", lambda run, workdir: [sys.executable, "-c", code, run.name]
        )

    return use


def test_the_command_line_says_what_the_overrides_say(tmp_path, monkeypatch):
    overrides = {
        "dataset.process.style_change_rate": 0.75,
        "dataset.process.causal": True,
        "encoders.x1.widths": (7, 1),
    }
    run = a_run(**overrides)
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", lock_config=True, flag_values=values)
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    monkeypatch.setattr(sys, "argv", grid.command(run, tmp_path)[2:])
    values(sys.argv)
    expected = configs.to_json(configs.load(run.config, run.overrides))
    assert configs.to_json(values.config) == expected
    assert values.workdir == str(tmp_path / "a")


def test_only_a_run_that_ended_with_this_config_is_finished(tmp_path):
    run = a_run()
    assert grid.finished(run, tmp_path) is None
    store(run, tmp_path, {"step": 2, "r2/x1/content/kernel": 0.5})
    assert grid.finished(run, tmp_path)["r2/x1/content/kernel"] == 0.5
    evaluated_otherwise = a_run(**{"evals.latents.kernel_rows": 7})
    assert grid.finished(evaluated_otherwise, tmp_path) is None
    with pytest.raises(ValueError, match=r"seed: 3 there, 4 here"):
        grid.finished(a_run(seed=4), tmp_path)
    store(a_run("b"), tmp_path, {"step": 1})
    assert grid.finished(a_run("b"), tmp_path) is None


def test_finished_runs_are_read_and_the_others_done(tmp_path, script, capsys):
    runs = [a_run(name) for name in ("a", "b", "c")]
    store(runs[0], tmp_path, {"step": 2, "x": 1.0})
    left = {run.name: grid.configs.load(run.config, run.overrides) for run in runs[1:]}
    prepared = tmp_path / "config.json"
    prepared.write_text(configs.to_json(left["b"]))
    script(
        "import json, pathlib, shutil, sys\n"
        f"folder = pathlib.Path({str(tmp_path)!r}, sys.argv[1])\n"
        f"shutil.copy({str(prepared)!r}, folder)\n"
        "(folder / 'report').mkdir()\n"
        "text = json.dumps(dict(step=2, x=float(ord(sys.argv[1]))))\n"
        "(folder / 'report' / 'metrics.json').write_text(text)\n"
    )
    found = grid.complete(runs, tmp_path, jobs=2, threads=1)
    assert {name: m["x"] for name, m in found.items()} == {"a": 1.0, "b": 98, "c": 99}
    said = capsys.readouterr().err
    assert "3 runs, 1 of them finished" in said and "[  3/3]" in said
    assert not (tmp_path / "a" / "log.txt").exists()


def test_one_failure_does_not_stop_the_others_and_is_told(tmp_path, script, capsys):
    script("import sys; print('to the log'); sys.exit(3)")
    with pytest.raises(grid.FailedError, match=r"2 of 2 runs failed.*log\.txt"):
        grid.complete([a_run("a"), a_run("b")], tmp_path, jobs=1)
    assert "FAILED, exit 3" in capsys.readouterr().err
    assert "to the log" in (tmp_path / "b" / "log.txt").read_text()


def test_a_grid_that_is_stopped_stops_its_runs(tmp_path, repository):
    code = (
        "import sys; from experiments.papers import grid\n"
        "wait = ('import os, pathlib, time; pathlib.Path({!r})'\n"
        "        '.write_text(str(os.getpid())); time.sleep(60)')\n"
        f"path = {str(tmp_path / 'started')!r}\n"
        "grid.command = lambda *_: [sys.executable, '-c', wait.format(path)]\n"
        f"grid.complete([grid.Run('a', {CONFIG!r}, {{}})], {str(tmp_path)!r}, jobs=1)"
    )
    started = tmp_path / "started"
    with subprocess.Popen([sys.executable, "-c", code], cwd=repository) as process:
        try:
            deadline = time.monotonic() + 120
            while not started.exists() or not started.read_text():
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 143
        finally:
            process.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_progress_is_told_now_and_then(capsys):
    grid.progress("tree", every=0.0)(1, 2)
    assert capsys.readouterr().err == "tree: 1 of at most 2 updates\n"
    grid.progress("tree", every=60.0)(1, 2)
    assert capsys.readouterr().err == ""
