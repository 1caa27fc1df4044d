"""MSN: loops, by hand, and what gets a gradient."""

import math

import jax
import numpy as np
import pytest

from repr_jax import losses

msn = jax.jit(losses.msn, static_argnames="num_steps")


def draw(views=3, batch=5, dim=4, prototypes=6):
    rng = np.random.default_rng(12)
    anchors, targets = (
        rng.normal(size=(views, batch, dim)),
        rng.normal(size=(batch, dim)),
    )
    return anchors, targets, rng.normal(size=(prototypes, dim))


def shares(x, prototypes, temperature):
    x, prototypes = (
        a / np.linalg.norm(a, axis=-1, keepdims=True) for a in (x, prototypes)
    )
    p = np.exp(x @ prototypes.T / temperature)
    return p / p.sum(axis=-1, keepdims=True)


def msn_in_loops(
    anchors, targets, prototypes, temperature, target, weight, num_steps, prior=None
):
    q = shares(targets, prototypes, target)
    for _ in range(num_steps):
        q = q / q.sum(axis=0, keepdims=True) / len(prototypes)
        q = q / q.sum(axis=1, keepdims=True) / len(targets)
    q *= len(targets)
    p = shares(anchors, prototypes, temperature)
    terms = [-sum(q[b] * np.log(view[b])) for view in p for b in range(len(q))]
    mean = p.mean(axis=(0, 1))
    prior = np.ones(len(mean)) / len(mean) if prior is None else prior
    divergence = sum(m * math.log(m / share) for m, share in zip(mean, prior))
    return np.mean(terms) + weight * divergence


@pytest.mark.parametrize(
    ("temperature", "target", "weight", "num_steps"),
    [(0.1, 0.025, 1.0, 3), (0.5, 0.2, 0.3, 1), (1.0, 1.0, 5.0, 8)],
)
def test_msn_matches_the_paper(temperature, target, weight, num_steps):
    arrays = draw()
    expected = msn_in_loops(*arrays, temperature, target, weight, num_steps)
    options = dict(temperature=temperature, target_temperature=target)
    options |= dict(entropy_weight=weight, num_steps=num_steps)
    np.testing.assert_allclose(msn(*arrays, **options), expected, rtol=1e-5)


def test_prototypes_are_driven_to_the_shares_of_a_prior():
    arrays = draw()
    prior = np.arange(1, 7) ** -0.25
    prior /= prior.sum()
    expected = msn_in_loops(*arrays, 0.1, 0.025, 2.0, 3, prior)
    found = msn(*arrays, entropy_weight=2.0, prior=prior)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    equal = msn(*arrays, prior=np.ones(6) / 6)
    np.testing.assert_allclose(equal, msn(*arrays), rtol=1e-6)
    same = np.ones_like(arrays[2])  # of which all have a share of 1 / 6
    divergence = -np.mean(np.log(6 * prior))
    found = msn(*arrays[:2], same, prior=prior)
    np.testing.assert_allclose(found, math.log(6) + divergence, rtol=1e-5)


def test_values_by_hand():
    anchors, targets, prototypes = draw()
    same = np.ones_like(prototypes)
    np.testing.assert_allclose(msn(anchors, targets, same), math.log(6), rtol=1e-5)
    x = np.eye(4, dtype="f")  # each row has a prototype of its own
    found = msn(x[None], x, x, temperature=0.5)
    np.testing.assert_allclose(found, math.log(1 + 3 * math.exp(-2)), rtol=1e-5)


def test_targets_get_no_gradient_and_prototypes_that_of_the_anchors():
    arrays = draw()
    by_anchors, by_targets, by_prototypes = jax.grad(msn, argnums=(0, 1, 2))(*arrays)
    assert by_anchors.any() and by_prototypes.any() and not by_targets.any()


def test_shapes_that_do_not_fit_are_named():
    anchors, targets, prototypes = draw()
    with pytest.raises(ValueError, match=r"msn: expected targets of shape \(5, 4\)"):
        losses.msn(anchors, targets[:4], prototypes)
    with pytest.raises(ValueError, match="msn: expected prototypes"):
        losses.msn(anchors, targets, prototypes[:, :3])
    with pytest.raises(ValueError, match=r"msn: expected prior of shape \(6,\)"):
        losses.msn(anchors, targets, prototypes, prior=np.ones(5) / 5)
