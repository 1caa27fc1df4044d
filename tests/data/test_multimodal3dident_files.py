"""The released layout, written and read back, and what is wrong with spoiled files."""

import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from repr_jax.data import captions, multimodal3dident
from repr_jax.data import multimodal3dident_files as files


@pytest.fixture(scope="module")
def data():
    return multimodal3dident.rendered(size=8, num_fit=12, num_test=10)


@pytest.fixture(scope="module")
def written(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("m3di")
    files.write_folder(data, path, num_train=21, batch_size=8)
    return path


@pytest.fixture
def copy(written, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "m3di")


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_reading_gives_back_what_was_written(data, written):
    folder = files.folder(path=written)
    assert folder.num_examples == {"train": 12, "test": 10}
    assert folder.modalities == ("image", "text")
    prepare = jax.jit(data.prepare)
    for split in ("train", "test"):
        pairs = zip(data.evaluate(split, 8), folder.evaluate(split, 8))
        for made, read in pairs:
            assert read["image"].dtype == np.uint8
            expected, read = prepare(made), folder.prepare(read)
            assert set(read) == set(expected)
            for name in set(read) - {"text"}:
                np.testing.assert_allclose(
                    read[name], expected[name], atol=0.002 * (name == "image")
                )
            words = read["text"].shape[1]  # the longest sentence that was written
            np.testing.assert_array_equal(read["text"], expected["text"][:, :words])
            assert not np.any(expected["text"][:, words:])


def test_training_goes_through_train_in_epochs(data, written):
    folder = files.folder(path=written, seed=5)
    batches = [batch for batch, _ in zip(folder.train(7), range(3))]
    hues = np.concatenate([batch["object_color"] for batch in batches])
    drawn = [batch["object_color"] for batch, _ in zip(data.train(8), range(3))]
    np.testing.assert_array_equal(np.sort(hues), np.sort(np.concatenate(drawn)[:21]))
    again = next(files.folder(path=written, seed=5).train(7, start_step=2))
    for name, values in batches[2].items():
        np.testing.assert_array_equal(again[name], values)


def test_layout_is_the_released_one(written):
    for split, rows in (("train", 21), ("val", 12), ("test", 10)):
        images = sorted(file.name for file in (written / split / "images").iterdir())
        width = 2 if rows > 10 else 1
        assert images == [f"{i:0{width}d}.png" for i in range(rows)]
        text = (written / split / "text" / "text_raw.txt").read_text()
        assert len(text.split("\n")) == rows
        lines = (written / split / "latents_image.csv").read_text().splitlines()
        assert lines[0].startswith("object_shape,object_xpos,object_ypos,object_zpos")
        assert len(lines) == rows + 1
    assert json.loads((written / "vocab.json").read_text())["w2i"]["<unk>"] == 2


def test_any_words_and_any_width_of_numbers(copy):
    (copy / "vocab.json").unlink()
    for split in ("train", "val", "test"):
        for file in (copy / split / "images").iterdir():
            file.rename(file.with_name(f"{int(file.stem):06d}.png"))
    text = copy / "train" / "text" / "text_raw.txt"
    text.write_text("\n".join(["a b, c"] + ["c"] * 20))
    text = copy / "val" / "text" / "text_raw.txt"
    text.write_text("\n".join(["c unheard-of b"] + ["d"] * 11) + "\n")
    text = copy / "test" / "text" / "text_raw.txt"
    text.write_text("\n".join(["b"] * 10))
    batch = next(files.folder(path=copy).evaluate("train", 4))
    unknown, b, c = captions.UNKNOWN, 4, 6  # a is 3, the comma 5
    np.testing.assert_array_equal(batch["text"][0], [c, unknown, b, 1, 0])
    np.testing.assert_array_equal(batch["text"][1], [unknown, 1, 0, 0, 0])


def test_images_are_resized_by_averages(written):
    whole = next(files.folder(path=written).evaluate("test", 4))["image"]
    half = next(files.folder(path=written, size=4).evaluate("test", 4))["image"]
    means = whole.reshape(4, 4, 2, 4, 2, 3).astype(float).mean(axis=(2, 4))
    assert half.shape == (4, 4, 4, 3)
    assert np.abs(half - means).max() <= 1


def cut_short(file):
    file.write_bytes(file.read_bytes()[:-30])


SPOILS = {
    "no split": (
        lambda p: shutil.rmtree(p / "val"),
        FileNotFoundError,
        "there is no .*val.latents_image.csv",
    ),
    "no folder": (lambda p: shutil.rmtree(p), FileNotFoundError, "latents_image.csv"),
    "no text": (
        lambda p: (p / "test/text/text_raw.txt").unlink(),
        FileNotFoundError,
        "there is no .*text_raw.txt",
    ),
    "no images": (
        lambda p: shutil.rmtree(p / "test/images"),
        FileNotFoundError,
        "images/0.png, ..; there are none",
    ),
    "an image less": (
        lambda p: (p / "train/images/20.png").unlink(),
        ValueError,
        "21 rows of latents_image.csv; got 21 lines and 20 images, .* from 0 to 19",
    ),
    "a line more": (
        lambda p: change(p / "test/text/text_raw.txt", " ", "\n"),
        ValueError,
        "10 rows .* got 11 lines",
    ),
    "a column less": (
        lambda p: change(p / "val/latents_text.csv", "text_phrasing", "phrasing"),
        ValueError,
        "expected columns .*text_phrasing in .*; it has object_shape, .*phrasing",
    ),
    "other content": (
        lambda p: change(p / "val/latents_text.csv", "\n3,0,0,", "\n2,0,0,"),
        ValueError,
        "the same object_shape in latents_image.csv and latents_text.csv",
    ),
    "out of range": (
        lambda p: change(p / "val/latents_image.csv", "\n3,", "\n7,"),
        ValueError,
        "object_shape from 0 to 6, whole; got '7' in row",
    ),
    "a number that is none": (
        lambda p: change(p / "val/latents_image.csv", "\n3,", "\nnan,"),
        ValueError,
        "object_shape from 0 to 6, whole; got 'nan' in row",
    ),
    "half a class": (
        lambda p: change(p / "val/latents_image.csv", "\n3,", "\n3.5,"),
        ValueError,
        "object_shape from 0 to 6, whole; got '3.5' in row",
    ),
    "Latin-1": (
        lambda p: (p / "test/text/text_raw.txt").write_bytes(b"caf\xe9\n" * 10),
        ValueError,
        "expected UTF-8 text in .*test/text/text_raw.txt; got byte 0xe9",
    ),
    "a truncated image": (
        lambda p: cut_short(p / "test/images/0.png"),
        ValueError,
        "test/images/0.png: expected a whole image",
    ),
    "no rows": (
        lambda p: (p / "val/latents_image.csv").write_text("object_shape\n"),
        ValueError,
        "and rows; it has .*, and 0 rows",
    ),
    "gray": (
        lambda p: Image.new("L", (8, 8)).save(p / "test/images/0.png"),
        ValueError,
        "square images in RGB; .*0.png has 8 x 8 in L",
    ),
}


@pytest.mark.parametrize("name", SPOILS)
def test_spoiled_folders_are_refused(copy, name):
    spoil, error, message = SPOILS[name]
    spoil(copy)
    with pytest.raises(error, match=message) as caught:
        files.folder(path=copy)
    assert "\n" not in str(caught.value)


def test_images_of_unequal_size_name_two_files(copy):
    Image.new("RGB", (6, 6)).save(copy / "test/images/3.png")
    batches = files.folder(path=copy).evaluate("test", 5)
    with pytest.raises(ValueError, match=r"0\.png is 8 x 8 and .*3\.png is 6 x 6"):
        next(batches)


def test_what_systems_and_editors_leave_is_no_obstacle(copy, written, caplog):
    for name in (".DS_Store", "Thumbs.db", "._0.png"):
        (copy / "test/images" / name).write_bytes(b"junk")
    (copy / "test/.ipynb_checkpoints").mkdir()
    for file in (copy / "test/text/text_raw.txt", copy / "test/latents_image.csv"):
        content = file.read_bytes()
        file.write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
    found, expected = (
        next(files.folder(path=path).evaluate("test", 10)) for path in (copy, written)
    )
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert not caplog.records
    (copy / "test/images/a.gif").write_bytes(b"")
    files.folder(path=copy)
    assert "passed over 1 other files (1 .gif)" in caplog.text


def test_load_reads_files(written):
    data = multimodal3dident.load(source="folder", data_dir=str(written), size=4)
    assert next(data.train(3))["image"].shape == (3, 4, 4, 3)
