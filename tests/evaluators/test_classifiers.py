"""Classifiers of modalities: their networks, and that they are trained once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.evaluators import classifiers
from repr_jax.models.classifier import ConvClassifier, SequenceClassifier

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
    model = classifiers.network(views["m1"].shape, 4)
    apply = jax.jit(functools.partial(model.apply, train=False))
    logits = apply({"params": params["m1"]}, views["m1"])
    expected = np.asarray(x) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(expected, logits, rtol=1e-4, atol=1e-4)


def test_another_run_that_was_quicker_is_the_judge(perfect, dataset, monkeypatch):
    """Two runs of a grid train at once; both judge by what was written first."""
    train = classifiers.train_classifiers

    def slow(*args, **settings):
        monkeypatch.setattr(classifiers, "train_classifiers", train)
        first.append(classifiers.kept(perfect, dataset, **QUICK))
        return jax.tree.map(lambda x: x + 1, first[0])

    first = []
    monkeypatch.setattr(classifiers, "train_classifiers", slow)
    second = classifiers.kept(perfect, dataset, **QUICK)
    jax.tree.map(np.testing.assert_array_equal, first[0], second)


def test_a_run_that_left_its_grid_keeps_its_own(perfect, dataset, tmp_path):
    (tmp_path / "classifiers").symlink_to("../classifiers_of_the_grid")
    classifiers.kept(perfect, dataset, **QUICK)
    assert not (tmp_path / "classifiers").is_symlink()
    assert len(list((tmp_path / "classifiers").iterdir())) == 1


def test_a_word_is_found_wherever_it_is():
    """Trained where a word is at the left, right where it is at the right."""
    codes = np.full((40, 24), 5)
    labels = np.arange(40) % 4
    codes[:, 8], codes[:, 9] = 4, labels
    moved = np.roll(codes, 8, axis=1)
    model = SequenceClassifier(4, widths=(8, 8), hidden=16)
    x, other = (jnp.asarray(np.eye(6)[c], jnp.float32) for c in (codes, moved))
    params = model.init(jax.random.key(0), x, train=False)

    @jax.jit
    def step(params):
        def loss(params):
            return jnp.mean(classifiers.nll(model.apply(params, x, train=True), labels))

        return jax.tree.map(lambda p, g: p - 0.3 * g, params, jax.grad(loss)(params))

    for _ in range(300):
        params = step(params)
    seen = [jnp.argmax(model.apply(params, a, train=False), -1) for a in (x, other)]
    np.testing.assert_array_equal(seen, [labels] * 2)


def test_attributes_are_learned_each_for_itself():
    logits, truth = jnp.array([[0.0, 2.0]]), jnp.array([[1.0, 0.0]])
    expected = (np.log(2) + np.log1p(np.exp(2))) / 2
    np.testing.assert_allclose(classifiers.nll(logits, truth), [expected], rtol=1e-6)


@pytest.mark.parametrize(("axes", "hidden"), [((), 256), ((1,), 128)])
def test_what_is_no_image_has_a_classifier_too(perfect, dataset, axes, hidden):
    """A vector, and text."""

    def prepare(batch):
        views = dataset.prepare(batch)
        return {**views, "m2": jnp.expand_dims(jax.nn.one_hot(batch["label"], 4), axes)}

    model = perfect._replace(prepare=jax.jit(prepare))
    params = classifiers.kept(model, dataset, **QUICK)
    batch = next(dataset.evaluate("test", 21))
    seen = classifiers.make_judge(params, perfect.modalities, 4)(prepare(batch))
    np.testing.assert_array_equal(seen, [batch["label"]] * 3)
    assert classifiers.features(params, 4)("m2", prepare(batch)["m2"]).shape == (
        21,
        hidden,
    )


def test_what_classifiers_lack_is_named(perfect, dataset):
    def prepare(batch):
        batch = dict(dataset.prepare(batch))
        del batch["label"]
        return batch

    with pytest.raises(ValueError, match=r"an entry 'label' of a batch.*got m0, m1"):
        classifiers.kept(perfect._replace(prepare=prepare), dataset, **QUICK)
    with pytest.raises(ValueError, match=r"classifiers: expected label in \[0, 3\)"):
        classifiers.kept(perfect, dataset, **{**QUICK, "num_classes": 3})
