"""The table and the ablation: their runs, and what becomes of the numbers."""

import numpy as np
import pytest

from experiments.papers import multimodal_identifiability as paper
from experiments.results import store, tables
from repr_jax import config as configs
from repr_jax import files
from repr_jax.data import content_style


@pytest.fixture(scope="module")
def rows():
    return paper.table("smoke", 2)


def numbers(run):
    """Metrics that tell the run: content is its seed, all others its place."""
    found = dict.fromkeys(paper.COLUMNS.values(), 0.25) | {"step": 2}
    found["latents/r2/x1/content/kernel"] = float(run.overrides["seed"])
    if run.name.startswith("original"):
        del found["latents/r2/x1/modality1/kernel"]
    return found


def test_the_table_is_five_settings_two_variants_and_the_seeds():
    rows = paper.table("cpu", 3)
    assert len(rows) == 10 and all(len(row.runs) == 3 for row in rows)
    names = [run.name for row in rows for run in row.runs]
    assert len(set(names)) == 30 and "multimodal/causal/seed2" in names
    for row in rows:
        config = configs.load(row.runs[1].config, row.runs[1].overrides)
        process = config.dataset.process
        assert process.seed == config.dataset.seed == config.seed == 1
        original = row.title[0] == "original"
        assert process.shared_mixing == original == ("shared" in config.encoders)
        assert process.modality_dims == ((0, 0) if original else (3, 3))
        assert process.statistical == ("statistical" in row.title[1])
        assert process.causal == ("causal" in row.title[1])
        assert process.style_change_rate == (1.0 if "every" in row.title[1] else 0.75)


def test_the_ablation_takes_the_size_of_the_content_from_the_table():
    rows = {row.title[0]: row.runs for row in paper.ablation("cpu", 2)}
    assert all(len(runs) == 1 for runs in rows.values())
    assert all(len(row.runs) == 2 for row in paper.ablation("paper", 2))
    assert tuple(rows) == ("1", "2", "3", "4", "6")
    assert rows["3"] == [paper.setting("cpu", "multimodal", "independent", 0)]
    for size, runs in rows.items():
        config = configs.load(runs[0].config, runs[0].overrides)
        widths = {tuple(encoder.widths) for encoder in config.encoders.values()}
        assert widths == {(128, 128, 128, 128, int(size))}


@pytest.mark.parametrize("scale", ["paper", "smoke"])
def test_the_other_scales_have_their_own_configs(scale):
    runs = [run for row in paper.ablation(scale, 1) for run in row.runs]
    loaded = [configs.load(run.config, run.overrides) for run in runs]
    steps = {config.num_steps for config in loaded}
    assert steps == {300_001 if scale == "paper" else 2}
    sizes = tuple(config.encoders.x2.widths[-1] for config in loaded)
    assert sizes == paper.SIZES[scale] and len(set(sizes)) == len(sizes)


def test_means_and_spreads_are_those_of_the_seeds(rows):
    found = {run.name: numbers(run) for row in rows for run in row.runs}
    summary = paper.summarize(rows[1], found)
    assert summary.title == ("multimodal", "independent, every style changes")
    assert summary.numbers["content x1"][:3] == (0.5, 0.5, 2)
    assert summary.numbers["style x1"][:3] == (0.25, 0.0, 2)
    original = paper.summarize(rows[0], found).numbers["modality1 x1"]
    assert np.isnan(original.mean) and original.n == 0
    causal = paper.summarize(rows[7], found)
    assert causal.title == ("multimodal", "causal")
    both = [
        content_style.predictable_style(paper.process(run))["style"]
        for run in rows[7].runs
    ]
    assert causal.numbers["style x1"].beside == pytest.approx(np.mean(both))
    assert 0 < both[0] != both[1] < 1


def test_results_are_written_from_finished_runs_alone(rows, tmp_path, capsys):
    """Nothing is trained here: every run is already there."""
    every = [*rows, *paper.ablation("smoke", 2)]
    for run in {run.name: run for row in every for run in row.runs}.values():
        report = tmp_path / run.name / "report"
        report.mkdir(parents=True)
        (report / "metrics.json").write_text(files.checked_text(numbers(run)))
        text = configs.to_json(configs.load(run.config, run.overrides))
        (tmp_path / run.name / "config.json").write_text(text)
    arguments = ["--scale=smoke", f"--workdir={tmp_path}", "--seeds=2"]
    arguments.append("--only=table,ablation")
    assert paper.main(arguments) == 0
    said = capsys.readouterr()
    assert "21 runs, 21 of them finished" in said.err
    result = store.read(tmp_path / "multimodal_identifiability.json")
    assert result.seeds == [0, 1] and "--only=table,ablation" in result.command
    table, _, ablation, _ = result.content
    shown = tables.shown(table)
    assert len(shown) == 10 and shown[0][:2] == ["original", table.rows[0][1]]
    assert "0.50 ± 0.50" in shown[1] and "–" in shown[0] and "–" not in shown[1]
    assert "0.25 ± 0.00 (0.00)" in shown[1]
    text = (tmp_path / "multimodal_identifiability.md").read_text()
    assert text in said.out and "| multimodal | causal | " in text
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0] == "variant,setting,run,metric,value"
    expected = (
        "multimodal,causal,multimodal/causal/seed1,latents/r2/x1/content/kernel,1"
    )
    assert expected in lines
    for name in ("closed_form/style", "change_to_style", "condition/content"):
        assert sum(f",{name}," in line for line in lines) == 20
    shown = tables.shown(ablation)
    assert len(shown) == 2 and shown[0][1:3] == ["0.00", "0.25"]  # one seed: no ±
    for name in ("table", "ablation"):
        picture = tmp_path / "pictures" / f"identifiability_{name}.png"
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only=tables"], "expected some of pictures, table"),
        (["--seeds=0"], "at least 1"),
        (["--scale=tiny"], "invalid choice: 'tiny'"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        paper.parse([*arguments, "--workdir=x"])
    assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_jobs_depend_on_the_scale():
    assert paper.parse(["--workdir=x"]).jobs == 2
    assert paper.parse(["--workdir=x", "--scale=paper"]).jobs == 1
