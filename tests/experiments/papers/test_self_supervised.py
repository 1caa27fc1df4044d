"""The runs that put self-supervised methods side by side, and their numbers."""

import argparse
import csv
import json

import numpy as np
import pytest

from experiments.papers import self_supervised as paper
from experiments.results import tables
from repr_jax import config as configs
from repr_jax import files


def asked(scale, **changes):
    flags = dict(data_dir="", seeds=2, only=tuple(paper.PARTS), jobs=2)
    return argparse.Namespace(**{"scale": scale, **flags, **changes})


@pytest.mark.parametrize("scale", ["cpu", "paper", "smoke"])
@pytest.mark.parametrize("part", paper.PARTS)
def test_every_run_is_a_config_with_values_that_it_has(scale, part):
    where = asked(scale, data_dir="DIR")
    names = set()
    for row in paper.rows_of(part, where):
        for run in row.runs:
            config = configs.load(run.config, run.overrides)
            names.add(run.name)
            assert config.dataset.seed == run.overrides["seed"]
            if scale == "paper" or (scale, part) == ("cpu", "emoji"):
                assert config.data_dir == "DIR"
                assert "DIR" in (
                    config.dataset.get("data_dir"),
                    config.dataset.get("path"),
                )
            moved = config.optimizer.peak > 1e-6
            assert moved == (row.method not in paper.UNTRAINED)
            num_steps, batch_size = paper.SIZES[scale]
            assert config.num_steps == num_steps or not moved
            assert config.batch_size == batch_size
            for metric in paper.COLUMNS.values():
                assert metric.partition("/")[0] in config.evals
            assert set(paper.CURVES) <= set(config.evals)
            if "decay" in config and moved and "num_steps" in config.decay:
                assert config.decay.num_steps == config.num_steps
            assert config.optimizer.num_steps == config.num_steps
    assert len(names) == 2 * (len(paper.METHODS) + len(paper.CONTROLS))


def numbers(row, seed):
    place = list(paper.METHODS | paper.CONTROLS).index(row.method)
    found = {metric: 0.1 * place + 0.02 * seed for metric in paper.COLUMNS.values()}
    found |= {paper.SMOKE.get(name, name): value for name, value in found.items()}
    return found | {"step": 2}


def test_results_are_written(tmp_path, monkeypatch):
    where = asked("smoke", workdir=tmp_path, only=("digits",))
    rows = {part: paper.rows_of(part, where) for part in where.only}
    found = {}
    for row in rows["digits"]:
        for seed, run in enumerate(row.runs):
            found[run.name] = numbers(row, seed)
            folder = tmp_path / run.name
            folder.mkdir(parents=True)
            curve = [{"step": n, **numbers(row, seed)} for n in (1, 2)]
            text = "".join(
                files.checked_text(x) for x in [{"step": 1, "loss": 0}, *curve]
            )
            (folder / "metrics.jsonl").write_text(text)
            log = [
                f"step {n}/9  loss 1  {n}.00 steps/s  0:01 left\n" for n in (1, 4, 9)
            ]
            (folder / "log.txt").write_text("".join(log))
    text = paper.write(rows, found, where)
    table = paper.full_table(
        rows["digits"], found, paper.of_pixels("digits", where), where, "digits"
    )
    shown = {line[0]: line[1:] for line in tables.shown(table)}
    assert shown["MoCo"][:2] == ["0.110 ± 0.010", "0.110 ± 0.010"]
    assert shown["MoCo"][-1] == "4.0 ± 0.0"
    assert shown["untrained, convolutions"][-1] == tables.MISSING
    assert 0.1 < float(shown["pixels"][0]) <= 1  # real images, few rows
    assert list(shown) == [*paper.METHODS, *paper.CONTROLS, paper.PIXELS]
    assert "**digits: after training**" in text
    picture = tmp_path / "pictures" / "self_supervised_digits.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "self_supervised.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {line["metric"] for line in lines} >= {"rank/centered", "step"}
    stored = json.loads((tmp_path / "self_supervised.json").read_text())
    assert stored["command"].startswith("python -m experiments.papers.self_supervised")


def test_emoji_are_not_drawn(tmp_path, capsys):
    assert paper.main([f"--workdir={tmp_path}"]) == 2
    assert "emoji need --data_dir" in capsys.readouterr().err


def test_curves_are_of_the_steps_that_all_seeds_have(tmp_path):
    row = paper.row("digits", "SimCLR", asked("cpu"))
    for seed, run in enumerate(row.runs):
        (tmp_path / run.name).mkdir(parents=True)
        steps = (200, 400) if seed else (200, 400, 600)
        text = [{"step": n, "loss": 1.0} for n in steps]
        text += [{"step": n, "a/b": n / 100 + seed} for n in steps]
        lines = "".join(files.checked_text(x) for x in text)
        (tmp_path / run.name / "metrics.jsonl").write_text(lines)
    steps, values = paper.over_training(row, "a/b", tmp_path)
    assert steps == [200, 400]
    np.testing.assert_allclose(values, [[2, 4], [3, 5]])
