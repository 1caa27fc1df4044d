"""Grids of runs: what is left is done side by side, what is finished is read."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from absl import flags
from ml_collections import config_flags

from experiments.launch import sweep
from experiments.results import store as results
from experiments.results import tables
from repr_jax import config as configs
from repr_jax import files

CONFIG = "configs/contrastive/multimodal_identifiability.py:smoke"


def a_run(name="a", **overrides):
    return sweep.Run(name, CONFIG, {"seed": 3, **overrides})


def store(run, workdir, metrics):
    """What a run leaves behind that was trained and evaluated."""
    report = workdir / run.name / "report"
    report.mkdir(parents=True)
    (report / "metrics.json").write_text(files.checked_text(metrics))
    text = configs.to_json(configs.load(run.config, run.overrides))
    (workdir / run.name / "config.json").write_text(text)


@pytest.fixture
def script(monkeypatch):
    """Runs become a few lines of Python in place of `repr_jax.main`."""

    def use(code):
        monkeypatch.setattr(
            sweep,
            "command",
            lambda run, workdir: [sys.executable, "-c", code, run.name],
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
    monkeypatch.setattr(sys, "argv", sweep.command(run, tmp_path)[2:])
    values(sys.argv)
    expected = configs.to_json(configs.load(run.config, run.overrides))
    assert configs.to_json(values.config) == expected
    assert values.workdir == str(tmp_path / "a")


def test_only_a_run_that_ended_with_this_config_is_finished(tmp_path):
    run = a_run()
    assert sweep.finished(run, tmp_path) is None
    store(run, tmp_path, {"step": 2, "r2/x1/content/kernel": 0.5})
    assert sweep.finished(run, tmp_path)["r2/x1/content/kernel"] == 0.5
    evaluated_otherwise = a_run(**{"evals.latents.kernel_rows": 7})
    assert sweep.finished(evaluated_otherwise, tmp_path) is None
    with pytest.raises(ValueError, match=r"seed: 3 there, 4 here"):
        sweep.finished(a_run(seed=4), tmp_path)
    store(a_run("b"), tmp_path, {"step": 1})
    assert sweep.finished(a_run("b"), tmp_path) is None


def test_a_fit_takes_no_steps(tmp_path):
    run = sweep.Run("a", "configs/clustering/kmeans_mnist.py:smoke", {"seed": 3})
    store(run, tmp_path, {"step": 0, "clusters/nmi": 0.5})
    assert sweep.finished(run, tmp_path)["clusters/nmi"] == 0.5


def test_finished_runs_are_read_and_the_others_done(tmp_path, script, capsys):
    runs = [a_run(name) for name in ("a", "b", "c")]
    store(runs[0], tmp_path, {"step": 2, "x": 1.0})
    left = {run.name: sweep.configs.load(run.config, run.overrides) for run in runs[1:]}
    prepared = tmp_path / "config.json"
    prepared.write_text(configs.to_json(left["b"]))
    script(
        "import json, pathlib, shutil, sys\n"
        "from repr_jax import files\n"
        f"folder = pathlib.Path({str(tmp_path)!r}, sys.argv[1])\n"
        f"shutil.copy({str(prepared)!r}, folder)\n"
        "(folder / 'report').mkdir()\n"
        "numbers = dict(step=2, x=float(ord(sys.argv[1])))\n"
        "text = files.checked_text(numbers)\n"
        "(folder / 'report' / 'metrics.json').write_text(text)\n"
    )
    found = sweep.complete(runs, tmp_path, jobs=2, threads=1)
    assert {name: m["x"] for name, m in found.items()} == {"a": 1.0, "b": 98, "c": 99}
    said = capsys.readouterr().err
    assert "3 runs, 1 of them finished" in said and "[  3/3]" in said
    assert not (tmp_path / "a" / "log.txt").exists()


def test_one_failure_does_not_stop_the_others_and_is_told(tmp_path, script, capsys):
    script("import sys; print('to the log'); sys.exit(3)")
    with pytest.raises(sweep.FailedError, match=r"2 of 2 runs failed.*log\.txt"):
        sweep.complete([a_run("a"), a_run("b")], tmp_path, jobs=1)
    assert "FAILED, exit 3" in capsys.readouterr().err
    assert "to the log" in (tmp_path / "b" / "log.txt").read_text()


@pytest.mark.parametrize("jobs, told", [(1, "None"), (2, "false")])
def test_runs_side_by_side_share_an_accelerator(
    jobs, told, tmp_path, script, monkeypatch
):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE", raising=False)
    script(
        "import os, sys; print(os.environ.get('XLA_PYTHON_CLIENT_PREALLOCATE')); "
        "sys.exit(3)"
    )
    with pytest.raises(sweep.FailedError):
        sweep.complete([a_run("a")], tmp_path, jobs=jobs)
    assert (tmp_path / "a" / "log.txt").read_text().strip() == told


def test_runs_share_what_their_evaluators_train(tmp_path, script):
    """What one keeps is there for the others; a folder of its own stays."""
    (tmp_path / "grid/b/classifiers").mkdir(parents=True)
    script(
        "import pathlib, sys\n"
        f"folder = pathlib.Path({str(tmp_path / 'grid')!r}, sys.argv[1])\n"
        "(folder / 'classifiers' / f'{folder.name}.msgpack').touch()\n"
    )
    runs = [a_run(name) for name in ("a", "b", "deep/c")]
    for _ in range(2):
        with pytest.raises(sweep.FailedError):
            sweep.complete(runs, tmp_path / "grid", jobs=1)
    (tmp_path / "grid").rename(tmp_path / "moved")
    found = {
        name: sorted(x.name for x in (tmp_path / "moved" / name).iterdir())
        for name in ("classifiers", "a/classifiers", "b/classifiers")
    }
    assert found["classifiers"] == found["a/classifiers"] == ["a.msgpack", "c.msgpack"]
    assert found["b/classifiers"] == ["b.msgpack"]


# Runs that wait, and say when they begin and when they are asked to stop.
WAITS = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def ask(*_):
    (folder / 'asked').touch()
    if sys.argv[2] == 'True':
        sys.exit(143)
signal.signal(signal.SIGTERM, ask)
(folder / 'pid').write_text(str(os.getpid()))
time.sleep(60)
time.sleep(60)
"""


