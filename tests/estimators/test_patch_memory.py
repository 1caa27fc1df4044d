import jax
import numpy as np
import pytest

from repr_jax.estimators import patch_memory
from repr_jax.estimators.patch_memory import PatchMemory
from repr_jax.ops.coreset import k_center

centers_of = jax.jit(k_center, static_argnums=1)
reweighted = jax.jit(patch_memory.reweighted_score, static_argnames="num_neighbors")


def draw():
    rng = np.random.default_rng(34)
    bank, anomalous = rng.normal(size=(10, 3)), rng.normal(size=(4, 3)) + 2
    memories = [PatchMemory(x.astype("f")) for x in (bank, anomalous)]
    return *memories, (rng.normal(size=(6, 3)) + 1)[None]


def test_scores_of_an_independent_program():
    bank, anomalous, patches = draw()
    found = jax.jit(patch_memory.score)(bank, patches)
    np.testing.assert_allclose(found, [1.98029], rtol=1e-5)
    found = reweighted(bank, patches, num_neighbors=3)
    np.testing.assert_allclose(found, [1.485705], rtol=1e-5)
    found = jax.jit(patch_memory.labeled_score)(bank, anomalous, patches)
    np.testing.assert_allclose(found, [1.566768], rtol=1e-5)


def test_what_is_remembered_scores_0_and_images_are_scored_one_by_one():
    bank, _, patches = draw()
    own = jax.jit(patch_memory.score)(bank, bank.x[None])
    np.testing.assert_allclose(own, 0, atol=1e-6)
    images = np.concatenate([patches, 2 * patches])
    both = reweighted(bank, images)
    alone = [np.asarray(reweighted(bank, x[None]))[0] for x in images]
    np.testing.assert_allclose(both, alone, rtol=1e-5)


def test_a_coreset_of_all_rows_is_all_and_of_few_covers_the_clusters():
    rng = np.random.default_rng(0)
    x = (np.repeat(10 * np.eye(4), 25, axis=0) + rng.normal(size=(100, 4))).astype("f")
    fit = jax.jit(patch_memory.fit, static_argnames="num_rows")
    few = fit(jax.random.key(0), x, num_rows=4)
    assert len(np.unique(np.argmax(np.asarray(few.x), axis=1))) == 4
    every = fit(jax.random.key(0), x, num_rows=100)
    np.testing.assert_array_equal(np.sort(every.x, axis=0), np.sort(x, axis=0))


def test_a_coreset_of_an_independent_program():
    x = np.random.default_rng(35).normal(size=(12, 2))
    np.testing.assert_array_equal(centers_of(x, 4), [0, 6, 5, 7])
    where = np.arange(12) != 6
    spoiled = np.where(where[:, None], x, np.nan)
    found = k_center(spoiled, 4, where=where)
    kept = np.flatnonzero(where)
    np.testing.assert_array_equal(found, kept[np.asarray(centers_of(x[where], 4))])
    np.testing.assert_array_equal(centers_of(spoiled, 4), found)
    assert sorted(np.asarray(centers_of(np.zeros((5, 2)), 5))) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="num up to 12 rows; got 13"):
        k_center(x, 13)
