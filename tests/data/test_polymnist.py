"""The recipe of PolyMNIST, against loops, and of its translated form."""

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
    corners = np.rint(np.asarray(images)[:, 0, 0, :2] * 255).astype(int)
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
        ({"scale": 1.1}, "scale above 0.018, at most 1; got 1.1"),
        ({"scale": 0.0}, "scale above 0.018, at most 1; got 0.0"),
        ({"scale": "half"}, "scale above 0.018, at most 1; got 'half'"),
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


def test_files_have_neither_contrast_nor_scale():
    for name in ("contrast", "scale"):
        with pytest.raises(ValueError, match=f"{name} 1 of source folder; got 0.5"):
            polymnist.load(source="folder", data_dir="nowhere", **{name: 0.5})


@pytest.mark.parametrize("scale, side", [(0.75, 21), (0.5, 14)])
def test_a_translated_digit_is_the_small_digit_and_whole(scale, side):
    """Against Pillow, which rounds; every place occurs, the last one included."""
    digit = mnist.arrays("train")[0][3]
    small = Image.fromarray(digit).resize((side, side), Image.Resampling.BILINEAR)
    small, room = np.asarray(small, float), 28 - side
    keys = jax.random.split(jax.random.key(0), 4000)
    draw = jax.vmap(lambda key: polymnist.translate(key, digit, scale=scale))
    canvases = np.asarray(jax.jit(draw)(keys))
    seen = np.zeros((room + 1, room + 1))
    rows, columns = small.max(axis=1).nonzero()[0], small.max(axis=0).nonzero()[0]
    for canvas in canvases:
        y, x = ((canvas > 0.5).any(axis=a).argmax() for a in (1, 0))
        y, x = y - rows[0], x - columns[0]
        seen[y, x] += 1
        expected = np.zeros((28, 28))
        expected[y : y + side, x : x + side] = small
        np.testing.assert_allclose(canvas, expected, atol=1.01)
    each = len(keys) / seen.size
    assert np.abs(seen - each).max() < 5 * each**0.5


def test_places_are_independent_between_views():
    """The same digit in every view, white on black: the masks tell where it is."""
    data = polymnist.composed(contrast=0.0, scale=0.5)
    batch = next(data.train(600))
    batch["digits"] = np.broadcast_to(batch["digits"][:1, :1], batch["digits"].shape)
    images = prepared(data, batch)
    places = []
    for name in MODALITIES:
        mask = images[name][..., 0] > 0.5
        assert len(set(mask.sum(axis=(1, 2)))) == 1  # whole in every row
        places += [mask.any(axis=2).argmax(axis=1), mask.any(axis=1).argmax(axis=1)]
    between = np.corrcoef(places)[~np.eye(10, dtype=bool)]
    assert np.abs(between).max() < 4 / 600**0.5
    assert all(np.ptp(place) == 14 for place in places)


def test_scale_one_is_polymnist_and_a_smaller_scale_keeps_pairs_and_crops():
    plain, one = polymnist.composed(seed=3), polymnist.composed(seed=3, scale=1.0)
    small = polymnist.composed(seed=3, scale=0.5)
    for split in ("train", "test"):
        batch = next(plain.evaluate(split, 8))
        for other in (one, small):
            for name, x in next(other.evaluate(split, 8)).items():
                np.testing.assert_array_equal(x, batch[name])
        images, same, smaller = (prepared(d, batch) for d in (plain, one, small))
        for name in MODALITIES:
            np.testing.assert_array_equal(images[name], same[name])
            differs = np.abs(images[name] - smaller[name]).max(axis=-1) > 1e-6
            ink = batch["digits"][:, MODALITIES.index(name)] > 128
            inverted = np.abs(images[name] - (1 - smaller[name])).max(axis=-1)
            assert inverted[differs].max() < 1e-6  # the digit moved, nothing else
            assert 0 < differs.mean() < 0.35 and (differs & ink).any()
    digit = batch["digits"][0, 0]
    whole = jax.jit(lambda key: polymnist.translate(key, digit, scale=1.0))
    canvas = whole(jax.random.key(0))
    np.testing.assert_array_equal(canvas, batch["digits"][0, 0])
