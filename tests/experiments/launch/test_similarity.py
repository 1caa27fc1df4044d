"""Layers of runs of other methods side by side, on the same rows."""

import csv

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.launch import similarity
from experiments.results import store
from repr_jax import config as configs
from repr_jax import metrics, run
from repr_jax.workdir import records


class Two(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(3, (2, 2), name="first")(x)
        return nn.Dense(5, name="last")(x.reshape(len(x), -1))


def test_layers_are_those_on_the_way_and_positions_are_averaged():
    model, x = Two(), jnp.arange(64.0).reshape(4, 4, 4, 1)
    params = model.init(jax.random.key(0), x)

    def represent(params, extras, batch, key):
        return model.apply(params, batch)

    found = similarity.layers_of(represent)(params, {}, x, None)
    assert list(found) == ["first", "last", "representation"]
    first = nn.Conv(3, (2, 2)).apply({"params": params["params"]["first"]}, x)
    np.testing.assert_allclose(found["first"], first.mean((1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(found["last"], represent(params, {}, x, None))
    alone = similarity.layers_of(represent, "fir.*")(params, {}, x, None)
    assert list(alone) == ["first", "representation"]


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory, repository):
    """Two methods, whose seeds give them other data."""
    folder, found = tmp_path_factory.mktemp("runs"), []
    for family, name, seed in (
        ("contrastive", "simclr_sprites", 0),
        ("reconstruction", "autoencoder_sprites", 1),
    ):
        file = f"{repository / 'configs' / family / name}.py:smoke"
        found.append(folder / name)
        run.train(configs.load(file, {"seed": seed}), found[-1])
    return found


@pytest.mark.slow
def test_runs_see_the_rows_of_the_first(workdirs):
    layers = similarity.collect(workdirs, rows=20)
    assert {name for name, _ in layers} == {w.name for w in workdirs}
    assert {len(x) for x in layers.values()} == {20}
    names = [n for r, n in layers if r == workdirs[0].name]
    assert names[0].startswith("encoder/") and names[-1] == "representation"
    assert "projector" in names
    config = records.stored_config(workdirs[0])
    parts = run.build(config)
    state = run.restore(config, parts, workdirs[0])
    batch = next(parts.dataset.evaluate("test", 48))
    expected = parts.experiment.outputs["represent"](
        state.params, state.extras, parts.dataset.prepare(batch), jax.random.key(0)
    )
    mine = layers[workdirs[0].name, "representation"]
    near = np.abs(mine[:, None] - np.asarray(expected)[None]).max(-1).min(1)
    assert near.max() < 1e-5  # each is one of the test rows


def test_files_hold_the_metric_of_every_two(workdirs, tmp_path, capsys):
    arguments = [*map(str, workdirs), f"--out={tmp_path}", "--rows=20"]
    assert similarity.main(arguments) == 0
    layers = similarity.collect(workdirs, rows=20)
    with (tmp_path / "similarity.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(layers) * (len(layers) + 1) / 2
    for line in lines[:: len(lines) // 7]:
        pair = [
            layers[line["run"], line["layer"]],
            layers[line["other run"], line["other layer"]],
        ]
        cka = metrics.linear_cka(*pair)
        assert float(line["cka"]) == pytest.approx(float(cka), abs=1e-4)
    result = store.read(tmp_path / "similarity.json")
    assert result.seeds == [0, 1]
    names = " ".join(path.name for path in workdirs)
    flags = f"--rows=20 '--layers={similarity.LAYERS}' --out=DIR"
    assert result.command.endswith(f"launch.similarity {names} {flags}")
    rows = result.content[1].rows
    assert [row[1 + i] for i, row in enumerate(rows)] == [1.0, 1.0]
    assert rows[0][2] < 1
    picture = tmp_path / "pictures" / "similarity.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "representation of" in capsys.readouterr().out


def test_what_cannot_be_compared_is_refused(workdirs, tmp_path, capsys):
    out = f"--out={tmp_path / 'out'}"
    assert similarity.main([str(workdirs[0]), str(workdirs[0]), out]) == 2
    assert "expected different runs" in capsys.readouterr().err
    assert similarity.main([str(tmp_path / "none"), out]) == 2
    assert "expected a run" in capsys.readouterr().err


def test_a_run_of_other_images_is_refused(workdirs, tmp_path, repository, capsys):
    file = repository / "configs/classification/random_sprites.py"
    larger = configs.load(f"{file}:smoke", {"dataset.size": 12})
    run.train(larger, tmp_path / "larger")
    arguments = [str(workdirs[0]), str(tmp_path / "larger"), f"--out={tmp_path}"]
    assert similarity.main(arguments) == 2
    assert "takes images of" in capsys.readouterr().err
