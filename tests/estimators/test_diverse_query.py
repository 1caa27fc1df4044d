import jax
import numpy as np
import pytest

from repr_jax.estimators import diverse_query

KEY = jax.random.key(0)


def draw():
    rng = np.random.default_rng(30)
    x = rng.normal(size=(6, 2))
    rng.uniform(size=16)
    return x, rng.normal(size=12)


def test_the_first_row_and_what_the_second_is_drawn_from():
    """Probabilities of an independent program, which leaves the first row's 1 in."""
    x, _ = draw()
    distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
    logits = distances[4] / distances.max() / 0.1
    np.testing.assert_allclose(
        np.exp(logits.max()) / np.exp(logits).sum(), 0.4739844, rtol=1e-6
    )
    free = np.exp(logits) * (np.arange(6) != 4)
    keys = jax.random.split(KEY, 4000)

    def rows_of(key):
        return diverse_query.fit(key, x, num_queries=2, temperature=0.1).rows

    rows = np.asarray(jax.jit(jax.vmap(rows_of))(keys))
    assert (rows[:, 0] == 4).all()
    shares = np.bincount(rows[:, 1], minlength=6) / 4000
    np.testing.assert_allclose(shares, free / free.sum(), atol=0.03)


def test_no_row_twice_and_far_apart():
    x = np.repeat(10.0 * np.arange(4)[:, None], 5, axis=0)
    x = x + 0.1 * np.random.default_rng(0).normal(size=x.shape)
    found = diverse_query.fit(KEY, x, num_queries=4).rows
    assert sorted(np.asarray(found) // 5) == [0, 1, 2, 3]
    found = diverse_query.fit(KEY, x, num_queries=20, temperature=1e3).rows
    assert sorted(np.asarray(found)) == [*range(20)]
    with pytest.raises(ValueError, match="num_queries up to 20 rows; got 21"):
        diverse_query.fit(KEY, x, num_queries=21)
    with pytest.raises(ValueError, match="num_queries up to 3 rows; got 4"):
        diverse_query.fit(KEY, x, num_queries=4, where=np.arange(20) < 3)


def test_contamination_of_an_independent_program():
    _, scores = draw()
    queried, labels = np.array([0, 3, 5, 9]), np.array([0, 1, 0, 1])
    spread = scores.max() - scores.min()

    def density(points, at):
        away = (at[:, None] - points[None]) / (spread / 4)
        return np.exp(-(away**2) / 2).mean(axis=1)

    asked = scores[queried]
    ratio = np.mean(labels * density(scores, asked) / density(asked, asked))
    np.testing.assert_allclose(ratio, 0.3468837, rtol=1e-6)
    found = diverse_query.contamination(scores, queried, labels)
    np.testing.assert_allclose(found, (12 * ratio - 2) / 8, rtol=1e-5)
    spoiled = np.append(scores, np.nan)
    where = np.arange(13) < 12
    again = diverse_query.contamination(spoiled, queried, labels, where=where)
    np.testing.assert_allclose(again, found, rtol=1e-6)
    assert diverse_query.contamination(scores, queried, 0 * labels) == 0
    with pytest.raises(ValueError, match=r"queried in \[0, 12\); got 12 in row 3"):
        diverse_query.contamination(scores, queried + np.array([0, 0, 0, 3]), labels)
