"""Guided and focal losses against float64 loops, by hand, and what they leave out."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import mixing

gist, focal, info_nce = map(
    jax.jit, (losses.gist, losses.focal_info_nce, losses.info_nce)
)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def draw():
    return np.random.default_rng(20).normal(size=(6, 5, 3))


def gist_in_loops(q, k, guide_q, guide_k, n, guide_n, temperature, margin):
    """Candidates of every row, one after the other, less what the guide refuses."""
    q, k, n, guide_q, guide_k, guide_n = map(unit, (q, k, n, guide_q, guide_k, guide_n))
    terms, rows = [], range(len(q))
    for i in rows:
        limit = guide_q[i] @ guide_k[i] - margin
        candidates = [(q[i] @ k[j], guide_q[i] @ guide_k[j]) for j in rows if j != i]
        candidates += [(q[i] @ q[j], guide_q[i] @ guide_q[j]) for j in rows if j != i]
        candidates += [(k[i] @ k[j], guide_k[i] @ guide_k[j]) for j in rows if j != i]
        candidates += [(q[i] @ a, guide_q[i] @ b) for a, b in zip(n, guide_n)]
        kept = [s for s, guide in candidates if not guide > limit]
        own = q[i] @ k[i]
        terms.append(math.log(1 + sum(math.exp((s - own) / temperature) for s in kept)))
    return np.mean(terms)


@pytest.mark.parametrize("margin", [-0.3, 0.0, 0.2])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_gist_matches_the_paper(margin, temperature):
    q, k, guide_q, guide_k, n, guide_n = draw()
    options = dict(temperature=temperature, margin=margin)
    hard = dict(negatives=n, guide_negatives=guide_n)
    expected = gist_in_loops(*draw(), **options)
    found = gist(q, k, guide_q, guide_k, **hard, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    none = np.zeros((0, 3))
    expected = gist_in_loops(q, k, guide_q, guide_k, none, none, **options)
    found = gist(q, k, guide_q, guide_k, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_gist_has_the_stated_values():
    q, k, guide_q, guide_k, n, guide_n = draw()
    four = (q, k, guide_q, guide_k)
    hard = dict(negatives=n, guide_negatives=guide_n)
    np.testing.assert_allclose(gist(*four, temperature=0.1), 3.752304, rtol=1e-5)
    found = gist(*four, **hard, temperature=0.1)
    np.testing.assert_allclose(found, 4.143248, rtol=1e-5)
    found = gist(*four, temperature=0.1, margin=0.2)
    np.testing.assert_allclose(found, 1.032593, rtol=1e-5)


def test_a_guide_that_knows_no_likeness_filters_nothing():
    """Equal guide rows of a pair are orthogonal to all others."""
    q, k = draw()[:2].astype("f")
    guide = np.eye(5, dtype="f")
    found = gist(q, k, guide, guide, temperature=0.5)
    no_guide = np.zeros((0, 3))
    expected = gist_in_loops(q, k, guide, guide, no_guide, np.zeros((0, 5)), 0.5, 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found > info_nce(q, k, temperature=0.5)  # which has the keys alone
    assert gist(q, k, guide, guide, margin=np.inf) == 0
    same = np.ones((5, 3), "f")
    np.testing.assert_allclose(gist(same, same, guide, guide), math.log(13), rtol=1e-6)


def test_a_planted_duplicate_is_no_negative_and_the_guide_has_no_gradient():
    q, k, guide_q, guide_k, _, _ = draw().astype("f")
    guide_q[1] = guide_k[0] = guide_k[1] = guide_q[0]
    gradient = jax.jit(jax.grad(losses.gist, argnums=(0, 1, 2, 3)))
    *_, by_guide_q, by_guide_k = gradient(q, k, guide_q, guide_k, margin=0.01)
    assert not np.any(by_guide_q) and not np.any(by_guide_k)
    four = (q, k, guide_q, guide_k)
    assert gist(*four, margin=0.01, where=np.arange(5) < 2) == 0
    assert gist(*four, margin=0.01, where=np.arange(5) < 3) > 0


def test_focal_matches_the_paper():
    rng = np.random.default_rng(44)
    q, k, n = (rng.normal(size=s) for s in ((4, 3), (4, 3), (4, 2, 3)))
    candidates = [*unit(k), *unit(n.reshape(-1, 3))]
    for gamma in (0.0, 0.5, 2.0):
        terms = []
        for i, query in enumerate(unit(q)):
            scores = [math.exp(query @ c / 0.1) for c in candidates]
            p = scores[i] / sum(scores)
            terms.append(-((1 - p) ** gamma) * math.log(p))
        found = focal(q, k, n, gamma=gamma, temperature=0.1)
        np.testing.assert_allclose(found, np.mean(terms), rtol=1e-5)
    np.testing.assert_allclose(
        focal(q, k, n, temperature=0.1, gamma=0.0), 12.37352, rtol=1e-5
    )
    np.testing.assert_allclose(focal(q, k, n, temperature=0.1), 12.37327, rtol=1e-5)
    pair = jax.jit(mixing.between)(n[:, 0], n[:, 1], 0.3)
    of_all = jax.jit(mixing.listwise)(q, n, temperature=0.1)
    for mixed, expected in ((pair, 12.53077), (of_all, 12.77951)):
        more = np.concatenate([n, np.asarray(mixed)[:, None]], axis=1)
        np.testing.assert_allclose(focal(q, k, more, temperature=0.1), expected, 1e-5)


def test_focal_without_a_weight_or_negatives_is_info_nce():
    q, k = draw()[:2]
    expected = info_nce(q, k, temperature=0.2)
    found = focal(q, k, gamma=0.0, temperature=0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    same = np.ones((4, 3), "f")  # p = 1/4, by hand
    expected = 0.75**0.5 * math.log(4)
    np.testing.assert_allclose(focal(same, same), expected, rtol=1e-5)


def test_the_weight_has_no_gradient():
    """Of two equal pairs both have p = 1/2, and slopes of half those of info_nce."""
    rows = np.eye(2, dtype="f")
    same = np.ones((2, 2), "f")
    slope = jax.jit(jax.grad(losses.focal_info_nce))
    plain = jax.jit(jax.grad(losses.info_nce))(same, rows, temperature=0.01)
    found = slope(same, rows, gamma=1.0)
    np.testing.assert_allclose(found, 0.5 * np.asarray(plain), rtol=1e-5)


def test_bad_arguments_are_named():
    q, k, guide_q, guide_k, n, _ = draw()
    with pytest.raises(ValueError, match="gist: expected guide_negatives with negativ"):
        losses.gist(q, k, guide_q, guide_k, negatives=n)
    with pytest.raises(ValueError, match="gist: expected guide_queries with 5 rows"):
        losses.gist(q, k, guide_q[1:], guide_k[1:])
    with pytest.raises(ValueError, match="focal_info_nce: expected negatives of shape"):
        losses.focal_info_nce(q, k, n)
    with pytest.raises(ValueError, match="focal_info_nce: expected gamma >= 0; got -1"):
        losses.focal_info_nce(q, k, gamma=-1)
