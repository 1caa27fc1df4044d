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
