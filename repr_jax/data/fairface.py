"""FairFace, and subsets of it in which one group prevails, from the published files.

A batch is that of `labeled_images`, the label one of RACES, the groups of the set, in
the order of its published classifier. A folder holds fairface_label_train.csv and
fairface_label_val.csv, with the columns file and race, and the images in train/ and
val/. The split "test" is the published "val".

Source: Karkkainen and Joo, "FairFace: Face Attribute Dataset for Balanced Race, Gender,
and Age", 2021, https://arxiv.org/abs/1908.04913, files at
https://github.com/joojs/fairface, CC BY 4.0. UnfairFace: Laszkiewicz et al., 2024,
https://arxiv.org/abs/2401.13555, of which only the share of the largest group, 82 %, is
confirmed: `load(..., shares=subsample.FLAT_TAIL)` has the others equally often.
"""

import os
import pathlib
from collections.abc import Sequence

from repr_jax.data import labeled_images
from repr_jax.data.dataset import Dataset

RACES = (
    "White",
    "Black",
    "Latino_Hispanic",
    "East Asian",
    "Southeast Asian",
    "Indian",
    "Middle Eastern",
)


def load(
    *,
    path: str | os.PathLike,
    size: int = 128,
    shares: Sequence[float] | None = None,
    num_test: int | None = None,
    attribute: str = "race",
    class_balanced: bool = False,
    seed: int = 0,
    subset_seed: int = 0,
) -> Dataset:
    """The faces of a folder; see the module.

    Args:
      path: the folder.
      size: height and width of images.
      shares: of RACES in "train", all of the first being kept; None for all faces.
      num_test: faces of each group in "test", 200 in the benchmark; None for all.
      attribute: "race", or another column: gender or age, classes in sorted order.
      class_balanced: as of `labeled_images.load`.
      seed: of the order of training. subset_seed: of the choices of faces.

    Raises:
      FileNotFoundError, ValueError: as `labeled_images.read_table` and `load`.
    """
    classes = RACES if attribute == "race" else None
    folder = pathlib.Path(path).expanduser()
    train, test = (
        labeled_images.read_table(
            path=folder / f"fairface_label_{part}.csv",
            attribute=attribute,
            classes=classes,
        )
        for part in ("train", "val")
    )
    return labeled_images.load(
        train=train,
        test=test,
        size=size,
        shares=shares,
        num_test=num_test,
        class_balanced=class_balanced,
        seed=seed,
        subset_seed=subset_seed,
    )
