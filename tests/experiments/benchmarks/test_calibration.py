"""Calibration from files of logits to tables, by hand, and files that are refused."""

import math

import numpy as np
import pytest

from experiments.benchmarks import calibration, digits
from experiments.papers.checks import scores_calibration
from experiments.results import store
from repr_jax import figures, metrics

NAMES = ("held_out", "held_out_label", "test", "test_label")


def drawn(seed, num=300):
    """Logits twice as sure as their labels, of three classes."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(2 * num, 3))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    label = (rng.uniform(size=(2 * num, 1)) > p.cumsum(axis=1)).sum(axis=1)
    z = (2 * z).astype(np.float32)
    return dict(zip(NAMES, (z[:num], label[:num], z[num:], label[num:])))


def save(path, data):
    np.savez(path, **data)
    return str(path)


def tables(folder):
    result = store.read(folder / "calibration.json")
    found = [block for block in result.content if isinstance(block, store.Table)]
    return [{row[0]: row[1:] for row in table.rows} for table in found]


def test_tables_of_two_files_hold_what_metrics_say(tmp_path):
    data = [drawn(0), drawn(1)]
    paths = [save(tmp_path / f"{n}.npz", each) for n, each in enumerate(data)]
    assert calibration.main(["--data", *paths, f"--workdir={tmp_path}"]) == 0
    errors, sets = tables(tmp_path)
    values = []
    for each in data:
        z = each["test"]
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        right = p.argmax(axis=1) == each["test_label"]
        values.append(float(metrics.expected_calibration_error(p.max(axis=1), right)))
    before, after, smaller = errors["ECE"]
    assert before.mean == pytest.approx(np.mean(values), rel=1e-4)
    assert before.sd == pytest.approx(abs(values[0] - values[1]) / 2, rel=1e-3)
    assert after.mean < before.mean / 2 and smaller == "2 of 2"
    _, mean, _, promised, held, size = sets["LAC"]
    assert promised == f"0.9000 to {0.9 + 1 / 301:.4f}" and held == "2 of 2"
    assert mean.mean == pytest.approx(0.9, abs=0.01) and 1 < size.mean < 3
    png = (tmp_path / "pictures" / "calibration.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert "Temperatures fitted" in (tmp_path / "calibration.md").read_text()


def test_errors_of_two_rows_by_hand():
    # confidences 3/4 and 1/2; the first is right, the second is not
    logits, labels = np.log([[3.0, 1.0], [1.0, 1.0]], dtype="f"), np.array([0, 1])
    found = calibration.measured(logits, labels)
    assert found["ECE"] == pytest.approx((0.25 + 0.5) / 2)
    assert found["maximum calibration error"] == pytest.approx(0.5)
    assert found["Brier score"] == pytest.approx((2 * 0.25**2 + 2 * 0.5**2) / 2)
    expected = (math.log(4 / 3) + math.log(2)) / 2
    assert found["negative log-likelihood"] == pytest.approx(expected)


def test_coverage_of_a_split_by_hand():
    # 1 - p of the labels held out: 0.1 to 0.9; at 0.3 the quantile is the 7th of 10
    p = np.arange(1, 10) / 10
    logits = np.log(np.stack([1 - p, p], axis=1)).astype("f")
    data = dict(
        zip(NAMES, (logits, np.zeros(9, int), logits[[5, 8]], np.zeros(2, int)))
    )
    score = calibration.SCORES["LAC"]
    found = calibration.coverage(data, miscoverage=0.3, score=score)
    assert found.own == 0.5 and 0 < found.error < 0.05  # 0.6 is within 0.7, 0.9 not
    assert calibration.promised(9, 0.3) == pytest.approx((0.7, 0.8))


@pytest.mark.parametrize(("mean", "held"), [(0.88, False), (0.89, True), (0.93, False)])
def test_a_coverage_holds_within_three_errors(mean, held):
    found = calibration.Coverage(own=0.5, mean=mean, error=0.004, size=1.0)
    assert calibration.holds(found, (0.9, 0.91)) is held


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": None}, "it has no test"),
        ({"held_out": np.ones((4, 2))}, r"held_out of shape \[rows, 3\]"),
        ({"test": np.full((300, 3), np.inf)}, "expected test finite"),
        ({"test": np.ones((300, 3), int)}, "expected test of floats"),
        ({"test_label": np.full(300, 3)}, r"expected test_label in \[0, 3\)"),
        ({"held_out_label": np.zeros(4, int)}, "expected held_out_label, "),
    ],
)
def test_other_files_are_refused(tmp_path, change, message, capsys):
    data = {k: x for k, x in (drawn(0) | change).items() if x is not None}
    path = save(tmp_path / "study.npz", data)
    with pytest.raises(ValueError, match=message):
        calibration.read(path)
    with pytest.raises(SystemExit):
        calibration.main([f"--data={path}", f"--workdir={tmp_path}"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: calibration: ") and path in line


@pytest.mark.parametrize("flag", ["--miscoverage=1", "--miscoverage=nan", "--seeds=0"])
def test_other_numbers_are_refused(tmp_path, flag, capsys):
    with pytest.raises(SystemExit):
        calibration.main(["--digits", flag, f"--workdir={tmp_path}"])
    assert flag.partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--seeds=2", "--data_dir=there"])
def test_what_is_for_digits_is_refused_beside_files(tmp_path, flag, capsys):
    with pytest.raises(SystemExit):
        calibration.main(["--data=study.npz", flag, f"--workdir={tmp_path}"])
    assert "expected with --digits; got --data" in capsys.readouterr().err


def test_logits_of_digits_are_those_of_the_checks(monkeypatch):
    parts = tuple(np.full(1, n) for n in range(4))
    monkeypatch.setattr(scores_calibration, "overtrained", lambda *_: parts)
    assert digits.logits(0) == dict(zip(NAMES, parts))


def test_a_picture_leaves_out_bins_without_rows():
    bins = metrics.reliability(np.float32([0.2, 0.9]), np.array([True, True]))
    one = figures.reliability({"before": [bins], "after": [bins, bins]})
    assert one.startswith(b"\x89PNG")
