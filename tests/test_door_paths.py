"""Paths as people write them, data that break midway, and terminals that close."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from experiments.benchmarks import hierarchy
from experiments.results import render
from repr_jax import logs, run
from repr_jax.checkpoint import Checkpoints
from repr_jax.data import image_files
from repr_jax.data.dataset import of_rows
from repr_jax.models import efficientnet
from tests.lanes import slow_unless
from tests.runs import CONFIG
from tests.test_run import X, small


@pytest.mark.parametrize("form", ["~/run", "run/", "link", ".", "run/../run"])
def test_a_workdir_may_be_written_in_any_way(tmp_path, monkeypatch, form):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder if form == "." else tmp_path)
    config = small(num_steps=10)
    run.train(config, form)
    numbers = run.evaluate(config, form)
    assert numbers["step"] == 10
    assert {"checkpoints", "config.json", "report"} <= set(os.listdir(folder))
    assert not (tmp_path / "~").exists() and (tmp_path / "link").is_symlink()
    assert run.evaluate(config, str(folder)) == numbers
    assert pathlib.Path.cwd().exists()


def breaks_at(step, read):
    """The data of `small`, whose batch `step` cannot be had; None: they end there."""

    def take(split, index):
        return {"x": X[index], "y": X[index].sum(axis=1)}

    whole = of_rows("rows", take, {"train": 64, "test": 64}, seed=0)

    def train(batch_size, start_step=0):
        batches = whole.train(batch_size, start_step)
        for _ in range(start_step, step):
            yield next(batches)
        if read is not None:
            read()

    return whole._replace(train=train)


def read_cut_image():
    noise = np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save("cut.png")
    whole = pathlib.Path("cut.png").read_bytes()
    pathlib.Path("cut.png").write_bytes(whole[: len(whole) // 2])
    image_files.read("cut.png")


def read_bad_disk():
    raise OSError(5, "Input/output error", "a/b.png")


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (read_cut_image, r"cut\.png: expected a whole image; got .*truncated"),
        (read_bad_disk, r"a/b\.png"),
        (None, "from step 0 it ended after 25"),
    ],
)
def test_data_that_break_midway_are_named_and_cost_nothing(
    tmp_path, monkeypatch, read, message
):
    monkeypatch.chdir(tmp_path)
    config = small()
    parts = run.build(config)._replace(dataset=breaks_at(25, read))
    with pytest.raises((ValueError, OSError), match=message) as raised:
        run.train(config, tmp_path / "run", parts=parts)
    assert "\n" not in str(raised.value)
    with Checkpoints(tmp_path / "run" / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.latest_step() == 25
    assert not (tmp_path / "run" / "lock").exists()
    state = run.train(config, tmp_path / "run")  # the data are whole again
    expected = run.train(config, tmp_path / "whole")
    np.testing.assert_array_equal(
        state.params["head"]["bias"], expected.params["head"]["bias"]
    )
    assert logs.read(tmp_path / "run") == logs.read(tmp_path / "whole")


@pytest.mark.parametrize(
    "closed", slow_unless(("both",), ("stdout", "stderr", "both", "pipe"))
)
def test_a_closed_terminal_changes_nothing(repository, tmp_path, closed):
    config, workdir = tmp_path / "tiny.py", tmp_path / "run"
    config.write_text(CONFIG.replace("num_steps = 30", "num_steps = 4"))
    command = [sys.executable, "-m", "repr_jax.main", f"--config={config}"]
    command += [f"--workdir={workdir}"]
    reading, writing = os.pipe()
    os.close(reading)  # nobody reads what is written

    def close():
        if closed in ("stdout", "both"):
            os.close(1)
        if closed in ("stderr", "both"):
            os.close(2)

    streams = {"stdout": writing, "stderr": writing} if closed == "pipe" else {}
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1"}
    done = subprocess.run(
        command, cwd=repository, env=environment, preexec_fn=close, **streams
    )
    os.close(writing)
    assert done.returncode == 0
    assert (workdir / "report" / "metrics.json").exists()
    for path in workdir.rglob("*"):  # no file got a terminal's number
        if path.suffix in (".json", ".jsonl"):
            assert path.read_bytes().startswith(b"{"), path


def test_paths_of_commands_and_weights_begin_at_home(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert render.main(["~/absent.json"], tmp_path) == 2
    assert f"there is no {tmp_path}/absent.json" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/absent.pth"):
        efficientnet.load("~/absent.pth")
    logits = np.zeros((4, 3), np.float16)
    np.save(tmp_path / "logits.npy", logits)
    file = hierarchy.parser().parse_args(["--file=~/logits.npy"]).file
    np.testing.assert_array_equal(hierarchy.opened(file, 4, 3), logits)
