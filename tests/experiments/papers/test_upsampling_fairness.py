"""The runs of the benchmark of upsamplers, and what becomes of their numbers."""

import argparse
import csv
import json
import pathlib

import numpy as np
import pytest

from experiments.papers import upsampling_fairness as paper
from experiments.papers import upsampling_pictures
from repr_jax import config as configs
from repr_jax import figures, run
from repr_jax.models import style_gan


def asked(scale, workdir="w", **changes):
    flags = dict(data_dir="EMOJI", seeds=2, only=paper.DATA, workdir=workdir)
    return argparse.Namespace(**{"scale": scale, **flags, **changes})


def numbers(row, seed, *, hurt=0.5):
    """What the paper found: unbalanced training hurts, fair pSp less."""
    classes = len(paper.SHARES[row.data])
    majority = int(np.argmax(paper.SHARES[row.data]))
    unbalanced = row.training == "unbalanced"
    found = {"accuracy": 0.6 + 0.02 * seed, "distinct": 0.05, "ucpr/entropy": 0.3}
    for name in paper.NOTIONS.values():
        chi2 = 0.2 + hurt * unbalanced - 0.1 * (row.method == "fair pSp")
        for measure in ("chi2", "chebyshev"):
            low, high = chi2 - 0.1, chi2 + 0.2
            found |= {f"{name}/{measure}": chi2, f"{name}/{measure}/floor": 0.01}
            found |= {f"{name}/{measure}/low": low, f"{name}/{measure}/high": high}
        found[f"{name}/p_value"] = 1e-9 * (seed + 1)
    shares = np.full(classes, (0.5 if unbalanced else 1 - 1 / classes) / (classes - 1))
    shares[majority] = 1 - shares[:-1].sum()
    found |= {f"ucpr/share/{k}": float(x) for k, x in enumerate(shares)}
    found |= dict.fromkeys(("dssim", "cosine", "niqe", "psnr", "sharpness"), 0.5)
    return {f"fairness/{name}": x for name, x in found.items()} | {"step": 2}


def of_rows(rows, **options):
    return {
        run.name: numbers(row, seed, **options)
        for row in rows
        for seed, run in enumerate(row.runs)
    }


@pytest.mark.parametrize("scale", ["cpu", "paper", "smoke"])
def test_every_run_is_a_config_with_values_that_it_has(scale):
    names = set()
    for data in paper.DATA:
        for row in paper.rows_of(data, asked(scale)):
            for one in row.runs:
                config = configs.load(one.config, one.overrides)
                names.add(one.name)
                most = max(config.dataset.shares)
                assert (most == 0.82) == (row.training == "unbalanced")
                assert config.dataset.class_balanced == (row.method == "fair pSp")
                source = config.start.source
                assert bool(source) == (row.method in ("pSp", "fair pSp"))
                if source:  # the GAN of the same data, training and seed
                    gan = one.name.replace(row.method.replace(" ", "_"), "PULSE")
                    assert source == f"w/{gan}"
                size = {"cpu": 16, "smoke": 16, "paper": 32}[scale]
                size = 128 if (scale, data) == ("paper", "faces") else size
                assert config.dataset.size == size
                assert config.factor == (4 if size == 16 else 8)
                if "generator" in config:
                    assert config.generator.size == size
                if "encoder" in config:
                    for name in ("style_dim", "width", "max_width"):
                        assert config.encoder[name] == config.generator[name]
                if "curriculum" in config and scale != "smoke":  # ten times a run
                    assert 10 * config.curriculum.every == config.num_steps
                    rate = {"cpu": 0.01, "paper": 0.001}[scale]
                    assert config.curriculum.rate == rate
    assert len(names) == 2 * 2 * 2 * len(paper.METHODS)


