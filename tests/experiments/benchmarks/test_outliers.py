"""Scores of outliers from files of features to tables, and files that are refused."""

import os

import numpy as np
import pytest

from experiments.benchmarks import arrays, digits, outliers
from experiments.papers.checks import toys
from experiments.results import store
from experiments.results.tables import Number


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
    scores = np.load(tmp_path / "out" / "scores_0.npz")
    assert scores["near/energy"].shape == (90,)
    pictures = [block for block in result.content if isinstance(block, store.Picture)]
    for picture in pictures:
        png = (tmp_path / "out" / picture.file).read_bytes()
        assert png.startswith(b"\x89PNG")
    assert len(pictures) == 2
    text = (tmp_path / "out" / "outliers.md").read_text()
    assert "| relative Mahalanobis |" in text and "Outliers: far" in text


def test_figures_of_two_files_are_mean_and_deviation(features, tmp_path, capsys):
    moved = features | {"outliers_near": features["outliers_near"] + 0.5}
    paths = [save(tmp_path / f"{n}.npz", x) for n, x in enumerate((features, moved))]
    workdir = f"--workdir={tmp_path}"
    assert outliers.main(["--data", *map(str, paths), workdir]) == 0
    result = store.read(tmp_path / "outliers.json")
    near = next(block for block in result.content if isinstance(block, store.Table))
    shown = {row[0]: row[1] for row in near.rows}["residual"]
    each = [outliers.compare(outliers.read(path))[0]["near"] for path in paths]
    a, b = (found["residual"]["auroc"] for found in each)
    assert a != b and result.seeds == [0, 1]
    assert shown.mean == pytest.approx((a + b) / 2)
    assert (shown.sd, shown.n) == (pytest.approx(abs(a - b) / 2, rel=1e-4), 2)
    assert (tmp_path / "scores_1.npz").exists()
    other = save(tmp_path / "other.npz", features | {"outliers_new": np.ones((2, 8))})
    with pytest.raises(SystemExit):
        outliers.main([f"--data={paths[0]}", f"--data={other}", workdir])
    assert "expected the sets near, far of" in capsys.readouterr().err


def test_a_score_that_a_file_brings_is_compared(features, tmp_path):
    own = {
        "score_ODIN_of_test": np.arange(60.0),
        "score_ODIN_of_far": np.full(30, 60.0),
    }
    near = {"score_ODIN_of_near": np.full(30, -1.0)}
    data = outliers.read(save(tmp_path / "study.npz", features | own | near))
    found, scores = outliers.compare(data)
    assert found["far"]["ODIN"]["auroc"] == 1 and found["near"]["ODIN"]["auroc"] == 0
    np.testing.assert_array_equal(scores["far/ODIN"][:60], np.arange(60))
    with pytest.raises(ValueError, match="expected score_ODIN_of_near beside ODIN"):
        outliers.read(save(tmp_path / "study.npz", features | own))
    short = {"score_ODIN_of_near": np.zeros(3)}
    with pytest.raises(ValueError, match=r"score_ODIN_of_near of shape \(30,\)"):
        outliers.read(save(tmp_path / "study.npz", features | own | short))


def test_the_text_says_which_scores_beat_the_largest_softmax_in_every_file():
    def row(*auroc):
        return {"auroc": list(auroc), "fpr_at_95": [1 - x for x in auroc]}

    one = {"largest softmax": row(0.6, 0.7), "a": row(0.7, 0.8), "b": row(0.9, 0.7)}
    two = {"largest softmax": row(0.9, 0.9), "a": row(1.0, 0.8), "b": row(0.1, 0.9)}
    text = outliers.comparison({"one": one, "two": two})
    assert "- one: 1 of 2 by AUROC (a); 1 of 2 by FPR at 95 % (a).\n" in text
    assert "- two: 0 of 2 by AUROC; 0 of 2 by FPR at 95 %.\n" in text
    assert text.endswith("By AUROC, no score on all of these sets; on two no score.")
    text = outliers.comparison({"one": one})
    assert text.endswith("By AUROC, a on all of these sets.")


def test_scores_that_one_file_lacks_are_left_out():
    row = {"auroc": 0.5}
    found = outliers.gathered([{"near": {"a": row, "b": row}}, {"near": {"b": row}}])
    assert found == {"near": {"b": {"auroc": [0.5, 0.5]}}}
    columns = ("auroc", "average_precision", "fpr_at_95")
    values = {"a": [0.2, 0.4], "b": [0.5]}
    rows = {name: {key: x for key in columns} for name, x in values.items()}
    lines = outliers.table("near", rows).rows
    assert lines[0][1] == Number(pytest.approx(0.3), pytest.approx(0.1), 2)
    assert lines[1][1].best and not lines[1][3].best and lines[0][3].best


def test_files_of_digits_are_made_once(features, tmp_path):
    flags = ["--digits", "--seeds=2", f"--workdir={tmp_path}"]
    asked = arrays.parsed(arrays.parser("outliers", ""), flags)
    made = []

    def make(seed, data_dir):
        made.append(seed)
        return features

    paths = arrays.paths(asked, "features", make)
    assert [p.name for p in paths] == [
        "features_embedded_seed0.npz",
        "features_embedded_seed1.npz",
    ]
    paths[0].unlink()
    assert arrays.paths(asked, "features", make) == paths
    assert made == [0, 1, 0] and len(outliers.read(paths[1])) == len(features)
    with pytest.raises(FileNotFoundError, match="expected mnist or emoji"):
        digits.source(str(tmp_path))
    os.mkdir(tmp_path / "mnist")
    assert digits.source(str(tmp_path)) == "mnist"


def test_features_of_digits_are_of_the_network(monkeypatch, tmp_path):
    monkeypatch.setattr(digits, "ROWS", 20)
    monkeypatch.setattr(toys, "classifier", lambda seed, x, y, **_: PARAMS)
    found = digits.features(0)
    path = save(tmp_path / "features.npz", found)
    assert outliers.sets_of(outliers.read(path)) == [
        "near_digits",
        "far_sprites",
        "far_photographs",
        "far_noise",
    ]
    x, y = toys.digits("test")
    rows = x[y == 8].reshape(-1, 196)[:1]
    near = np.maximum(rows @ PARAMS[0][0], 0)
    place = np.abs(found["outliers_near_digits"] - near).max(axis=1).argmin()
    np.testing.assert_allclose(found["outliers_near_digits"][place], near[0], rtol=1e-5)
    assert len(found["outliers_far_noise"]) == 20 and found["weights"].shape == (8, 6)
    assert found["test"].shape == (len(found["test_label"]), 6)
    assert found["score_ODIN_of_far_noise"].shape == (20,)


PARAMS = [
    (np.random.default_rng(0).normal(size=(196, 6)).astype("f"), np.zeros(6, "f")),
    (np.ones((6, 8), "f"), np.zeros(8, "f")),
]


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
        ({"test_label": np.zeros(3, int)}, r"expected test_label, \[60\] whole"),
        ({"weights": np.ones((2, 8)), "bias": np.ones(2)}, r"train_label in \[0, 2\)"),
        ({"weights": np.ones((3, 8)), "bias": np.ones(2)}, "expected bias of shape"),
    ],
)
def test_other_files_are_refused(features, tmp_path, change, message, capsys):
    arrays = {k: x for k, x in (features | change).items() if x is not None}
    data = save(tmp_path / "study.npz", arrays)
    with pytest.raises(ValueError, match=message):
        outliers.read(data)
    with pytest.raises(SystemExit):
        outliers.main([f"--data={data}", f"--workdir={tmp_path}"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: outliers: ") and "expected" in line
