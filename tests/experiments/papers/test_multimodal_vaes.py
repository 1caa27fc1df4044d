"""The runs of the multimodal VAE papers, and what becomes of their numbers."""

import argparse

import jax
import numpy as np
import pytest

from experiments.papers import (
    mmjsd,
    mopoe,
    multimodal_patterns,
    multimodal_rows,
    multimodal_vae_limits,
    multimodal_vaes,
    text_modalities,
)
from experiments.results import store, tables
from repr_jax import config as configs
from repr_jax import files, run

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
    if row.dataset == "translated":
        return found | {"coherence/1_view": 0.12, "step": 2}
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
            for one in row.runs:
                found[one.name] = configs.load(one.config, one.overrides), row
    assert len({row.model for _, row in found.values()}) == len(multimodal_rows.MODELS)
    for config, row in found.values():
        assert config.loss.beta == row.beta and config.dataset.source == "tfds"
        assert config.dataset.scale == (0.75 if row.dataset == "translated" else 1.0)
        assert config.num_steps == (5_000 if scale == "cpu" else 70_200)
        assert config.dataset.contrast == (0.4 if scale == "cpu" else 1.0)
        assert len(config.modalities) == (1 if row.model == "VAE" else 5)


@pytest.mark.parametrize("scale", ["cpu", "paper"])
def test_runs_on_text_are_configs_with_values_that_they_have(scale, tmp_path):
    """SVHN is read where it is prepared, and else drawn."""
    (tmp_path / "svhn_cropped").mkdir()
    for folder, houses in ((str(tmp_path), "tfds"), ("", "drawn")):
        where = asked(scale, data_dir=folder, seeds=1)
        parts = [
            mmjsd.PARTS["digits"],
            mopoe.PARTS["digits"],
            mopoe.PARTS["attributes"],
        ]
        rows = {row.runs[0].name: row for part in parts for row in part.rows(where)}
        assert len(rows) == len(text_modalities.CONFIGS) + 3  # shared by both papers
        for row in rows.values():
            (one,) = row.runs
            config = configs.load(one.config, one.overrides)
            assert config.loss.beta == 2.5
            assert ("private_encoders" in config) == row.model.endswith("(MS)")
            assert config.dataset.source == ("tfds" if folder else "embedded")
            if row.model == "MoPoE" and row.dataset == "scenes" and not folder:
                sizes = [parameters(c) for c in (config, configs.load(one.config))]
                fewer = 8 * sizes[0] < sizes[1] < 32 * sizes[0]
                assert fewer if scale == "cpu" else sizes[0] == sizes[1]
            if row.dataset == "mnist_svhn_text":
                assert config.dataset.svhn == houses
            assert ("bound" in config) == row.model.startswith(("MoPoE", "MMVAE"))


def parameters(config):
    """How many a run has."""
    config.dataset.source = "embedded"
    shapes = run.abstract_state(config, run.build(config)).params
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def text_numbers(row):
    """Metrics of a finished run: each names its place among SUBSETS or PAIRS."""
    names = [f"linear_probe/500_rows/{n}" for n in text_modalities.SUBSETS]
    found = {name: 0.01 * n for n, name in enumerate(names)}
    found |= {f"coherence/{n}": 0.5 for n in (*text_modalities.PAIRS, "joint")}
    curve = {"MVAE": 0.1}.get(row.model, 0.7)
    found |= {f"coherence/{n}": curve for n in ("1_view", "2_views")}
    found |= {f"linear_probe/{n}": 0.9 for n in ("1_view", "2_views", "3_views")}
    found |= {"attributes/image->text": 0.25, "likelihood/joint": -2000.0}
    return found | {"attribute_probe/image": 0.75, "step": 2}


@pytest.mark.parametrize("paper", [mmjsd, mopoe])
def test_tables_of_text_hold_the_published_figures(paper, tmp_path):
    where = asked("smoke", workdir=tmp_path)
    rows = paper.PARTS["digits"].rows(where)
    found = {run.name: text_numbers(row) for row in rows for run in row.runs}
    content = paper.PARTS["digits"].write(rows, found, where)
    blocks = {x.title: x for x in content if isinstance(x, tables.Table)}
    title = "MNIST-SVHN-Text, drawn house numbers in place of SVHN"
    accuracy = {x[0]: x[1:] for x in tables.shown(blocks[f"{title}: accuracy"])}
    last = {mmjsd: "0.06 ± 0.00 (0.90)", mopoe: "0.06 ± 0.00 (0.96)"}[paper]
    assert accuracy["MVAE"][-1] == last
    for model, known in paper.PUBLISHED["accuracy"].items():
        assert len(known) == len(text_modalities.SUBSETS)
        assert model in accuracy
    for known in paper.PUBLISHED["coherence"].values():
        assert len(known) == len(text_modalities.PAIRS)
    likelihood = blocks[f"{title}: likelihood"]
    assert {len(line) for line in likelihood.rows} == {2}
    assert tables.shown(likelihood)[0][1].startswith("-2,000 ± 0 (-1,")
    assert blocks["patterns"].rows[0][-1] == "yes"
    picture = content[-1]
    assert (tmp_path / picture.file).read_bytes().startswith(b"\x89PNG")


