"""The command line, as a person uses it: a process for every case."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from experiments.launch import reported

DEMO = "configs/multimodal/mopoe_polymnist_demo.py"


@pytest.fixture(scope="module")
def run(repository):
    def run(*arguments, timeout=1800):
        return subprocess.run(
            [sys.executable, "-m", "repr_jax.main", *arguments],
            cwd=repository,
            env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture(scope="module")
def ended(forked, repository):
    """ended(*arguments) -> what a command printed that ended with exit code 2."""

    def ended(*arguments):
        code, text = forked("repr_jax.main", arguments, repository)
        assert code == 2 and "Traceback" not in text, text
        return text

    return ended


@pytest.fixture(scope="module")
def finished(run, tmp_path_factory):
    """A finished smoke run of the demo."""
    workdir = tmp_path_factory.mktemp("smoke") / "run"
    result = run(f"--config={DEMO}:smoke", f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    return workdir, result


def test_a_run_leaves_metrics_a_report_and_what_is_needed_to_repeat_it(finished):
    workdir, result = finished
    assert f"report: {workdir}/report/index.html" in result.stdout
    for name in ("metrics.jsonl", "config.json", "starts.jsonl", "report/metrics.json"):
        assert (workdir / name).exists(), name
    metrics = reported.read(workdir / "report" / "metrics.json")
    assert metrics["step"] == 2
    assert 0 <= metrics["linear_probe/m0+m1"] <= 1
    start = json.loads((workdir / "starts.jsonl").read_text())
    assert "jax" in start["versions"] and "cores of" in start["hardware"]
    assert list((workdir / "tensorboard").iterdir())


def test_the_stored_config_runs_again_and_gives_the_same_numbers(
    run, unbroken, tmp_path
):
    workdir = shutil.copytree(unbroken, tmp_path / "run")
    before = reported.read(workdir / "report" / "metrics.json")
    (workdir / "report" / "metrics.json").unlink()
    result = run("--mode=eval", f"--workdir={workdir}", "--step=30")
    assert result.returncode == 0, result.stderr
    again = reported.read(workdir / "report" / "metrics.json")
    assert again == pytest.approx(before)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "config.json").write_text((workdir / "config.json").read_text())
    result = run(f"--workdir={copy}")
    assert result.returncode == 0, result.stderr
    assert reported.read(copy / "report" / "metrics.json") == pytest.approx(before)


def test_another_config_in_the_same_workdir_is_refused_with_the_difference(
    ended, finished
):
    workdir, _ = finished
    text = ended(
        f"--config={DEMO}:smoke", "--config.loss.beta=2.0", f"--workdir={workdir}"
    )
    assert "another config" in text
    assert "loss.beta: 2.5 there, 2.0 here" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.modalities=('m0', 'm9')"], "got 'm9'"),
        (["--config.encoder.shape=(32, 32, 3)"], "expected images [batch, *(32, 32, 3"),
        (["--config.latent_dim=0"], "expected latent_dim of 1 or more; got 0"),
        (["--config.loss.beta=-1.0"], "beta >= 0; got -1.0"),
        (["--config.los.beta=1.0"], 'Did you mean "loss"'),
        (["--config.loss.bta=1"], "expected a field that the config sets; got 'bta'"),
        (["--config.evals.coherence.many=1"], "coherence.many=1: expected a field"),
        (["--config.batch_size=many"], "batch_size"),
        (["--config.data_source=imagenet"], "imagenet"),
        (["--config.best_metric=los"], "expected one of grad_norm"),
        (
            [
                "--config.data_source=folder",
                "--config.contrast=1",
                "--config.data_dir=.",
            ],
            "train",
        ),
        (["--config.data_source=tfds", "--config.data_dir=/nowhere"], "/nowhere"),
    ],
)
def test_bad_values_give_one_line(ended, tmp_path, arguments, message):
    text = ended(f"--config={DEMO}:smoke", f"--workdir={tmp_path / 'w'}", *arguments)
    last = text.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last
    assert not (tmp_path / "w").exists()


def test_a_missing_config_workdir_or_run_is_named(ended, tmp_path):
    below_a_file = tmp_path / "file" / "below"
    (tmp_path / "file").write_text("")
    for arguments, message in [
        (["--config=configs/nowhere.py", f"--workdir={tmp_path}"], "nowhere.py"),
        ([f"--config={DEMO}:smoke", f"--workdir={below_a_file}"], "file"),
        ([f"--workdir={tmp_path}"], "expected --config"),
        (
            [f"--config={DEMO}:smoke", f"--workdir={tmp_path}", "--mode=eval"],
            "got none",
        ),
    ]:
        last = ended(*arguments).strip().splitlines()[-1]
        assert last.startswith("error: ") and message in last
    assert "expected --workdir=DIR" in ended(f"--config={DEMO}:smoke")


def test_help_tells_how_to_run_what_the_flags_are_and_the_exit_codes(run):
    text = run("--help").stdout
    for wanted in ("--workdir", "--mode", "--distributed", ":smoke", "Exit codes"):
        assert wanted in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "found no configs, experiments: .* from the folder of a checkout"),
        (("-S",), r"found no absl, .*: pip install 'repr-jax\[train\]'"),
    ],
    ids=["installed", "without_site_packages"],
)
def test_what_an_installation_lacks_is_one_line(options, message, repository, tmp_path):
    """A folder with nothing but the package, as pip installs it."""
    (tmp_path / "repr_jax").symlink_to(repository / "repr_jax")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *options, "-m", "repr_jax.main", f"--config={DEMO}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert re.fullmatch(f"error: {message}.*\n", done.stderr)
