"""EfficientNet-Lite0's logits of image files, and the files as pictures of a page."""

import concurrent.futures
import os
import pathlib

import jax
import numpy as np

from repr_jax import files, logs
from repr_jax.data import imagenet
from repr_jax.models import efficientnet
from repr_jax.ops import checks

BATCH = 32


class Images:
    """[files, 224, 224, 3] uint8, of which one is decoded when it is asked for."""

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, row):
        return imagenet.read(self.paths[row])


def logits(paths: list[str], folder: pathlib.Path) -> np.ndarray:
    """[files, 1000] float32, memory-mapped from folder/logits.npy.

    They are used again if folder/files.txt names the same files in the same order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, listed = folder / "logits.npy", folder / "files.txt"
    text = os.fsencode("\n".join(paths) + "\n")
    shape = (len(paths), imagenet.NUM_CLASSES)
    if file.exists() and listed.exists() and listed.read_bytes() == text:
        found = files.map_npy("logits", file)
        checks.shape(str(file), shape, logits=found)
        return found
    variables, model = efficientnet.load(), efficientnet.EfficientNetLite0()

    @jax.jit
    def of_batch(images):
        return model.apply(variables, imagenet.to_float(images), train=False)

    unfinished = folder / "unfinished_logits.npy"
    out = np.lib.format.open_memmap(unfinished, "w+", np.float32, shape)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), BATCH):
            images = list(pool.map(imagenet.read, paths[start : start + BATCH]))
            padded = np.zeros((BATCH, *images[0].shape), np.uint8)
            padded[: len(images)] = images
            out[start : start + BATCH] = of_batch(padded)[: len(images)]
            if start // BATCH % 100 == 99:
                logs.say(f"{start + BATCH:,} of {len(paths):,} images")
    out.flush()
    listed.unlink(missing_ok=True)
    unfinished.replace(file)
    listed.write_bytes(text)
    return np.load(file, mmap_mode="r")
