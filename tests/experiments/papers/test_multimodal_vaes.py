"""The runs of the multimodal VAE papers, and what becomes of their numbers."""

import argparse
import json

import numpy as np
import pytest

from experiments.papers import mmjsd, mopoe, multimodal_vae_limits, multimodal_vaes
from experiments.results import store, tables
from repr_jax import config as configs

FLAGS = dict(data_dir="", seeds=2)
CURVES = {  # coherence by views given
    "MVAE": (0.2, 0.2, 0.2, 0.2),
    "MMVAE": (0.7, 0.7, 0.7, 0.7),
    "MoPoE": (0.5, 0.6, 0.7, 0.8),
    "mmJSD": (0.6, 0.5, 0.5, 0.5),
    "MVTCAE": (0.6, 0.7, 0.8, 0.7),
    "MMVAE+": (0.8, 0.8, 0.8, 0.8),
}


def asked(scale, **changes):
    return argparse.Namespace(**{"scale": scale, **FLAGS, **changes})


def numbers(row, seed):
    """Metrics that tell the model by its coherence; the seeds differ by 0.02."""
    found = {"frechet/fd_clf/m0": 10.0 + seed, "likelihood/joint": -100.0}
    for n, value in enumerate(CURVES.get(row.model, ()), start=1):
        name = f"{n}_view{'s' * (n > 1)}"
        found[f"coherence/{name}"] = value + 0.02 * seed
        found[f"linear_probe/{name}"] = 0.9
    return found | {"step": 2}


def of_rows(rows):
    return {
        run.name: numbers(row, seed)
        for row in rows
        for seed, run in enumerate(row.runs)
    }


@pytest.fixture(scope="module")
def rows():
    return multimodal_vae_limits.PARTS["polymnist"].rows(asked("smoke"))


@pytest.mark.parametrize("scale", ["cpu", "paper"])
def test_every_run_is_a_config_with_values_that_it_has(scale):
    where = asked(scale, data_dir="MNIST", seeds=1)
    found = {}
    for part in multimodal_vae_limits.PARTS.values():
        for row in part.rows(where):
            for run in row.runs:
                found[run.name] = configs.load(run.config, run.overrides), row
    assert len({row.model for _, row in found.values()}) == len(multimodal_vaes.MODELS)
    for config, row in found.values():
        assert config.loss.beta == row.beta and config.dataset.source == "tfds"
        assert config.dataset.scale == (0.75 if row.dataset == "translated" else 1.0)
        assert config.num_steps == (5_000 if scale == "cpu" else 70_200)
        assert len(config.modalities) == (1 if row.model == "VAE" else 5)


def test_papers_share_their_runs_with_the_limits(rows):
    every = {run.name for row in rows for run in row.runs}
    for paper in (mopoe, mmjsd):
        mine = paper.PARTS["polymnist"].rows(asked("smoke"))
        assert {run.name for row in mine for run in row.runs} < every


def test_tables_hold_means_spreads_and_published_figures(rows):
    found = of_rows(rows)
    table = multimodal_vaes.by_views(rows, found, "coherence", "title")
    shown = {line[0]: line[2:] for line in tables.shown(table)}
    assert table.header == ("model", "beta", "1", "2", "3", "4")
    assert shown["MoPoE"][0] == "0.51 ± 0.01 (0.63)"
    assert shown["MMVAE+"][0] == "0.81 ± 0.01"
    assert shown["VAE"] == [tables.MISSING] * 4


def test_patterns_are_found_where_they_are(rows):
    held = {
        line[0]: line[-1] for line in multimodal_vaes.patterns(rows, of_rows(rows)).rows
    }
    assert list(held.values()) == ["yes", "yes", "yes", "no", "yes"]
    assert next(claim for claim, value in held.items() if value == "no").startswith(
        "MVTCAE"
    )


def test_a_difference_within_the_spread_is_none(rows):
    found = of_rows(rows)
    for row in rows:
        if row.model == "MVAE":
            found[row.runs[0].name]["coherence/1_view"] = 0.9
    held = multimodal_vaes.patterns(rows, found).rows
    assert held[0][0] == "MVAE has the lowest coherence" and held[0][-1] == "no"


def test_results_are_written_from_finished_runs_alone(tmp_path, capsys):
    """Nothing is trained here: every run is already there."""
    where = asked("smoke")
    parts = ("polymnist", "translated", "betas")
    every = [
        row for name in parts for row in multimodal_vae_limits.PARTS[name].rows(where)
    ]
    for row in every:
        for seed, run in enumerate(row.runs):
            report = tmp_path / run.name / "report"
            report.mkdir(parents=True, exist_ok=True)
            (report / "metrics.json").write_text(json.dumps(numbers(row, seed)))
            text = configs.to_json(configs.load(run.config, run.overrides))
            (tmp_path / run.name / "config.json").write_text(text)
    arguments = ["--scale=smoke", f"--workdir={tmp_path}", "--seeds=2"]
    assert multimodal_vae_limits.main(arguments) == 0
    said = capsys.readouterr()
    assert "finished" in said.err and "Fréchet" in said.out
    result = store.read(tmp_path / "multimodal_vae_limits.json")
    names = [block.title for block in result.content if isinstance(block, tables.Table)]
    assert names[0] == "exact" and "patterns" in names and names[-1] == "betas"
    exact = result.content[0]
    np.testing.assert_allclose(
        [line[2] for line in exact.rows], [0.25, 0.8333333, 2.4166667, 8.4722222], 1e-6
    )
    pictures = [x for x in result.content if isinstance(x, store.Picture)]
    assert len(pictures) == 3
    for picture in pictures:
        assert (tmp_path / picture.file).read_bytes().startswith(b"\x89PNG")
    lines = (tmp_path / "multimodal_vae_limits.csv").read_text().splitlines()
    assert lines[0] == "dataset,model,beta,seed,metric,value"
    assert "polymnist,MoPoE,1,1,coherence/1_view,0.52" in lines


def test_a_part_that_is_not_there_is_refused(capsys):
    with pytest.raises(SystemExit) as error:
        mopoe.main(["--workdir=/nowhere", "--only=polymist"])
    assert error.value.code == 2 and "got polymist" in capsys.readouterr().err
