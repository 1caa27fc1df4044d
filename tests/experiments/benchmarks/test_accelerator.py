"""The benchmark of an accelerator in its smoke form: what it writes, not how quick."""

import json
import subprocess
import sys

import pytest

from experiments.benchmarks.accelerator import gather, measure
from experiments.benchmarks.accelerator import tests as device_tests
from experiments.benchmarks.accelerator.__main__ import together
from experiments.benchmarks.accelerator.parts import PARTS
from experiments.results import store
from experiments.results.tables import Table


def command(repository, out, *arguments):
    words = ["-m", "experiments.benchmarks.accelerator", f"--out={out}", "--smoke"]
    done = subprocess.run(
        [sys.executable, *words, *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def figures_of(out, name):
    found = json.loads((out / f"{name}.json").read_text())
    log = (out / f"{name}.log").read_text()
    assert found["finished"] and not found["problems"], log[-3000:]
    return {figure[""]: figure for figure in found["figures"]}


def tables_of(out):
    content = store.read(out / f"{gather.NAME}.json").content
    return [block for block in content if isinstance(block, Table)]


@pytest.mark.slow
def test_parts_become_a_file_of_results(repository, tmp_path):
    limits = ("--seconds=900", "--total=1800")
    command(repository, tmp_path, "--only=ceilings,nt_xent,hierarchy", *limits)
    rates = figures_of(tmp_path, "ceilings")
    assert {name.split(",")[0] for name in rates} == {
        "bfloat16", "TF32", "float32", "copy"
    }  # fmt: skip
    losses = figures_of(tmp_path, "nt_xent")
    same = [x["loss"] for name, x in losses.items() if name.startswith("32 x 16")]
    assert same[0] == pytest.approx(same[1], rel=1e-5)
    assert all(x["ms"] > 0 and x["TFLOP"] > 0 for x in losses.values())
    trees = figures_of(tmp_path, "hierarchy")
    assert all(
        x.get("same merges as before", "equal") == "equal" for x in trees.values()
    )
    first, second, _ = tables_of(tmp_path)
    assert "of products" in second.header and "of products" not in first.header
    before = (tmp_path / f"{gather.NAME}.md").read_text()
    assert before in command(repository, tmp_path, "--gather")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["precision", "tests", "mopoe", "simclr", "mae", "renderer"]
)
def test_every_part_finishes(repository, tmp_path, name):
    limits = ("--seconds=1700", "--total=1700")
    command(repository, tmp_path, f"--only={name}", *limits)
    figures = figures_of(tmp_path, name)
    assert figures
    if name == "precision":
        errors = [
            value
            for figure in figures.values()
            for column, value in figure.items()
            if column.endswith("float32")
        ]
        assert len(errors) > 12 and max(errors) < 1e-5
    if name == "tests":
        assert figures["pytest"]["passed"] and not figures["pytest"]["failed"]


def test_a_killed_part_keeps_what_it_had(tmp_path):
    def figures(smoke):
        yield "first", lambda: {"ms": 1.0}
        yield "second", lambda: 1 / 0
        yield "third", lambda: {"text": "a"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure.run("part", measure.Part("A part", figures, 1), tmp_path, True)
    found = json.loads((tmp_path / "part.json").read_text())
    assert found["figures"] == [{"": "first", "ms": 1.0}, {"": "third", "text": "a"}]
    assert found["problems"] == ["second: ZeroDivisionError: division by zero"]
    assert not found["finished"]
    text = gather.write(tmp_path, {"part": measure.Part("A part", figures, 1)})
    assert "division by zero" in text and "the rest is missing" in text


def test_shares_are_of_the_measured_ceilings():
    ceilings = {"float32": 50e12, "copy": 3e12}
    row = dict(arithmetic="float32", ms=10.0, TFLOP=0.25, GB=6.0)
    row = gather._with_shares(row, ceilings)
    assert row["TFLOP/s"] == pytest.approx(25)
    assert row["of products"] == pytest.approx(0.5)
    assert row["of bandwidth"] == pytest.approx(0.2)
    assert row["bound"] == "products"


def test_only_parts_without_times_run_together():
    assert together(["precision", "tests", "nt_xent", "mae"]) == [
        ["precision", "tests"],
        ["nt_xent"],
        ["mae"],
    ]
    assert len(together(list(PARTS))) == len(PARTS) - 1


def test_the_ends_of_tests_are_read():
    lines = [
        "[gw0] [ 50%] PASSED tests/a.py::test_x[nt_xent] \n",
        "[gw1] [ 99%] FAILED tests/a.py::test_y \n",
        "tests/b.py::test_z SKIPPED (needs it) [100%]\n",
        "FAILED tests/a.py::test_y - AssertionError\n",
        "tests/b.py::test_w ERROR [ 10%]\n",
    ]
    assert device_tests.read(lines) == {
        "tests/a.py::test_x[nt_xent]": "PASSED",
        "tests/a.py::test_y": "FAILED",
        "tests/b.py::test_z": "SKIPPED",
        "tests/b.py::test_w": "ERROR",
    }
