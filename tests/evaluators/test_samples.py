"""Which images are drawn: of rows that have what is given, and what came of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import figures
from repr_jax.data import synthetic
from repr_jax.evaluators import samples
from repr_jax.evaluators.common import Trained

ALL = ["conditional", "reconstructions", "unconditional", "variety"]


@pytest.fixture
def blocks(monkeypatch):
    """The blocks of every mosaic that was drawn, in the order of ALL."""
    calls = []

    def mosaic(blocks):
        calls.append(blocks)
        return b"png"

    monkeypatch.setattr(figures, "mosaic", mosaic)
    return calls


def places(images):
    """The class that a bar shows, see `paint`; images [rows, 28, 28, 3]."""
    bars = np.asarray(images)[:, ::7].mean(axis=(2, 3))
    return bars.argmax(axis=1)


def test_every_view_is_given_once(perfect, dataset, blocks):
    found = samples.evaluate(perfect, dataset, num_examples=4, num_random=5)
    assert list(found.pictures) == ALL and found.numbers == {}
    conditional, rebuilt, free, variety = blocks
    labels = [[row.label for row in block] for block in conditional]
    assert labels[1] == ["from m1", "to m0", "to m2"]
    assert [[row.given for row in block] for block in rebuilt] == [[True, False]] * 3
    for row in (row for block in conditional + rebuilt for row in block):
        np.testing.assert_array_equal(places(row.images), np.arange(4))
    assert [row.label for row in free[0]] == ["m0", "m1", "m2"]
    assert all(row.images.shape[0] == 5 for row in free[0])
    drawn = [places(row.images) for row in free[0]]
    np.testing.assert_array_equal(drawn[0], drawn[2])  # one latent a column
    labels = [[row.label for row in block] for block in variety]
    assert labels[2] == ["from m2", *["to m0"] * 4]


def test_rows_that_lack_the_view_are_not_shown(perfect, gaps, here, blocks):
    """Absent originals are NaN in this dataset, and no example shows one."""
    samples.evaluate(perfect, gaps, num_examples=21, batch_size=21)
    conditional, rebuilt, _, variety = blocks
    for m in range(3):
        for block in (conditional[m], rebuilt[m], variety[m]):
            assert len(block[0].images) == here[:, m].sum()
            assert all(np.isfinite(row.images).all() for row in block)


def test_draws_from_one_view_are_different_ones(perfect, dataset, blocks, answering):
    """The first row of the next view shows what the others of its block show."""

    def generate(batch, key=None):
        noise = jax.random.uniform(key, (len(batch["row"]), 4, 4, 1))
        return {name: noise + m for m, name in enumerate(("m0", "m1", "m2"))}

    samples.evaluate(answering(perfect, generate=generate), dataset, num_draws=3)
    conditional, _, _, variety = blocks
    assert len(variety) == 3 and all(len(block) == 4 for block in variety)
    drawn = [row.images for block in variety for row in block if not row.given]
    assert len({x.tobytes() for x in drawn}) == 9
    np.testing.assert_array_equal(variety[1][1].images, conditional[1][2].images)


def test_a_view_that_no_row_has_is_not_given(perfect, gaps, blocks):
    def never_m0(*arguments):
        for batch in gaps.evaluate(*arguments):
            yield {**batch, "present": batch["present"] & [False, True, True]}

    samples.evaluate(perfect, gaps._replace(evaluate=never_m0))
    assert [block[0].label for block in blocks[0]] == ["from m1", "from m2"]


@pytest.mark.parametrize("labeled", [True, False])
def test_one_input(labeled, blocks):
    """The image is rebuilt; nothing given means that `where` is False."""
    dataset = synthetic.blobs(num_examples=12)
    if not labeled:
        evaluate = dataset.evaluate
        dataset = dataset._replace(
            evaluate=lambda *arguments: (
                {"image": batch["image"], "where": batch["where"]}
                for batch in evaluate(*arguments)
            )
        )
    asked = []

    def generate(batch, key=None):
        asked.append(batch["where"].copy())
        return {"image": batch["image"]}

    model = Trained({"generate": generate}, dataset.prepare, (), "")
    found = samples.evaluate(model, dataset, batch_size=12)
    assert list(found.pictures) == ALL[1:3]
    assert [rows.any() for rows in asked] == [True, False]
    ((real, again),), ((free,),) = blocks
    np.testing.assert_array_equal(real.images, again.images)
    assert len(real.images) == 10 and len(free.images) == 12


def test_what_is_no_image_is_not_drawn(perfect, dataset, answering):
    def generate(batch, key=None):
        return {"m0": np.zeros((len(batch["row"]), 3)), "other": np.zeros(2)}

    found = samples.evaluate(answering(perfect, generate=generate), dataset)
    assert found == samples.Evaluation({}, {})


def test_texts_are_read_from_each_view(perfect, gaps, here, blocks, answering):
    """m1 is text: a letter a class; the model writes what each view tells it."""

    def prepare(batch):
        return {**gaps.prepare(batch), "m1": jax.nn.one_hot(batch["label"], 4)[:, None]}

    def generate(batch, key=None):
        views = perfect.outputs["generate"](batch, key)
        said = jnp.where(batch["present"][:, 1], batch["label"], 3)
        return {**views, "m1": jax.nn.one_hot(said, 4)[:, None]}

    def letters(rows):
        return ["abcd"[i] for i in np.argmax(rows[:, 0], axis=-1)]

    model = answering(perfect, generate=generate)._replace(prepare=prepare)
    found = samples.evaluate(
        model, gaps, read={"m1": letters}, num_examples=21, num_random=2, batch_size=21
    )
    (table,) = found.tables
    assert table.header == ("column", "m1", "from m0", "from m1", "from m2")
    rows = np.flatnonzero(here.all(axis=1))  # some have all, so that images are shown
    truth = ["abcd"[n] for n in np.sort(rows // 6)]
    assert [line[1] for line in table.rows] == [*truth, "d", "d"]
    assert [line[3] for line in table.rows] == [*truth, None, None]
    assert [line[2] for line in table.rows] == ["d"] * len(rows) + [None] * 2
    (block,) = blocks[-1]
    labels = [(row.label, row.given) for row in block]
    assert labels[:2] == [("m0, real", True), ("from m1", False)] and len(labels) == 4
    for row in block:
        np.testing.assert_array_equal(places(row.images), np.sort(rows // 6))
    assert "from_others" in found.pictures


def test_a_text_that_comes_without_images(perfect, gaps, here, blocks, answering):
    """No row has m1 and an image: nothing real is shown above, and views are absent."""

    def prepare(batch):
        return {**gaps.prepare(batch), "m1": jax.nn.one_hot(batch["label"], 4)[:, None]}

    def evaluate(*arguments):
        for batch in gaps.evaluate(*arguments):
            yield {**batch, "present": np.array([[False, True, False]] * 21)}

    def generate(batch, key=None):
        return {**perfect.outputs["generate"](batch, key), "m1": np.ones((21, 1, 4))}

    model = answering(perfect, generate=generate)._replace(prepare=prepare)
    found = samples.evaluate(
        model,
        gaps._replace(evaluate=evaluate),
        read={"m1": lambda rows: ["a"] * len(rows)},
        num_examples=2,
        num_random=1,
        batch_size=21,
    )
    assert [row.label for row in blocks[-1][0]] == ["from m1"] * 2
    assert found.tables[0].rows[0] == ("1", "a", None, "a", None)
