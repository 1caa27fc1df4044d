"""Multimodal Handwritten Digits: an image, the pen's way, a spoken word and a symbol.

A batch after `prepare` has
  image: float32 [batch, 28, 28, 1];
  trajectory: float32 [batch, 200], the pen's way in the plane;
  sound: float32 [batch, 32, 96, 1], a spectrogram, its three parts side by side;
  symbol: float32 [batch, 10], the class, one-hot;
  label: int32 [batch], 0 to 9;
  where: bool [batch], in evaluation.
Numbers are as they are in the files, scaled there.

A folder holds mhd_train.npz and mhd_test.npz, made once from the published mhd_train.pt
and mhd_test.pt, which are pickles of torch and are not read here:

    for split in ("train", "test"):
        label, image, trajectory, sound, *_ = torch.load(f"mhd_{split}.pt")
        arrays = dict(label=label, image=image, trajectory=trajectory, sound=sound)
        numpy.savez(f"mhd_{split}.npz", **{n: x.numpy() for n, x in arrays.items()})

Parts that are missing by class, as some papers train on, are `missing.by_class`.

Source: Vasco et al., "Leveraging Hierarchy in Multimodal Generative Models for
Effective Cross-Modality Inference", 2022, https://github.com/miguelsvasco/nexus_pytorch.
"""

import os
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax import files
from repr_jax.data.dataset import SPLITS, Dataset, check_modalities, of_rows
from repr_jax.ops import checks

WHO = "mhd.load"
SHAPES = {"image": (1, 28, 28), "trajectory": (200,), "sound": (3, 32, 32)}  # in files
MODALITIES = (*SHAPES, "symbol")


def load(
    *, path: str | os.PathLike, modalities: Sequence[str] = MODALITIES, seed: int = 0
) -> Dataset:
    """The set of the module.

    Args:
      path: the folder of the module.
      modalities: which of image, trajectory, sound, symbol a batch has, in this order.
      seed: of the order of training.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: an unknown modality, or one twice; a file that is damaged, or an array
        that is missing, of another shape, not finite, or a label not in 0..9.
    """
    modalities = check_modalities(WHO, modalities, MODALITIES)
    names = tuple(name for name in modalities if name in SHAPES)
    data = {split: _read(path, split, names) for split in SPLITS}

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {name: array[rows] for name, array in data[split].items()}

    def prepare(batch: Mapping) -> dict:
        rest = dict(batch)
        if "symbol" in modalities:
            rest["symbol"] = jax.nn.one_hot(rest["label"], 10, dtype=jnp.float32)
        return rest

    num_examples = {split: len(arrays["label"]) for split, arrays in data.items()}
    return of_rows(
        WHO, take, num_examples, seed=seed, prepare=prepare, modalities=modalities
    )


def _read(path: str | os.PathLike, split: str, names: Sequence[str]) -> dict:
    """Arrays of a split as batches have them."""
    file = os.path.join(os.path.expanduser(path), f"mhd_{split}.npz")
    found = files.read_npz(WHO, file, (*names, "label"))
    rows = len(np.atleast_1d(found["label"]))
    for name, array in found.items():
        shape = (rows, *SHAPES.get(name, ()))
        kinds = "fiu" if name in SHAPES else "iu"
        if array.shape != shape or array.dtype.kind not in kinds:
            kind = "numbers" if name in SHAPES else "whole numbers"
            raise ValueError(
                f"{WHO}: expected {name} {shape} of {kind} "
                f"in {file}; got {array.dtype} {array.shape}."
            )
    checks.within(f"{WHO}: {file}", 10, label=found["label"])
    checks.finite(f"{WHO}: {file}", **{name: found[name] for name in names})
    batch = {"label": found["label"].astype(np.int32)}
    batch |= {name: found[name].astype(np.float32) for name in names}
    if "image" in batch:
        batch["image"] = np.moveaxis(batch["image"], 1, -1)
    if "sound" in batch:  # three squares under each other; time goes to the right
        sound = batch["sound"].reshape(rows, 96, 32)
        batch["sound"] = np.moveaxis(sound, 1, 2)[..., None]
    return batch
