"""Retrieval of a model that knows labels: rows of one label cannot be told apart."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import figures
from repr_jax.data import synthetic
from repr_jax.evaluators import retrieval
from repr_jax.evaluators.common import Trained


def one_hot_rows(batch, key=None):
    return jax.nn.one_hot(batch["row"], 21)


def test_a_model_that_knows_every_row_finds_it(perfect, dataset, answering):
    model = answering(perfect, represent=jax.jit(one_hot_rows))
    found = retrieval.evaluate(model, dataset, ks=(1, 5), batch_size=8)
    assert len(found.numbers) == 2 + 6 * 3
    assert found.numbers["m0->m2/recall_1"] == found.numbers["recall_1"] == 1
    assert found.numbers["m2->m0/median_rank"] == 1
    assert found.chance["m0->m1/recall_5"] == pytest.approx(5 / 21)
    assert found.chance["m0->m1/median_rank"] == 11
    assert set(found.chance) == set(found.numbers)
    assert found.headline == ("recall_1", "recall_5")
    *pairs, (name, *chance) = found.tables[0].rows
    assert len(pairs) == 6 and name == "chance"
    assert chance == pytest.approx([1 / 21, 5 / 21, 11])


def test_a_model_that_knows_labels_confuses_rows_of_one_label(perfect, dataset):
    found = retrieval.evaluate(perfect, dataset, ks=(1, 5, 6)).numbers
    groups = np.array([6] * 18 + [3] * 3)  # rows of the same label, itself included
    for k in (1, 5, 6):
        expected = np.mean(groups <= k)  # ties count against the query
        assert found[f"m0->m1/recall_{k}"] == pytest.approx(expected)


@pytest.mark.parametrize("absent", [0.0, np.nan])
def test_pairs_that_are_not_whole_are_neither_asked_nor_found(
    perfect, gaps, here, answering, absent
):
    """A perfect encoder is perfect, whatever it makes of what is absent."""

    def represent(batch, key=None):
        given = jnp.any(batch["present"], axis=1)[:, None]
        return jnp.where(given, one_hot_rows(batch), absent)

    model = answering(perfect, represent=jax.jit(represent))
    found = retrieval.evaluate(model, gaps, ks=(1, 2), batch_size=8)
    for a in range(3):
        for b in range(3):
            if a != b:
                both = np.sum(here[:, a] & here[:, b])
                assert found.numbers[f"m{a}->m{b}/recall_1"] == 1
                assert found.numbers[f"m{a}->m{b}/median_rank"] == 1
                assert found.chance[f"m{a}->m{b}/recall_2"] == pytest.approx(2 / both)


def test_rows_of_one_modality_have_nothing_to_find(perfect, gaps):
    def only_m1(*arguments):
        for batch in gaps.evaluate(*arguments):
            yield {**batch, "present": batch["present"] & [False, True, False]}

    with pytest.raises(ValueError, match="expected rows with two modalities"):
        retrieval.evaluate(perfect, gaps._replace(evaluate=only_m1))


def test_one_modality_is_refused(perfect, dataset):
    with pytest.raises(ValueError, match="expected a model of two or more"):
        retrieval.evaluate(perfect._replace(modalities=("m0",)), dataset)


def test_similarities_are_cosines():
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    found = retrieval.similarities(3 * rows, rows[:2])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(found, unit @ unit[:2].T, rtol=1e-5, atol=1e-6)


def test_rows_of_a_split_are_collected_from_any_batches(perfect, dataset):
    rows = np.array([0, 3, 8, 20])
    for batch_size in (3, 8, 32):
        found = retrieval.collect_rows(
            perfect, dataset, rows, ["row", "m1"], batch_size
        )
        np.testing.assert_array_equal(found["row"], rows)
        assert found["m1"].shape == (4, 28, 28, 3)


def finds_itself(dataset):
    """A model of `synthetic.multiview` that knows every row by its first view."""
    rows = {}
    for batch in dataset.evaluate("test", 12):
        rows = {np.asarray(x).tobytes(): i for i, x in enumerate(batch["m0"])}

    def represent(batch, key=None):
        return np.eye(12)[[rows[np.asarray(x).tobytes()] for x in batch["m0"]]]

    return Trained({"represent": represent}, dataset.prepare, dataset.modalities, "")


def picture(model, dataset):
    return retrieval.evaluate(model, dataset, batch_size=12).pictures["nearest"].png


@pytest.mark.parametrize("labeled", [True, False])
def test_the_question_comes_first_and_the_right_answer_is_framed(labeled):
    from matplotlib.image import imread

    dataset = synthetic.multiview(num_examples=12, size=28)
    if not labeled:
        evaluate = dataset.evaluate
        dataset = dataset._replace(
            evaluate=lambda *args: (
                {k: v for k, v in batch.items() if k != "label"}
                for batch in evaluate(*args)
            )
        )
    model = finds_itself(dataset)
    found = retrieval.evaluate(model, dataset, batch_size=12).pictures["nearest"]
    assert "From top to bottom: m0 \u2192 m1, m0 \u2192 m2, m1" in found.caption
    pixels = imread(io.BytesIO(found.png), format="png")
    top, left = figures.GAP, figures.COLUMN
    step = figures.CELL + figures.GAP

    def color(column):  # of the frame above an image of the first line
        return tuple(np.round(255 * pixels[top - 1, left + column * step + 9, :3]))

    def rgb(name):
        return tuple(int(name[i : i + 2], 16) for i in (1, 3, 5))

    assert color(0) == rgb(figures.GIVEN)
    assert color(1) == rgb(figures.RIGHT)  # it finds itself first
    assert color(2) == (255, 255, 255)


def test_a_question_without_images_is_shown_as_what_it_looks_for():
    from matplotlib.image import imread

    dataset = synthetic.multiview(num_examples=12, size=28)

    def with_words(batch):
        return {**batch, "words": batch["m0"][:, 0, 0]}

    model = finds_itself(dataset)._replace(
        prepare=with_words, modalities=("words", "m1")
    )
    found = retrieval.evaluate(model, dataset, batch_size=12).pictures["nearest"]
    assert "From top to bottom: words \u2192 m1." in found.caption
    pixels = imread(io.BytesIO(found.png), format="png")
    top, left, step = figures.GAP, figures.COLUMN, figures.CELL + figures.GAP
    asked, first, second = (
        pixels[top : top + figures.CELL, left + i * step :][:, : figures.CELL]
        for i in range(3)
    )
    np.testing.assert_array_equal(asked, first)  # it finds itself first
    assert not np.array_equal(asked, second)
    frame = tuple(np.round(255 * pixels[top - 1, left + 9, :3]))
    assert frame == tuple(int(figures.GIVEN[i : i + 2], 16) for i in (1, 3, 5))


def test_bytes_are_shown_as_floats_are():
    floats = synthetic.multiview(num_examples=12, size=28)
    names = floats.modalities

    def as_bytes(batch):
        images = {n: np.round(255 * batch[n]).astype(np.uint8) for n in names}
        return {**batch, **images}

    def as_floats(batch):
        return {**batch, **{n: batch[n].astype(np.float32) / 255 for n in names}}

    stored = floats._replace(
        evaluate=lambda *args: map(as_bytes, floats.evaluate(*args)), prepare=as_floats
    )
    rounded = floats._replace(
        evaluate=lambda *args: map(as_floats, stored.evaluate(*args))
    )
    drawn = [picture(finds_itself(data), data) for data in (stored, rounded)]
    assert drawn[0] == drawn[1]
