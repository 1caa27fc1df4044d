"""Distances of generators whose distribution is known, in features that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.evaluators import classifiers, frechet, samplers

ROWS = 300
LIMITS = dict(num_neighbors=2, num_fits=2, batch_size=128)


@pytest.fixture
def cloud(dataset, perfect, answering):
    """evaluate(change): two modalities of points [batch, 2], N(0, I), real and made.

    change: (points, given [batch, 2]) -> points, of what is generated.
    """
    names = ("m0", "m1")

    def points(batch, m, salt):
        keys = jax.vmap(lambda row: jax.random.key(4 * row + m + 2 * salt))(
            batch["row"]
        )
        return jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys)

    def evaluate(split, batch_size):
        first = {"train": 10_000, "test": 0}[split]
        for start in range(0, ROWS, batch_size):
            row = start + np.arange(batch_size)
            where = row < ROWS
            yield {"row": first + row, "label": row % 4, "where": where}

    def prepare(batch):
        views = {name: points(batch, m, 0) for m, name in enumerate(names)}
        if "present" in batch:
            views = {
                name: jnp.where(batch["present"][:, m, None], x, jnp.nan)
                for m, (name, x) in enumerate(views.items())
            }
        return {**batch, **views}

    def of(change, evaluate=evaluate):
        def generate(batch, key):
            shift = jax.random.randint(key, (), 10_000, 20_000)
            moved = {**batch, "row": batch["row"] + shift}
            return {
                name: change(points(moved, m, 1), batch["present"])
                for m, name in enumerate(names)
            }

        own = dataset._replace(
            evaluate=evaluate,
            prepare=prepare,
            modalities=names,
            num_examples={"train": ROWS, "test": ROWS},
        )
        model = answering(perfect, generate=jax.jit(generate))
        return model._replace(prepare=jax.jit(prepare), modalities=names), own

    of.evaluate = evaluate
    return of


def same(x):
    return x


def test_a_shift_of_what_is_generated_is_its_square(cloud):
    """Nothing given: shifted by 2; m0 given: as real; m1 given: a single point."""

    def change(x, given):
        x = jnp.where(jnp.any(given, axis=1)[:, None], x, x + jnp.array([[2.0, 0]]))
        return jnp.where(given[:, 1:], jnp.full_like(x, 0.5), x)

    model, dataset = cloud(change)
    found = frechet.evaluate(model, dataset, features=same, **LIMITS)
    numbers = found.numbers
    assert numbers["fd/m0"] == pytest.approx(4, abs=0.8)
    assert numbers["fd/m0->m1"] < 0.1 and numbers["fd/real/m1"] < 0.1
    assert numbers["fd/m1->m0"] == pytest.approx(2.5, abs=0.4)
    assert numbers["fd/1_view"] == pytest.approx(
        (numbers["fd/m0->m1"] + numbers["fd/m1->m0"]) / 2
    )
    assert numbers["precision/m0->m1"] > 0.8 and numbers["recall/m0->m1"] > 0.8
    assert numbers["recall/m1->m0"] == 0
    assert numbers["prd/m0->m1"] > 0.6 > numbers["prd/m0"]
    assert numbers["prd_recall/m1->m0"] < 0.3
    assert found.chance["fd/m0"] == pytest.approx(2, abs=0.3)
    assert set(found.chance) == set(numbers) and set(found.headline) <= set(numbers)
    table = found.tables[0]
    assert [row[0] for row in table.rows] == ["nothing", "m1", "real", "chance"]
    assert table.rows[1][1] == numbers["fd/m1->m0"]


def test_the_real_ones_themselves_have_no_distance():
    x = np.random.default_rng(0).normal(size=(90, 3))
    found = frechet.compare(x, x, num_neighbors=3, num_fits=2, key=jax.random.key(0))
    assert found == pytest.approx((0, 1, 1, 1, 1, 0.72042), abs=1e-5)


def test_modalities_that_are_absent_do_not_count(cloud):
    def evaluate(split, batch_size):
        for batch in cloud.evaluate(split, batch_size):
            row = batch["row"]
            has = np.stack([row % 3 > 0, row % 2 > 0], axis=1)
            yield {**batch, "present": has}

    model, dataset = cloud(lambda x, given: x, evaluate)
    seen = []

    def features(x):
        seen.append(x)
        return x

    found = frechet.evaluate(model, dataset, features=features, **LIMITS).numbers
    assert np.isfinite(list(found.values())).all()
    assert found["fd/m0->m1"] < 0.2 and found["fd/real/m0"] < 0.2
    batch = next(evaluate("test", ROWS))
    x = np.asarray(dataset.prepare(batch)["m0"])[batch["present"][:, 0]]
    real, means = frechet.real_features(
        model,
        dataset,
        "test",
        lambda name, x: np.asarray(x),
        batch_size=128,
        limit=None,
    )
    np.testing.assert_array_equal(real["m0"], x)
    np.testing.assert_allclose(means["m0"], x.mean(axis=0), rtol=1e-5)
    made = frechet.made_features(
        model,
        dataset,
        {"m0": np.array([True, False])},
        lambda name, x: np.asarray(x),
        jax.random.key(0),
        batch_size=128,
        limit=None,
    )
    assert len(made["m0->m1"]) == np.sum(np.all(batch["present"], axis=1))


def test_features_of_the_classifiers_that_judge(perfect, dataset, monkeypatch):
    """A generator that knows the labels; it draws the classes evenly from nothing."""
    quick = dict(classifier_steps=40, classifier_batch=16, num_classes=4)
    sizes = dict(num_neighbors=2, num_fits=1, batch_size=8)
    sampler = samplers.mixture
    found = frechet.evaluate(perfect, dataset, given=("m0",), **quick, **sizes)
    numbers = found.numbers
    assert {"fd_clf/m0", "fd_clf/m0->m1", "fd_clf/m0->m2", "prd/1_view"} < set(numbers)
    assert "fd_clf/m1->m0" not in numbers
    assert numbers["fd_clf/m0->m1"] < 0.5 * found.chance["fd_clf/m0->m1"]

    def never(*args, **settings):
        raise AssertionError("trained again")

    monkeypatch.setattr(classifiers, "train_classifiers", never)
    few = dict(sampler=lambda *a: sampler(*a, num_components=4), given=("m0+m1",))
    again = frechet.evaluate(perfect, dataset, **few, **quick, **sizes).numbers
    assert "novelty" in again and "fd_clf/m0+m1->m2" in again


def test_a_model_of_one_input_is_refused(perfect, dataset):
    with pytest.raises(ValueError, match="frechet: expected a model of named"):
        frechet.evaluate(perfect._replace(modalities=()), dataset)
    with pytest.raises(ValueError, match="given: expected different subsets of m0"):
        frechet.evaluate(perfect, dataset, given=("m0+m9",), features=same)


def test_images_are_clipped_as_they_are_looked_at(perfect, dataset, answering):
    """To what they are clipped to: 1.5 and 1 are the same white."""

    def generate(batch, key=None):
        views = dataset.prepare(batch)
        return {
            name: jnp.where(views[name] > 0.2, 9.0, -9.0) for name in ("m0", "m1", "m2")
        }

    model = answering(perfect, generate=jax.jit(generate))
    seen = []

    def features(x):
        seen.append((float(x.min()), float(x.max())))
        return np.asarray(x).reshape(len(x), -1)[:, ::97]

    frechet.evaluate(
        model, dataset, features=features, num_neighbors=2, num_fits=1, batch_size=21
    )
    assert min(low for low, _ in seen) >= 0 and max(high for _, high in seen) <= 1
