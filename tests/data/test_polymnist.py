"""The recipe of PolyMNIST, against loops, and its files."""

import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from repr_jax.data import mnist, polymnist

MODALITIES = polymnist.MODALITIES


@pytest.fixture(scope="module")
def data():
    return polymnist.composed()


def prepared(data, batch):
    return jax.tree.map(np.asarray, jax.jit(data.prepare)(batch))


def compose_in_loops(corner, digit, photograph, contrast):
    """The published recipe, pixel by pixel, in float64; softened first."""
    y0, x0 = corner
    image = np.zeros((28, 28, 3))
    for channel in range(3):
        for y in range(28):
            for x in range(28):
                pixel = float(photograph[y0 + y, x0 + x, channel])
                value = contrast * pixel / 255
                image[y, x, channel] = 1 - value if digit[y, x] > 128 else value
    return image


@pytest.mark.parametrize("contrast", [1.0, 0.4, 0.0])
def test_images_are_composed_by_the_recipe(contrast):
    data = polymnist.composed(modalities=("m0", "m3"), contrast=contrast, seed=7)
    batch = next(data.evaluate("test", 3))
    images = prepared(data, batch)
    for row in range(3):
        for column, view in enumerate((0, 3)):
            key = jax.random.key(7)
            for number in (2, row, view):  # the test split's stream, id, modality
                key = jax.random.fold_in(key, number)
            corner = jax.random.randint(key, (2,), 0, 224 - 28).tolist()
            photograph = polymnist.photographs()[view]
            expected = compose_in_loops(
                corner, batch["digits"][row, column], photograph, contrast
            )
            np.testing.assert_allclose(images[f"m{view}"][row], expected, atol=1e-6)


def test_digits_are_exactly_inverted_crops(data):
    """Finds each crop by its pixels beside the digit, without knowing the key."""
    batch = next(data.train(4))
    images = prepared(data, batch)
    for row in range(4):
        column = row % 5
        ink = batch["digits"][row, column] > 128
        image = images[MODALITIES[column]][row]
        photograph = polymnist.photographs()[column].astype(np.float32) / 255
        windows = np.lib.stride_tricks.sliding_window_view(photograph, (28, 28, 3))
        y, x = (~ink).nonzero()
        found = np.ones(windows.shape[:2], bool)
        for i in range(0, len(y), 37):
            pixel = photograph[y[i] : y[i] + 197, x[i] : x[i] + 197]
            found &= (np.abs(pixel - image[y[i], x[i]]) < 1e-6).all(axis=-1)
        found[-1], found[:, -1] = False, False  # corners at 196 are never drawn
        corners = np.argwhere(found)
        assert len(corners) >= 1
        matches = []
        for top, left in corners:
            crop = photograph[top : top + 28, left : left + 28]
            expected = np.where(ink[..., None], np.float32(1) - crop, crop)
            matches.append(np.abs(expected - image).max())
        assert min(matches) < 1e-6


def test_corners_reach_from_the_first_to_the_last_but_one():
    """On a 30 x 31 photograph the corner is 0 or 1 down, 0 to 2 across."""
    y, x = np.mgrid[:30, :31]
    photograph = np.stack([y, x, 0 * x], axis=-1).astype(np.uint8)
    keys = jax.random.split(jax.random.key(0), 600)
    draw = jax.vmap(polymnist.compose, in_axes=(0, None, None))
    images = jax.jit(draw)(keys, np.zeros((28, 28)), photograph)
    corners = np.rint(np.asarray(images[:, 0, 0, :2]) * 255).astype(int)
    seen = np.zeros((2, 3))
    np.add.at(seen, tuple(corners.T), 1)
    assert seen.sum() == 600 and seen.min() > 60  # 100 each on average


def test_softening_separates_the_digit_from_the_background():
    softened = polymnist.composed(modalities=("m2",), contrast=0.4)
    batch = next(softened.evaluate("test", 2))
    image = prepared(softened, batch)["m2"][0]
    ink = batch["digits"][0, 0] > 128
    assert image[~ink].max() <= 0.4 and image[ink].min() >= 0.6


def test_views_show_different_images_of_one_digit(data):
    images, labels = mnist.arrays("train")
    label_of = {image.tobytes(): label for image, label in zip(images, labels)}
    train = data.train(64)
    batches = [next(train), next(train), *list(data.evaluate("train", 6000))]
    for batch in batches:
        for digits, label in zip(batch["digits"], batch["label"]):
            views = {digit.tobytes() for digit in digits}
            assert len(views) == 5
            assert {label_of[view] for view in views} == {label}


