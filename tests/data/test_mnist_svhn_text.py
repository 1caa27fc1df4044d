"""MNIST-SVHN-Text: the pairs as published, the words, SVHN read or drawn."""

import collections

import jax
import numpy as np
import pytest
import scipy.ndimage

from repr_jax.data import characters, mnist, street_digits, tfds_images
from repr_jax.data import mnist_svhn_text as three
from tests import prepared_tfds


def prepared(data, batch):
    return jax.tree.map(np.asarray, jax.jit(data.prepare)(batch))


@pytest.fixture(scope="module")
def drawn():
    return three.load(num_matches=2, num_test_matches=2)


@pytest.fixture
def svhn_folder(tmp_path):
    """svhn_cropped as tfds prepares it: 60 and 30 images, each of its label's color."""
    import tensorflow_datasets as tfds

    def example(i):
        image = np.full((32, 32, 3), 20 * (i % 10) + 5, np.uint8)
        image[0, 0] = i
        return {"image": image, "label": i % 10, "id": str(i)}

    features = {
        "image": tfds.features.Image(shape=(32, 32, 3)),
        "label": tfds.features.ClassLabel(num_classes=10),
        "id": tfds.features.Text(),
    }
    splits = {
        s: [example(i) for i in range(n)] for s, n in (("train", 60), ("test", 30))
    }
    prepared_tfds.write(tmp_path, "svhn_cropped", "3.1.0", features, splits)
    yield str(tmp_path)
    tfds_images.arrays.cache_clear()


def test_a_batch_holds_what_the_module_says(drawn):
    batch = prepared(drawn, next(drawn.train(6)))
    shapes = {"mnist": (28, 28, 1), "svhn": (32, 32, 3), "text": (8, 71)}
    assert set(batch) == {*shapes, "label"} and drawn.modalities == tuple(shapes)
    for name, shape in shapes.items():
        assert batch[name].shape == (6, *shape) and batch[name].dtype == np.float32
        assert batch[name].min() >= 0 and batch[name].max() <= 1
    np.testing.assert_array_equal(batch["text"].sum(axis=-1), 1)
    for label, row in zip(batch["label"], batch["text"].argmax(axis=-1)):
        assert characters.decode(row).strip() == three.WORDS[label]


