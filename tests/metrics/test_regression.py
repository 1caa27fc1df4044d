"""R2 against loops, its limits, and batches that are padded or split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from sklearn.metrics import r2_score

from repr_jax import metrics, sharding

r2, variance_share = jax.jit(metrics.r2), jax.jit(metrics.variance_share)
spearman = jax.jit(metrics.spearman)


def r2_in_loops(predictions, targets):
    """1 - residual / spread, coordinate by coordinate in float64."""
    n, dim = targets.shape
    total = 0.0
    for k in range(dim):
        mean = sum(float(targets[i, k]) for i in range(n)) / n
        spread = sum((float(targets[i, k]) - mean) ** 2 for i in range(n))
        residual = sum(
            (float(targets[i, k]) - float(predictions[i, k])) ** 2 for i in range(n)
        )
        total += 1 - residual / spread
    return total / dim


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    targets = (rng.normal(size=(24, 3)) * [1, 10, 0.1] + 5).astype(np.float32)
    return (targets + 0.3 * rng.normal(size=(24, 3))).astype(np.float32), targets


def test_r2_matches_loops_and_scikit_learn(pair):
    value = r2(*pair)
    assert value.shape == () and value.dtype == jnp.float32
    np.testing.assert_allclose(value, r2_in_loops(*pair), rtol=1e-4)
    np.testing.assert_allclose(value, r2_score(pair[1], pair[0]), rtol=1e-4)


def test_r2_by_hand():
    y = np.array([0.0, 2.0])
    assert r2(y, y) == 1.0
    assert r2(np.ones(2), y) == 0.0  # the mean
    assert r2(np.array([2.0, 0.0]), y) == -3.0  # residual 8, spread 2
    constant = np.array([[0.0, 3.0], [2.0, 3.0]])
    assert r2(constant, constant) == 1.0
    assert r2(constant + np.array([[0.0, 1.0]]), constant) == 0.5


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
def test_r2_of_a_constant_that_has_no_exact_mean(transform):
    y = np.full((7, 1), 0.1, np.float32)
    r2 = transform(metrics.r2)
    assert r2(y + np.float32(0.5), y) == 0
    assert r2(y + np.float32(1e-25), y * 0) == 0
    assert r2(y, y) == 1


@pytest.mark.parametrize("offset, scale", [(2000, 1), (1e5, 1), (0, 1e-25), (0, 1e25)])
def test_r2_at_any_place_and_scale(offset, scale):
    rng = np.random.default_rng(0)
    y = (offset + scale * rng.normal(size=(20_000, 2))).astype("f")
    predictions = (y + 0.3 * scale * rng.normal(size=y.shape)).astype("f")
    expected = r2_score(y.astype(float), predictions.astype(float))
    np.testing.assert_allclose(r2(predictions, y), expected, rtol=1e-5)


def test_r2_of_what_is_not_finite():
    y = np.arange(4, dtype="f")
    bad = np.where(y == 2, np.nan, y)
    with pytest.raises(ValueError, match=r"r2: expected predictions finite; .* row 2"):
        metrics.r2(bad, y)
    for pair in ((bad, y), (y, bad), (bad, y * 0), (y, bad * 0)):
        assert np.isnan(r2(*pair))


def test_absent_rows_are_as_good_as_deleted(pair):
    where = np.arange(24) % 5 > 0
    spoiled = [np.where(where[:, None], x, np.nan) for x in pair]
    value = r2(*spoiled, where=where)
    np.testing.assert_allclose(value, r2(*(x[where] for x in pair)), rtol=1e-6)


def test_split_batch_has_the_r2_of_the_whole(pair):
    where = np.arange(24) % 5 > 0
    mesh = sharding.make_mesh(jax.devices()[:4])
    split = jax.shard_map(
        lambda p, y, w: metrics.r2(p, y, where=w, axis_name="data"),
        mesh=mesh,
        in_specs=P("data"),
        out_specs=P(),
    )
    found = jax.jit(split)(*pair, where)
    np.testing.assert_allclose(found, r2(*pair, where=where), rtol=1e-6)


def test_wrong_inputs_are_refused(pair):
    with pytest.raises(ValueError, match="r2: expected one shape"):
        metrics.r2(pair[0][:, :2], pair[1])
    with pytest.raises(TypeError, match="of floats"):
        metrics.r2(jnp.arange(3), jnp.arange(3))


def bits_and_hidden():
    n = np.arange(16)
    features = 2.0 * np.stack([n % 2, n // 2 % 2, n // 4 % 2], axis=1) - 1
    rng = np.random.default_rng(44)
    return 2 * features @ rng.normal(size=(3, 5)) + rng.normal(size=(16, 5)), features


def test_variance_shares_of_an_independent_program():
    hidden, features = bits_and_hidden()
    found = np.asarray(variance_share(hidden, features))
    np.testing.assert_allclose(found, [0.4387588, 0.2549165, 0.2096677], rtol=1e-5)
    assert found.sum() <= 1


def test_variance_shares_ignore_rotation_absent_rows_and_what_is_constant():
    hidden, features = bits_and_hidden()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    expected = variance_share(hidden, features)
    found = variance_share(5 * hidden @ turn + 3, 2 * features - 1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for unit in (1e-25, 1e25):  # whose squares float32 does not hold
        found = variance_share(unit * hidden, unit * features)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    where = np.arange(16) % 5 > 0
    spoiled = np.where(where[:, None], hidden, np.nan)
    found = variance_share(spoiled, features, where=where)
    expected = variance_share(hidden[where], features[where])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    constant = np.ones((16, 1))
    assert (np.asarray(variance_share(hidden, constant)) == 0).all()


def test_spearman_of_an_independent_program_with_ties_and_absent_entries():
    rng = np.random.default_rng(49)
    a = rng.normal(size=12)
    b = np.round(a + 0.5 * rng.normal(size=12))
    found = spearman(a, b)
    np.testing.assert_allclose(found, 0.9068504, rtol=1e-6)
    np.testing.assert_allclose(spearman(np.exp(a), b), found, rtol=1e-6)
    where = np.arange(12) % 4 > 0
    spoiled = np.where(where, a, np.nan)
    expected = spearman(a[where], b[where])
    np.testing.assert_allclose(spearman(spoiled, b, where=where), expected)
    assert np.isnan(spearman(a, np.ones(12)))
    assert np.isnan(spearman(spoiled, b))
