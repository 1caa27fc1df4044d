"""Files of results: what is written is read, and its rendering is the markdown."""

import datetime
import json
import math
import pathlib
import re

import pytest

from experiments.results import render, store, tables
from experiments.results.tables import Number, Table
from repr_jax.workdir import records


def test_the_markdown_of_the_project_is_the_rendering_of_its_json():
    for name, text in render.rendered().items():
        stored = (render.FOLDER / name).read_text(encoding="utf-8")
        assert stored == text, f"{name}: run python -m experiments.results.render"


@pytest.mark.parametrize("name", render.names())
def test_every_result_says_what_made_it(name):
    result = store.read(render.FOLDER / f"{name}.json")
    assert result.command.startswith("python -m ") and result.seeds
    for revision in result.revision.split("; "):  # of runs made at several
        assert re.fullmatch(r"[0-9a-f]{7,}\+?", revision)
    assert datetime.date.fromisoformat(result.date).year >= 2026
    assert result.hardware and {"python", "jax"} <= set(result.versions)
    assert any(isinstance(block, Table) for block in result.content)
    for block in result.content:
        if isinstance(block, store.Picture):
            assert (render.FOLDER / block.file).is_file(), block.file


def test_every_picture_is_shown_by_some_result():
    shown = {
        pathlib.Path(block.file)
        for name in render.names()
        for block in store.read(render.FOLDER / f"{name}.json").content
        if isinstance(block, store.Picture)
    }
    there = (render.FOLDER / "pictures").iterdir()
    assert {path.relative_to(render.FOLDER) for path in there} == shown


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        ("text", ".3f", "text"),
        (None, ".3f", "–"),
        (math.nan, ".3f", "–"),
        (0.12345, ".3f", "0.123"),
        (-7455.5, ",.1f", "-7,455.5"),
        (1.4e-7, ".1e", "1.4e-7"),
        (2.5e10, ".1e", "2.5e+10"),
        (0.0, ".1e", "0"),
        (14_056_975, ".3f", "14,056,975"),
        ([10.05, 9.95], ".2f", "10.05, 9.95"),
        (Number(0.5), ".2f", "0.50"),
        (Number(0.5, 0.25, 3), ".2f", "0.50 ± 0.25"),
        (Number(0.5, 0.25, 3, beside=0.0), ".2f", "0.50 ± 0.25 (0.00)"),
        (Number(0.5, 0.25, 3, best=True), ".2f", "**0.50** ± 0.25"),
        (Number(0.5, format=".1f"), ".2f", "0.5"),
        (Number(math.nan, n=0, beside=1.0), ".2f", "–"),
    ],
)
def test_cells(value, form, expected):
    assert tables.cell(value, form) == expected


def test_mean_and_spread_over_seeds():
    assert tables.over_seeds([1.0, 2.0, 6.0])[:3] == (
        3.0,
        pytest.approx(14**0.5 / 3**0.5),
        3,
    )
    assert tables.over_seeds([2.0]) == Number(2.0, None, 1)
    none = tables.over_seeds([])
    assert math.isnan(none.mean) and none.n == 0


def test_a_table_as_markdown_and_as_csv():
    table = Table(("a", "b|c"), [("x", 0.25), ("y", None)], (".2f",), title="Name")
    assert tables.markdown(table) == (
        "**Name**\n\n| a | b\\|c |\n|---|---|\n| x | 0.25 |\n| y | – |\n"
    )
    assert tables.as_csv(table.header, [("x, z", 1 / 3, 2)]) == (
        'a,b|c\n"x, z",0.333333,2\n'
    )
    with pytest.raises(ValueError, match=r"expected 2 cells a row.*got rows of \[1\]"):
        tables.markdown(Table(("a", "b"), [("x",)]))


def written(folder, content):
    path = folder / "method.json"
    text = store.write(
        path, title="Method", command="python -m it", seeds=range(2), content=content
    )
    return path, text


def test_what_is_written_is_read(tmp_path):
    table = Table(
        ["a", "b"],
        [["x", Number(1 / 3, 0.0, 2, beside=0.0)], ["y", Number(math.nan, n=0)]],
        [".2f"],
        title="t",
    )
    content = ["Text, of ± and –.", table, store.Picture("pictures/p.png", "it")]
    path, text = written(tmp_path, content)
    result = store.read(path)
    assert result.title == "Method" and result.seeds == [0, 1]
    assert result.revision == records.revision()
    assert result.date == datetime.date.today().isoformat()
    assert "cores of" in result.hardware and "jaxlib" in result.versions
    assert result.content[0] == content[0] and result.content[2] == content[2]
    first, second = (row[1] for row in result.content[1].rows)
    assert first == Number(0.3333333, 0.0, 2, 0.0)
    assert math.isnan(second.mean) and second.n == 0
    assert path.with_suffix(".md").read_text(encoding="utf-8") == text
    assert "| x | 0.33 ± 0.00 (0.00) |" in text and "![it](pictures/p.png)" in text
    assert "seeds 0, 1" in text and json.loads(path.read_text())["title"] == "Method"


def test_a_command_is_told_without_places_of_this_machine():
    words = ["--batch=4", "--out=/here/it.json", "--workdir=/here", "--chunks", "8"]
    assert store.command_line("a.b", words) == (
        "python -m a.b --batch=4 --workdir=DIR --chunks 8"
    )
    apart = ["--out", "x.json", "--workdir", "/home/me", "--steps", "2"]
    assert store.command_line("a.b", apart) == "python -m a.b --workdir=DIR --steps 2"


def test_results_are_taken_in_with_their_pictures(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "p.png").write_bytes(b"png")
    path, text = written(tmp_path, ["a", store.Picture("pictures/p.png", "it")])
    assert render.main([str(path)], folder) == 0
    assert (folder / "method.md").read_text() == text
    assert (folder / "pictures" / "p.png").read_bytes() == b"png"
    assert "- [Method](method.md)" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"method\.json"),
        ("{", "expected JSON"),
        ("[]", "expected title, command.*got list"),
        ('{"title": "a"}', "expected title, command.*got title"),
        ({"header": None, "rows": []}, "expected content of texts.*'header': None"),
        ({"header": ["a"], "rows": [[{"mean": "b"}]]}, "expected content of texts"),
        ({"file": "p.png", "caption": 3}, "expected content of texts, pictures"),
        (3, "expected content of texts.*got 3"),
    ],
)
def test_a_file_of_another_form_is_one_line(tmp_path, capsys, text, message):
    path = tmp_path / "method.json"
    if text is not None and not isinstance(text, str):  # a block of a file else right
        path, _ = written(tmp_path, ["a"])
        fields = json.loads(path.read_text()) | {"content": ["a", text]}
        text = json.dumps(fields)
    if text is not None:
        path.write_text(text)
    assert render.main([str(path)], tmp_path) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1
