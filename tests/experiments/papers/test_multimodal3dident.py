"""The part of pictures and sentences: its runs, and what becomes of the numbers."""

import pytest

from experiments.papers import multimodal3dident as part
from repr_jax import config as configs


def test_runs_differ_by_size_hue_and_seed():
    rows = part.rows("paper", 3)
    assert len(rows) == 6 and all(len(row.runs) == 3 for row in rows)
    names = [run.name for row in rows for run in row.runs]
    assert len(set(names)) == 18
    for row in rows:
        config = configs.load(row.runs[2].config, row.runs[2].overrides)
        assert config.dataset.seed == config.seed == 2
        assert config.dataset.causal == (row.title[0] == "depends on place")
        sizes = {encoder.features for encoder in config.encoders.values()}
        assert sizes == {int(row.title[1])} and config.num_steps == 100_001
    assert len(part.rows("cpu", 3)[0].runs) == 1


def test_results_are_written(tmp_path):
    rows = part.rows("paper", 2)
    found = {}
    for row in rows:
        for run in row.runs:
            metrics = {
                metric.format(modality): 0.5
                for _, metric, _ in part.FACTORS
                for modality in ("image", "text")
            }
            metrics["accuracy/image/object_shape/kernel"] = float(run.overrides["seed"])
            found[run.name] = metrics
    lines = part.write(rows, found, tmp_path).splitlines()
    assert (tmp_path / "pictures.md").read_text().splitlines() == lines
    cells = lines[2].split(" | ")
    assert cells[0] == "| object_shape" and cells[1:4] == [
        "0.14",
        "0.50 ± 0.50",
        "0.50 ± 0.00",
    ]
    assert lines[0].count("hue independent, size 10") == 2
    assert "0.889" in lines[-1]
    table = (tmp_path / "pictures.csv").read_text().splitlines()
    expected = "depends on place,4,pictures/causal/size4/seed1,"
    assert f"{expected}accuracy/image/object_shape/kernel,1" in table
    assert (tmp_path / "pictures.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("scale", part.FILES)
def test_every_scale_has_a_config(scale):
    for row in part.rows(scale, 1):
        config = configs.load(row.runs[0].config, row.runs[0].overrides)
        assert config.encoding_size == int(row.title[1])
