"""SwAV: loops, an oracle, by hand, the queue, and codes without gradient."""

from functools import partial

import jax
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import prototypes

swav = jax.jit(losses.swav, static_argnames="num_global")

rng = np.random.default_rng(0)
VIEWS = rng.normal(size=(4, 6, 3)).astype("f")
PROTOTYPES = rng.normal(size=(5, 3)).astype("f")
QUEUE = rng.normal(size=(2, 7, 3)).astype("f")


def unit(x):
    x = np.asarray(x, np.float64)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def codes(scores, epsilon, num_steps):
    """The loop of the published code: prototypes, then rows."""
    q = np.exp(scores / epsilon)
    q /= q.sum()
    for _ in range(num_steps):
        q = q / q.sum(axis=0, keepdims=True) / q.shape[1]
        q = q / q.sum(axis=1, keepdims=True) / q.shape[0]
    return q * len(q)


def swav_from_the_paper(views, prototypes, num_global, queue, temperature, epsilon):
    views, prototypes = unit(views), unit(prototypes)
    total, count = 0.0, 0
    for j in range(num_global):
        pool = views[j] if queue is None else np.concatenate([views[j], unit(queue[j])])
        q = codes(pool @ prototypes.T, epsilon, 3)
        for i in range(len(views)):
            for b in range(views.shape[1]) if i != j else ():
                p = np.exp(views[i, b] @ prototypes.T / temperature)
                total -= np.sum(q[b] * np.log(p / p.sum()))
                count += 1
    return total / count


@pytest.mark.parametrize("num_global", [1, 2])
@pytest.mark.parametrize("queue", [None, QUEUE], ids=["batch", "queue"])
@pytest.mark.parametrize("numbers", [(0.1, 0.05), (0.3, 0.2)])
def test_swav_matches_the_paper(num_global, queue, numbers):
    queue = None if queue is None else queue[:num_global]
    keywords = dict(zip(("temperature", "epsilon"), numbers))
    actual = swav(VIEWS, PROTOTYPES, num_global=num_global, queue=queue, **keywords)
    expected = swav_from_the_paper(VIEWS, PROTOTYPES, num_global, queue, *numbers)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_value_of_two_views_in_float64():
    rng = np.random.default_rng(36)
    view_a, view_b, prototypes = (rng.normal(size=(n, 4)) for n in (6, 6, 3))
    value = swav(np.stack([view_a, view_b]), prototypes)
    np.testing.assert_allclose(value, 6.381244, rtol=1e-4)


def test_by_hand():
    """Rows on two orthogonal prototypes: codes are sure, and so are predictions."""
    rows = np.eye(2, dtype="f")
    value = swav(np.stack([rows, rows]), 2 * rows, temperature=1.0)
    np.testing.assert_allclose(value, np.log(1 + np.exp(-1)), rtol=1e-5)
    equal = swav(VIEWS, np.ones((5, 3), "f"))
    np.testing.assert_allclose(equal, np.log(5), rtol=1e-6)


def test_order_and_length_of_prototypes_do_not_matter():
    expected = swav(VIEWS, PROTOTYPES)
    order, lengths = np.array([3, 1, 4, 0, 2]), np.array([[1], [2], [3], [4], [5]], "f")
    moved = swav(2 * VIEWS, lengths * PROTOTYPES[order])
    np.testing.assert_allclose(moved, expected, rtol=1e-5)


def test_empty_places_of_the_queue_do_not_count():
    where = np.arange(7) % 3 > 0
    spoiled = np.where(where[None, :, None], QUEUE, np.nan)
    value = swav(VIEWS, PROTOTYPES, queue=spoiled, queue_where=where)
    expected = swav(VIEWS, PROTOTYPES, queue=QUEUE[:, where])
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    empty = swav(VIEWS, PROTOTYPES, queue=spoiled, queue_where=where & False)
    without = swav(VIEWS, PROTOTYPES)
    np.testing.assert_allclose(empty, without, rtol=1e-5)


