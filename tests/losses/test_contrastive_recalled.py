"""Losses of labels with a memory: it is further columns, without rows or gradient."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import mining, queue

LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 2])
RECALLING = [
    name
    for name in losses.__all__
    if "memory" in inspect.signature(getattr(losses, name)).parameters
]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape or (8, 3)).astype("f")


def stored(size=6):
    """The last place is empty, and holds what does not matter."""
    rows = draw(size, 3, seed=1)
    rows[-1] = np.nan
    return queue.Labeled(rows, np.arange(size) % 4, np.arange(size) < size - 1)


def compiled(name, **options):
    return jax.jit(jax.value_and_grad(partial(getattr(losses, name), **options)))


def test_losses_of_labels_recall():
    assert len(RECALLING) == 9


@pytest.mark.parametrize("name", RECALLING)
def test_a_memory_is_rows_that_do_not_ask(name):
    """As a batch of both, in which pairs of the first rows alone count."""
    x, memory = draw(), stored()
    value, gradient = compiled(name, memory=memory)(x, LABELS)

    def of_both(x):
        rows = jax.lax.stop_gradient(jnp.nan_to_num(memory.rows))
        asks = np.zeros((14, 14), bool)
        asks[:8] = True
        where = np.concatenate([np.ones(8, bool), memory.where])
        both = jnp.concatenate([x, rows]), np.concatenate([LABELS, memory.labels])
        return getattr(losses, name)(*both, pair_where=asks, where=where)

    expected, slope = jax.jit(jax.value_and_grad(of_both))(x)
    # Rows without a pair count as 0 in this mean alone.
    share = 13 / 8 if name == "multi_similarity" else 1.0
    np.testing.assert_allclose(value, share * expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, share * slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", RECALLING)
def test_an_empty_memory_changes_nothing_and_a_stored_row_has_no_gradient(name):
    x, empty = draw(), queue.empty_labeled(5, 3)
    for a, b in zip(compiled(name, memory=empty)(x, LABELS), compiled(name)(x, LABELS)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

    def by_memory(rows):
        memory = stored()._replace(rows=rows)
        return getattr(losses, name)(x, LABELS, memory=memory)

    assert not np.any(jax.grad(by_memory)(np.nan_to_num(stored().rows)))


@pytest.mark.parametrize("name", RECALLING)
def test_a_split_batch_meets_the_memory_once(name):
    x, memory = draw(), stored()
    loss = partial(getattr(losses, name), memory=memory)
    split = jax.jit(jax.vmap(partial(loss, axis_name="data"), axis_name="data"))
    parts = split(x.reshape(4, 2, 3), LABELS.reshape(4, 2))
    np.testing.assert_allclose(parts, np.full(4, loss(x, LABELS)), rtol=1e-5)


@pytest.mark.parametrize("name", ["sup_con", "circle", "generalized_lifted"])
def test_blocks_of_a_memory_change_nothing(name):
    x, memory = draw(), stored()
    options = (
        dict(memory=memory, scale=4.0) if name == "circle" else dict(memory=memory)
    )
    whole = compiled(name, **options)(x, LABELS)
    blocks = compiled(name, **options, chunk_size=3)(x, LABELS)
    for a, b in zip(blocks, whole):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_pairs_with_a_memory_are_mined():
    x, memory = draw(), stored()
    for miner in (mining.informative_pairs, mining.hardest_pairs):
        kept = miner(x, LABELS, memory=memory)
        assert kept.shape == (8, 14) and kept[:, 8:13].any() and not kept[:, 13].any()
        both = dict(memory=memory, pair_where=kept)
        assert losses.sup_con(x, LABELS, **both) != losses.sup_con(
            x, LABELS, memory=memory
        )


def test_memories_that_do_not_fit_are_refused():
    x, memory = draw(), stored()
    with pytest.raises(ValueError, match="sup_con: expected memory of shape"):
        losses.sup_con(x[:, :2], LABELS, memory=memory)
    with pytest.raises(TypeError, match="nca: expected labels of memory"):
        losses.nca(x, LABELS, memory=memory._replace(labels=np.ones(6)))
    with pytest.raises(ValueError, match="circle: expected memory without ring"):
        losses.circle(x, LABELS, memory=memory, ring=True, axis_name="data")
