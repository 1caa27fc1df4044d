"""Estimators from configs: fitted once, stored, asked; on data and trained runs."""

import pathlib
from typing import NamedTuple

import jax
import numpy as np
import pytest

from configs.base import base
from experiments import fit
from repr_jax import config as configs
from repr_jax import run
from repr_jax.data.dataset import of_rows
from repr_jax.estimators import deep_ect, kmeans, logistic, turtle
from repr_jax.evaluators import clusters, linear_probe
from repr_jax.models.mlp import MLP
from repr_jax.workdir import fitted

SIMCLR = pathlib.Path("configs/contrastive/simclr_mnist.py")


def clouds():
    """Ninety rows of three clouds in four dimensions, of other rows in each split."""
    rng = np.random.default_rng(0)
    label = np.arange(90) % 3
    splits = {}
    for split in ("train", "test"):
        x = 9 * np.eye(4)[label] + rng.normal(size=(90, 4))
        splits[split] = x.reshape(90, 2, 2).astype(np.float32)

    def take(split, rows):
        return {"x": splits[split][rows], "label": label[rows].astype(np.int32)}

    sizes = {"train": 90, "test": 90}
    return of_rows("clouds", take, sizes, seed=0)


class Mean(NamedTuple):
    """What `mean` fits."""

    mean: np.ndarray


CALLS = []


def mean(x, *, progress=None) -> Mean:
    """An estimator without a key."""
    CALLS.append(np.asarray(x))
    progress(1, 1)
    return Mean(x.mean(axis=0))


def nearer_than(found, x, *, radius):
    """1 within the radius, else 0."""
    return (np.linalg.norm(x - found.mean[None], axis=1) < radius).astype(np.int32)


def config_of(estimator, **outputs):
    config = base()
    config.batch_size = 32
    config.experiment = fit.make
    config.dataset = dict(fn=clouds)
    config.inputs = dict(fn=fit.vectors, name="x")
    config.estimator = estimator
    config.outputs = outputs
    config.evals.clusters = dict(fn=clusters.evaluate)
    return config


def of_kmeans():
    return config_of(
        dict(fn=kmeans.fit, num_clusters=3, num_restarts=3),
        assign=dict(fn=kmeans.assign),
    )


def of_mean():
    return config_of(dict(fn=mean), assign=dict(fn=nearer_than, radius=1.0))


def test_is_fitted_to_the_training_rows_and_evaluated_on_the_others(tmp_path):
    config = of_kmeans()
    found = run.train(config, tmp_path)
    numbers = run.evaluate(config, tmp_path)
    assert type(found) is kmeans.KMeans
    assert numbers["clusters/accuracy"] == 1 and numbers["step"] == 0
    rows = next(clouds().evaluate("train", 90))["x"].reshape(90, 4)
    means = [rows[k::3].mean(axis=0, dtype=np.float64) for k in range(3)]
    order = np.argmax(found.centroids[:, :3], axis=1)
    np.testing.assert_allclose(found.centroids, np.stack(means)[order], atol=1e-5)
    assert (tmp_path / "report" / "index.html").exists()


def test_a_second_start_only_evaluates(tmp_path, capsys):
    CALLS.clear()
    config = of_mean()
    first = run.train(config, tmp_path)
    assert "fitting: 1/1" in capsys.readouterr().err
    again = run.train(
        configs.from_json(configs.to_json(config), trusted=("tests",)), tmp_path
    )
    assert len(CALLS) == 1 and len(CALLS[0]) == 90
    np.testing.assert_array_equal(first.mean, again.mean)
    config.evals.clusters.batch_size = 7  # may change
    assert run.evaluate(config, tmp_path)["clusters/num_clusters"] == 1


def test_another_config_is_refused_or_fits_anew(tmp_path):
    CALLS.clear()
    config = of_mean()
    run.train(config, tmp_path)
    config.max_rows = 40
    with pytest.raises(ValueError, match="max_rows: absent there, 40 here"):
        run.train(config, tmp_path)
    run.train(config, tmp_path, amend=True)
    assert [len(rows) for rows in CALLS] == [90, 40]
    run.train(config, tmp_path)
    assert len(CALLS) == 2


