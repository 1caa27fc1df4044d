"""Scores of outliers from a file of features to a table, and files that are refused."""

import numpy as np
import pytest

from experiments.benchmarks import outliers
from experiments.results import store


@pytest.fixture
def features():
    """Three classes of eight features >= 0; outliers near 0, and far away."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    centers = np.eye(3, 8) * 4 + 1

    def rows(num):
        return np.maximum(centers[labels[:num]] + 0.4 * rng.normal(size=(num, 8)), 0)

    return {
        "train": rows(120).astype("f"),
        "train_label": labels,
        "test": rows(60),
        "outliers_near": np.abs(0.5 * rng.normal(size=(30, 8))),
        "outliers_far": 9 * rng.uniform(size=(30, 8)),
    }


def save(path, arrays):
    np.savez(path, **arrays)
    return path


def test_every_score_of_a_file_has_a_line_in_the_table(features, tmp_path):
    data = save(tmp_path / "study.npz", features)
    arguments = [f"--data={data}", f"--workdir={tmp_path / 'out'}"]
    assert outliers.main(arguments) == 0
    result = store.read(tmp_path / "out" / "outliers.json")
    near, far = (block for block in result.content if isinstance(block, store.Table))
    names = [row[0] for row in near.rows]
    assert len(names) == 20 and {"energy", "SCALE", "ViM", "ECOD"} <= set(names)
    assert near.header == ["score", "AUROC", "AP", "FPR at 95 %"]
    for table in (near, far):
        auroc = dict(zip(names, (row[1].mean for row in table.rows)))
        assert auroc["Mahalanobis"] > 0.95 and auroc["nearest neighbors"] > 0.9
        assert sum(row[1].best for row in table.rows) == 1
    scores = np.load(tmp_path / "out" / "scores.npz")
    assert scores["near/energy"].shape == (90,)
    assert (tmp_path / "out" / "outliers.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "out" / "outliers.md").read_text()
    assert "| relative Mahalanobis |" in text and "Outliers: far" in text


def test_the_head_of_a_file_is_used_and_negative_features_have_no_ash(features):
    rng = np.random.default_rng(1)
    head = {"weights": rng.normal(size=(3, 8)), "bias": rng.normal(size=3)}
    data = {name: np.asarray(x) for name, x in features.items()} | head
    np.testing.assert_allclose(outliers.head(data)[0], head["weights"], rtol=1e-6)
    still = ("train_label", *head)
    moved = {k: x if k in still else x - 2.0 for k, x in data.items()}
    found, scores = outliers.compare(moved)
    assert len(found["near"]) == 17 and "ASH-S" not in found["near"]
    logits = np.concatenate([moved["test"], moved["outliers_near"]]) @ head["weights"].T
    logits = logits + head["bias"]
    expected = -np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(scores["near/energy"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": None}, "expected train, train_label, test"),
        ({"bias": np.ones(3)}, "bias together or not at all"),
        ({"outliers_near": np.ones((3, 7))}, r"outliers_near of shape \[rows, 8\]"),
        ({"test": np.full((2, 8), np.nan)}, "expected test finite"),
        ({"test": np.ones((2, 8), int)}, "expected test of floats"),
        ({"train_label": np.full(120, 2**32)}, "4294967296 in row 0"),
        ({"train_label": np.ones(120)}, "expected train_label, "),
    ],
)
def test_other_files_are_refused(features, tmp_path, change, message, capsys):
    arrays = {k: x for k, x in (features | change).items() if x is not None}
    data = save(tmp_path / "study.npz", arrays)
    with pytest.raises(ValueError, match=message):
        outliers.read(data)
    with pytest.raises(SystemExit):
        outliers.main([f"--data={data}", f"--workdir={tmp_path}"])
    assert "outliers: expected" in capsys.readouterr().err
