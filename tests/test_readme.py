"""What the README shows is true: its code runs, its names, files and figures exist."""

import pathlib
import re
import shlex
import sys

import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from experiments.launch import sweep
from repr_jax import config as configs
from repr_jax import main, optim, run
from repr_jax.data import arrays
from repr_jax.workdir import records

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
IMPORT, ENCODER, STUDY, MODALITIES = BLOCKS
NUMBER = r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?"


def commands(module):
    """The arguments of every command of the shell blocks that runs the module."""
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    start = f"python -m {module} "
    return [shlex.split(x.removeprefix(start)) for x in lines if x.startswith(start)]


def test_the_example_of_a_loss_runs():
    names = {}
    exec(compile(IMPORT, "README.md", "exec"), names)
    assert names["value"].shape == ()


def test_flags_exist_and_set_what_they_name(monkeypatch):
    (launch,) = commands("repr_jax.main")
    table = [text for text in re.findall(r"`(--[^`]+)`", README) if "..." not in text]
    words = [*launch, *(word for text in table for word in shlex.split(text))]
    known = {flag.name for flag in flags.FLAGS.flags_by_module_dict()[main.__name__]}
    others = [word for word in words if not word.startswith("--config")]
    names = {word.removeprefix("--").partition("=")[0] for word in others}
    assert names - {"dry-run"} <= known and {"amend", "step", "trust"} <= names
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", lock_config=True, flag_values=values)
    chosen = [word for word in words if word.startswith("--config") and "=" in word]
    monkeypatch.setattr(sys, "argv", ["main", *chosen])
    values(sys.argv)
    config = values.config
    assert config.eval_every == 1000 and config.best_mode == "max"
    assert config.start.prefixes == ("params/encoder",)
    assert config.optimizer.peak == 1e-4 and config.loss.temperature == 0.2


def test_the_rules_by_parameter_path_freeze_the_encoder():
    (rules,) = re.findall(r"`rules=(\(.+\))`", README)
    optimizer = optim.by_name(eval(rules, {"optim": optim}))
    params = {"encoder": {"w": jnp.ones(2)}, "projector": {"w": jnp.ones(2)}}
    moves, _ = optimizer.update(params, optimizer.init(params), params)
    assert (moves["encoder"]["w"] == 0).all() and (moves["projector"]["w"] != 0).all()


def test_the_sweep_can_be_asked_for():
    (arguments,) = commands("experiments.launch.sweep")
    asked = sweep.parse(arguments)
    axes = dict(sweep.parse_values(text) for text in asked.set)
    found = sweep.settings(asked.config, axes, asked.seeds)
    assert len(found) == 2 and all(len(setting.runs) == 3 for setting in found)


def test_own_data_and_model(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(60, 12, 12, 1), dtype=np.uint8)
    names = np.array(["flu", "none", "cold"])[np.arange(60) % 3]
    np.savez(tmp_path / "study.npz", image=images, diagnosis=names)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "encoder.py").write_text(ENCODER)
    (tmp_path / "mine" / "study.py").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    config = configs.load("mine/study.py:smoke")
    try:
        run.train(config, "runs/study")
        numbers = run.evaluate(config, "runs/study")
        assert 0 <= numbers["linear_probe/accuracy"] <= 1
        with pytest.raises(ValueError, match="--trust=mine"):
            records.stored_config("runs/study")
        stored = records.stored_config("runs/study", trusted=["mine"])
        assert configs.to_json(stored) == configs.to_json(config)
    finally:
        for name in ("mine", "mine.encoder"):
            sys.modules.pop(name, None)


def test_own_modalities(tmp_path, monkeypatch):
    there = np.arange(20)[:, None] % 4 != np.array([0, 1])
    np.savez(
        tmp_path / "study.npz",
        image=np.ones((20, 4, 4, 3), np.uint8),
        reading=np.where(there[:, 1:], 1.0, np.nan),
        image_present=there[:, 0],
        reading_present=there[:, 1],
        diagnosis=np.arange(20) % 2,
    )
    monkeypatch.chdir(tmp_path)
    names = {"arrays": arrays, "config": ml_collections.ConfigDict()}
    exec(compile(MODALITIES, "README.md", "exec"), names)
    data = configs.bind(names["config"].dataset)()
    batch = next(data.train(16))
    assert data.modalities == ("image", "reading") and not batch["present"].all()
    np.testing.assert_array_equal(batch["reading"][:, 0], batch["present"][:, 1])
    np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], batch["present"][:, 0])


def test_files_that_the_readme_points_to_exist():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    names = re.findall(r"(?:configs|colab|experiments|tests)/[\w/]+\.\w+", README)
    for path in (*links, *names):
        assert (ROOT / path).exists(), path


def test_every_family_has_its_page_in_the_readme():
    for page in (ROOT / "configs").glob("*/README.md"):
        assert f"](configs/{page.parent.name}/README.md)" in README


def test_figures_of_the_readme_are_those_of_the_results():
    rows = re.findall(
        r"^\| (.*) \| .*\]\((experiments/results/\w+\.md)\) \|$", README, re.M
    )
    assert len(rows) >= 10
    for text, path in rows:
        known = re.findall(NUMBER, (ROOT / path).read_text(encoding="utf-8"))
        for number in re.findall(NUMBER, text):
            assert number in known, f"{path} has no {number}: {text}"
