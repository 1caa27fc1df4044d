"""Average precision of attributes, by judges and probes with known answers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.evaluators import attributes, classifiers, samplers
from repr_jax.evaluators.common import subsets

BITS = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])  # of each class
QUICK = dict(classifier_steps=60, classifier_batch=16, num_random=16, batch_size=8)


@pytest.fixture
def described(perfect, dataset):
    """The dataset and the perfect model, where a class has attributes."""

    def prepare(batch):
        bits = jnp.asarray(BITS, jnp.float32)[batch["label"]]
        return {**dataset.prepare(batch), "attributes": bits}

    return perfect._replace(prepare=jax.jit(prepare)), dataset._replace(prepare=prepare)


@pytest.fixture
def judged(described, monkeypatch, answering):
    """evaluate(scores): scores (key, batch) -> [modality, batch, attribute] generated,
    that the judges read off."""
    model, dataset = described

    def generate(batch, key, scores):
        made = scores(key, batch)
        return {name: x for name, x in zip(model.modalities, made)}

    def read(arrays):
        if arrays["m0"].ndim == 2:
            return jnp.stack([arrays[name] for name in model.modalities])
        return jnp.stack([2 * arrays["attributes"] - 1] * 3)  # of real rows

    def evaluate(scores, **keywords):
        asked = answering(
            model, generate=lambda batch, key: generate(batch, key, scores)
        )
        monkeypatch.setattr(classifiers, "kept", lambda *a, **k: None)
        monkeypatch.setattr(classifiers, "make_scorer", lambda *a: read)
        return attributes.evaluate(asked, dataset, batch_size=8, **keywords)

    return evaluate


def truth(batch):
    return jnp.asarray(BITS, jnp.float32)[batch["label"]]


def test_a_perfect_generator_shows_every_attribute(described):
    found = attributes.evaluate(*described, names=("left", "top"), **QUICK)
    numbers = dict(found.numbers)
    assert numbers.pop("joint") > 0.9
    assert set(numbers.values()) == {1.0}
    expected = {f"classifier/m{m}" for m in range(3)} | {"1_view", "2_views"}
    expected |= {f"self/{n}" for n in ("1_view", "2_views", "3_views")}
    for name, subset in subsets(("m0", "m1", "m2")).items():
        for m in range(3):
            expected.add(f"{'self/' if subset[m] else ''}{name}->m{m}")
    assert set(numbers) == expected and set(found.chance) == set(found.numbers)
    by_views, each = found.tables
    assert by_views.rows[2] == ("3 views", None, 1.0)
    assert [row[0] for row in each.rows] == ["left", "top", "2"]
    assert each.rows[0][1:-1] == (1.0,) * 9 and each.rows[2][1] is None


def test_precision_is_that_of_a_ranking_by_hand(judged):
    """m0 is right, m1 ranks by the number of the row, m2 knows nothing."""

    def scores(key, batch):
        right = 2 * truth(batch) - 1
        return jnp.stack([right, 0 * right - batch["row"][:, None], 0 * right])

    found = judged(scores, num_random=8)
    bits = BITS[np.arange(21) // 6][:, :2]  # the third attribute is of all rows
    ranks = [np.flatnonzero(column) + 1 for column in bits.T]
    by_row = np.mean([np.mean((np.arange(len(r)) + 1) / r) for r in ranks])
    share = np.mean(bits)
    assert found.numbers["m0->m1"] == pytest.approx(by_row)
    assert found.numbers["m0->m2"] == pytest.approx(share)
    assert found.numbers["self/m0->m0"] == 1
    assert found.chance["m0->m1"] == pytest.approx(share)
    assert found.numbers["1_view"] == pytest.approx((by_row + share + 1) / 3)


def test_judges_agree_by_attribute(judged):
    def scores(key, batch):
        ones = jnp.ones((len(batch["row"]), 3))
        return jnp.stack([ones, ones, ones.at[:, 1].set(-1)])

    assert judged(scores, num_random=8).numbers["joint"] == pytest.approx(2 / 3)


def test_a_sampler_fitted_to_latents(described):
    sampler = functools.partial(samplers.mixture, num_components=4)
    found = attributes.evaluate(*described, sampler=sampler, **QUICK).numbers
    assert found["joint"] > 0.9 and found["novelty"] > 0.3


def test_a_probe_of_latents_that_tell_some(described, answering):
    """The first attribute can be read off, the second not; the third never differs."""
    model, dataset = described

    def represent(batch, key=None):
        known = truth(batch)[:, :1]
        return jnp.concatenate([known, jnp.zeros((len(known), 1))], axis=1)

    model = answering(model, represent=jax.jit(represent))
    found = attributes.probe(model, dataset, num_train=40, batch_size=8)
    labels = np.arange(21) // 6
    share = BITS[labels][:, 1].mean()
    assert 0.5 + share / 2 <= found.numbers["m0"] < 1
    assert set(found.numbers) == {
        *subsets(model.modalities),
        "1_view",
        "2_views",
        "3_views",
    }
    assert found.chance["m0"] == pytest.approx(BITS[labels][:, :2].mean())


def test_what_is_lacking_is_said(described, perfect, dataset):
    model, _ = described
    for evaluate in (attributes.evaluate, attributes.probe):
        with pytest.raises(ValueError, match=r"expected an entry 'attributes'.*row"):
            evaluate(perfect, dataset)
        with pytest.raises(ValueError, match=r"\[batch, attribute\]; got \(8,\)"):
            evaluate(model, dataset, target="label")
        with pytest.raises(ValueError, match="named modalities; got none"):
            evaluate(model._replace(modalities=()), dataset)
