"""Label-agnostic forgetting: loops, an oracle of sums, and where minimizing leads."""

import jax
import numpy as np
import pytest

from repr_jax import losses

forget_align, forget_extract = map(
    jax.jit, (losses.forget_align, losses.forget_extract)
)

ABSENT = np.zeros(2, bool)


def draw():
    rng = np.random.default_rng(55)
    return [rng.normal(size=(n, 4)) for n in (3, 3, 2, 2)]


def cos(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_sums_of_an_independent_program():
    """There rows are summed; here each part is a mean of its rows."""
    arrays = draw()
    eager = losses.forget_extract  # three programs would round apart
    kept = float(eager(*arrays, forget_where=ABSENT))
    gone = float(eager(*arrays, where=np.zeros(3, bool)))
    np.testing.assert_allclose(3 * kept + 2 * gone, 2.57877, rtol=1e-5)
    np.testing.assert_allclose(eager(*arrays), kept + gone, rtol=1e-6)
    align = forget_align(*arrays, temperature=5.0)
    np.testing.assert_allclose(3 * float(align), 1.480126, rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 20.0])
def test_match_loops(temperature):
    remain, remain_other, forget, forget_other = (
        np.random.default_rng(i).normal(size=(5 + i // 2, 3)) for i in range(4)
    )
    remain_other, forget_other = remain_other[:5], forget_other[:6]
    arrays = remain, remain_other, forget, forget_other
    phi = [
        np.mean([np.exp(m / (m + 1)) for m in np.sum((a - b) ** 2, axis=1)])
        for a, b in ((remain, remain_other), (forget, forget_other))
    ]
    np.testing.assert_allclose(forget_extract(*arrays), phi[0] - phi[1], rtol=1e-5)
    moved = sum(
        np.exp((1 - cos(a, b)) / temperature) for a, b in zip(forget, forget_other)
    )
    turned = np.mean([1 - cos(a, b) for a, b in zip(remain, remain_other)])
    found = forget_align(*arrays, temperature=temperature)
    np.testing.assert_allclose(found, turned - np.log(moved), rtol=1e-5)


def test_arrays_are_named_where_they_do_not_fit():
    remain, other, forget, _ = draw()
    with pytest.raises(ValueError, match=r"forget \(2, 4\), forget_reconstructed \(3"):
        losses.forget_extract(remain, other, forget, other)
    with pytest.raises(ValueError, match=r"remain \(3, 4\), remain_original \(2, 4\)"):
        losses.forget_align(remain, forget, forget, forget)


def test_by_hand_and_what_gets_a_gradient():
    x, y = draw()[:2]
    assert losses.forget_extract(x, y, x, y) == 0  # op by op, both round alike
    still = forget_align(x, x, y, y)
    np.testing.assert_allclose(still, -np.log(3), rtol=1e-5)
    arrays = draw()
    pull = jax.jit(jax.grad(losses.forget_align, argnums=(0, 1, 2, 3)))
    slopes = [np.asarray(slope) for slope in pull(*arrays)]
    assert [bool(np.any(g)) for g in slopes] == [True, False, True, False]
    away = arrays[2] - 0.1 * slopes[2]  # a step moves what is forgotten away
    before, after = (
        np.mean([cos(a, b) for a, b in zip(f, arrays[3])]) for f in (arrays[2], away)
    )
    assert after < before
