"""Every config: smoke form trained, evaluated, reported; full form built and traced."""

import pathlib

import jax
import numpy as np
import pytest

from repr_jax import config as configs
from repr_jax import evaluate, logs, train

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / "configs"
FILES = sorted(
    str(path.relative_to(CONFIGS))
    for path in CONFIGS.glob("*/*.py")
    if path.name != "__init__.py"
)


def test_there_are_configs():
    assert len(FILES) >= 5


@pytest.mark.parametrize("name", FILES)
def test_smoke_form_trains_and_is_evaluated(name, tmp_path):
    config = configs.load(f"{CONFIGS / name}:smoke")
    state = train.train(config, tmp_path)
    assert int(state.step) == config.num_steps == 2
    history = logs.read(tmp_path)
    assert [row["step"] for row in history] == [1, 2]
    assert all(np.isfinite(list(row.values())).all() for row in history)
    metrics = evaluate.evaluate(config, tmp_path)
    assert metrics.pop("step") == 2
    assert np.isfinite(list(metrics.values())).all()
    assert len(metrics) >= len(config.evals)
    assert (tmp_path / "report" / "index.html").exists()
    stored = configs.to_json(config)
    assert configs.to_json(configs.from_json(stored)) == stored


@pytest.mark.parametrize("name", FILES)
def test_full_form_can_be_built_and_traced(name, emoji_file, fake_tfds):
    found = {"emoji": emoji_file, "cifar10": fake_tfds}
    needed = [path for word, path in found.items() if word in name]
    overrides = {"data_dir": needed[0]} if needed else {}
    config = configs.load(str(CONFIGS / name), overrides)
    shapes = train.abstract_state(config, train.build(config))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes.params)) > 10_000
    assert (CONFIGS / name).read_text().count("Expect:") == 1
