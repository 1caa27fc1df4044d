"""Similarity-distance-magnitude against loops, an independent program, and by hand."""

import jax
import numpy as np
import pytest

from repr_jax.estimators import sdm


def draw(num=40, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=num)
    x = rng.normal(size=(num, 4)) + 2 * np.eye(3, 4)[labels]
    predictions = np.where(rng.uniform(size=num) < 0.8, labels, (labels + 1) % 3)
    return x.astype("f"), labels, predictions


def in_loops(x, labels, predictions, queries, guesses, skip, most, classes=3):
    """q and d of queries; skip says whether they are the rows themselves."""

    def look(query, guess, own):
        rest = [j for j in range(len(x)) if j != own]
        far = {j: np.linalg.norm(x[j].astype(float) - query) for j in rest}
        rest.sort(key=far.get)
        run = 0
        for j in rest[:most]:
            if not labels[j] == predictions[j] == guess:
                break
            run += 1
        return run, far[rest[0]]

    fitted = [look(x[i], predictions[i], i) for i in range(len(x))]
    groups = [
        [d for (run, d), y in zip(fitted, labels) if run > 0 and y == c]
        for c in range(classes)
    ]
    found = fitted
    if not skip:
        found = [look(q, g, None) for q, g in zip(queries, guesses)]
    runs = [run for run, _ in found]
    close = [
        min(np.mean(np.array(g) >= d - 1e-6) if g else 0.0 for g in groups)
        for _, d in found
    ]
    return runs, close


@pytest.mark.parametrize("most", [3, 25])
def test_matches_loops(most):
    x, labels, predictions = draw()
    queries, _, guesses = draw(15, 1)
    fitted = sdm.fit(x, labels, predictions, num_classes=3, max_matches=most)
    own = in_loops(x, labels, predictions, x, predictions, True, most)
    np.testing.assert_array_equal(fitted.num_matches, own[0])
    np.testing.assert_allclose(fitted.closeness, own[1], rtol=1e-5)
    q, d = sdm.measure(fitted, queries, guesses, max_matches=most)
    runs, close = in_loops(x, labels, predictions, queries, guesses, False, most)
    np.testing.assert_array_equal(q, runs)
    np.testing.assert_allclose(d, close, rtol=1e-5)


def test_values_of_an_independent_program():
    rng = np.random.default_rng(40)
    logits, labels = rng.normal(size=(2, 3)), np.arange(8) % 2
    x = rng.normal(size=(8, 2)) + 2 * labels[:, None]
    query = rng.normal(size=2) + 2
    sorted_distances = np.sort(rng.uniform(size=10))
    p = sdm.probabilities(logits, np.array([3, 0]), np.array([0.7, 0.2]))
    np.testing.assert_allclose(p[0], [0.2756221, 0.2991658, 0.4252121], rtol=1e-6)
    predictions = np.array([0, 1, 0, 1, 1, 1, 0, 1])
    fitted = sdm.fit(x, labels, predictions, num_classes=2)
    run, _ = sdm.measure(fitted, query[None], np.array([1]))
    assert run[0] == 4
    closeness = jax.jit(sdm._closeness)(
        sorted_distances[None].astype("f"), np.array([10]), np.array([0.4], "f")
    )
    np.testing.assert_allclose(closeness, 0.4)


def test_the_softmax_keeps_the_largest_and_knows_nothing_without_support():
    logits = np.array([[1.0, 2.0, 0.0]])
    usual = sdm.probabilities(logits, np.array([np.e - 2]), np.array([1.0]))
    np.testing.assert_allclose(usual[0], np.exp(logits[0]) / np.exp(logits).sum(), 1e-6)
    none = sdm.probabilities(logits, np.array([0]), np.array([0.0]))
    np.testing.assert_allclose(none, 1 / 3, rtol=1e-6)


def test_a_class_without_matches_leaves_no_row_close():
    x, labels, _ = draw()
    labels = np.minimum(labels, 1)
    fitted = sdm.fit(x, labels, labels, num_classes=3)
    assert (np.asarray(fitted.closeness) == 0).all()


def test_the_region_by_hand():
    """Class 1 has a low output at similarity 1; without it both are high enough."""
    similarity = np.array([1.0, 1.0, 2.0, 2.0, 3.0])
    high = np.array([0.95, 0.2, 0.96, 0.93, 0.99])
    labels = np.array([0, 1, 0, 1, 0])
    outputs = np.stack([np.where(labels == 0, high, 1 - high)] * 2, axis=1)
    outputs[:, 1] = 1 - outputs[:, 0]
    region = sdm.fit_region(similarity, outputs, labels, confidence=0.9)
    assert region.least == 2
    np.testing.assert_allclose(region.thresholds, [0.96, 0.93])
    found = sdm.accept(region, similarity, outputs)
    np.testing.assert_array_equal(found, [False, False, True, True, True])
    nothing = sdm.fit_region(similarity, 0.5 + 0 * outputs, labels, confidence=0.9)
    assert not sdm.accept(nothing, similarity, outputs).any()
    with pytest.raises(ValueError, match="confidence in"):
        sdm.fit_region(similarity, outputs, labels, confidence=0.5)
