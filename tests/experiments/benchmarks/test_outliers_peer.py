"""Scores beside public code: what is handed over, compared, and refused."""

import numpy as np
import pytest

from experiments.benchmarks import outliers_peer as benchmark
from experiments.results import store
from tests.peers import python_with


@pytest.fixture
def features(tmp_path):
    """A file of three classes of eight features above 0, and of outliers."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    x = np.abs(np.eye(3, 8)[labels] * 4 + 1 + 0.4 * rng.normal(size=(120, 8)))
    arrays = dict(train=x, train_label=labels, test=x[::2] + 0.1)
    arrays["outliers_far"] = 9 * rng.uniform(size=(30, 8))
    np.savez(tmp_path / "features.npz", **arrays)
    return tmp_path / "features.npz"


def test_what_is_handed_over_is_all_that_the_peer_reads(features, tmp_path):
    data = benchmark.outliers.read(features)
    given = benchmark.hand_over(data, tmp_path / "out")
    stored = np.load(tmp_path / "out" / "features.npz")
    assert set(stored) == set(given) and given["rows"].shape == (90, 8)
    assert given["outlier"].sum() == 30 and given["outlier"][60:].all()
    assert given["weights"].shape == (3, 8) and given["neighbors"] == 20


def test_scores_that_are_changed_or_not_are_compared(features, tmp_path):
    given = benchmark.hand_over(benchmark.outliers.read(features), tmp_path)
    listed = benchmark.pairs(given)
    assert len({pair.name for pair in listed}) == len(listed) == 25
    scores = {pair.peer: np.asarray(pair.ours(given["rows"])) for pair in listed}
    plain = scores["pytorch-ood EnergyBased"]
    assert benchmark.difference(plain, plain) == 0
    assert benchmark.difference(plain, plain + plain.std()) == pytest.approx(1)
    scores["pytorch-ood MaxSoftmax"] = scores["pytorch-ood MaxSoftmax"] - 1
    scores["pytorch-ood MaxLogit"] = scores["pytorch-ood MaxLogit"] + 1
    table = benchmark.table_of(given, scores, dict.fromkeys(scores, 1.0))
    found = {row[0]: row[4] for row in table.rows}
    assert found["largest softmax"] == found["energy"] == found["ECOD"] == "equal"
    assert found["largest logit"] == "differs"


def test_a_peer_without_the_packages_is_refused(features, tmp_path, capsys):
    arguments = [f"--data={features}", f"--workdir={tmp_path}"]
    with pytest.raises(SystemExit):
        benchmark.main([*arguments, "--peer=/nowhere/python"])
    assert "/nowhere/python" in capsys.readouterr().err


def test_every_score_is_equal_to_the_peers(features, tmp_path):
    peer = python_with("REPR_JAX_OOD_PEER", "torch", "pyod", "pytorch_ood")
    arguments = [f"--peer={peer}", f"--data={features}", f"--workdir={tmp_path}"]
    assert benchmark.main(arguments) == 0
    table = store.read(tmp_path / "outliers_peer.json").content[1]
    differs = {row[0] for row in table.rows if row[4] != "equal"}
    assert differs <= {"GEN"}  # which clamps probabilities there
