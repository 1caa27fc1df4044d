"""CKA and effective rank against float64, their invariances, padded and split rows."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax import metrics, sharding

linear_cka, effective_rank = (
    jax.jit(metrics.linear_cka),
    jax.jit(metrics.effective_rank),
)
rankme = jax.jit(metrics.rankme, static_argnames="epsilon")


def cka_of_kernels(x, y):
    """Eq. 3 of the paper: HSIC of the two Gram matrices, in float64."""
    n = len(x)
    center = np.eye(n) - np.ones((n, n)) / n

    def hsic(a, b):
        return np.trace(a @ center @ b @ center)

    k, m = (a.astype(np.float64) @ a.T.astype(np.float64) for a in (x, y))
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def rank_by_hand(x, epsilon=0.0):
    values = np.linalg.svd(np.asarray(x, np.float64), compute_uv=False)
    p = values / values.sum() + epsilon
    return np.exp(-sum(q * np.log(q) for q in p if q > 0))


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6)).astype(np.float32) + 3
    y = (x[:, :4] @ rng.normal(size=(4, 5)) + rng.normal(size=(40, 5))).astype("f")
    return x, y


def test_cka_is_that_of_the_gram_matrices(pair):
    expected = cka_of_kernels(*pair)
    assert 0.1 < expected < 0.9
    np.testing.assert_allclose(linear_cka(*pair), expected, rtol=1e-5)
    np.testing.assert_allclose(linear_cka(*pair[::-1]), expected, rtol=1e-5)


def test_cka_ignores_rotation_scale_and_shift_but_not_stretching(pair):
    x, y = pair
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    expected = linear_cka(x, y)
    for scale in (1e-8, 1.0, 1e8):
        moved = (scale * (x @ turn + 2)).astype("f")
        np.testing.assert_allclose(linear_cka(moved, y), expected, rtol=1e-4)
        np.testing.assert_allclose(linear_cka(moved, x), 1.0, rtol=1e-5)
    stretched = x * np.array([30, 1, 1, 1, 1, 1], "f")
    assert linear_cka(stretched, x) < 0.8


def test_cka_of_orthogonal_columns_is_0_and_of_what_does_not_vary_undefined():
    x = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], "f")
    assert linear_cka(x[:, :1], x[:, 1:]) == 0
    assert np.isnan(linear_cka(x, np.full((4, 3), 5, "f")))


def test_cka_has_the_value_of_an_independent_program():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(20, 4)), rng.normal(size=(20, 3))
    np.testing.assert_allclose(linear_cka(x, y), 0.1041152, rtol=1e-5)


def test_effective_rank_by_hand_and_of_a_known_matrix():
    """2.379116 was computed in float64 by another program."""
    x = np.random.default_rng(9).normal(size=(10, 4)) * [3, 1, 0.3, 0.1]
    for function in (effective_rank, rankme):
        np.testing.assert_allclose(function(x.astype("f")), 2.379116, rtol=1e-5)
        np.testing.assert_allclose(function(np.eye(7, dtype="f")), 7.0, rtol=1e-5)
        np.testing.assert_allclose(function(np.ones((9, 3), "f")), 1.0, atol=1e-4)
        assert function(np.zeros((4, 3), "f")) == 0
    wide = np.random.default_rng(0).normal(size=(5, 12)).astype("f")
    found = effective_rank(wide)
    np.testing.assert_allclose(found, rank_by_hand(wide), rtol=1e-5)
    assert found < 5


@pytest.mark.parametrize("epsilon", [1e-7, 1e-3, 0.1])
def test_rankme_adds_epsilon_to_every_share(epsilon):
    x = np.diag([3.0, 1.0, 0.0]).astype("f")
    expected = rank_by_hand(x, epsilon)
    found = float(rankme(x, epsilon=epsilon))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    if epsilon > 1e-5:
        assert abs(found - float(effective_rank(x))) > 1e-3


def test_rank_ignores_rotation_and_scale(pair):
    x, _ = pair
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    for scale in (1e-30, 1e30):
        moved = (scale * (x @ turn)).astype("f")
        expected = effective_rank(x)
        np.testing.assert_allclose(effective_rank(moved), expected, rtol=1e-5)


MEASURES = {
    "linear_cka": metrics.linear_cka,
    "effective_rank": lambda x, y, **rest: metrics.effective_rank(x, **rest),
    "rankme": lambda x, y, **rest: metrics.rankme(x, epsilon=0.01, **rest),
}


@pytest.mark.parametrize("name", MEASURES)
def test_absent_rows_are_as_good_as_deleted_on_any_number_of_devices(name, pair):
    """Also with fewer present rows than dimensions."""
    measure, jitted = MEASURES[name], jax.jit(MEASURES[name])
    for keep in (np.arange(40) % 3 > 0, np.arange(40) % 10 == 4):
        expected = jitted(*(a[keep] for a in pair))
        dirty = [np.where(keep[:, None], a, np.nan) for a in pair]
        np.testing.assert_allclose(jitted(*dirty, where=keep), expected, rtol=1e-5)
        run = jax.jit(
            jax.shard_map(
                lambda x, y, w: measure(x, y, where=w, axis_name="data"),
                mesh=sharding.make_mesh(jax.devices()[:4]),
                in_specs=P("data"),
                out_specs=P(),
                check_vma=False,
            )
        )
        np.testing.assert_allclose(run(*dirty, keep), expected, rtol=1e-5)


@pytest.mark.parametrize("name", MEASURES)
def test_what_cannot_be_measured_is_an_error(name, pair):
    x, y = pair
    measure = MEASURES[name]
    with pytest.raises(ValueError, match=f"{name}: expected x finite"):
        measure(np.where(np.arange(40)[:, None] == 3, np.nan, x), y)
    with pytest.raises(TypeError, match=f"{name}: expected x of floats"):
        measure(np.ones((4, 2), int), np.ones((4, 2), "f"))
    with pytest.raises(ValueError, match=name):
        measure(x[0], y[0])
    nothing = jax.jit(measure)(x, y, where=np.zeros(40, bool))
    assert np.isnan(nothing) if name == "linear_cka" else nothing == 0


def test_the_two_of_cka_have_the_same_rows(pair):
    with pytest.raises(ValueError, match="linear_cka: expected y with 40 rows"):
        metrics.linear_cka(pair[0], pair[1][:39])
    with pytest.raises(ValueError, match="rankme: expected epsilon > 0"):
        metrics.rankme(pair[0], epsilon=0.0)
    np.testing.assert_allclose(
        linear_cka(pair[0], pair[1][:, :1]),
        cka_of_kernels(pair[0], pair[1][:, :1]),
        rtol=1e-5,
    )