def test_attributes_of_scenes_are_gathered(tmp_path):
    where = asked("smoke", workdir=tmp_path)
    part = mopoe.PARTS["attributes"]
    rows = part.rows(where)
    found = {run.name: text_numbers(row) for row in rows for run in row.runs}
    _, table, _ = part.write(rows, found, where)
    header = list(table.header)
    shown = tables.shown(table)[0]
    assert shown[header.index("image → text")] == "0.25 ± 0.00"
    assert shown[header.index("latents of image")] == "0.75 ± 0.00"
    assert shown[header.index("text → image")] == tables.MISSING


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
        line[0]: line[-1]
        for line in multimodal_patterns.patterns(rows, of_rows(rows)).rows
    }
    assert list(held.values()) == ["yes", "yes", "yes", "no", "yes", "yes"]
    assert next(claim for claim, value in held.items() if value == "no").startswith(
        "MVTCAE"
    )


def test_one_number_neither_rises_nor_is_flat(rows):
    known = multimodal_patterns.views
    cut = {row.model: known(row, of_rows(rows), "coherence")[:1] for row in rows}
    claims = [line[0] for line in multimodal_patterns.of_coherence(cut)]
    assert claims == ["MVAE has the lowest coherence"]


def test_quality_worsens_from_one_posterior_to_mixtures_of_single_ones(rows):
    found = of_rows(rows)

    def held():
        return multimodal_patterns.of_quality(rows, found)[0][-1]

    assert held()
    for row in rows:
        if row.model == "MVAE":  # two runs: above MoPoE's by more than both spreads
            for run in row.runs:
                found[run.name]["frechet/fd_clf/m0"] += 1.5
    assert not held()
    without = [row for row in rows if row.model != "MMVAE"]
    assert not multimodal_patterns.of_quality(without, found)


def test_a_difference_within_the_spread_is_none(rows):
    found = of_rows(rows)
    for row in rows:
        if row.model == "MVAE":
            found[row.runs[0].name]["coherence/1_view"] = 0.9
    held = multimodal_patterns.patterns(rows, found).rows
    assert held[0][0] == "MVAE has the lowest coherence" and held[0][-1] == "no"


def test_results_are_written_from_finished_runs_alone(tmp_path, capsys):
    """Nothing is trained here: every run is already there."""
    where = asked("smoke")
    parts = ("polymnist", "translated", "betas")
    every = [
        row for name in parts for row in multimodal_vae_limits.PARTS[name].rows(where)
    ]
    for row in every:
        for seed, one in enumerate(row.runs):
            report = tmp_path / one.name / "report"
            report.mkdir(parents=True, exist_ok=True)
            (report / "metrics.json").write_text(files.checked_text(numbers(row, seed)))
            text = configs.to_json(configs.load(one.config, one.overrides))
            (tmp_path / one.name / "config.json").write_text(text)
    arguments = ["--scale=smoke", f"--workdir={tmp_path}", "--seeds=2"]
    assert multimodal_vae_limits.main(arguments) == 0
    said = capsys.readouterr()
    assert "finished" in said.err and "Fréchet" in said.out
    result = store.read(tmp_path / "multimodal_vae_limits.json")
    names = [block.title for block in result.content if isinstance(block, tables.Table)]
    assert names[0] == "exact" and "patterns" in names and names[-1] == "betas"
    beside = next(
        block
        for block in result.content
        if isinstance(block, tables.Table) and "beside PolyMNIST" in block.title
    )
    collapses = {line[0]: line[1:] for line in tables.shown(beside)}
    assert collapses["MoPoE"] == ["0.51 ± 0.01", "0.12 ± 0.00", "yes"]
    assert collapses["MVAE"][-1] == "yes" and "VAE" not in collapses
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
