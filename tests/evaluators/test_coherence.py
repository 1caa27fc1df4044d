"""Coherence of generators with known answers, and the cache of the classifiers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.evaluators import coherence
from repr_jax.evaluators.common import subsets
from repr_jax.models.classifier import ConvClassifier

QUICK = dict(
    classifier_steps=40,
    classifier_batch=16,
    num_classes=4,
    num_random=50,
    batch_size=8,
)


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


def test_a_perfect_generator_is_coherent(perfect, dataset):
    evaluation = coherence.evaluate(perfect, dataset, **QUICK)
    found = evaluation.numbers
    assert set(found.values()) == {1.0}
    expected = {f"classifier/m{m}" for m in range(3)} | {"joint"}
    expected |= {"1_view", "2_views"}
    expected |= {f"self/{n}" for n in ("1_view", "2_views", "3_views")}
    for name, subset in subsets(perfect.modalities).items():
        for m in range(3):
            expected.add(f"{'self/' if subset[m] else ''}{name}->m{m}")
    assert set(found) == expected
    assert evaluation.chance == dict.fromkeys(expected, 1 / 4) | {"joint": 1 / 16}
    assert evaluation.headline == ("1_view", "2_views", "joint")
    by_size, by_subset = evaluation.tables
    assert by_size.rows[2] == ("3 views", None, 1.0)
    assert by_subset.rows[3] == ("m0+m1", 1.0, 1.0, 1.0)
    assert by_subset.header == ("given", "\u2192 m0", "\u2192 m1", "\u2192 m2")


def test_classifiers_are_trained_once(perfect, dataset, tmp_path, monkeypatch):
    coherence.evaluate(perfect, dataset, **QUICK)
    (kept,) = (tmp_path / "classifiers").iterdir()
    written = kept.stat().st_mtime_ns

    def never(*args, **settings):
        raise AssertionError("trained again")

    monkeypatch.setattr(coherence, "train_classifiers", never)
    again = coherence.evaluate(perfect, dataset, **QUICK)
    assert set(again.numbers.values()) == {1.0} and kept.stat().st_mtime_ns == written
    with pytest.raises(AssertionError, match="trained again"):
        coherence.evaluate(perfect, dataset, **{**QUICK, "classifier_steps": 41})


def test_classifiers_know_what_they_were_trained_on(perfect, dataset):
    def name(dataset, **settings):
        prepare = jax.jit(dataset.prepare)
        return coherence.fingerprint(prepare, dataset, perfect.modalities, settings)

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


def by_brightness(images):
    """A judge that reads the class off the first pixel: [modality, batch]."""
    return jnp.stack([images[f"m{m}"][:, 0, 0, 0].astype(int) for m in range(3)])


def flat(classes):
    """[modality, batch] classes -> images that `by_brightness` reads."""
    shape = (classes.shape[1], 2, 2, 3)
    return {
        f"m{m}": jnp.broadcast_to(1.0 * c[:, None, None, None], shape)
        for m, c in enumerate(classes)
    }


@pytest.fixture
def judged(perfect, dataset, monkeypatch, answering):
    """evaluate(classes), where classes: (key, batch) -> [modality, batch] generated."""

    def prepare(batch):
        return {**batch, **flat(jnp.stack([batch["label"]] * 3))}

    def evaluate(classes, dataset=dataset, **keywords):
        model = answering(
            perfect, generate=jax.jit(lambda batch, key: flat(classes(key, batch)))
        )._replace(prepare=jax.jit(prepare))
        monkeypatch.setattr(coherence, "classifiers", lambda *a, **k: None)
        monkeypatch.setattr(coherence, "make_judge", lambda *a: by_brightness)
        return coherence.evaluate(model, dataset, batch_size=8, **keywords).numbers

    return evaluate


def test_coherence_is_the_fraction_of_test_rows(judged):
    """m1 is right on even rows if m0 is given; other targets always, else never."""

    def classes(key, batch):
        even = batch["row"] % 2 == 0
        m1 = jnp.where(batch["present"][:, 0] & even, batch["label"], 9)
        m2 = jnp.where(batch["present"][:, 1], batch["label"], 9)
        return jnp.stack([batch["label"], m1, m2])

    found = judged(classes, num_random=10)
    half = 11 / 21  # even rows among 0..20
    expected = {"m0->m1": half, "m0->m2": 0, "m1->m0": 1, "m1->m2": 1, "m2->m0": 1}
    expected |= {"m2->m1": 0, "m0+m1->m2": 1, "m0+m2->m1": half, "m1+m2->m0": 1}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name
    assert found["1_view"] == pytest.approx((half + 3) / 6)
    assert found["2_views"] == pytest.approx((half + 2) / 3)
    assert found["self/m0+m1+m2->m1"] == pytest.approx(half)
    assert found["self/m1+m2->m1"] == 0
    assert found["joint"] < 1 and found["classifier/m2"] == 1


def test_chance(judged):
    """Uniform classes: 1/10 for a given target, 10^-(M - 1) for joint agreement."""

    def classes(key, batch):
        return jax.random.randint(key, (3, len(batch["row"])), 0, 10)

    found = judged(classes, num_random=8000)
    assert abs(found["joint"] - 0.01) < 4 * np.sqrt(0.0099 / 8000)
    rows = 21 * 6  # test rows times pairs
    assert abs(found["1_view"] - 0.1) < 4 * np.sqrt(0.09 / rows)


def test_limit_uses_fewer_rows(judged):
    seen = []

    def classes(key, batch):
        jax.debug.callback(lambda where: seen.append(int(where.sum())), batch["where"])
        return jnp.stack([batch["label"]] * 3)

    found = judged(classes, num_random=1, limit=5)
    jax.effects_barrier()
    assert found["1_view"] == 1
    assert seen.count(5) == 7  # one batch for each subset


def test_absent_modalities_are_not_learned_or_judged(perfect, gaps):
    model = perfect._replace(prepare=jax.jit(gaps.prepare))
    found = coherence.evaluate(model, gaps, **QUICK).numbers
    assert set(found.values()) == {1.0}


def test_rows_that_lack_what_is_given_do_not_count(judged, gaps, here):
    """m1 is right on even rows, m2 always, if all that is asked for is given."""

    def classes(key, batch):
        wrong = jnp.sum(batch["present"], axis=1) == 0
        m1 = jnp.where(batch["row"] % 2 == 0, batch["label"], 9)
        views = jnp.stack([batch["label"], m1, batch["label"]])
        return jnp.where(wrong, 9, views)

    found = judged(classes, gaps, num_random=10)
    even = np.arange(21) % 2 == 0
    for name, subset in subsets(("m0", "m1", "m2")).items():
        rows = here[:, subset].all(axis=1)
        right = {"m0": 1.0, "m1": np.mean(even[rows]), "m2": 1.0}
        for m, target in enumerate(right):
            found_name = f"{'self/' if subset[m] else ''}{name}->{target}"
            assert found[found_name] == pytest.approx(right[target]), found_name
    assert found["classifier/m0"] == found["classifier/m1"] == 1


def test_one_modality_rebuilds_itself_alone(perfect, dataset):
    one = perfect._replace(modalities=("m1",))
    found = coherence.evaluate(one, dataset._replace(modalities=("m1",)), **QUICK)
    assert set(found.numbers) == {"classifier/m1", "self/m1->m1", "self/1_view"}
    assert set(found.chance) == set(found.numbers)


def test_a_model_of_one_input_is_refused(perfect, dataset):
    with pytest.raises(ValueError, match="coherence: expected a model of named"):
        coherence.evaluate(perfect._replace(modalities=()), dataset)