def until(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "heeds"),
    [
        (signal.SIGTERM, True),
        (signal.SIGINT, True),
        (signal.SIGHUP, True),
        (signal.SIGTERM, False),
    ],
)
def test_a_sweep_that_is_stopped_stops_its_runs(tmp_path, repository, number, heeds):
    words = ["-c", WAITS, str(tmp_path), str(heeds)]
    code = (
        "import sys; from experiments.launch import sweep\n"
        f"sweep.command = lambda *_: [sys.executable, *{words!r}]\n"
        f"sweep.complete([sweep.Run('a', {CONFIG!r}, {{}})], {str(tmp_path)!r}, jobs=1)"
    )
    started = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", code], cwd=repository) as process:
        try:
            until(lambda: started.exists() and started.read_text(), process)
            process.send_signal(number)
            if not heeds:
                until((tmp_path / "asked").exists, process)
                process.send_signal(number)
            assert process.wait(60) == 128 + number
        finally:
            process.kill()
    assert (tmp_path / "asked").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_progress_is_told_now_and_then(capsys):
    sweep.progress("tree", every=0.0)(1, 2)
    assert capsys.readouterr().err == "tree: 1 of at most 2 updates\n"
    sweep.progress("tree", every=60.0)(1, 2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("loss.temperature=0.1,0.5", ("loss.temperature", [0.1, 0.5])),
        ("a.widths=(7, 1),(8,2)", ("a.widths", [(7, 1), (8, 2)])),
        ("a.widths=[7, 1]", ("a.widths", [[7, 1]])),
        ("a=True,bfloat16,x=y", ("a", [True, "bfloat16", "x=y"])),
    ],
)
def test_values_of_the_command_line(text, expected):
    assert sweep.parse_values(text) == expected


def test_every_combination_is_run_with_every_seed():
    axes = {"loss.temperature": [0.1, 0.5], "num_steps": [2, 4, 6]}
    found = sweep.settings(CONFIG, axes, 2)
    assert len(found) == 6 and found[1].values == {
        "loss.temperature": 0.1,
        "num_steps": 4,
    }
    names = [run.name for setting in found for run in setting.runs]
    assert len(set(names)) == 12
    assert names[3] == "loss.temperature=0.1,num_steps=4/seed1"
    assert found[1].runs[1].overrides == {**found[1].values, "seed": 1}
    (alone,) = sweep.settings(CONFIG, {}, 3)
    assert [run.name for run in alone.runs] == ["seed0", "seed1", "seed2"]


