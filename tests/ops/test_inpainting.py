import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.ops.inpainting import checkerboards, inpaint_iterations


def mean_of_the_rest(images, mask):
    mean = jnp.sum(images) / jnp.sum(~mask)
    return jnp.full(images.shape, mean)


def draw():
    x = 0.1 * np.random.default_rng(31).normal(size=(5, 5))
    x[1:3, 1:3] += 2
    return x


def test_values_of_an_independent_program():
    mask, residual = inpaint_iterations(
        mean_of_the_rest, draw(), threshold=0.9, num_rounds=3
    )
    assert mask.sum() == 4 and np.asarray(mask)[1:3, 1:3].all()
    np.testing.assert_allclose(residual.max(), 2.125212, rtol=1e-6)


def test_a_round_sees_the_mask_before_and_a_high_threshold_leaves_it_empty():
    first = inpaint_iterations(mean_of_the_rest, draw(), threshold=0.9, num_rounds=1)
    second = inpaint_iterations(mean_of_the_rest, draw(), threshold=0.9, num_rounds=2)
    assert second[1].max() > first[1].max()  # the mean is no longer pulled up
    mask, _ = inpaint_iterations(mean_of_the_rest, draw(), threshold=9.0)
    assert not mask.any()
    with pytest.raises(TypeError, match="images of floats"):
        inpaint_iterations(mean_of_the_rest, np.ones((2, 2), int), threshold=1.0)


def test_boards_have_blocks_in_turn_and_swap_colors():
    boards = checkerboards(3, 5, 4, block=2)
    assert boards.shape == (3, 5, 4) and boards.dtype == bool
    for n in range(3):
        for i in range(5):
            for j in range(4):
                assert boards[n, i, j] == ((n + i // 2 + j // 2) % 2 == 0)
    np.testing.assert_array_equal(boards[0], ~boards[1])
    with pytest.raises(ValueError, match="checkerboards: expected block >= 1"):
        checkerboards(1, 4, 4, block=0)
