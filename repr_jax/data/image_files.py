"""Image files as people see them: folders of them, and their pixels as 8-bit RGB.

What a viewer would show is what is read: turned as the camera's EXIF entry says,
16-bit values scaled to 8 bits, transparent parts laid over white, and of an animation
the first picture.
"""

import collections
import contextlib
import logging
import os
import pathlib
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageOps

from repr_jax import files

SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp")
MAX_16_BIT = 65535
# What Pillow raises for a file that is damaged or no image.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
BROKEN += (IndexError, KeyError, TypeError, OverflowError, Image.DecompressionBombError)

log = logging.getLogger(__name__)


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    """The image in a file, whole, with errors that name the file.

    Raises:
      FileNotFoundError: there is no such file. ValueError: it is damaged or no image.
    """
    path = pathlib.Path(path).expanduser()
    try:
        image = Image.open(path)
        image.load()
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, which name the file
        reason = " ".join(str(error).split()).replace(str(path), "it").rstrip(".")
        raise ValueError(
            f"{path}: expected a whole image; got {reason or type(error).__name__}."
        ) from None
    with image:
        yield image


def read(path: str | os.PathLike) -> np.ndarray:
    """[height, width, 3] uint8, pixels of a file by `to_rgb`; raises as `opened`."""
    with opened(path) as image:
        return np.asarray(to_rgb(image))


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB: turned upright, 16 bits scaled to 8, transparency laid over white.

    Raises:
      ValueError: pixels of floating point, or whole numbers above 65535, whose range
        no file says.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def square(image: np.ndarray, size: int, *, crop: int | None = None) -> np.ndarray:
    """[size, size, channels] uint8: a square in the middle, by bicubic interpolation.

    image: [height, width, channels] uint8. crop: its side in pixels, at most the
    smaller side of the image; None for that.
    """
    height, width = image.shape[:2]
    side = min(height, width) if crop is None else crop
    top, left = (height - side) // 2, (width - side) // 2
    image = image[top : top + side, left : left + side]
    picture = Image.fromarray(image.squeeze(-1) if image.shape[2] == 1 else image)
    resized = picture.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(resized).reshape(size, size, image.shape[2])


def _eight_bits(image: Image.Image) -> Image.Image:
    """Gray of 16 bits, which Pillow would clip at 255, as gray of 8 bits."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > MAX_16_BIT:
        raise ValueError(
            f"to_rgb: expected pixels of 8 or 16 bits; got mode {image.mode} with "
            f"values from {values.min():g} to {values.max():g}."
        )
    scaled = (values.astype(np.uint32) * 255 + MAX_16_BIT // 2) // MAX_16_BIT
    gray = Image.fromarray(scaled.astype(np.uint8))
    clear = image.info.get("transparency")  # the one value that is not shown
    if isinstance(clear, int):
        gray.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype("u1")))
    return gray


def decoded_once(decode: Callable, count: int, shape: tuple[int, ...]) -> Callable:
    """rows [n] -> [n, *shape] uint8: decode(row) when first needed, and then kept.

    Takes count * shape bytes in the end, and as little as is needed before.
    """
    decoded = np.empty((count, *shape), np.uint8)  # takes memory where it is written to
    is_decoded = np.zeros(count, bool)

    def images(rows: np.ndarray) -> np.ndarray:
        for row in np.unique(rows[~is_decoded[rows]]).tolist():
            decoded[row] = decode(row)
            is_decoded[row] = True
        return decoded[rows]

    return images


def list_folder(
    folder: str | os.PathLike, *, who: str = "image_files.list_folder"
) -> tuple[list[str], list[str] | None]:
    """Image files below a folder, sorted, and the folder's own folder each is in.

    Files of other kinds are passed over, and one logged line counts them. What systems
    leave behind, such as .DS_Store and .ipynb_checkpoints, is ignored.

    Args:
      folder: holds images, or folders of images, one a class.
      who: for errors.

    Returns:
      paths, and the names of their folders; None for these if the images lie flat.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: no image, or some flat and some in folders.
    """
    folder = pathlib.Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{who}: no folder {folder}.")
    found, others, classes = [], [], set()
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(map(files.left_behind, parts)):
            continue
        if path.is_dir():
            classes.add(parts[0])
        elif path.suffix.lower() in SUFFIXES:
            found.append(path)
        else:
            others.append(path.name)
    names = [path.relative_to(folder).parts[0] for path in found]
    flat = [path.parent == folder for path in found]
    if not found or any(flat) != all(flat):
        raise ValueError(
            f"{who}: expected images in {folder}, or else in folders in it; got "
            f"{sum(flat)} and {len(found) - sum(flat)}, and {len(others)} other files."
        )
    report_others(folder, others, classes - set(names))
    return [str(path) for path in found], None if all(flat) else names


def report_others(
    folder: str | os.PathLike,
    others: list[str],
    empty: set[str] | frozenset = frozenset(),
) -> None:
    """Logs one line that counts files passed over by ending, and folders of no image.

    Args:
      folder: where they are; others: names of files; empty: names of folders.
    """
    parts = []
    if others:
        endings = collections.Counter(os.path.splitext(x)[1].lower() for x in others)
        kinds = [
            f"{n} {ending or 'without ending'}" for ending, n in endings.most_common(4)
        ]
        parts.append(f"passed over {len(others)} other files ({', '.join(kinds)})")
    if empty:
        parts.append(f"{len(empty)} folders without an image, such as {min(empty)}")
    if parts:
        log.warning("%s: %s.", folder, "; ".join(parts))


def stack(images: list[np.ndarray], paths: list[str], who: str) -> np.ndarray:
    """[images, height, width, channels]; ValueError that names two of unequal size."""
    for image, path in zip(images, paths):
        if image.shape != images[0].shape:
            raise ValueError(
                f"{who}: expected images of one size; {paths[0]} is "
                f"{images[0].shape[1]} x {images[0].shape[0]} and {path} is "
                f"{image.shape[1]} x {image.shape[0]}."
            )
    return np.stack(images)