def arguments(tmp_path, *more):
    common = [f"--config={CONFIG}", f"--workdir={tmp_path}", "--seeds=2"]
    return [*common, "--set=loss.temperature=0.1,0.5", *more]


def finish(tmp_path, but=()):
    axes = {"loss.temperature": [0.1, 0.5]}
    for number, setting in enumerate(sweep.settings(CONFIG, axes, 2)):
        for seed, run in enumerate(setting.runs):
            if run.name not in but:
                numbers = {"step": 2, "probe/accuracy": number + seed, "bound": 1.0}
                store(run, tmp_path, numbers)


def test_a_sweep_gathers_mean_and_spread(tmp_path, capsys):
    finish(tmp_path)
    assert sweep.main(arguments(tmp_path, "--metrics=probe/*")) == 0
    said = capsys.readouterr().out
    assert "| loss.temperature | runs | probe/accuracy |" in said
    assert "| 0.1 | 2 | 0.5 ± 0.5 |" in said and "| 0.5 | 2 | 1.5 ± 0.5 |" in said
    result = results.read(tmp_path / "sweep.json")
    assert result.content[0].rows[1][2] == tables.Number(1.5, 0.5, 2)
    assert result.seeds == [0, 1]
    assert "--set=loss.temperature=0.1,0.5 --workdir=DIR --seeds=2" in result.command
    assert "| 0.1 | 2 | 0.5 ± 0.5 |" in (tmp_path / "sweep.md").read_text()
    lines = (tmp_path / "sweep.csv").read_text().splitlines()
    assert lines[0] == "loss.temperature,seed,metric,value"
    assert "0.5,1,probe/accuracy,2" in lines


def test_a_dry_run_prints_commands_and_does_nothing(tmp_path, capsys):
    finish(tmp_path, but=["loss.temperature=0.1/seed1"])
    assert sweep.main(arguments(tmp_path, "--dry-run")) == 0
    lines = capsys.readouterr().out.splitlines()
    states = [line.partition(":")[0] for line in lines]
    assert states == ["finished", "to do", "finished", "finished"]
    assert "-m repr_jax.main" in lines[1] and "--config.seed=1" in lines[1]
    assert "--config.loss.temperature=0.1" in lines[1]
    assert not (tmp_path / "sweep.json").exists()
    assert not (tmp_path / "loss.temperature=0.1/seed1").exists()


def test_the_table_of_a_sweep_with_failures_is_of_the_others(tmp_path, script, capsys):
    finish(tmp_path, but=["loss.temperature=0.1/seed1"])
    script("import sys; sys.exit(3)")
    assert sweep.main(arguments(tmp_path)) == 3
    said = capsys.readouterr()
    assert "error: 1 of 4 runs failed" in said.err
    assert "| 0.1 | 1 | 0 | 1 |" in said.out and "| 0.5 | 2 | 1.5 ± 0.5 |" in said.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set=loss.temperture=1"], "temperture"),
        (["--set=num_steps=many"], "many|type"),
        (["--set=seed=1,2"], "--seeds=N"),
        (["--set=batch_size"], "name=value"),
        (["--set=batch_size=8,"], "name=value"),
        (["--set=batch_size=8,8"], "different values"),
        (["--set=loss.temperature=1"], "each name once"),
        (["--metrics=acc"], "expected some of probe/accuracy, bound; got acc"),
        (["--config=configs/none.py"], "configs/none.py"),
    ],
)
def test_a_wrong_sweep_is_one_line(tmp_path, capsys, more, message):
    finish(tmp_path)
    assert sweep.main(arguments(tmp_path, *more)) == 2
    error = capsys.readouterr().err
    assert re.search(message, error.splitlines()[-1])
    assert "Traceback" not in error


@pytest.mark.parametrize("flag", ["seeds", "jobs", "threads"])
def test_counts_are_at_least_one(tmp_path, capsys, flag):
    with pytest.raises(SystemExit) as stopped:
        sweep.main(arguments(tmp_path, f"--{flag}=0"))
    assert stopped.value.code == 2
    assert f"--{flag}: expected at least 1; got 0" in capsys.readouterr().err
