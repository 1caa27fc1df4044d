"""Coherence of generators with known answers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.evaluators import classifiers, coherence, samplers
from repr_jax.evaluators.common import subsets

QUICK = dict(
    classifier_steps=40,
    classifier_batch=16,
    num_classes=4,
    num_random=50,
    batch_size=8,
)


def test_a_perfect_generator_is_coherent(perfect, dataset):
    evaluation = coherence.evaluate(perfect, dataset, **QUICK)
    found = dict(evaluation.numbers)
    assert 0.9 < found.pop("joint_entropy") < 1  # of 50 draws of four classes
    assert set(found.values()) == {1.0}
    expected = {f"classifier/m{m}" for m in range(3)} | {"joint"}
    expected |= {"1_view", "2_views", "macro/1_view", "macro/2_views"}
    expected |= {f"self/{n}" for n in ("1_view", "2_views", "3_views")}
    for name, subset in subsets(perfect.modalities).items():
        for m in range(3):
            expected.add(f"{'self/' if subset[m] else ''}{name}->m{m}")
    assert set(found) == expected
    assert evaluation.chance == dict.fromkeys(expected, 1 / 4) | {"joint": 1 / 16}
    assert evaluation.headline == ("1_view", "2_views", "joint", "joint_entropy")
    by_size, by_subset, by_class = evaluation.tables
    assert by_size.rows[2] == ("3 views", None, None, 1.0)
    assert by_class.rows == [(str(c), 1.0, 1.0) for c in range(4)]
    assert by_subset.rows[3] == ("m0+m1", 1.0, 1.0, 1.0)
    assert by_subset.header == ("given", "\u2192 m0", "\u2192 m1", "\u2192 m2")


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
        monkeypatch.setattr(classifiers, "kept", lambda *a, **k: None)
        monkeypatch.setattr(classifiers, "make_judge", lambda *a: by_brightness)
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


def test_a_model_of_one_target_is_judged_by_it_alone(
    perfect, dataset, monkeypatch, answering
):
    """What is generated of m1 given others: right where the others have m2."""

    def generate(batch, key):
        right = jnp.where(batch["present"][:, 2], batch["label"], 9)
        return {"m1": flat(jnp.stack([right] * 3))["m1"]}

    def prepare(batch):
        return {**batch, **flat(jnp.stack([batch["label"]] * 3))}

    def make_judge(params, names, num_classes):
        return lambda x: jnp.stack([x[n][:, 0, 0, 0].astype(int) for n in names])

    model = answering(perfect, generate=jax.jit(generate))
    model = model._replace(prepare=jax.jit(prepare))
    monkeypatch.setattr(classifiers, "kept", lambda *a, **k: None)
    monkeypatch.setattr(classifiers, "make_judge", make_judge)
    evaluation = coherence.evaluate(model, dataset, batch_size=8)
    found = evaluation.numbers
    outside = {name: x for name, x in found.items() if "->" in name}
    assert set(outside) == {"m0->m1", "m2->m1", "m0+m2->m1"} | {
        f"self/{given}->m1" for given in ("m1", "m0+m1", "m1+m2", "m0+m1+m2")
    }
    assert all(x == ("m2" in name) for name, x in outside.items())
    assert found["1_view"] == 0.5 and found["2_views"] == 1 and "joint" not in found
    assert {name for name in found if "classifier" in name} == {
        f"classifier/m{m}" for m in range(3)
    }
    assert evaluation.tables[1].header == ("given", "\u2192 m1")


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
    found = dict(coherence.evaluate(model, gaps, **QUICK).numbers)
    del found["joint_entropy"]
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


def test_classes_that_are_rare_count_as_much_in_the_mean_over_classes(judged):
    """Six rows of classes 0 to 2 each, three of class 3, which alone is right."""

    def classes(key, batch):
        return jnp.stack([jnp.where(batch["label"] == 3, 3, 9)] * 3)

    found = judged(classes, num_random=10)
    assert found["1_view"] == pytest.approx(3 / 21)
    assert found["macro/1_view"] == pytest.approx(1 / 4)


def test_the_same_class_always_has_no_entropy(judged):
    def classes(key, batch):
        return jnp.full((3, len(batch["row"])), 2)

    found = judged(classes, num_random=10)
    assert (found["joint"], found["joint_entropy"]) == (1, 0)
    half = np.array([[0, 1, 0, 3], [0, 1, 5, 3], [0, 1, 0, 3]])
    expected = np.log(3) / np.log(10)
    assert coherence.agreed_entropy(half, 10) == pytest.approx(expected)
    assert coherence.agreed_entropy(half[:, 2:3], 10) == 0


@pytest.mark.parametrize("sampler", [samplers.mixture, samplers.flow])
def test_a_sampler_fitted_to_latents(perfect, dataset, sampler):
    """Four clouds of latents; the prior of this model would draw classes as well."""
    sizes = dict(num_components=4) if sampler is samplers.mixture else dict(num_steps=5)
    found = coherence.evaluate(
        perfect, dataset, sampler=functools.partial(sampler, **sizes), **QUICK
    ).numbers
    assert found["joint"] == 1 and found["joint_entropy"] > 0.8
    assert found["novelty"] > 0.3


def test_a_class_that_no_judge_knows_is_refused(judged):
    def classes(key, batch):
        return jnp.stack([batch["label"]] * 3)

    with pytest.raises(ValueError, match=r"coherence: expected label in \[0, 3\)"):
        judged(classes, num_random=10, num_classes=3)


def test_what_no_judge_can_tell_is_refused():
    """It is no class, and two modalities of it do not agree."""
    judge = classifiers.make_judge(
        {name: classifiers_of_nothing() for name in ("m0", "m1")}, ("m0", "m1"), 3
    )
    images = np.zeros((4, 28, 28, 3), np.float32)
    assert np.asarray(judge({"m0": images, "m1": images})).min() >= 0
    images[2, 3] = np.nan
    seen = np.asarray(judge({"m0": np.zeros_like(images), "m1": images}))
    np.testing.assert_array_equal(seen[:, 2], [seen[0, 0], -1])
    with pytest.raises(ValueError, match=r"finite arrays to judge; .* in row 2"):
        coherence.told(seen)
    scores = np.zeros((2, 4, 5))
    scores[0, 1, 4] = np.inf
    with pytest.raises(ValueError, match=r"finite arrays to judge; .* in row 1"):
        coherence.told(scores)


def classifiers_of_nothing():
    """Parameters of a classifier of images, as they start."""
    model = classifiers.network((1, 28, 28, 3), 3)
    x = np.zeros((1, 28, 28, 3), np.float32)
    init = jax.jit(functools.partial(model.init, train=False))
    return init(jax.random.key(0), x)["params"]
