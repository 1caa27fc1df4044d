"""Miners against loops, absent rows, split batches, and losses of what they find."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import mining, queue

LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 2])  # 3 is alone
MINERS = (mining.hardest, mining.easy_positive, mining.easy_positive_semi_hard)

PAIR_LOSSES = ("contrastive_margin", "multi_similarity", "circle", "sup_con", "nca")
PAIR_LOSSES += ("generalized_lifted", "tuplet_margin")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape or (8, 3)).astype("f")


def in_loops(name, x, labels, present):
    """{row: (positive, negative)} by distances in float64."""
    found, rows = {}, [i for i in range(len(x)) if present[i]]
    for i in rows:
        d = {j: np.linalg.norm(np.float64(x[i] - x[j])) for j in rows if j != i}
        same = [j for j in d if labels[j] == labels[i]]
        far = [j for j in d if labels[j] != labels[i]]
        if not same:
            continue
        positive = (max if name == "hardest" else min)(same, key=d.get)
        if name == "easy_positive_semi_hard":
            far = [j for j in far if d[j] > d[positive]]
        if far:
            found[i] = positive, min(far, key=d.get)
    return found


def as_dict(found):
    return {
        i: (int(found.positive[i]), int(found.negative[i]))
        for i in np.flatnonzero(found.where)
    }


@pytest.mark.parametrize("miner", MINERS)
@pytest.mark.parametrize("seed", [0, 1])
def test_miners_find_what_loops_find(miner, seed):
    x, present = draw(seed=seed), np.ones(8, bool)
    mine = jax.jit(miner)
    assert as_dict(mine(x, LABELS)) == in_loops(miner.__name__, x, LABELS, present)
    present[[0, 4]] = False
    x[[0, 4]] = np.nan
    found = mine(x, LABELS, where=present)
    assert as_dict(found) == in_loops(miner.__name__, x, LABELS, present)


@pytest.mark.parametrize("miner", [*MINERS, mining.distance_weighted])
def test_a_split_batch_has_the_triplets_of_the_whole(miner):
    x, keys = draw(), [jax.random.key(0)] * (miner is mining.distance_weighted)
    whole = miner(*keys, x, LABELS)
    split = jax.vmap(lambda *b: miner(*keys, *b, axis_name="data"), axis_name="data")
    parts = split(x.reshape(4, 2, 3), LABELS.reshape(4, 2))
    assert as_dict(jax.tree.map(np.ravel, parts)) == as_dict(whole)


def test_negatives_are_drawn_at_distances_that_are_equally_likely():
    """In four dimensions q(d) = d^2 sqrt(1 - d^2 / 4)."""
    angles = np.linspace(0.6, 1.3, 6)
    x = np.zeros((8, 4), "f")
    x[:2, 0] = 1  # the row and its positive
    x[2:, 0], x[2:, 1] = np.cos(angles), np.sin(angles)
    labels = np.array([0, 0, 1, 2, 3, 4, 5, 6])
    keys = jax.random.split(jax.random.key(0), 4000)
    mine = jax.jit(jax.vmap(lambda key: mining.distance_weighted(key, x, labels)))
    found = mine(keys)
    assert found.where[:, 0].all() and (found.positive[:, 0] == 1).all()
    counts = np.bincount(found.negative[:, 0], minlength=8)[2:] / 4000
    d = np.linalg.norm(x[2:] - x[0], axis=1)
    weights = 1 / (d**2 * np.sqrt(1 - d**2 / 4))
    np.testing.assert_allclose(counts, weights / weights.sum(), atol=0.03)


def test_what_is_too_far_is_no_negative_and_numbers_out_of_range_are_refused():
    x = np.eye(4, dtype="f")[[0, 0, 1, 1]]  # classes sqrt(2) apart
    labels, key = np.array([0, 0, 1, 1]), jax.random.key(0)
    assert not mining.distance_weighted(key, x, labels, most=1.41).where.any()
    assert mining.distance_weighted(key, x, labels, most=1.42).where.all()
    with pytest.raises(ValueError, match="distance_weighted: expected 2 - most"):
        mining.distance_weighted(key, x, labels, most=2.0)
    with pytest.raises(TypeError, match=r"hardest: expected .* of integers"):
        mining.hardest(x, labels / 2)


def informative_in_loops(x, labels, margin):
    x = np.float64(x) / np.linalg.norm(x, axis=1, keepdims=True)
    s, kept = x @ x.T, np.zeros((len(x), len(x)), bool)
    for i in range(len(x)):
        same = [j for j in range(len(x)) if j != i and labels[j] == labels[i]]
        other = [j for j in range(len(x)) if labels[j] != labels[i]]
        for p in same:
            kept[i, p] = any(s[i, p] - margin < s[i, n] for n in other)
        for n in other:
            kept[i, n] = any(s[i, n] + margin > s[i, p] for p in same)
    return kept


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5])
def test_informative_pairs_are_those_of_the_loops(margin):
    x = draw(seed=2)
    found = mining.informative_pairs(x, LABELS, margin=margin)
    np.testing.assert_array_equal(found, informative_in_loops(x, LABELS, margin))
    assert not found[6].any()  # which is alone
    x[3], there = np.nan, np.arange(8) != 3
    found = mining.informative_pairs(x, LABELS, margin=margin, where=there)
    expected = informative_in_loops(x[there], LABELS[there], margin)
    np.testing.assert_array_equal(np.asarray(found)[there][:, there], expected)


def test_pairs_beyond_bounds_by_hand():
    x, labels = np.array([[1, 0], [1, 1], [0, 1.0]]), np.array([0, 0, 1])
    found = mining.margin_pairs(x, labels, positive_bound=0.8, negative_bound=0.1)
    assert np.argwhere(found).tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]
    found = mining.margin_pairs(x, labels, positive_bound=0.7, negative_bound=-0.1)
    assert np.argwhere(found).tolist() == [[0, 2], [1, 2], [2, 0], [2, 1]]


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.4, 1.0])
def test_the_hardest_pairs_are_those_of_the_loops(fraction):
    x, there = draw(seed=3), np.arange(8) != 5
    unit = np.float64(x) / np.linalg.norm(x, axis=1, keepdims=True)
    x[5], s = np.nan, unit @ unit.T
    least, most = set(), set()
    present = [(i, j) for i in range(8) for j in range(8) if i != j and 5 not in (i, j)]
    for same, sign in ((True, 1), (False, -1)):
        kind = [(i, j) for i, j in present if (LABELS[i] == LABELS[j]) == same]
        kind.sort(key=lambda pair: sign * s[pair])
        num = int(np.ceil(fraction * len(kind)))
        least |= set(kind[: num - num % 2])
        most |= set(kind[: num + num % 2])  # (i, j) and (j, i) are as hard
    found = jax.jit(mining.hardest_pairs)(x, LABELS, fraction=fraction, where=there)
    found = np.asarray(found)[there][:, there]
    places = np.flatnonzero(there)
    assert least <= {tuple(places[pair]) for pair in np.argwhere(found)} <= most


@pytest.mark.parametrize(
    ("least", "most"), [(-np.inf, 0.2), (-np.inf, 0.0), (0.0, 2.0), (2.0, np.inf)]
)
def test_triplets_of_a_kind_are_those_of_the_loops(least, most):
    x = draw(seed=4)
    d = np.linalg.norm(np.float64(x[:, None] - x[None]), axis=2) ** 2
    expected = [
        [i, p, n]
        for i in range(8)
        for p in range(8)
        for n in range(8)
        if p != i
        and LABELS[p] == LABELS[i] != LABELS[n]
        and least < d[i, n] - d[i, p] <= most
    ]
    found = jax.jit(mining.margin_triplets)(x, LABELS, least=least, most=most)
    assert np.argwhere(found).tolist() == expected


@pytest.mark.parametrize("angle", [0.2, 0.6])
def test_triplets_of_wide_angles_are_those_of_the_loops(angle):
    x = draw(seed=5)
    unit, expected = np.float64(x) / np.linalg.norm(x, axis=1, keepdims=True), []
    for i, p, n in np.ndindex(8, 8, 8):
        if p != i and LABELS[p] == LABELS[i] != LABELS[n]:
            middle = (unit[i] + unit[p]) / 2
            across = np.linalg.norm(unit[i] - unit[p])
            found = np.arctan(across / 2 / np.linalg.norm(unit[n] - middle))
            expected += [[i, p, n]] * bool(found > angle)
    found = jax.jit(mining.angular_triplets)(x, LABELS, angle=angle)
    assert np.argwhere(found).tolist() == expected and expected


@pytest.mark.parametrize(
    "miner", [mining.hardest_pairs, mining.margin_triplets, mining.angular_triplets]
)
def test_a_split_batch_has_the_masks_of_the_whole(miner):
    x = draw()
    split = jax.vmap(lambda *b: miner(*b, axis_name="data"), axis_name="data")
    parts = np.asarray(split(x.reshape(4, 2, 3), LABELS.reshape(4, 2)))
    np.testing.assert_array_equal(np.concatenate(parts), miner(x, LABELS))


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_pairs_that_do_not_count_are_as_good_as_absent(name):
    """Without pairs between two batches, it is the mean of theirs."""
    loss, x = jax.jit(getattr(losses, name)), draw(16, 3)
    x, labels = x[:14], np.r_[0, 1, 2, 0, 1, 2, 0, 1, 0, 1, 2, 0, 1, 2]
    part = np.arange(14) < 8
    mask = part[:, None] == part[None]
    found = loss(x, labels, pair_where=mask)
    counts = np.array([8, 6])
    if name == "contrastive_margin":
        counts *= counts - 1  # a mean over pairs
    if name == "tuplet_margin":
        counts = np.array([14, 6])  # over those of a class
    both = [float(loss(x[rows], labels[rows])) for rows in (part, ~part)]
    np.testing.assert_allclose(found, both @ counts / counts.sum(), rtol=1e-5)
    every = loss(x, labels, pair_where=np.ones((14, 14), bool))
    np.testing.assert_allclose(every, loss(x, labels), rtol=1e-6)
    assert loss(x, labels, pair_where=np.zeros((14, 14), bool)) == 0


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_pairs_of_a_split_batch_are_those_of_the_whole(name):
    x, loss = draw(), getattr(losses, name)

    def mined(x, labels, **split):
        kept = mining.informative_pairs(x, labels, **split)
        return loss(x, labels, pair_where=kept, **split)

    found = jax.vmap(lambda *b: mined(*b, axis_name="data"), axis_name="data")
    parts = found(x.reshape(4, 2, 3), LABELS.reshape(4, 2))
    np.testing.assert_allclose(parts, np.full(4, mined(x, LABELS)), rtol=1e-5)


def counts_by_bin(x, labels, present, num_bins):
    """[2, num_bins] how many positives and negatives a bin has; bins of all pairs."""
    rows = np.flatnonzero(present)
    pairs = [(i, j) for i in rows for j in rows if i != j]
    away = {p: -np.linalg.norm(np.float64(x[p[0]] - x[p[1]])) for p in pairs}
    bins, counts = {}, np.zeros((2, num_bins), int)
    for kind in (0, 1):
        own = [p for p in pairs if (labels[p[0]] != labels[p[1]]) == kind]
        low, high = (f(away[p] for p in own) for f in (min, max))
        for p in own:
            place = int((away[p] - low) / (high - low) * num_bins)
            bins[p] = kind, min(place, num_bins - 1)
            counts[bins[p]] += 1
    return bins, counts


@pytest.mark.parametrize(("num_bins", "num_pairs"), [(3, 2), (5, 1), (7, 100)])
def test_uniform_pairs_are_as_many_of_each_bin_if_it_has_them(num_bins, num_pairs):
    options = dict(num_bins=num_bins, num_pairs=num_pairs)
    x, present = draw(12, 3), np.ones(12, bool)
    labels = np.arange(12) % 3
    for absent in ([], [0, 5]):
        present[absent], x[absent] = False, np.nan
        bins, available = counts_by_bin(x, labels, present, num_bins)
        key = jax.random.key(1)
        found = mining.uniform_pairs(key, x, labels, where=present, **options)
        drawn = np.zeros_like(available)
        for i, j in np.argwhere(found):
            drawn[bins[i, j]] += 1
        np.testing.assert_array_equal(drawn, np.minimum(available, num_pairs))


def test_uniform_pairs_are_drawn_alike_and_split_batches_draw_those_of_the_whole():
    x = np.array([[0.0], [0.1], [0.2], [5.0]], "f")  # one bin of three, both ways
    mine = partial(mining.uniform_pairs, num_bins=2, num_pairs=2)
    keys = jax.random.split(jax.random.key(0), 2000)
    found = jax.jit(jax.vmap(lambda key: mine(key, x, np.zeros(4, int))))(keys)
    near = found[:, :3, :3].mean(axis=0)
    np.testing.assert_allclose(near, (1 - np.eye(3)) / 3, atol=0.05)
    x, key = draw(), jax.random.key(3)
    whole = mine(key, x, LABELS)
    split = jax.vmap(lambda *b: mine(key, *b, axis_name="data"), axis_name="data")
    parts = split(x.reshape(4, 2, 3), LABELS.reshape(4, 2))
    np.testing.assert_array_equal(parts.reshape(8, 8), whole)


def test_uniform_pairs_of_a_memory_of_one_kind_and_of_nan():
    x, key = draw(), jax.random.key(3)
    stored = queue.Labeled(x[:3] + 1, LABELS[:3], np.array([True, True, False]))
    found = mining.uniform_pairs(key, x, LABELS, num_pairs=99, memory=stored)
    np.testing.assert_array_equal(
        found, ~np.eye(8, 11, dtype=bool) & (np.arange(11) < 10)
    )
    found = mining.uniform_pairs(key, x, np.zeros(8, int), num_bins=1, num_pairs=5)
    assert found.sum() == 5  # no negative
    x[0] = np.nan
    assert mining.uniform_pairs(key, x, LABELS)[0, 1:].all()
    with pytest.raises(ValueError, match="uniform_pairs: expected num_pairs >= 1"):
        mining.uniform_pairs(key, x, LABELS, num_pairs=0)


def test_masks_that_do_not_fit_are_refused():
    x, mask = draw(), np.ones((8, 7), bool)
    with pytest.raises(ValueError, match=r"circle: expected pair_where of shape"):
        losses.circle(x, LABELS, pair_where=mask)
    with pytest.raises(TypeError, match="nca: expected pair_where"):
        losses.nca(x, LABELS, pair_where=np.ones((8, 8)))
    with pytest.raises(ValueError, match="sup_con: expected pair_where without chunk"):
        losses.sup_con(x, LABELS, pair_where=mask, chunk_size=2)


def test_losses_take_what_is_found():
    x = draw()
    found = mining.hardest(x, LABELS)
    triplets = x, x[found.positive], x[found.negative]
    expected = losses.triplet_hardest(x, LABELS)
    np.testing.assert_allclose(
        losses.triplet(*triplets, where=found.where), expected, rtol=1e-6
    )

    def loss(x):
        found = mining.distance_weighted(jax.random.key(0), x, LABELS)
        rows = x, x[found.positive], x[found.negative]
        return losses.distance_margin(*rows, boundary=1.0, where=found.where)

    value, gradient = jax.value_and_grad(loss)(jnp.asarray(x))
    assert np.isfinite(value) and gradient.any() and not np.isnan(gradient).any()
