"""The runner of checks: what it lists, keeps, leaves alone and says of failures."""

import collections
import importlib
import json

import pytest

from experiments.papers.checks import __main__ as checks
from experiments.papers.checks import table
from experiments.results import store


@pytest.fixture
def toy(monkeypatch):
    """A wave of two checks that count how often they run; the second never holds."""
    found, calls = [], collections.Counter()
    check = table.checks_in(found)

    @check("up", "metrics.auroc", "AUROC", beats="chance")
    def up(seed):
        calls["up"] += 1
        return 0.8 + 0.1 * seed, 0.5

    @check("down", "metrics.brier", "error" + table.DOWN, beats="nothing at all")
    def down(seed):
        calls["down"] += 1
        return (0.4, 0.3) if seed < 2 else (float("nan"), 0.3)

    monkeypatch.setattr(checks, "WAVES", {"toy": {"One": found[:1], "Two": found[1:]}})
    monkeypatch.setattr(checks, "TITLES", {"toy": "Toys"})
    monkeypatch.setattr(checks, "NOTES", {"toy": []})
    return found, calls


def test_every_check_has_a_name_of_its_own_and_names_what_it_checks():
    assert list(checks.WAVES) == list(checks.TITLES) == list(checks.NOTES)
    every = checks.all_checks()
    assert len({check.name for check in every}) == len(every) > 140
    assert not any("," in check.name for check in every)  # they stand between commas
    for folder in range(3):
        files = {checks.file_of("d", check, folder).name for check in every}
        assert len(files) == len(every)
    for check in every:
        module, _, name = f"repr_jax.{check.function}".rpartition(".")
        found = importlib.import_module(module)
        assert hasattr(found, name) or importlib.import_module(f"{module}.{name}")


def test_figures_are_kept_and_not_made_again(toy, tmp_path, capsys):
    _, calls = toy
    assert checks.main([f"--workdir={tmp_path}", "--seeds=2"]) == 0
    assert calls == {"up": 2, "down": 2}
    result = store.read(tmp_path / "checks_toy.json")
    _, one, two = result.content
    ((name, function, _, ours, _, other, held, _),) = one.rows
    assert (name, function, held) == ("up", "`metrics.auroc`", "2 of 2")
    assert ours.mean == pytest.approx(0.85) and ours.best and other.mean == 0.5
    assert two.rows[0][6] == "0 of 2" and not two.rows[0][3].best
    assert checks.main([f"--workdir={tmp_path}", "--seeds=3"]) == 0
    assert calls == {"up": 3, "down": 3}
    assert store.read(tmp_path / "checks_toy.json").seeds == [0, 1, 2]
    starts = (tmp_path / "starts.jsonl").read_text()
    assert checks.main([f"--workdir={tmp_path}", "--seeds=3"]) == 0
    assert calls == {"up": 3, "down": 3}
    assert (tmp_path / "starts.jsonl").read_text() == starts
    assert starts.count("\n") == 2  # each start that measured, with its revision
    assert "down, seed 2: Figures(method=nan" in capsys.readouterr().out


def test_what_fails_is_named_and_the_others_are_written(toy, tmp_path, capsys):
    _, calls = toy

    def broken(seed):
        raise RuntimeError("no such thing")

    found_in_wave = checks.WAVES["toy"]["Two"]
    found_in_wave[0] = found_in_wave[0]._replace(run=broken)
    assert checks.main([f"--workdir={tmp_path}", "--seeds=1"]) == 3
    assert (
        "error: down with seed 0: RuntimeError('no such thing')"
        in capsys.readouterr().err
    )
    assert len(store.read(tmp_path / "checks_toy.json").content) == 2
    assert calls == {"up": 1}


def test_a_part_is_listed_and_run_by_name(toy, tmp_path, capsys):
    _, calls = toy
    assert checks.main(["--list", "--only=toy"]) == 0
    assert capsys.readouterr().out.count("\n") == 2
    assert checks.main(["--list", "--only=down"]) == 0
    assert capsys.readouterr().out == "down: error ↓; metrics.brier > nothing at all\n"
    assert checks.main(["--only=up", "--seeds=1", f"--workdir={tmp_path}"]) == 0
    assert calls == {"up": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--only=sideways", "--workdir=d"],
            "expected toy or names that --list prints",
        ),
        ([], "the following arguments are required: --workdir"),
        (["--workdir=d", "--seeds=0"], "expected at least 1"),
    ],
)
def test_other_arguments_are_refused(toy, arguments, message, capsys):
    with pytest.raises(SystemExit):
        checks.main(arguments)
    assert message in capsys.readouterr().err


def test_a_damaged_figure_is_named(toy, tmp_path, capsys):
    path = checks.file_of(tmp_path, toy[0][0], 0)
    path.parent.mkdir()
    path.write_text(json.dumps({"method": 1}))
    with pytest.raises(SystemExit):
        checks.main([f"--workdir={tmp_path}", "--seeds=1"])
    assert "expected a check's figures" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["uMSE", "combined scores", "conformal quantile", "BLiM"]
)
def test_a_quick_check_holds(name):
    (check,) = (check for check in checks.all_checks() if check.name == name)
    found = table.Figures(*check.run(0), 0.0)
    assert table.held(check, found)


def test_numbers_that_are_tiny_or_large_keep_three_digits():
    found = [table.Figures(2.5e-6, 1e-4, 1.0)]
    check = table.Check("a", "b", "c" + table.DOWN, "d", None)
    (row,) = table.tabulated([check], {"a": found}).rows
    assert store.tables.cell(row[3]) == "**2.5e-6**"
    assert store.tables.cell(row[7]) == "1"
