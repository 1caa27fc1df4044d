"""The report: its files, its tables, and what pictures are made of."""

import csv
import io
import json
import re

import numpy as np
import pytest

from experiments.launch import reported
from repr_jax import config as configs
from repr_jax import figures, report
from repr_jax.evaluators.common import Evaluation, Picture, Table
from repr_jax.workdir import records

HISTORY = [
    {"step": 100 * n, "loss": 9.0 - n, "kl/m0": 1.0, "kl/m1": 2.0, "grad_norm": 3.0}
    for n in range(1, 5)
]
FACTS = {
    "method": "losses.contrastive.nt_xent",
    "data": "data.mnist.digits",
    "config": "configs/a & b.py",
    "seed": 0,
    "step": 1400,
    "revision": "",
}
PIXEL = figures.mosaic([[figures.Row("", np.zeros((1, 2, 2, 1)))]])
PROBE = Evaluation(
    {"accuracy": 0.9, "accuracy/500_rows": 0.75},
    {"plane": Picture("A <plane>", "Points & names.", PIXEL)},
    (Table("By rows", "All of them.", ("fitted to", "accuracy"), [("all", 0.9)]),),
    {"accuracy": 0.125},
    ("accuracy", "not there"),
)
BOUND = Evaluation({"joint": -1234.5, "small": 2e-5}, chance={"small": 0.0})
FOUND = {"probe": PROBE, "other_probe": PROBE, "bound": BOUND, "none": Evaluation({})}


def written(tmp_path, found=FOUND, history=HISTORY, facts=FACTS):
    report.write(found, history, tmp_path, facts)
    names = {path.name for path in (tmp_path / "report").iterdir()}
    return (tmp_path / "report" / "index.html").read_text(), names


def test_every_file_is_there_and_linked(tmp_path, capsys):
    page, names = written(tmp_path)
    pictures = {"probe_plane.png", "other_probe_plane.png", "training.png"}
    assert names == pictures | {"metrics.json", "numbers.csv", "index.html"}
    linked = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    assert linked == names - {"index.html"} and "http" not in page
    for name in pictures:
        assert (tmp_path / "report" / name).read_bytes()[1:4] == b"PNG"
    printed = capsys.readouterr().out
    assert printed.count("By rows") == 2 and "-1,234.5" in printed


