"""VICRegL: matches and terms in loops, by hand, and the order of patches."""

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops.matching import nearest_patches

vicreg_local = jax.jit(losses.vicreg_local, static_argnames="num_matches")


def draw(batch=5, patches=(6, 4), dim=3):
    rng = np.random.default_rng(9)
    features = [rng.normal(size=(batch, n, dim)) for n in patches]
    return *features, *(rng.normal(size=(batch, n, 2)) for n in patches)


def vicreg_in_loops(a, b, invariance, variance, covariance):
    total = invariance * np.mean((a - b) ** 2)
    for x in (a, b):
        moments = np.cov(x.T)
        deviations = np.sqrt(np.diag(moments) + 1e-4)
        total += variance / 2 * np.mean(np.maximum(0, 1 - deviations))
        off = moments - np.diag(np.diag(moments))
        total += covariance * np.sum(off**2) / len(off)
    return total


def local_in_loops(a, b, places_a, places_b, num_matches, weights):
    total = 0.0
    views = ((a, places_a), (b, places_b))
    for (x, y), num in zip((views, views[::-1]), num_matches):
        for kind in (0, 1):
            kept = []
            for by_x, by_y in zip(x[kind], y[kind]):
                apart = np.linalg.norm(by_x[:, None] - by_y[None], axis=2)
                rows = sorted(range(len(by_x)), key=lambda m: min(apart[m]))[:num]
                kept.append([(m, np.argmin(apart[m])) for m in rows])
            terms = [
                vicreg_in_loops(
                    np.stack([p[k[n][0]] for p, k in zip(x[0], kept)]),
                    np.stack([p[k[n][1]] for p, k in zip(y[0], kept)]),
                    *weights,
                )
                for n in range(len(kept[0]))
            ]
            total += np.mean(terms) / 2
    return total


@pytest.mark.parametrize("num_matches", [(4, 2), (1, 1), (20, 3)])
def test_vicreg_local_matches_the_paper(num_matches):
    weights = (25.0, 25.0, 0.5)
    expected = local_in_loops(*draw(), num_matches, weights)
    found = vicreg_local(*draw(), num_matches=num_matches)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    names = ("invariance_weight", "variance_weight", "covariance_weight")
    found = vicreg_local(
        *draw(), num_matches=num_matches, **dict(zip(names, (1.0, 2.0, 3.0)))
    )
    expected = local_in_loops(*draw(), num_matches, (1.0, 2.0, 3.0))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_nearest_patches_of_a_line_by_hand():
    a = np.array([[[0.0], [10.0], [4.0]]])
    b = np.array([[[3.9], [11.0], [100.0]]])
    places = nearest_patches(a, b, num_matches=2)
    np.testing.assert_array_equal(places, [[[2, 1]], [[0, 1]]])
    assert nearest_patches(a, b, num_matches=9)[0].shape == (1, 3)


def test_equal_patches_in_every_image_have_the_variance_alone():
    """Deviations are sqrt(1e-4) of both views, of features and of places."""
    x = np.ones((5, 4, 3), "f")
    found = vicreg_local(x, x, x, x)
    np.testing.assert_allclose(found, 2 * 25 * 0.99, rtol=1e-5)


def test_the_order_of_patches_does_not_matter():
    a, b, places_a, places_b = draw()
    turned = np.array([2, 0, 3, 1])
    found = vicreg_local(a, b[:, turned], places_a, places_b[:, turned])
    np.testing.assert_allclose(found, vicreg_local(*draw()), rtol=1e-5)
    by_place = jax.grad(lambda p: losses.vicreg_local(a, b, p, places_b))(places_a)
    assert not by_place.any()


def test_places_of_other_patches_are_refused():
    a, b, places_a, places_b = draw()
    with pytest.raises(ValueError, match="vicreg_local: expected places_b of shape"):
        losses.vicreg_local(a, b, places_a, places_b[:, :2])