def test_pairs_are_the_first_of_each_class_each_once_a_match():
    """Against loops: counts of the smaller side, cut at the limit, both permuted."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(4, size=50), rng.integers(1, 5, size=40)
    pairs = three.match(np.random.default_rng(1), a, b, num_matches=3)
    counts = {c: min(np.sum(a == c), np.sum(b == c)) for c in range(5)}
    assert len(pairs) == 3 * sum(counts.values()) and counts[0] == counts[4] == 0
    for one in np.split(pairs, 3):
        for side, labels in enumerate((a, b)):
            seen = collections.Counter(one[:, side].tolist())
            expected = [
                r for c in counts for r in np.flatnonzero(labels == c)[: counts[c]]
            ]
            assert seen == collections.Counter(expected)
        np.testing.assert_array_equal(a[one[:, 0]], b[one[:, 1]])
    first, second, _ = np.split(pairs, 3)
    assert {*map(tuple, first)} != {*map(tuple, second)}


def test_a_class_is_cut_at_the_published_limit(monkeypatch):
    monkeypatch.setattr(three, "LARGEST_CLASS", 2)
    pairs = three.match(np.random.default_rng(1), [0] * 5, [0] * 4, num_matches=1)
    assert sorted(pairs[:, 0]) == sorted(pairs[:, 1]) == [0, 1]


def test_published_sizes():
    """Counts of the full sets, of which the labels alone are needed."""
    ours = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    svhn = [4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659]
    labels = [np.repeat(np.arange(10), count) for count in (ours, svhn)]
    assert [len(x) for x in labels] == [60_000, 73_257]
    pairs = three.match(np.random.default_rng(0), *labels, num_matches=1)
    assert len(pairs) == 56_068
    counts = [4948, 6742, 5958, 6131, 5842, 5421, 5727, 5595, 5045, 4659]
    np.testing.assert_array_equal(np.bincount(labels[0][pairs[:, 0]]), counts)


def test_words_start_everywhere_but_at_the_last_place():
    """By hand: "three" has starts 0, 1, 2 of 0, 1, 2, 3; "one" 0 to 4 of 0 to 5."""
    start = np.linspace(0, 1, 100, endpoint=False)
    for label, last in ((3, 2), (1, 4), (0, 3)):
        texts = [
            characters.decode(row) for row in three.words(np.full(100, label), start)
        ]
        places = [text.index(three.WORDS[label]) for text in texts]
        assert {len(text) for text in texts} == {8}
        assert set(places) == set(range(last + 1))
        assert np.ptp(np.bincount(places)) <= 1  # each as often


def test_words_are_drawn_anew_in_training_and_fixed_in_evaluation(drawn):
    again = three.load(num_matches=2, num_test_matches=2, seed=1)
    for split in ("train", "test"):
        a, b = (next(d.evaluate(split, 64)) for d in (drawn, again))
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    data = three.load(modalities=("mnist", "text"), num_matches=1)
    words = collections.defaultdict(list)  # of each image, in two epochs
    for batch, _ in zip(data.train(9000), range(4)):
        for image, text in zip(batch["mnist"], batch["text"]):
            words[image.tobytes()].append(text.tobytes())
    assert {len(two) for two in words.values()} == {2}
    assert len({word for two in words.values() for word in two}) == 40
    differ = np.mean([len(set(two)) == 2 for two in words.values()])
    assert 0.7 < differ < 0.78  # 1 - (3 / 5 + 4 / 4 + 3 / 3) / 10


def test_house_numbers_show_the_digit_of_their_row_and_never_change(drawn):
    """The middle of the raw entry is of the label; a row is drawn by its own key."""
    images, labels = mnist.arrays("test")
    label_of = {image.tobytes(): label for image, label in zip(images, labels)}
    batches = list(drawn.evaluate("test", 2000))
    assert drawn.num_examples == {"train": 36_000, "test": 4_000} and len(batches) == 2
    seen = {}
    for batch in batches:
        middle = [label_of[house[0].tobytes()] for house in batch["svhn"]]
        np.testing.assert_array_equal(middle, batch["label"])
        small = {name: x[:300] for name, x in batch.items()}
        for house, image in zip(small["house"], prepared(drawn, small)["svhn"]):
            np.testing.assert_array_equal(seen.setdefault(house, image), image)
    train = next(drawn.evaluate("train", 500))["house"]
    assert train.max() < 2**31 <= batch["house"].min()  # no key is of both splits


def test_a_drawn_digit_can_be_told_from_its_background():
    digits = np.zeros((3, 28, 28), np.uint8)
    digits[0, 4:24, 10:18] = 255
    keys = jax.random.split(jax.random.key(0), 200)
    draw = jax.jit(jax.vmap(lambda key: street_digits.compose(key, digits)))
    images = np.asarray(draw(keys))
    assert images.shape == (200, 32, 32, 3) and images.min() >= 0 and images.max() <= 1
    bright = images @ np.array(street_digits.RED_GREEN_BLUE)
    front, back = bright[:, 14:18, 14:18], bright[:, 14:18, [3, 28]]
    apart = np.abs(front.mean(axis=(1, 2)) - back.mean(axis=(1, 2)))
    assert (apart > 0.1).mean() > 0.97
    other = np.asarray(draw(keys[::-1]))[::-1]
    np.testing.assert_array_equal(images, other)


@pytest.mark.parametrize("width", [0.4, 1.2])
def test_the_blur_is_a_gaussian_that_keeps_what_is_flat(width):
    x = np.random.default_rng(0).random((12, 9, 3)).astype(np.float32)
    expected = scipy.ndimage.gaussian_filter(
        x.astype(float), (width, width, 0), mode="nearest", radius=(3, 3, 0)
    )
    blurred = jax.jit(street_digits.blurred)(x, width)
    np.testing.assert_allclose(blurred, expected, atol=1e-6)
    flat = street_digits.blurred(np.full((5, 4), 0.3, np.float32), width)
    np.testing.assert_allclose(flat, 0.3, rtol=1e-6)


def test_svhn_is_read_from_a_prepared_folder(svhn_folder):
    data = three.load(svhn="tfds", data_dir=svhn_folder, num_matches=2)
    assert data.num_examples == {"train": 120, "test": 30}
    for split in ("train", "test"):
        for batch in data.evaluate(split, 30):
            gray = batch["svhn"][:, 5, 5, 0]
            np.testing.assert_array_equal(gray, 20 * batch["label"] + 5)
            images = prepared(data, batch)["svhn"]
            np.testing.assert_allclose(images, batch["svhn"] / 255.0, atol=1e-6)
    assert "house" not in batch


def test_svhn_as_tfds_describes_it(tmp_path):
    """tfds's own description of the set, with random images."""
    import tensorflow_datasets as tfds

    (tmp_path / "svhn_cropped").mkdir()
    with tfds.testing.mock_data(num_examples=40):
        data = three.load(svhn="tfds", data_dir=str(tmp_path), num_matches=1)
        assert data.num_examples["train"] > 0
        batch = next(data.train(4))
    tfds_images.arrays.cache_clear()
    assert batch["svhn"].shape == (4, 32, 32, 3) and batch["svhn"].dtype == np.uint8


@pytest.mark.parametrize(
    "keywords, error, message",
    [
        ({"modalities": ("mnist", "sound")}, ValueError, "among mnist, svhn, text"),
        ({"svhn": "torch"}, ValueError, "svhn among .*got 'torch'"),
        ({"num_matches": 0}, ValueError, "num_matches >= 1; got 0"),
        ({"pair_seed": -1}, ValueError, "seed >= 0; got -1"),
        (
            {"svhn": "tfds", "data_dir": "nowhere"},
            FileNotFoundError,
            "expected svhn_cropped prepared as array_record in nowhere",
        ),
    ],
)
def test_wrong_arguments_are_refused(keywords, error, message):
    with pytest.raises(error, match=message):
        three.load(**keywords)