def test_the_numbers_are_stored_with_their_evaluators_names_and_chance(tmp_path):
    written(tmp_path)
    stored = reported.read(tmp_path / "report" / "metrics.json")
    expected = {"probe/accuracy": 0.9, "probe/accuracy/500_rows": 0.75}
    expected |= {f"other_{name}": value for name, value in expected.items()}
    expected |= {"bound/joint": -1234.5, "bound/small": 2e-5, "step": 1400}
    assert stored == expected
    text = (tmp_path / "report" / "numbers.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    del expected["step"]
    assert {row["name"]: float(row["value"]) for row in rows} == expected
    chance = {row["name"]: row["chance"] for row in rows}
    assert chance["probe/accuracy"] == "0.125" and chance["bound/small"] == "0.0"
    assert chance["bound/joint"] == ""


def test_the_page_says_what_was_run_and_found(tmp_path):
    page, _ = written(tmp_path)
    assert "<h1>nt_xent on mnist.digits, step 1,400</h1>" in page
    assert "<dd>configs/a &amp; b.py</dd>" in page and "<dt>seed</dt><dd>0</dd>" in page
    assert "revision" not in page  # is not known
    cards = re.findall(r"<div class=card>(.*?)</div>", page)
    expected = "<b>0.900</b><span>{}: accuracy</span><span>chance 0.125</span>"
    assert cards == [expected.format("probe"), expected.format("other_probe")]
    assert "A &lt;plane&gt;" in page and "Points &amp; names." in page
    assert page.index("<h2>probe</h2>") < page.index("<h2>bound</h2>")
    assert "Nothing to show." in page.split("<h2>none</h2>")[1]
    assert "All 6 numbers" in page and "2.0e-05" in page


def test_nothing_was_evaluated_and_nothing_logged(tmp_path, capsys):
    page, names = written(tmp_path, {}, [], {"step": 3})
    assert names == {"metrics.json", "numbers.csv", "index.html"}
    assert reported.read(tmp_path / "report" / "metrics.json") == {"step": 3}
    of_fit = {"method": "estimators.kmeans.fit", "data": "data.emoji.load", "step": 0}
    assert report.title_of(of_fit) == "kmeans on emoji"
    assert "<h1>repr_jax, step 3</h1>" in page and "card>" not in page
    assert capsys.readouterr().out.startswith("report: ")


def test_files_are_replaced_whole(tmp_path):
    written(tmp_path)
    old = tmp_path / "report" / "index.html"
    with old.open() as reading:
        page, _ = written(tmp_path, {})
        assert "By rows" in reading.read() and "By rows" not in page


def test_an_evaluators_numbers_are_its_table_if_it_has_none():
    (table,) = report.tabulated("bound", BOUND)
    assert table.header == ("number", "value", "chance")
    assert table.rows == [("joint", -1234.5, None), ("small", 2e-5, 0.0)]
    (table,) = report.tabulated("bound", Evaluation({"joint": 1.0}))
    assert table.header == ("number", "value")
    assert report.tabulated("none", Evaluation({})) == []


def test_a_column_without_values_is_left_out():
    rows = [("1 view", 0.5, None, None), ("2 views", None, None, 0.25)]
    table = report.without_empty(Table("", "", ("given", "a", "b", "c"), rows))
    assert table.header == ("given", "a", "c")
    assert table.rows == [("1 view", 0.5, None), ("2 views", None, 0.25)]


def test_terminal_table_is_aligned():
    rows = [("1 view", 0.5, -1234.5), ("2 views", None, 3)]
    lines = report.as_text(Table("T", "", ("given", "a", "b"), rows)).splitlines()
    assert lines[1] == "T" and len({len(line) for line in lines[2:]}) == 1
    assert lines[3].split() == ["given", "a", "b"]
    assert lines[-2].split() == ["2", "views", "\u2013", "3"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\u2013"),
        ("text", "text"),
        (0.0, "0.000"),
        (0.0123, "0.012"),
        (-4e-5, "-4.0e-05"),
        (1234.56, "1,234.6"),
        (12345, "12,345"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_are_short(value, text):
    assert report.number(value) == text


def test_curves_show_what_was_evaluated_while_training_by_its_headline():
    row = {"step": 1, "loss": 2.0, "probe/accuracy": 0.5, "probe/accuracy/500_rows": 0}
    row |= {"bound/joint": -3.0, "gone/x": 1.0}
    (shown,) = report.shown([row], FOUND)
    assert set(shown) == set(row) - {"probe/accuracy/500_rows"}


def test_a_panel_holds_so_many_curves():
    row = {"step": 1} | {f"probe/{n}": float(n) for n in range(40)}
    many = figures.curves([row, {**row, "step": 2}])
    few = {k: v for k, v in row.items() if k == "step" or int(k[6:]) < figures.SERIES}
    assert many[1:4] == b"PNG" and many != figures.curves([few, {**few, "step": 2}])


def test_points_without_classes_are_drawn(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 4))
    plain, classes = figures.scatter(x), figures.scatter(x, np.arange(30) % 3)
    many = figures.scatter(x, np.arange(30))  # too many to be named
    assert plain[1:4] == classes[1:4] == many[1:4] == b"PNG" and plain != classes


def test_mosaic_shows_the_pixels():
    from matplotlib.image import imread

    blue = np.zeros((2, 28, 28, 3))
    blue[..., 2] = 2.0  # clipped to 1
    gray = np.full((1, 14, 14, 1), 0.5)
    picture = figures.mosaic(
        [[figures.Row("blue", blue, True)], [figures.Row("", gray)]]
    )
    pixels = imread(io.BytesIO(picture), format="png")[..., :3]
    side, gap = figures.CELL, figures.GAP
    height = 2 * (side + gap) + figures.BREAK + 2 * gap
    assert pixels.shape[:2] == (height, figures.COLUMN + 2 * (side + gap) + gap)
    first = pixels[gap : gap + side, figures.COLUMN : figures.COLUMN + side]
    np.testing.assert_array_equal(first, np.broadcast_to([0, 0, 1], first.shape))
    top = gap + side + gap + figures.BREAK
    second = pixels[top : top + side, figures.COLUMN : figures.COLUMN + side]
    np.testing.assert_allclose(second, 0.5, atol=1 / 255)


def test_principal_axes():
    """Three independent directions: the two widest are found, in order."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)) * [0.1, 5.0, 2.0] + 7.0
    points, share = figures.principal(x)
    centered = x - x.mean(axis=0)
    for axis, column in enumerate([1, 2]):
        correlation = np.corrcoef(points[:, axis], centered[:, column])[0, 1]
        assert correlation > 0.999
    variances = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    np.testing.assert_allclose(share, variances[:2] / variances.sum(), rtol=1e-6)
    points, share = figures.principal(x[:, :1])
    assert points.shape == (500, 2) and share[1] == 0
    np.testing.assert_array_equal(figures.principal(np.ones((4, 3)))[0], 0)


def test_curves_of_odd_histories():
    assert figures.curves([]) is None
    assert figures.curves([{"step": 3}]) is None
    one = figures.curves([{"step": 1, "loss": 2.0}])
    broken = figures.curves(
        [{"step": 1, "loss": 2.0}, {"step": 2, "loss": float("nan"), "kl": 1.0}]
    )
    assert one[1:4] == broken[1:4] == b"PNG"


def test_matplotlib_is_left_as_it_was():
    import matplotlib

    before = dict(matplotlib.rcParams), matplotlib.get_backend(auto_select=False)
    figures.scatter(np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 3)
    after = dict(matplotlib.rcParams), matplotlib.get_backend(auto_select=False)
    assert before == after


def test_long_labels_are_shortened():
    assert figures.shortened("cat") == "cat"
    assert figures.shortened("woman in motorized wheelchair") == "woman in motorized…"


def test_facts_of_a_run_come_from_its_config_and_its_starts(tmp_path):
    config = configs.load("configs/contrastive/simclr_mnist.py:smoke")
    found = records.facts(config, 7, tmp_path)
    assert found["method"] == "losses.contrastive.nt_xent"
    assert found["data"] == "data.mnist.digits" and found["config"] == ""
    assert (found["seed"], found["step"]) == (0, 7)
    lines = [
        {"revision": "abc", "arguments": ["--config=a.py", "--workdir=w"]},
        {"revision": "def", "arguments": ["--workdir=w"], "overrides": {"seed": "3"}},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / records.STARTS_FILE).write_text(text + '{"revision": "cut o')
    found = records.facts(config, 7, tmp_path)
    assert found["config"] == "a.py" and found["set"] == "seed=3"
    now = records.revision()
    assert found["revision"] == f"def, evaluated by {now}"
    others = [[1], {"arguments": 7}, {"arguments": [7]}, {"overrides": "seed"}]
    others += [{"revision": ["abc"]}, {"sha256": {}}]
    text += "".join(json.dumps(line) + "\n" for line in others)
    (tmp_path / records.STARTS_FILE).write_text(text + "[" * 100_000 + "\n")
    assert records.facts(config, 7, tmp_path) == found
    (tmp_path / records.STARTS_FILE).write_text(json.dumps({"arguments": []}))
    assert records.facts(config, 7, tmp_path)["revision"] == now


def test_what_runs_were_made_with_is_read_from_their_starts(tmp_path):
    lines = {
        "a": [{"revision": "abc", "hardware": "x"}, {"revision": "abc", "step": 3}],
        "b": [{"revision": "", "hardware": "y"}],
    }
    for name, starts in lines.items():
        (tmp_path / name).mkdir()
        text = "".join(json.dumps(line) + "\n" for line in starts)
        (tmp_path / name / records.STARTS_FILE).write_text(text)
    found = records.origin(tmp_path / name for name in lines)
    assert found == {"revision": "abc", "hardware": "x; y"}
    assert records.origin([tmp_path]) == {
        "revision": records.revision(),
        "hardware": records.hardware(),
    }
    assert "cores of" in records.hardware()


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["--config=a.py:smoke"], "a.py:smoke"),
        (["-config", "a.py", "--workdir=w"], "a.py"),
        (["--config.seed=3", "--config=a=b.py"], "a=b.py"),
        (["--workdir=w", "--config"], ""),
        ([], ""),
    ],
)
def test_the_configs_path_is_read_off_the_command_line(arguments, path):
    assert records._config_path({"arguments": arguments}) == path


def test_a_method_of_several_players_is_called_by_its_experiment(tmp_path):
    config = configs.load("configs/contrastive/simclr_mnist.py:smoke")
    with config.unlocked():
        config.loss = {"first": config.loss, "second": config.loss}
    assert records.facts(config, 7, tmp_path)["method"] == "experiments.two_view.make"


def test_a_folder_that_cannot_be_written_to_gets_no_report(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    report.write(FOUND, HISTORY, tmp_path, FACTS)
    printed = capsys.readouterr().out
    assert "By rows" in printed and printed.count("no report: ") == 1
    assert not (tmp_path / "report").exists()