def test_a_view_whose_codes_alone_count_gets_no_gradient():
    """One global view of two: its codes are targets, and nothing predicts it."""

    def loss(views, prototypes, queue):
        return losses.swav(views, prototypes, num_global=1, queue=queue)

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
    found = gradient(VIEWS[:2], PROTOTYPES, QUEUE[:1])
    views, prototypes, queue = map(np.asarray, found)
    assert (views[0] == 0).all() and (views[1] != 0).any()
    assert (prototypes != 0).any() and (queue == 0).all()


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"swav: expected two views .* got 1"):
        losses.swav(VIEWS[:1], PROTOTYPES)
    with pytest.raises(
        ValueError, match=r"swav: expected prototypes of shape \(5, 3\)"
    ):
        losses.swav(VIEWS, PROTOTYPES[:, :2])
    with pytest.raises(ValueError, match=r"swav: expected queue of shape \(2, 7, 3\)"):
        losses.swav(VIEWS, PROTOTYPES, queue=QUEUE[:1])


def mixture_draw():
    """Rows of two classes, two prototypes of each, and weights of rows to them."""
    rng = np.random.default_rng(22)
    z, kept = unit(rng.normal(size=(6, 4))), unit(rng.normal(size=(4, 4)))
    labels, kinds = np.arange(6) % 2, np.arange(4) % 2
    return z, kept, labels, kinds


def test_palm_has_the_stated_values_of_a_step():
    z, kept, labels, kinds = mixture_draw()
    assign = jax.jit(partial(prototypes.assign, top=2))
    weights = assign(z, kept, labels, kinds)
    moved = jax.jit(prototypes.update)(kept, z, weights, decay=0.9)
    weights = assign(z, moved, labels, kinds)
    alone = jax.jit(partial(losses.palm, contrast_weight=0.0))
    np.testing.assert_allclose(alone(z, moved, kinds, weights), 2.870912, rtol=1e-5)
    contrast = np.asarray(jax.jit(losses.sup_con)(kept, kinds, temperature=0.5))
    np.testing.assert_allclose(contrast, 2.268682, rtol=1e-5)
    both = jax.jit(losses.palm)(z, kept, kinds, weights, contrast_weight=2.0)
    expected = np.asarray(alone(z, kept, kinds, weights)) + 2 * contrast
    np.testing.assert_allclose(both, expected, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_palm_matches_the_paper(temperature):
    z, kept, _, kinds = mixture_draw()
    weights = np.random.default_rng(0).dirichlet(np.ones(4), size=6)
    expected = 0.0
    for row, weight in zip(z, weights):
        scores = [row @ p / temperature for p in kept]
        expected += np.log(sum(np.exp(scores))) / 6
        expected -= sum(w * s for w, s in zip(weight, scores)) / 6
    for k in range(4):
        scores = [kept[k] @ p / 0.5 for p in kept]
        others = [j for j in range(4) if j != k]
        same = [scores[j] for j in others if kinds[j] == kinds[k]]
        log_z = np.log(sum(np.exp(scores[j]) for j in others))
        expected += (log_z - np.mean(same)) / 4
    found = jax.jit(partial(losses.palm, temperature=temperature))(
        3 * z, 2 * kept, kinds, weights
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_rows_of_palm_move_prototypes_only_through_their_contrast():
    z, kept, _, kinds = mixture_draw()
    weights = np.full((6, 4), 0.25)
    alone = jax.jit(jax.grad(partial(losses.palm, contrast_weight=0.0), (1, 3)))
    for gradient in alone(z, kept, kinds, weights):
        np.testing.assert_array_equal(gradient, 0)
    found = jax.jit(jax.grad(losses.palm, 1))(z, kept, kinds, weights)
    expected = jax.jit(jax.grad(partial(losses.sup_con, temperature=0.5)))(kept, kinds)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
