"""Ranking with a margin a pair: loops, independent values, and the limits."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import histogram

hardest = jax.jit(losses.soft_margin_ranking)
dynamic = jax.jit(losses.dynamic_soft_margin)
average = jax.jit(losses.soft_margin_ranking_average, static_argnames="chunk_size")


def draw():
    a, b = np.random.default_rng(58).normal(size=(2, 4, 3))
    return a, b, np.array([1, 0.5, 0, 0.8])


def from_the_paper(a, b, clean, margin, over):
    """`over` is max or mean, over all columns, the row's own at 0."""
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    total, rows = 0.0, range(len(a))
    for i in rows:
        m = margin * (10 ** clean[i] - 1) / 9
        for x, y in ((a, b), (b, a)):
            hinges = [max(0, m + x[i] @ y[j] - a[i] @ b[i]) for j in rows if j != i]
            total += over([*hinges, 0.0])
    return total / len(a)


@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_soft_margins_match_the_paper(margin):
    expected = from_the_paper(*draw(), margin, max)
    np.testing.assert_allclose(hardest(*draw(), margin=margin), expected, rtol=1e-5)
    expected = from_the_paper(*draw(), margin, np.mean)
    found = average(*draw(), margin=margin)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    blocks = average(*draw(), margin=margin, chunk_size=3)
    np.testing.assert_allclose(blocks, expected, rtol=1e-5)


def test_soft_margins_have_the_values_of_an_independent_program():
    np.testing.assert_allclose(hardest(*draw()), 0.8795047, rtol=1e-5)
    np.testing.assert_allclose(average(*draw()), 0.3654857, rtol=1e-5)


def test_equal_rows_by_hand_and_pairs_that_rank_well():
    ones = np.ones((3, 2))
    np.testing.assert_allclose(hardest(ones, ones, np.ones(3)), 0.4, rtol=1e-5)
    np.testing.assert_allclose(average(ones, ones, np.ones(3)), 0.8 / 3, rtol=1e-5)
    np.testing.assert_allclose(hardest(ones, ones, np.zeros(3)), 0, atol=1e-6)
    assert hardest(np.eye(3), np.eye(3), np.ones(3)) == 0
    loss = jax.jit(jax.grad(losses.soft_margin_ranking, argnums=2))
    assert not loss(*draw()).any()


def test_a_share_for_each_pair_is_wanted():
    a, b, clean = draw()
    with pytest.raises(ValueError, match=r"soft_margin_ranking: expected clean with 4"):
        losses.soft_margin_ranking(a, b, clean[:-1])


def dynamic_from_the_paper(a, b, old, decay):
    """Distances to the hardest negatives, sorted into ends, as the authors do."""
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    gaps, last = [], len(old) - 1
    for i in range(len(a)):
        others = [j for j in range(len(a)) if j != i]
        far = [np.linalg.norm(a[i] - b[j]) for j in others]
        far += [np.linalg.norm(a[j] - b[i]) for j in others]
        gaps.append(np.linalg.norm(a[i] - b[i]) - min(far))
    new = np.zeros(len(old))
    for gap in gaps:
        place = int(np.floor((gap + 2) / 4 * last))
        upper = (gap + 2) / 4 * last - place
        new[place] += (1 - upper) / len(gaps)
        new[min(place + 1, last)] += upper / len(gaps)
    new = decay * old + (1 - decay) * new if np.any(old) else new
    terms = [sum(new[: int((gap + 2) / 4 * last) + 1]) * gap for gap in gaps]
    return np.mean(terms), new


@pytest.mark.parametrize(("num", "decay"), [(11, 0.5), (512, 0.99)])
def test_dynamic_margins_match_the_paper_over_steps(num, decay):
    """In float64: many ends divide the rounding of a gap by their small width."""
    rng, old = np.random.default_rng(3), np.zeros(num)
    with jax.enable_x64(True):
        carried = jnp.zeros(num)
        for _ in range(3):
            a, b = rng.normal(size=(2, 6, 4))
            expected, old = dynamic_from_the_paper(a, a + b, old, decay)
            found = dynamic(a, a + b, carried, decay=decay)
            np.testing.assert_allclose(found, expected, rtol=1e-9)
            carried = histogram.moving_gaps(carried, a, a + b, decay=decay)
            np.testing.assert_allclose(carried, old, atol=1e-9)


def test_dynamic_margins_by_hand():
    """Gaps 0 - sqrt(2) twice, between the ends -2 and 0 of three."""
    unit = np.eye(2, dtype="f")
    upper = (2 - math.sqrt(2)) / 2
    found = dynamic(unit, unit, np.zeros(3, "f"))
    np.testing.assert_allclose(found, -(1 - upper) * math.sqrt(2), rtol=1e-5)
    old = np.array([0, 0, 1], "f")
    expected = -(1 - upper) * math.sqrt(2) / 4
    np.testing.assert_allclose(
        dynamic(unit, unit, old, decay=0.75), expected, rtol=1e-5
    )


def test_dynamic_weights_have_no_gradient_and_are_larger_for_harder_triplets():
    """With the ends 0 and 1 all alike, the gradient is that of the plain mean."""
    a, b = np.random.default_rng(5).normal(size=(2, 6, 4)).astype("f")
    grad = jax.jit(jax.grad(losses.dynamic_soft_margin, argnums=(0, 2)))
    low = np.eye(21, dtype="f")[0]  # every triplet is harder than all so far
    by_view, by_histogram = grad(a, b, low, decay=1.0)
    assert not by_histogram.any()

    def mean(a):
        return jnp.mean(histogram.hardest_gaps("mean", a, b, None, None)[0])

    np.testing.assert_allclose(by_view, jax.jit(jax.grad(mean))(a), atol=1e-6)
    by_view, _ = grad(a, b, low[::-1], decay=1.0)  # easier than all so far
    assert not by_view.any()


def test_histograms_that_do_not_fit_are_refused():
    a, b = np.random.default_rng(5).normal(size=(2, 6, 4)).astype("f")
    with pytest.raises(ValueError, match=r"dynamic_soft_margin: expected .* rank 1"):
        losses.dynamic_soft_margin(a, b, np.zeros((2, 3), "f"))
    with pytest.raises(ValueError, match="dynamic_soft_margin: expected ends >= 2"):
        losses.dynamic_soft_margin(a, b, np.zeros(1, "f"))
    with pytest.raises(ValueError, match=r"moving_gaps: expected decay in \[0, 1\]"):
        histogram.moving_gaps(np.zeros(3, "f"), a, b, decay=2.0)
    with pytest.raises(TypeError, match="moving_gaps: expected histogram of floats"):
        histogram.moving_gaps(np.zeros(3, int), a, b)
