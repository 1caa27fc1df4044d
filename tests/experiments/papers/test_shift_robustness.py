"""The runs of the robustness paper, and what becomes of their numbers."""

import argparse
import csv
import json

import pytest

from experiments.papers import shift_robustness as paper
from experiments.results import tables
from repr_jax import config as configs
from repr_jax import run as runs_of


def asked(scale, **changes):
    flags = dict(data_dir="", seeds=2, only=("sprites", "dominoes"))
    return argparse.Namespace(**{"scale": scale, **flags, **changes})


CORE = {"SimCLR": 0.85, "autoencoder": 0.6, "supervised": 0.5, "random features": 0.48}


def numbers(row, seed, core=CORE):
    """What the patterns expect: OOD heads fall by a tenth of r but of `supervised`."""
    found = dict.fromkeys(paper.COLUMNS.values(), 0.3)
    last = core.get(row.method, 0.5)
    start = 0.97 if row.method == "supervised" else last + 0.1
    accuracy = start + (last - start) * row.r**8 + 0.02 * seed
    found |= {
        "heads/id_head/id": 1.0,
        "heads/id_head/ood": 0.33,
        "heads/head_bias": accuracy - 0.33,
        "heads/ood_head/ood": accuracy,
        "spurious/ood_head/ood": 0.99,
    }
    return found | {"step": 2}


def of_rows(rows, **options):
    return {
        run.name: numbers(row, seed, **options)
        for row in rows
        for seed, run in enumerate(row.runs)
    }


@pytest.mark.parametrize("scale", ["cpu", "paper", "smoke"])
@pytest.mark.parametrize("data_dir", ["", "DATA"])
def test_every_run_is_a_config_with_values_that_it_has(scale, data_dir):
    where = asked(scale, data_dir=data_dir, seeds=1, only=tuple(paper.CORRELATIONS))
    names, drawn = set(), not data_dir or scale == "smoke"
    for data in where.only:
        rows = paper.rows_of(data, where)
        assert {row.method for row in rows} == set(paper.METHODS)
        for row in rows:
            (run,) = row.runs
            config = configs.load(run.config, run.overrides)
            assert config.correlation == config.dataset.r_id == row.r
            names.add(run.name)
            made_by = config.dataset.fn.__module__.rpartition(".")[2]
            if data == "dominoes":
                assert config.dataset.pictures == ("drawn" if drawn else "cifar10")
            elif data == "sprites":
                size = {"cpu": 32, "paper": 64, "smoke": 8}[scale]
                assert config.dataset.size == size
            elif drawn:
                stand_in = {"camelyon17": "histology", "fmow": "land_use"}
                assert made_by == stand_in[data]
            else:
                folder = {"camelyon17": "camelyon17_v1.0", "fmow": "fmow_v1.1"}[data]
                assert config.dataset.table.path == f"DATA/{folder}"
                assert row.r in config.dataset.grid and made_by == "wilds"
            if "augment" in config:
                view = config.augment.get("view", config.augment)
                change = "jitter_rate" if made_by == "wilds" else "gains_rate"
                assert (view[change] > 0) == paper.METHODS[row.method].color
                assert (view.gray_rate > 0) == paper.METHODS[row.method].color
            if scale == "paper" and row.method != paper.RANDOM:
                assert config.num_steps == 20_000
    points = 8 if scale == "smoke" else 16
    assert len(names) == points * len(paper.METHODS)


@pytest.mark.parametrize("method", paper.METHODS)
def test_networks_of_the_paper_scale_fit_its_images(method):
    (run, _) = paper.row("sprites", method, 1.0, asked("paper")).runs
    config = configs.load(run.config, run.overrides)
    assert runs_of.abstract_state(config, runs_of.build(config)).params


def test_what_the_paper_expects_is_found_in_numbers_that_show_it():
    rows = paper.rows_of("sprites", asked("cpu"))
    table = paper.patterns(rows, of_rows(rows), "sprites")
    assert [line[-1] for line in table.rows] == ["yes"] * 8
    assert table.rows[3][1] == pytest.approx([0.86, 0.61, 0.51])


def test_numbers_that_do_not_show_it_are_reported_so():
    rows = paper.rows_of("sprites", asked("cpu"))
    core = CORE | {"autoencoder": 0.45, "random features": 0.4, "VAE": 0.95}
    table = paper.patterns(rows, of_rows(rows, core=core), "sprites")
    held = [line[-1] for line in table.rows]
    assert held == ["yes", "yes", "yes", "no", "no", "yes", "yes", "no"]
    assert "best of them VAE" in table.rows[-1][0]
    rows = paper.rows_of("dominoes", asked("cpu"))
    far = paper.patterns(rows, of_rows(rows), "dominoes")
    assert far.rows[1][-1] == "no"  # 0.33 of two classes


def test_of_domains_the_sensitivities_of_seeds_are_compared():
    rows = paper.rows_of("camelyon17", asked("cpu", seeds=4))
    found, name = of_rows(rows), "heads/sensitivity/ood_head"
    pairs = {"SimCLR": (0.1, 0.1, 0.3, 0.2), "supervised": (0.2, 0.1, 0.2, 0.4)}
    for row in rows:
        if row.r == 1 and row.method in pairs:
            for run, value in zip(row.runs, pairs[row.method]):
                found[run.name][name] = value
    (line,) = paper.patterns(rows, found, "camelyon17").rows
    assert line[1:] == (pytest.approx([0.175, 0.225, 0.75]), "yes")
    last = next(r for r in rows if (r.method, r.r) == ("SimCLR", 1.0)).runs[0]
    found[last.name][name] = 0.5
    assert paper.patterns(rows, found, "camelyon17").rows[0][-1] == "no"


def test_chance_is_of_the_labels_that_there_are():
    drawn, found = (
        {
            data: 1 / paper.chance(paper.rows_of(data, asked("cpu", data_dir=data_dir)))
            for data in paper.CORRELATIONS
        }
        for data_dir in ("", "DATA")
    )
    assert found == {"sprites": 3, "dominoes": 2, "camelyon17": 2, "fmow": 62}
    assert drawn == {**found, "fmow": 8}


def test_results_are_written(tmp_path):
    where = asked("smoke", workdir=tmp_path)
    rows = {data: paper.rows_of(data, where) for data in where.only}
    every = [row for some in rows.values() for row in some]
    text = paper.write(rows, of_rows(every), where)
    assert "**sprites: patterns**" in text and "**dominoes: all numbers**" in text
    stored = json.loads((tmp_path / "shift_robustness.json").read_text())
    assert "--only=sprites,dominoes --seeds=2 --workdir=DIR" in stored["command"]
    short = paper.short_table(rows["sprites"], of_rows(every), "sprites")
    assert short.header == ("method", "r = 0", "r = 1")
    line = dict((x[0], x[1:]) for x in tables.shown(short))["supervised"]
    assert line == ["0.980 ± 0.010", "0.510 ± 0.010"]
    for data in where.only:
        picture = tmp_path / "pictures" / f"shift_robustness_{data}.png"
        assert picture.read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "shift_robustness.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * 2 * 2 * len(paper.METHODS) * (len(paper.COLUMNS) + 1)


def test_only_known_parts_can_be_asked_for(tmp_path, capsys):
    with pytest.raises(SystemExit):
        paper.main([f"--workdir={tmp_path}", "--only=cats"])
    assert "expected some of sprites, dominoes, camelyon17" in capsys.readouterr().err
