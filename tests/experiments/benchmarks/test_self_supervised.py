"""Methods beside lightly's in the smoke form: the same losses, step by step."""

import argparse

import numpy as np
import pytest

from experiments.benchmarks import self_supervised as benchmark
from experiments.results import store
from repr_jax import run
from tests.peers import python_with


@pytest.fixture(scope="module")
def peer():
    return python_with("REPR_JAX_PEER", "torch", "lightly")


def asked(method, folder):
    flags = dict(smoke=True, num_steps=2, batch_size=8, every=1)
    return argparse.Namespace(**flags, workdir=str(folder), only=method)


@pytest.mark.parametrize("method", benchmark.NAMES)
def test_jobs_have_the_numbers_of_configs(method, tmp_path):
    config = benchmark.config_of(method, 3, asked(method, tmp_path))
    job = benchmark.job_of(method, config)
    assert job["encoder"] == {"widths": (4, 4), "hidden": 8, "features": 4}
    assert bool(job["decay"]) == (method in ("BYOL", "DINO"))
    assert job["by_target"] == (method == "DINO")
    assert job["peak"] == config.optimizer.peak > 0


def test_what_is_handed_over_is_the_start_the_images_and_the_views(tmp_path):
    config = benchmark.config_of("SimCLR", 3, asked("SimCLR", tmp_path))
    benchmark.hand_over("SimCLR", config, run.build(config), tmp_path)
    views = [np.load(tmp_path / f"views_{i}.npy") for i in range(2)]
    assert views[0].shape == (2, 8, 28, 28, 1) and not np.array_equal(*views)
    start = dict(np.load(tmp_path / "start.npz"))
    assert start["encoder/Conv_0/kernel"].shape == (3, 3, 1, 4)
    assert np.load(tmp_path / "images.npz")["test"].max() == 1.0


def test_both_sides_have_the_same_losses_and_scores(peer, tmp_path):
    options = [f"--peer={peer}", f"--workdir={tmp_path}", "--smoke", "--seeds=1"]
    pairs = {}
    both = benchmark.both

    def kept(method, seed, flags):
        pairs[method] = both(method, seed, flags)
        return pairs[method]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "both", kept)
        assert benchmark.main(options) == 0
    assert set(pairs) == set(benchmark.NAMES)
    for ours, theirs in pairs.values():
        assert len(ours.losses) == 2
        np.testing.assert_allclose(theirs.losses[0], ours.losses[0], rtol=1e-5)
        # Adam's first step is of signs, also of gradients that are rounding alone.
        np.testing.assert_allclose(theirs.losses[1], ours.losses[1], rtol=5e-3)
        assert abs(theirs.knn - ours.knn) < 0.02
        assert abs(theirs.probe - ours.probe) < 0.02
    stored = store.read(tmp_path / "self_supervised_peer.json")
    assert [row[0] for row in stored.content[1].rows] == list(benchmark.NAMES)
    assert not list(tmp_path.rglob("views_*.npy"))


def test_an_interpreter_without_them_is_refused(tmp_path, capsys):
    options = [f"--peer={tmp_path / 'none'}", f"--workdir={tmp_path}"]
    assert benchmark.main(options) == 2
    assert "expected torch and lightly in" in capsys.readouterr().err


@pytest.mark.parametrize("num_steps", [10, 25])
def test_steps_that_cannot_be_timed_are_refused(num_steps, tmp_path, capsys):
    with pytest.raises(SystemExit):
        benchmark.main([f"--workdir={tmp_path}", f"--num_steps={num_steps}"])
    assert "expected a multiple of 10, at least 20" in capsys.readouterr().err
