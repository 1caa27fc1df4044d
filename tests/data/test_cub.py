"""CUB captions, from a small folder in the published layout."""

import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from repr_jax.data import cub

SPECIES = ("001.Gray_Gull", "007.Red_Wren", "002.Blue_Jay")  # the last is tested
COLORS = {"001": 100, "007": 200, "002": 50}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two images of each species; sentences name the species and their own place."""
    path = tmp_path_factory.mktemp("CUB_200_2011")
    lines, number = [], 0
    for species in SPECIES:
        for folder in ("images", "text_c10"):
            (path / folder / species).mkdir(parents=True)
        bird = species.split(".")[1].replace("_", " ").lower()
        for i in range(2):
            number += 1
            gray = COLORS[species[:3]] + i
            Image.new("RGB", (30, 20 + 4 * i), (gray,) * 3).save(
                path / "images" / species / f"bird_{number}.png"
            )
            text = "\n".join(f"the {bird} is n{number}, s{k}." for k in range(10))
            file = path / "text_c10" / species / f"bird_{number}.txt"
            file.write_text(f"{text}\n\n")
            lines.append(f"{number} {species}/bird_{number}.png")
    (path / "images.txt").write_text("\n".join([*lines, "9 099.Other/none.jpg", ""]))
    (path / "trainvalclasses.txt").write_text("007.Red_Wren\n001.Gray_Gull\n")
    (path / "testclasses.txt").write_text("002.Blue_Jay\n")
    return path


@pytest.fixture
def folder(written, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "cub")


def test_a_batch_holds_what_the_module_says(written):
    data = cub.load(path=written, size=16)
    assert data.num_examples == {"train": 40, "test": 20}
    batch = jax.jit(data.prepare)(next(data.train(5)))
    words = len(cub.words_of(written))
    shapes = {"image": (16, 16, 3), "text": (32, words)}
    assert set(batch) == {*shapes, "label"} and data.modalities == ("image", "text")
    for name, shape in shapes.items():
        assert batch[name].shape == (5, *shape) and batch[name].dtype == np.float32
    assert batch["image"].min() > 0 and batch["image"].max() < 1
    assert batch["label"].dtype == np.int32
    assert set(next(cub.load(path=written, modalities="text").train(2))) == {
        "text",
        "label",
    }


def test_ten_sentences_of_each_image_and_other_species_to_test(written):
    data, words = cub.load(path=written, size=8), cub.words_of(written)
    for split, birds in (
        ("train", ("001", "001", "007", "007")),
        ("test", ("002", "002")),
    ):
        (batch,) = data.evaluate(split, data.num_examples[split])
        for image, bird in enumerate(birds):
            rows = slice(10 * image, 10 * image + 10)
            assert (batch["image"][rows] == COLORS[bird] + image % 2).all()
            assert set(batch["label"][rows]) == {int(bird) - 1}
            said = [cub.decode(words, x).split() for x in batch["text"][rows]]
            assert all(text[0] == "the" and text[-1] == "." for text in said)
            assert [text[-2] for text in said] == [f"s{k}" for k in range(10)]


def test_words_of_more_than_three_occurrences_in_training_are_known():
    texts = ["a wren", "a wren a", "a jay , jay", "jay wren", "wren jay", "gull " * 3]
    words = cub.vocabulary(texts)
    assert words == ("<exc>", "<pad>", "<eos>", "a", "wren", "jay")
    tokens = cub.encode(words, ["a jay", "the wren, a", ""])
    assert tokens.shape == (3, 32) and tokens.dtype == np.int32
    np.testing.assert_array_equal(tokens[0], [3, 5, 2] + [1] * 29)
    np.testing.assert_array_equal(tokens[1], [0, 4, 0, 3, 2] + [1] * 27)
    np.testing.assert_array_equal(tokens[2], [2] + [1] * 31)
    assert cub.decode(words, tokens[1]) == "<exc> wren <exc> a"


def test_words_of_the_test_are_unknown(written):
    words = cub.words_of(written)
    assert {"gray", "wren", "n1", "s0", ",", "."} <= set(words)
    assert not {"blue", "jay", "n5"} & set(words)
    assert words[3:5] == ("the", "gray")  # in the order of images.txt


def test_long_sentences_are_cut_and_padding_is_nothing(written):
    long = cub.encode(("<exc>", "<pad>", "<eos>", "a"), ["a " * 40])
    np.testing.assert_array_equal(long[0], [3] * 31 + [2])
    data = cub.load(path=written, size=8)
    batch = next(data.evaluate("test", 20))
    code = np.asarray(jax.jit(data.prepare)(batch)["text"])
    np.testing.assert_array_equal(code.sum(axis=-1), batch["text"] != cub.PAD)
    there = batch["text"] != cub.PAD
    np.testing.assert_array_equal(code.argmax(axis=-1)[there], batch["text"][there])


def test_only_what_is_needed_is_decoded(folder):
    """A damaged image is found, and named, when a batch has it."""
    bad = folder / "images" / "002.Blue_Jay" / "bird_6.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n")
    data = cub.load(path=folder, size=8)
    first = next(data.evaluate("test", 10))
    assert (first["image"] == 50).all()
    with pytest.raises(ValueError, match=r"bird_6\.png: expected a whole image"):
        list(data.evaluate("test", 10))


@pytest.mark.parametrize(
    "spoil, error, message",
    [
        (
            lambda p: (p / "images.txt").unlink(),
            FileNotFoundError,
            r"there is no .*images\.txt",
        ),
        (
            lambda p: (p / "testclasses.txt").unlink(),
            FileNotFoundError,
            r"there is no .*testclasses\.txt",
        ),
        (
            lambda p: (p / "text_c10/007.Red_Wren/bird_3.txt").unlink(),
            FileNotFoundError,
            r"there is no .*text_c10/007\.Red_Wren/bird_3\.txt",
        ),
        (
            lambda p: (p / "text_c10/007.Red_Wren/bird_4.txt").write_text("one\ntwo"),
            ValueError,
            r"10 sentences in .*Red_Wren/bird_4\.txt; got 2",
        ),
        (
            lambda p: (p / "text_c10/007.Red_Wren/bird_4.txt").write_bytes(b"\xe9\n"),
            ValueError,
            r"expected UTF-8 text in .*bird_4\.txt; got byte 0xe9",
        ),
        (
            lambda p: (p / "images.txt").write_text("1 001.Gray_Gull/a.png\nbird"),
            ValueError,
            r"001\.Species/name\.jpg in .*images\.txt; line 2 is 'bird'",
        ),
        (
            lambda p: (p / "testclasses.txt").write_text("002.Blue_Jay\n003.Owl\n"),
            FileNotFoundError,
            r"testclasses\.txt in .*images\.txt; there are none of 003\.Owl",
        ),
        (
            lambda p: (p / "testclasses.txt").write_text("\n"),
            FileNotFoundError,
            r"species of testclasses\.txt .*none of any",
        ),
        (
            lambda p: (p / "testclasses.txt").write_text("007.Red_Wren"),
            ValueError,
            r"each species in one of trainvalclasses\.txt and testclasses\.txt",
        ),
    ],
)
def test_spoiled_folders_are_refused(folder, spoil, error, message):
    spoil(folder)
    with pytest.raises(error, match=message) as caught:
        cub.load(path=folder)
    assert "\n" not in str(caught.value)


def test_wrong_arguments_are_refused(written):
    with pytest.raises(ValueError, match="among image, text; got 'sound'"):
        cub.load(path=written, modalities=("sound",))
    with pytest.raises(ValueError, match="size >= 1; got 0"):
        cub.load(path=written, size=0)
    with pytest.raises(ValueError, match="split_files of two names; got 1"):
        cub.load(path=written, split_files=("trainvalclasses.txt",))
    with pytest.raises(FileNotFoundError, match="there is no nowhere"):
        cub.load(path="nowhere")
