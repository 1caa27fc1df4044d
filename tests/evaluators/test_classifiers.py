"""Classifiers of modalities: their networks, and that they are trained once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.evaluators import classifiers
from repr_jax.models.classifier import ConvClassifier

QUICK = dict(num_steps=40, batch_size=16, num_classes=4, peak=4e-3, dropout=0.0, seed=0)


def test_classifier_has_the_published_size():
    model = ConvClassifier()
    key = jax.random.key(0)
    x = jnp.zeros((2, 28, 28, 3))
    params = jax.eval_shape(lambda: model.init(key, x, train=False))
    assert sum(p.size for p in jax.tree.leaves(params)) == 130_568


def test_dropout_acts_in_training_alone():
    model = ConvClassifier(widths=(2, 2), hidden=4)
    x = jax.random.uniform(jax.random.key(1), (3, 8, 8, 3))

    @jax.jit
    def logits(keys):
        params = model.init(jax.random.key(0), x, train=False)
        return [model.apply(params, x, train=True, key=key) for key in keys]

    first, second = logits(jax.random.split(jax.random.key(2)))
    assert not np.allclose(first, second)
    assert first.shape == (3, 10) and first.dtype == jnp.float32


def test_classifiers_are_trained_once(perfect, dataset, tmp_path, monkeypatch):
    params = classifiers.kept(perfect, dataset, **QUICK)
    (kept,) = (tmp_path / "classifiers").iterdir()
    written = kept.stat().st_mtime_ns

    def never(*args, **settings):
        raise AssertionError("trained again")

    monkeypatch.setattr(classifiers, "train_classifiers", never)
    again = classifiers.kept(perfect, dataset, **QUICK)
    jax.tree.map(np.testing.assert_array_equal, params, again)
    assert kept.stat().st_mtime_ns == written
    with pytest.raises(AssertionError, match="trained again"):
        classifiers.kept(perfect, dataset, **{**QUICK, "num_steps": 41})


def test_classifiers_know_what_they_were_trained_on(perfect, dataset):
    def name(dataset, **settings):
        prepare = jax.jit(dataset.prepare)
        return classifiers.fingerprint(prepare, dataset, perfect.modalities, settings)

    def darker(batch):
        batch = dataset.prepare(batch)
        return {**batch, "m1": 0.9 * batch["m1"]}

    def flipped(split, batch_size):
        for batch in dataset.evaluate(split, batch_size):
            yield {**batch, "label": batch["label"][::-1]}

    same = name(dataset, seed=0)
    assert same == name(dataset, seed=0)
    others = {
        name(dataset, seed=1),
        name(dataset._replace(prepare=darker), seed=0),
        name(dataset._replace(evaluate=flipped), seed=0),
        name(dataset._replace(num_examples={"train": 41, "test": 21}), seed=0),
    }
    assert len(others) == 4 and same not in others


def test_features_are_the_last_hidden_layer(perfect, dataset):
    """The logits are linear in them; none is negative."""
    params = classifiers.kept(perfect, dataset, **QUICK)
    views = perfect.prepare(next(dataset.evaluate("test", 21)))
    x = classifiers.features(params, 4)("m1", views["m1"])
    assert x.shape == (21, 128) and np.min(x) == 0
    last = params["m1"]["Dense_1"]
    logits = classifiers.network(views["m1"].shape, 4).apply(
        {"params": params["m1"]}, views["m1"], train=False
    )
    expected = np.asarray(x) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(expected, logits, rtol=1e-4, atol=1e-4)


def test_what_is_no_image_has_a_classifier_too(perfect, dataset):
    def prepare(batch):
        views = dataset.prepare(batch)
        return {**views, "m2": jax.nn.one_hot(batch["label"], 4)[:, None]}

    model = perfect._replace(prepare=jax.jit(prepare))
    params = classifiers.kept(model, dataset, **QUICK)
    batch = next(dataset.evaluate("test", 21))
    seen = classifiers.make_judge(params, perfect.modalities, 4)(prepare(batch))
    np.testing.assert_array_equal(seen, [batch["label"]] * 3)
    assert classifiers.features(params, 4)("m2", prepare(batch)["m2"]).shape == (
        21,
        256,
    )
