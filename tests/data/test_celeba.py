"""CelebA: crop, text and splits, on a folder as tfds prepares it and on tfds's own."""

import jax
import numpy as np
import pytest

from repr_jax.data import celeba, characters
from tests import prepared_tfds

NUM = {"train": 9, "validation": 5, "test": 4}


def face(number):
    """A face whose pixels tell the place, and its number; it has what its bits say."""
    y, x = np.mgrid[:218, :178]
    image = np.stack([y, x, np.full_like(y, 10 * number)], axis=-1).astype(np.uint8)
    has = {
        name: bool((number + i) % 3 == 0) for i, name in enumerate(celeba.ATTRIBUTES)
    }
    return {"image": image, "attributes": has}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """celeb_a as tfds prepares it, but for landmarks and identities."""
    import tensorflow_datasets as tfds

    path = tmp_path_factory.mktemp("tfds")
    features = {
        "image": tfds.features.Image(shape=(218, 178, 3)),
        "attributes": dict.fromkeys(celeba.ATTRIBUTES, np.bool_),
    }
    first = {"train": 0, "validation": 9, "test": 14}
    splits = {
        split: [face(first[split] + i) for i in range(count)]
        for split, count in NUM.items()
    }
    prepared_tfds.write(path, "celeb_a", "2.1.0", features, splits)
    return str(path)


def whole(data, split):
    (batch,) = data.evaluate(split, data.num_examples[split])
    return batch


def numbers_of(batch):
    return np.rint(batch["image"][:, 9, 9, 2] / 10).astype(int)


def test_a_batch_holds_what_the_module_says(folder):
    data = celeba.load(data_dir=folder)
    batch = jax.jit(data.prepare)(next(data.train(3)))
    shapes = {"image": (64, 64, 3), "text": (256, 71), "attributes": (40,)}
    assert set(batch) == {*shapes, "label"} and data.modalities == ("image", "text")
    for name, shape in shapes.items():
        assert batch[name].shape == (3, *shape) and batch[name].dtype == np.float32
    assert batch["image"].min() >= 0 and batch["image"].max() <= 1
    assert batch["label"].dtype == np.int32
    only = celeba.load(data_dir=folder, modalities=("attributes", "image"))
    assert set(next(only.train(2))) == {"attributes", "image", "label"}


def test_published_splits(folder):
    data = celeba.load(data_dir=folder)
    assert data.num_examples == {"train": 9, "test": 4}
    assert set(numbers_of(whole(data, "train"))) == set(range(9))
    assert set(numbers_of(whole(data, "test"))) == {14, 15, 16, 17}
    theirs = celeba.load(data_dir=folder, test_split="validation")
    assert set(numbers_of(whole(theirs, "test"))) == {9, 10, 11, 12, 13}


def test_the_middle_148_pixels_become_64(folder):
    """Rows 35 to 183 and columns 15 to 163 of 218 x 178, 2.3125 pixels apart."""
    image = whole(celeba.load(data_dir=folder), "test")["image"][0].astype(float)
    centers = (np.arange(64) + 0.5) * 148 / 64 - 0.5
    rows, columns = 35 + centers, 15 + centers
    inside = slice(2, -2)  # bicubic weights end at the border
    np.testing.assert_allclose(image[inside, 30, 0], rows[inside], atol=1)
    np.testing.assert_allclose(image[30, inside, 1], columns[inside], atol=1)


def test_text_names_what_a_face_has(folder):
    data = celeba.load(data_dir=folder, label="Male")
    batch, again = (
        whole(data, "train"),
        whole(celeba.load(data_dir=folder, seed=3), "train"),
    )
    np.testing.assert_array_equal(batch["text"], again["text"])  # fixed
    other = celeba.load(data_dir=folder, text_seed=1)
    assert (batch["text"] != whole(other, "train")["text"]).any()
    for number, code, has in zip(numbers_of(batch), batch["text"], batch["attributes"]):
        expected = [face(number)["attributes"][name] for name in celeba.ATTRIBUTES]
        np.testing.assert_array_equal(has, expected)
        text = characters.decode(code)
        names = [
            n.replace("_", " ").lower() for n, h in zip(celeba.ATTRIBUTES, has) if h
        ]
        assert len(text) == 256 and ", ".join(names).startswith(text.strip("*"))
        assert text.strip("*").split(", ") == names[: text.count(",") + 1]
    column = celeba.ATTRIBUTES.index("Male")
    np.testing.assert_array_equal(batch["label"], batch["attributes"][:, column])


def test_what_does_not_fit_is_left_out_at_the_end():
    every = celeba.sentence(celeba.ATTRIBUTES)
    assert len(every) <= 256 < len(every) + len(", brown hair, bushy eyebrows")
    assert every.startswith("5 o clock shadow, arched eyebrows, attractive, bags under")
    assert celeba.sentence([]) == ""
    nothing = celeba.texts(np.zeros((1, 40), bool), np.zeros(1), celeba.ATTRIBUTES)
    assert characters.decode(nothing[0]) == "*" * 256


def test_text_starts_anywhere_where_it_fits():
    """By hand: "bald" has 253 places."""
    has = np.array([[name == "Bald" for name in celeba.ATTRIBUTES]])
    for place, before in ((0.0, 0), (0.5, 126), (0.9999, 252)):
        code = celeba.texts(has, np.array([place]), celeba.ATTRIBUTES)
        assert characters.decode(code[0]) == "*" * before + "bald" + "*" * (
            252 - before
        )


def test_celeba_as_tfds_describes_it(tmp_path):
    """tfds's own description of the set, with random images: its names are ours."""
    import tensorflow_datasets as tfds

    (tmp_path / "celeb_a").mkdir()
    with tfds.testing.mock_data(num_examples=5):
        data = celeba.load(data_dir=str(tmp_path))
        batch = whole(data, "test")
    assert data.num_examples == {"train": 5, "test": 5}
    assert batch["image"].shape == (5, 64, 64, 3)
    names = tuple(tfds.builder("celeb_a").info.features["attributes"])
    assert names == celeba.ATTRIBUTES


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"modalities": "sound"}, ValueError, "among image, text, attributes"),
        ({"test_split": "valid"}, ValueError, "test_split among"),
        ({"label": "smiling"}, ValueError, "label among .*got 'smiling'"),
        ({"text_seed": -1}, ValueError, "seed >= 0; got -1"),
        (
            {"data_dir": "nowhere"},
            FileNotFoundError,
            "expected celeb_a prepared as array_record in nowhere.*tfds build celeb_a",
        ),
    ],
)
def test_wrong_arguments_are_refused(keywords, error, message):
    with pytest.raises(error, match=message):
        celeba.load(**keywords)