@pytest.mark.parametrize("method", ["PULSE", "fair pSp", "DDRM"])
@pytest.mark.parametrize("scale", ["cpu", "paper"])
def test_networks_of_both_scales_fit_their_images(scale, method):
    (one, _) = paper.row("faces", method, "balanced", asked(scale)).runs
    config = configs.load(one.config, {**one.overrides, "batch_size": 4})
    if "latent_dim" in config:
        sizes = config.generator.size, config.generator.style_dim
        assert config.latent_dim == style_gan.latent_dim(*sizes)
    assert run.abstract_state(config, run.build(config)).params


def test_what_the_paper_found_is_found_in_numbers_that_show_it():
    for data in paper.DATA:
        rows = paper.rows_of(data, asked("cpu"))
        table = paper.findings(rows, of_rows(rows), data)
        assert [line[-1] for line in table.rows] == ["yes"] * 6
        assert table.rows[3][1] == pytest.approx([0.6, 0.7])


def test_the_frequent_class_is_that_of_the_runs():
    rows = paper.rows_of("people", asked("smoke"))  # which are of drawn faces
    found = of_rows([row._replace(data="faces") for row in rows])
    table = paper.findings(rows, found, "people")
    assert [line[-1] for line in table.rows] == ["yes"] * 6


def test_numbers_that_do_not_show_it_are_reported_so():
    rows = paper.rows_of("faces", asked("cpu"))
    found = of_rows(rows, hurt=-0.05)
    for one in rows[0].runs:
        found[one.name]["fairness/distinct"] = 1.0
        for name in paper.NOTIONS.values():
            found[one.name][f"fairness/{name}/chi2"] = 0.005
    table = paper.findings(rows, found, "faces")
    assert [line[-1] for line in table.rows] == ["no", "no", "yes", "yes", "yes", "no"]
    assert table.rows[-1][1] == "PULSE (balanced)"


def test_results_are_written(tmp_path):
    where = asked("smoke", tmp_path)
    rows = {data: paper.rows_of(data, where) for data in where.only}
    every = [row for some in rows.values() for row in some]
    image = np.random.default_rng(0).uniform(size=(3, 8, 8, 3))
    wall = figures.mosaic([[figures.Row("original", image)]])
    for row in every:
        path = tmp_path / row.runs[0].name / upsampling_pictures.WALL
        path.parent.mkdir(parents=True)
        path.write_bytes(wall)
    text = paper.write(rows, of_rows(every), where)
    assert "**faces: fairness and diversity**" in text
    assert "**people: performance**" in text and "0.100, 0.400" in text
    stored = json.loads((tmp_path / "upsampling_fairness.json").read_text())
    assert "--only=faces,people --seeds=2 --data_dir=EMOJI" in stored["command"]
    for data in where.only:
        for name in ("fairness", "wall"):
            picture = tmp_path / f"pictures/upsampling_fairness_{data}_{name}.png"
            assert picture.read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "upsampling_fairness.csv").open() as file:
        lines = list(csv.DictReader(file))
    methods = {line["method"] for line in lines}
    assert methods == set(paper.METHODS) and {line["seed"] for line in lines} == {
        "0",
        "1",
    }


def test_generators_are_trained_before_what_starts_from_them(tmp_path, monkeypatch):
    asked_for = []

    def complete(runs, workdir, **options):
        asked_for.append([run.name for run in runs])
        where = asked("smoke", tmp_path, seeds=1)
        return of_rows(paper.rows_of("faces", where))

    monkeypatch.setattr(paper.grid.sweep, "complete", complete)
    monkeypatch.setattr(upsampling_pictures, "walls", lambda rows, workdir: b"")
    flags = ["--scale=smoke", "--only=faces", "--seeds=1", f"--workdir={tmp_path}"]
    assert paper.main(flags) == 0
    first, every = asked_for
    assert set(first) < set(every) and len(every) == 10
    assert not any("pSp" in name for name in first) and len(first) == 6


def test_emoji_need_their_file(tmp_path, capsys):
    assert paper.main([f"--workdir={tmp_path}", "--only=people"]) == 2
    assert "people: expected --data_dir" in capsys.readouterr().err
    assert not list(pathlib.Path(tmp_path).iterdir())