def test_evaluation_shows_every_digit_once_in_every_view(data):
    images, labels = mnist.arrays("test")
    (batch,) = data.evaluate("test", 2000)
    np.testing.assert_array_equal(batch["label"], labels)
    wanted = sorted(image.tobytes() for image in images)
    for column in range(5):
        assert sorted(d.tobytes() for d in batch["digits"][:, column]) == wanted


def test_training_passes_through_mnist_in_the_first_view(data):
    train = data.train(3000)
    batches = [next(train) for _ in range(6)]
    shown = sorted(d[0].tobytes() for batch in batches for d in batch["digits"])
    assert shown == sorted(image.tobytes() for image in mnist.arrays("train")[0])
    for batch in batches:  # classes stay shuffled: about 300 of each
        assert np.abs(np.bincount(batch["label"]) - 300).max() < 75


def test_crops_never_repeat_and_splits_differ():
    data = polymnist.composed(modalities=("m4",))
    digits = np.zeros((1, 1, 28, 28), np.uint8)

    def crop(number, stream):
        batch = {"digits": digits, "label": np.zeros(1, np.int32)}
        batch["id"] = np.array([number], np.uint32)
        batch["stream"] = np.array([stream], np.uint32)
        return prepared(data, batch)["m4"].tobytes()

    assert (
        len({crop(number, stream) for number in range(4) for stream in range(3)}) == 12
    )


def test_leaving_out_views_leaves_the_others_as_they_are():
    some = polymnist.composed(modalities=("m3", "m1"))
    more = polymnist.composed(modalities=("m0", "m1", "m3"))
    assert some.modalities == ("m3", "m1")
    for batch, whole in (
        (next(some.train(4)), next(more.train(4))),
        (next(some.evaluate("train", 4)), next(more.evaluate("train", 4))),
    ):
        images, all_images = prepared(some, batch), prepared(more, whole)
        assert set(images) <= set(all_images) and "m0" not in images
        for name in images:
            np.testing.assert_array_equal(images[name], all_images[name])


def test_prepare_may_be_split_and_scanned():
    data = polymnist.composed(modalities=("m0", "m1"))
    batch = next(data.train(8))
    whole = prepared(data, batch)
    halves = jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[1:]), batch)
    scanned = jax.jit(
        lambda xs: jax.lax.scan(lambda _, x: (None, data.prepare(x)), None, xs)
    )
    _, parts = scanned(halves)
    for name in whole:
        joined = np.asarray(parts[name]).reshape(whole[name].shape)
        np.testing.assert_allclose(joined, whole[name], atol=1e-6)


def test_full_mnist_gives_the_published_numbers(tfds_data_dir):
    data = polymnist.composed(source="tfds", data_dir=tfds_data_dir)
    assert data.num_examples == {"train": 60_000, "test": 10_000}
    batch = next(data.evaluate("train", 256))
    assert batch["digits"].shape == (256, 5, 28, 28)
    assert len(np.unique(batch["label"])) == 10


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"modalities": ("m0", "m7")}, "modalities among m0, m1, m2, m3, m4; got 'm7'"),
        ({"modalities": ()}, "at least one modality; got none"),
        ({"modalities": ("m1", "m1")}, "each modality once"),
        ({"source": "torch"}, "source among .*got 'torch'"),
        ({"contrast": 1.5}, r"contrast in \[0, 1\]; got 1.5"),
        ({"contrast": -0.1}, r"contrast in \[0, 1\]; got -0.1"),
        ({"contrast": "high"}, r"contrast in \[0, 1\]; got 'high'"),
    ],
)
def test_wrong_arguments_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        polymnist.composed(**keywords)


@pytest.mark.parametrize(
    "digit, photograph, message",
    [
        ((28, 28), (28, 60, 3), "both sides above 28"),
        ((28, 28), (60, 60), r"photograph \[height, width, 3\]"),
        ((32, 32), (60, 60, 3), r"digit \(28, 28\)"),
    ],
)
def test_wrong_shapes_are_refused(digit, photograph, message):
    with pytest.raises(ValueError, match=message):
        polymnist.compose(
            jax.random.key(0), np.zeros(digit, np.uint8), np.zeros(photograph, np.uint8)
        )


