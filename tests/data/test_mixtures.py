import numpy as np
import pytest

from repr_jax.data import mixtures


def test_modes_are_on_the_circle_and_rows_near_their_own():
    dataset = mixtures.ring(num_modes=5, radius=3.0, spread=0.1, num_examples=400)
    centers = mixtures.ring_centers(5, 3.0)
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 3.0, rtol=1e-6)
    batch = next(dataset.train(400))
    apart = batch["x"] - centers[batch["label"]]
    assert set(batch["label"].tolist()) == set(range(5))
    assert 0.09 < apart.std() < 0.11
    test = next(dataset.evaluate("test", 400))
    assert test["where"].all() and not np.array_equal(test["x"], batch["x"])


def test_impossible_numbers_are_refused():
    for wrong in (dict(num_modes=0), dict(radius=0.0), dict(spread=-1.0)):
        with pytest.raises(ValueError, match=r"mixtures\.ring: expected"):
            mixtures.ring(**wrong)
