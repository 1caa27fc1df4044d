"""Events of three types, of which two are coupled: which combinations are odd?"""

import jax
import numpy as np
import pytest

from repr_jax import metrics
from repr_jax.estimators import event_embedding
from repr_jax.ops import events

NUM = 9  # entities of each type; the last is never seen


@pytest.fixture(scope="module")
def fitted():
    """Types 1 and 2 fall into the same of two groups; type 0 is drawn alone."""
    x = draw(np.random.default_rng(0), 1500)
    fitted = event_embedding.fit(
        jax.random.key(0), x, num_entities=NUM, dim=4, num_steps=400, batch_size=128
    )
    return jax.tree.map(np.asarray, fitted)


def draw(rng, num):
    group = rng.integers(2, size=num)
    coupled = 4 * group[:, None] + rng.integers(4, size=(num, 2))
    return np.concatenate([rng.integers(8, size=(num, 1)), coupled], axis=1)


def test_illegal_pairs_score_higher_and_the_coupled_pair_has_the_weight(fitted):
    rng = np.random.default_rng(1)
    legal, illegal = draw(rng, 300), draw(rng, 300)
    illegal[:, 2] = (illegal[:, 2] + 4) % 8
    both = np.concatenate([legal, illegal])
    scores = jax.jit(event_embedding.score)(fitted, both)
    assert jax.jit(metrics.auroc)(scores, np.arange(600) >= 300) > 0.98
    spread = [  # of the products of each pair
        w * np.std(fitted.embeddings[i, :8] @ fitted.embeddings[j, :8].T)
        for w, (i, j) in zip(fitted.weights, [(0, 1), (0, 2), (1, 2)])
    ]
    assert np.argmax(spread) == 2
    assert (fitted.weights >= 0).all()
    assert fitted.losses[-50:].mean() < fitted.losses[:10].mean()


def test_an_entity_that_was_not_seen_is_the_mean_of_its_type(fitted):
    np.testing.assert_allclose(
        fitted.embeddings[:, 8], fitted.embeddings[:, :8].mean(axis=1), rtol=1e-4
    )


def test_errors(fitted):
    with pytest.raises(ValueError, match=r"x in \[0, 9\); got 9 in row 1"):
        event_embedding.score(fitted, np.array([[0, 0, 0], [1, 2, 9]]))
    traced = jax.jit(event_embedding.score)(fitted, np.array([[0, 0, 0], [1, 2, 9]]))
    np.testing.assert_array_equal(np.isnan(traced), [False, True])
    with pytest.raises(ValueError, match=r"score: expected events in \[0, 9\); got 9"):
        events.score(fitted.embeddings, fitted.weights, np.array([1, 2, 9]))
    with pytest.raises(TypeError, match="x of integers"):
        event_embedding.fit(jax.random.key(0), np.ones((4, 2)), num_entities=2)