@pytest.fixture(scope="module")
def written(data, tmp_path_factory):
    """Official layout: the first 25 training and 12 test tuples."""
    path = tmp_path_factory.mktemp("polymnist")
    polymnist.write_folder(data, path, "train", num_examples=25, batch_size=16)
    polymnist.write_folder(data, path, "test", num_examples=12, batch_size=16)
    return path


@pytest.fixture
def files(written, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "files")


def test_folder_reads_what_was_composed(data, written):
    folder = polymnist.folder(path=written)
    assert folder.num_examples == {"train": 25, "test": 12}
    assert folder.modalities == MODALITIES
    assert (written / "test" / "m3" / "1.0.png").is_file()  # the second zero
    for split, count in folder.num_examples.items():
        (batch,) = folder.evaluate(split, count)
        expected = prepared(data, next(data.evaluate(split, count)))
        images = prepared(folder, batch)
        assert images.keys() == expected.keys()
        for name in MODALITIES:
            assert batch[name].dtype == np.uint8 and images[name].dtype == np.float32
        for name in images:
            np.testing.assert_allclose(images[name], expected[name], atol=1e-6)


def test_folder_trains_like_any_dataset(written):
    def start(step):
        return polymnist.folder(path=written, modalities=("m2", "m0")).train(10, step)

    batches = [batch for batch, _ in zip(start(0), range(5))]
    labels = np.concatenate([batch["label"] for batch in batches])
    np.testing.assert_array_equal(np.bincount(labels), [6] * 5 + [4] * 5)  # two epochs
    assert set(batches[0]) == {"m2", "m0", "label"}
    for name, values in next(start(3)).items():
        np.testing.assert_array_equal(values, batches[3][name])


def test_folder_orders_files_by_number(files, caplog):
    for modality in MODALITIES:
        folder = files / "test" / modality
        (folder / "1.0.png").rename(folder / "10.0.png")
        (folder / "notes.txt").write_text("other files are passed over")
        (folder / "._0.1.png").write_bytes(b"what a Mac leaves is ignored")
        (folder / ".ipynb_checkpoints").mkdir()
    (batch,) = polymnist.folder(path=files).evaluate("test", 12)
    np.testing.assert_array_equal(batch["label"], [*range(10), 1, 0])
    assert len(caplog.records) == len(MODALITIES)
    assert "test/m0: passed over 1 other files (1 .txt)." in caplog.text


@pytest.mark.parametrize(
    "spoil, error, message",
    [
        (
            lambda p: shutil.rmtree(p / "test"),
            FileNotFoundError,
            "test: .*there are none",
        ),
        (lambda p: shutil.rmtree(p), FileNotFoundError, "train: .*there are none"),
        (
            lambda p: [file.unlink() for file in (p / "train/m1").iterdir()],
            FileNotFoundError,
            "index.label.png in m1; there are none",
        ),
        (
            lambda p: (p / "train/m4/1.3.png").unlink(),
            FileNotFoundError,
            "m4 lacks 1 that others have, such as 1.3.png",
        ),
        (
            lambda p: (p / "train/m2/0.0.png").rename(p / "train/m2/zero.png"),
            ValueError,
            "expected index.label.png; got m2/zero.png",
        ),
        (
            lambda p: Image.new("RGB", (32, 30)).save(p / "test/m0/0.0.png"),
            ValueError,
            "28 x 28 pixels in RGB; .*0.0.png has 32 x 30 in RGB",
        ),
        (
            lambda p: Image.new("L", (28, 28)).save(p / "test/m0/0.0.png"),
            ValueError,
            "28 x 28 pixels in RGB; .*0.0.png has 28 x 28 in L",
        ),
        (
            lambda p: (p / "test/m0/0.0.png").write_bytes(b"\x89PNG\r\n\x1a\n"),
            ValueError,
            "test/m0/0.0.png: expected a whole image",
        ),
    ],
)
def test_spoiled_folders_are_refused(files, spoil, error, message):
    spoil(files)
    with pytest.raises(error, match=message) as caught:
        polymnist.folder(path=files)
    assert "\n" not in str(caught.value)


def test_unknown_modality_of_a_folder_names_those_there(written):
    with pytest.raises(ValueError, match="among m0, m1, m2, m3, m4; got 'm5'"):
        polymnist.folder(path=written, modalities=("m0", "m5"))


def test_a_wrong_size_is_noticed_in_any_row(files):
    Image.new("RGB", (32, 32)).save(files / "test/m1/0.7.png")
    folder = polymnist.folder(path=files)
    with pytest.raises(ValueError, match=r"0.7.png has 32 x 32"):
        list(folder.evaluate("test", 12))