def test_a_fit_that_was_cut_short_starts_again(tmp_path, monkeypatch):
    CALLS.clear()
    config = of_mean()

    def killed(folder, found):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fitted, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            run.train(config, tmp_path)
    with pytest.raises(FileNotFoundError, match="expected a fit"):
        run.evaluate(config, tmp_path)
    run.train(config, tmp_path)
    assert len(CALLS) == 2


def test_several_spaces_targets_and_modules(tmp_path):
    config = config_of(
        dict(fn=turtle.fit, num_classes=3, num_steps=2, num_inner_steps=2),
        assign=dict(fn=turtle.assign),
    )
    space = dict(fn=fit.vectors, name="x")
    config.inputs = dict(one=space, other=dict(space))
    assert len(run.train(config, tmp_path / "turtle").weights) == 2
    assert "clusters/nmi" in run.evaluate(config, tmp_path / "turtle")

    config = config_of(
        dict(fn=logistic.fit, num_classes=3), assign=dict(fn=logistic.predict)
    )
    config.targets = dict(fn=fit.entry, name="label")
    run.train(config, tmp_path / "logistic")
    assert run.evaluate(config, tmp_path / "logistic")["clusters/accuracy"] == 1

    config = config_of(
        dict(fn=deep_ect.fit, num_leaves=3, num_steps=6),
        assign=dict(fn=deep_ect.assign),
        parents=dict(fn=fit.field, name="parents"),
        represent=dict(fn=deep_ect.embed),
    )
    config.inputs = dict(fn=fit.entry, name="x")
    config.modules = dict(
        encoder=dict(fn=MLP, widths=(8, 2)), decoder=dict(fn=MLP, widths=(8, 4))
    )
    config.evals.probe = dict(fn=linear_probe.evaluate, num_train=30)
    run.train(config, tmp_path / "deep_ect")
    numbers = run.evaluate(config, tmp_path / "deep_ect")
    assert {"clusters/dendrogram_purity", "probe/accuracy"} <= set(numbers)


def test_fits_what_a_trained_run_makes_of_the_data(tmp_path):
    trained = configs.load(f"{SIMCLR}:smoke")
    state = run.train(trained, tmp_path / "simclr")
    config = of_kmeans()
    config.dataset = trained.dataset.copy_and_resolve_references()
    config.batch_size, config.max_rows = 16, 24
    config.inputs = dict(
        fn=fit.output_of, workdir=str(tmp_path / "simclr"), output="represent"
    )
    config.evals.clusters.limit = 16
    found = run.train(config, tmp_path / "kmeans")
    parts = run.build(trained)
    batch = parts.dataset.prepare(next(parts.dataset.evaluate("test", 4)))
    expected = parts.experiment.outputs["represent"](
        state.params, state.extras, batch, jax.random.key(0)
    )
    inputs = run.build(config).experiment.outputs["assign"]
    assert found.centroids.shape == (3, expected.shape[1])
    np.testing.assert_array_equal(
        inputs(found, batch, jax.random.key(0)), kmeans.assign(found, expected)
    )
    assert "clusters/ari" in run.evaluate(config, tmp_path / "kmeans")
    config.inputs.output = "generate"
    with pytest.raises(ValueError, match="among represent; got 'generate'"):
        run.build(config)
    config.inputs = dict(
        fn=fit.output_of, workdir=str(tmp_path / "kmeans"), output="assign"
    )
    with pytest.raises(ValueError, match="is a fit"):
        run.build(config)


def test_what_is_wrong_is_refused_before_anything_is_fitted():
    config = of_kmeans()
    config.modules = dict(encoder=dict(fn=MLP, widths=(2,)))
    with pytest.raises(TypeError, match=r"config.modules.encoder: .*kmeans has key, x"):
        run.build(config)
    config = of_kmeans()
    config.estimator = dict(fn=kmeans.fit)
    missing = r"missing a required (keyword-only )?argument: .num_clusters."
    with pytest.raises(TypeError, match=missing):
        run.build(config)
    config = of_kmeans()
    config.outputs = dict(represent=dict(fn=kmeans.assign))
    with pytest.raises(ValueError, match="with the output 'assign'"):
        run.build(config)


def test_an_entry_that_is_not_there_is_named(tmp_path):
    config = of_kmeans()
    config.inputs.name = "image"
    with pytest.raises(ValueError, match=r"expected 'image' .* got label, where, x"):
        run.train(config, tmp_path)
