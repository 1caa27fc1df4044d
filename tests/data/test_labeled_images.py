"""Folders of images with a table of attributes, and FairFace as published."""

import csv

import jax
import numpy as np
import pytest
from PIL import Image

from repr_jax.data import fairface, labeled_images, subsample

HAIR = ("red", "black", "red", "gray", "black", "red", "black", "red")


def write(folder, name, rows, header=("file", "age", "race")):
    with open(folder / name, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder / name


def picture(path, value, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 2 * value, 0)).save(path)


@pytest.fixture
def folder(tmp_path):
    for i in range(len(HAIR)):
        picture(tmp_path / "images" / f"{i}.png", 10 * i)
    rows = [(f"images/{i}.png", i, hair) for i, hair in enumerate(HAIR)]
    write(tmp_path, "labels.csv", rows, ("file", "age", "hair"))
    return tmp_path


def table(where, **options):
    return labeled_images.read_table(
        path=where / "labels.csv", attribute="hair", **options
    )


def test_a_table_names_classes_in_sorted_order(folder):
    found = table(folder)
    assert found.classes == ("black", "gray", "red")
    np.testing.assert_array_equal(found.labels, [2, 0, 2, 1, 0, 2, 0, 2])
    other = table(folder, classes=("red", "gray", "black", "none"))
    np.testing.assert_array_equal(other.labels, [0, 2, 0, 1, 2, 0, 2, 0])


def test_a_batch_holds_what_the_module_says(folder):
    data = labeled_images.load(train=table(folder), test=table(folder), size=3)
    batch = jax.jit(data.prepare)(next(data.evaluate("test", 8)))
    assert batch["image"].shape == (8, 3, 3, 3)
    np.testing.assert_allclose(
        255 * batch["image"][:, 1, 1],
        [(10 * i, 20 * i, 0) for i in range(8)],
        atol=0.01,
    )
    np.testing.assert_array_equal(batch["label"], table(folder).labels)
    np.testing.assert_array_equal(batch["index"], np.arange(8))


def test_subsets_have_shares_and_tests_are_balanced(folder):
    data = labeled_images.load(
        train=table(folder),
        test=table(folder),
        size=3,
        shares=(0.25, 0.25, 0.5),
        anchor=1,
        num_test=1,
    )
    rows = next(data.evaluate("train", 4))
    assert sorted(rows["label"]) == [0, 1, 2, 2]
    assert sorted(next(data.evaluate("test", 3))["label"]) == [0, 1, 2]
    images = 10 * rows["index"]
    np.testing.assert_array_equal(rows["image"][:, 0, 0, 0], images)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(file="path"), ValueError, "expected columns path, hair"),
        (dict(folder="nowhere"), FileNotFoundError, "no file nowhere"),
        (dict(classes=("red", "gray")), ValueError, "among red, gray; got 'black'"),
    ],
)
def test_tables_that_do_not_fit_are_refused(folder, options, error, message):
    with pytest.raises(error, match=message):
        table(folder, **options)
    with pytest.raises(FileNotFoundError, match=r"there is no .*no\.csv"):
        labeled_images.read_table(path=folder / "no.csv", attribute="hair")
    write(folder, "twice.csv", [("a.png", 1, "x")] * 2)
    with pytest.raises(ValueError, match="expected each file once"):
        labeled_images.read_table(path=folder / "twice.csv", attribute="race")


def test_both_splits_have_one_list_of_classes(folder):
    with pytest.raises(ValueError, match="one list of classes"):
        labeled_images.load(
            train=table(folder),
            test=table(folder, classes=("red", "gray", "black")),
            size=3,
        )


@pytest.fixture
def fairface_folder(tmp_path):
    """Ten faces of each group to train on, of which White has 100; two to test."""
    for part, counts in (("train", [100, *[10] * 6]), ("val", [2] * 7)):
        labels = np.repeat(np.arange(7), counts)
        rows = []
        for i, k in enumerate(np.random.default_rng(0).permutation(labels), 1):
            rows.append((f"{part}/{i}.jpg", "20-29", fairface.RACES[k]))
            picture(tmp_path / part / f"{i}.jpg", 30 * k, size=(8, 8))
        write(tmp_path, f"fairface_label_{part}.csv", rows)
    return tmp_path


def test_fairface_and_unfairface(fairface_folder):
    whole = fairface.load(path=fairface_folder, size=8)
    assert dict(whole.num_examples) == {"train": 160, "test": 14}
    batch = next(whole.evaluate("test", 14))
    red = batch["image"][:, 4, 4, 0].astype(int)
    assert np.all(np.abs(red - 30 * batch["label"]) < 4)  # by a lossy format
    options = dict(shares=subsample.FLAT_TAIL, num_test=1)
    unfair = fairface.load(path=fairface_folder, size=8, **options)
    rows = next(unfair.evaluate("train", unfair.num_examples["train"]))
    np.testing.assert_array_equal(np.bincount(rows["label"]), [100, *[3] * 6])
    assert unfair.num_examples["test"] == 7
    options |= dict(shares=subsample.FLAT_TAIL, class_balanced=True)
    drawn = next(fairface.load(path=fairface_folder, size=8, **options).train(700))
    counts = np.bincount(drawn["label"], minlength=7)
    assert np.all(np.abs(counts - 100) < 40)
    ages = fairface.load(path=fairface_folder, size=8, attribute="age")
    assert set(next(ages.evaluate("test", 14))["label"]) == {0}
    with pytest.raises(FileNotFoundError, match=r"there is no .*train\.csv"):
        fairface.load(path=fairface_folder / "train")
