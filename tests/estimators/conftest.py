"""What the tests of estimators share."""

from typing import NamedTuple

import numpy as np
import pytest


class Blobs(NamedTuple):
    x: np.ndarray  # [160, 8] float32
    labels: np.ndarray  # [160] int, in {0, 1, 2, 3}


@pytest.fixture(scope="session")
def blobs():
    """Four clouds of forty rows, ten times as far apart as they are wide."""
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 4
    centers = 3 * np.linalg.qr(rng.normal(size=(8, 8)))[0][:4]
    x = centers[labels] + 0.15 * rng.normal(size=(160, 8))
    return Blobs(x.astype(np.float32), labels)


@pytest.fixture(scope="session")
def four_kinds():
    """(num, seed) -> images [num, 6, 6, 1], kinds [num]: two halves lit or not.

    Of the four kinds 0 and 1, and 2 and 3, are near.
    """

    def draw(num=160, seed=0):
        rng = np.random.default_rng(seed)
        kind = np.arange(num) % 4
        x = 0.05 * rng.random((num, 6, 6, 1))
        x[kind >= 2, :, :3] += 0.9
        x[kind % 2 == 1, :2, 3:] += 0.6
        return x.astype(np.float32), kind

    return draw


@pytest.fixture(scope="session")
def six_rows():
    """[6, 4] logits, the tree of which is worked out by hand."""
    return np.log(
        [
            [0.60, 0.30, 0.06, 0.04],
            [0.50, 0.40, 0.03, 0.07],
            [0.20, 0.70, 0.04, 0.06],
            [0.05, 0.05, 0.80, 0.10],
            [0.10, 0.10, 0.20, 0.60],
            [0.05, 0.20, 0.05, 0.70],
        ]
    )
