import functools

import jax
import numpy as np
import pytest

from repr_jax.estimators import conformal_sets

SCORES = [conformal_sets.least_ambiguous, conformal_sets.cumulated]


def test_scores_by_hand():
    logits = np.log(np.array([[0.2, 0.5, 0.3]]))
    lac, aps = (jax.jit(score)(logits) for score in SCORES)
    np.testing.assert_allclose(lac, [[0.8, 0.5, 0.7]], rtol=1e-6)
    np.testing.assert_allclose(aps, [[1.0, 0.5, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("score", SCORES)
def test_the_threshold_is_the_conformal_quantile_of_the_labels_scores(score):
    logits = np.log(np.array([[0.6, 0.4], [0.7, 0.3], [0.8, 0.2]]))
    labels = np.array([0, 1, 0])
    fit = functools.partial(conformal_sets.fit, score=score)
    fitted = jax.jit(functools.partial(fit, miscoverage=0.25))(logits, labels)
    expected = {"least_ambiguous": 0.7, "cumulated": 1.0}[score.__name__]
    np.testing.assert_allclose(fitted.threshold, expected, rtol=1e-6)
    fitted = jax.jit(functools.partial(fit, miscoverage=0.1))(logits, labels)
    assert conformal_sets.sets(fitted, logits, score=score).all()


@pytest.mark.parametrize("score", SCORES)
def test_sets_cover_even_if_the_classifier_is_wrong(score):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6000, 5)).astype("f")
    labels = np.array(
        [
            rng.choice(5, p=p)
            for p in np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        ]
    )
    bad = 3 * logits + 1  # overconfident
    options = dict(miscoverage=0.1, score=score)
    fit = jax.jit(functools.partial(conformal_sets.fit, **options))
    sets = jax.jit(functools.partial(conformal_sets.sets, score=score))
    found = np.asarray(sets(fit(bad[:1000], labels[:1000]), bad[1000:]))
    covered = found[np.arange(5000), labels[1000:]].mean()
    assert abs(covered - 0.9) < 0.03
    assert found.mean() < 0.95


def test_errors():
    with pytest.raises(ValueError, match=r"labels in \[0, 3\); got 3 in row 1"):
        conformal_sets.fit(np.ones((2, 3)), np.array([0, 3]), miscoverage=0.1)
