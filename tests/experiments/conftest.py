"""What the tests of experiments share."""

import numpy as np
import pytest


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
