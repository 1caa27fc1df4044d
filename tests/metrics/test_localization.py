import itertools

import jax
import numpy as np
import pytest

from repr_jax import metrics


def draw():
    labels = np.zeros((2, 6, 6), int)
    labels[0, 1:3, 1:3], labels[0, 4, 4:6], labels[1, 0:2, 3:6] = 1, 2, 3
    noise = np.random.default_rng(54).uniform(size=(2, 6, 6))
    return np.round(noise, 2) + 0.5 * (labels > 0), labels


def from_the_definition(maps, regions, limit):
    """The curve at every distinct threshold, one mean over regions at a time."""
    points = [(0.0, 0.0)]
    for t in np.unique(maps)[::-1]:
        found = maps >= t
        shares = [found[regions == r].mean() for r in np.unique(regions) if r]
        points.append((found[regions == 0].mean(), np.mean(shares)))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 >= limit:
            break
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            x1 = limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


def test_values_of_an_independent_program():
    maps, labels = draw()
    np.testing.assert_allclose(metrics.aupro(maps, labels), 0.3564815, rtol=1e-6)
    pixels = jax.jit(metrics.auroc)(maps.ravel(), labels.ravel() > 0)
    np.testing.assert_allclose(pixels, 0.7791667, rtol=1e-6)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_matches_the_definition_with_ties(limit):
    rng = np.random.default_rng(0)
    _, labels = draw()
    maps = np.round(rng.uniform(size=labels.shape), 1)
    expected = from_the_definition(maps, labels, limit)
    np.testing.assert_allclose(metrics.aupro(maps, labels, limit=limit), expected)


def test_perfect_random_absent_and_undefined():
    maps, labels = draw()
    assert metrics.aupro((labels > 0).astype(float), labels) == pytest.approx(1)
    rng = np.random.default_rng(0)
    big = np.repeat(np.repeat(labels, 20, axis=1), 20, axis=2)
    chance = metrics.aupro(rng.uniform(size=big.shape), big)
    assert abs(chance - 0.15) < 0.01
    spoiled = maps.copy()
    spoiled[1] = np.nan
    found = metrics.aupro(spoiled, labels, where=np.array([True, False]))
    assert found == metrics.aupro(maps[:1], labels[:1])
    assert np.isnan(metrics.aupro(maps, 0 * labels))
    assert metrics.aupro(np.full_like(maps, np.nan), labels) < 0.16
    with pytest.raises(ValueError, match=r"limit in \(0, 1\]"):
        metrics.aupro(maps, labels, limit=0.0)


def test_regions_are_numbered_over_all_images():
    masks = np.zeros((2, 3, 3), bool)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[1, 0, 0] = True
    found = metrics.regions(masks)
    assert sorted(found[masks]) == [1, 2, 3]
    found = metrics.regions(masks, diagonal=True)
    assert found[0, 0, 0] == found[0, 1, 1] != found[1, 0, 0]


def test_groups_of_clusters_of_an_independent_program():
    errors = np.concatenate(
        [
            0.001 + 0.004 * np.random.default_rng(33).uniform(size=5),
            0.08 + 0.005 * np.random.default_rng(34).uniform(size=2),
            [0.2],
        ]
    )
    errors = np.sort(np.round(errors, 4))
    groups = metrics.changed_clusters(errors, gap=0.02)
    assert groups.max() + 1 == 3
    np.testing.assert_array_equal(np.flatnonzero(groups), [5, 6, 7])
    np.testing.assert_array_equal(
        metrics.changed_clusters(errors[::-1], gap=0.02), groups[::-1]
    )
    assert not metrics.changed_clusters(np.full(4, 0.3)).any()
    assert metrics.changed_clusters(np.zeros(0)).shape == (0,)
