"""Trees of logits: the paper's loop in float64, by hand, and one tree in every form."""

import hashlib
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import metrics, sharding, trees
from repr_jax.estimators import hierarchy
from repr_jax.estimators.hierarchy import host, merging

AGGREGATIONS = merging.AGGREGATIONS


def from_the_paper(logits, aggregation, averaged=True):
    """Pairs of leaf sets (merged, into) and scores; no class may be empty."""
    logits = np.asarray(logits, np.float64)
    n, k = logits.shape
    softmax = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax /= softmax.sum(axis=1, keepdims=True)
    h = [int(np.argmax(p)) for p in softmax]
    g = [max(p) for p in softmax]
    groups = [frozenset([c]) for c in range(k)]
    merges, scores = [], []

    def score(group):
        per = [[g[x] for x in range(n) if h[x] == c] for c in group]
        if aggregation == "sum_sum":
            return sum(map(sum, per))
        return sum(sum(p) / len(p) for p in per)

    while len(groups) > 1:
        merged = min(groups, key=score)
        drawn = [0.0] * k
        for x in range(n):
            if h[x] in merged:
                outside = [c for c in range(k) if c not in merged]
                masked = np.exp(logits[x, outside] - max(logits[x, outside]))
                drawn[outside[int(np.argmax(masked))]] += max(masked) / sum(masked)
        others = [group for group in groups if group != merged]
        into = max(
            others,
            key=lambda group: (
                sum(drawn[c] for c in group) / (len(group) if averaged else 1)
            ),
        )
        merges.append((merged, into))
        scores.append(score(merged))
        groups = sorted([*(set(others) - {into}), merged | into], key=min)
    return merges, scores


def leaf_sets(tree):
    """The merges as pairs of sets of classes."""
    sets = [frozenset([int(c)]) for c in range(len(tree.counts))]
    for a, b in tree.merges:
        sets.append(sets[a] | sets[b])
    return [(sets[a], sets[b]) for a, b in tree.merges]


def assert_same(actual, expected):
    for name, x, y in zip(expected._fields, actual, expected):
        assert x.dtype == y.dtype, name
        np.testing.assert_array_equal(x, y, err_msg=name)


def every_class_has_rows(seed, n, k, dtype=np.float32, spread=2.0):
    """Random logits in which row c prefers class c."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * spread
    logits[np.arange(k), np.arange(k)] += 4 * spread
    return logits.astype(dtype)


@pytest.mark.parametrize("name", AGGREGATIONS)
@pytest.mark.parametrize(("seed", "n", "k"), [(0, 40, 5), (1, 120, 9), (2, 200, 17)])
def test_fit_matches_the_paper(name, seed, n, k):
    logits = every_class_has_rows(seed, n, k)
    merges, scores = from_the_paper(logits, name)
    tree = hierarchy.fit(logits, aggregation=name)
    assert leaf_sets(tree) == merges
    np.testing.assert_allclose(tree.heights[k:], scores, rtol=1e-6)


def test_default_tree_by_hand(six_rows):
    tree = hierarchy.fit(six_rows)
    expected = [[0, 1, 0.55, 2], [2, 3, 0.65, 2], [4, 5, 1.25, 4]]
    np.testing.assert_allclose(tree.linkage, expected, rtol=1e-6)
    np.testing.assert_array_equal(tree.merges, [[0, 1], [3, 2], [4, 5]])
    np.testing.assert_array_equal(tree.parents, [4, 4, 5, 5, 6, 6, -1])
    np.testing.assert_allclose(tree.affinities, [1.55, 0.5, 0.95], rtol=1e-6)
    np.testing.assert_allclose(tree.confidences, [0.55, 0.7, 0.8, 0.65], rtol=1e-6)
    np.testing.assert_array_equal(tree.assignments, [0, 0, 1, 2, 3, 3])


def test_affinities_are_averages_over_classes(six_rows):
    assert leaf_sets(hierarchy.fit(six_rows))[1] == ({3}, {2})
    # Without the division {3} joins {0, 1}, 2/3 against 1/2, and the tree is a chain.
    chain = from_the_paper(six_rows, "sum_mean", averaged=False)[0]
    assert chain == [({0}, {1}), ({3}, {0, 1}), ({2}, {0, 1, 3})]


def test_two_classes():
    tree = hierarchy.fit(np.log([[0.7, 0.3], [0.4, 0.6]]))
    np.testing.assert_allclose(tree.linkage, [[0, 1, 0.6, 2]], rtol=1e-6)
    np.testing.assert_array_equal(tree.merges, [[1, 0]])


def test_empty_classes(six_rows):
    logits = np.column_stack([six_rows, np.full(6, -50.0)])
    plain = leaf_sets(hierarchy.fit(six_rows))
    tree = hierarchy.fit(logits)
    assert leaf_sets(tree) == [*plain, ({0, 1, 2, 3}, {4})]
    assert np.isfinite(tree.linkage).all()
    # Rows may go to a class without rows, which is still joined in the end.
    logits[:, 4] = [-9, -9, -9, -9, -9, np.log(0.4)]
    merges = leaf_sets(hierarchy.fit(logits))
    assert merges[-1] == ({0, 1, 2, 3}, {4})


def test_equal_logits_take_the_lowest_class():
    tree = hierarchy.fit(np.ones((5, 4), np.float32))
    np.testing.assert_array_equal(tree.assignments, np.zeros(5))
    assert np.isfinite(tree.linkage).all()
    assert leaf_sets(tree) == [({0}, {1}), ({0, 1}, {2}), ({0, 1, 2}, {3})]
    assert np.isclose(tree.confidences[0], 0.25)


def test_invariances():
    rng = np.random.default_rng(0)
    logits = every_class_has_rows(0, 300, 11)
    sets = leaf_sets(hierarchy.fit(logits))
    shifted = logits + rng.normal(size=(300, 1)).astype(np.float32) * 10
    assert leaf_sets(hierarchy.fit(shifted)) == sets
    shuffled = hierarchy.fit(rng.permutation(logits))
    np.testing.assert_array_equal(shuffled.linkage, hierarchy.fit(logits).linkage)
    new = rng.permutation(11)  # class c is called new[c]
    renamed = hierarchy.fit(logits[:, np.argsort(new)])
    expected = [tuple({int(new[c]) for c in s} for s in pair) for pair in sets]
    assert leaf_sets(renamed) == expected
    thrice = hierarchy.fit(np.repeat(logits, 3, axis=0))
    np.testing.assert_array_equal(thrice.linkage, hierarchy.fit(logits).linkage)


def test_temperature_matters():
    logits = np.random.default_rng(0).normal(size=(400, 12))
    sets = leaf_sets(hierarchy.fit(logits))
    assert leaf_sets(hierarchy.fit(logits, temperature=1.0)) == sets
    for scale in (0.1, 5.0):
        assert leaf_sets(hierarchy.fit(logits * scale)) != sets
        tempered = hierarchy.fit(logits, temperature=1 / scale)
        assert leaf_sets(tempered) == leaf_sets(hierarchy.fit(logits * scale))


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_linkage_is_valid_and_rises_and_reads_stay_few(name):
    from scipy.cluster.hierarchy import is_monotonic, is_valid_linkage

    k = 60
    logits = every_class_has_rows(3, 2000, k, spread=1.0)
    tree = hierarchy.fit(logits, aggregation=name)
    assert is_valid_linkage(tree.linkage)
    assert is_monotonic(tree.linkage)
    assert len(tree.parents) == 2 * k - 1
    assert sorted(tree.merges.ravel()) == list(range(2 * k - 2))
    np.testing.assert_array_equal(tree.linkage[:, :2], np.sort(tree.merges, axis=1))
    picked = np.zeros(k, int)
    for merged, _ in leaf_sets(tree):
        picked[list(merged)] += 1
    scores = tree.confidences * (tree.counts if name == "sum_sum" else 1)
    assert picked.max() <= np.log2(scores.sum() / scores.min())


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_blocks_of_classes_are_found_by_scores_that_add_up(name):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(12), 50)
    block = np.arange(12) // 3
    logits = np.where(block[y][:, None] == block, 3.0, 0.0)
    logits[np.arange(600), y] = 6
    logits += rng.normal(size=logits.shape) * 0.1
    tree = hierarchy.fit(logits, aggregation=name)
    groups = trees.cut(tree.parents, 4)
    assert metrics.adjusted_rand_index(metrics.contingency(groups, block)) == 1


def test_dominant_logit_that_is_masked():
    # Subtracting it from the full normalizer would leave 0 / 0 in float32.
    logits = np.array([[100.0, 0, -1], [0, 50, -50], [0, -50, 50]])
    for dtype in (np.float32, np.float16, jnp.bfloat16):
        tree = hierarchy.fit(logits.astype(dtype))
        assert leaf_sets(tree)[0] == ({0}, {1})
        assert tree.affinities[0] == pytest.approx(0.731059, abs=1e-6)
        assert np.isfinite(tree.linkage).all()


FORMS = [
    ("sum_mean", np.float16),
    ("sum_sum", np.float32),
    ("sum_mean", jnp.bfloat16),
]


@pytest.mark.parametrize(("name", "dtype"), FORMS)
def test_every_form_gives_the_same_bits(name, dtype, monkeypatch, tmp_path):
    rng = np.random.default_rng(7)
    logits = (rng.normal(size=(333, 21)) * 2).astype(dtype)
    logits[:, 20] -= 20  # nobody's best
    options = dict(aggregation=name, temperature=0.7)
    tree = hierarchy.fit(logits, num_threads=1, **options)
    assert tree.counts[20] == 0

    def batches():
        for i in range(0, 333, 50):
            yield logits[i : i + 50]
            assert not list(tmp_path.iterdir())  # the file is gone if this is killed

    assert_same(hierarchy.fit_sharded(logits, block=64, **options), tree)
    for buffer, chunk in [(84, 42), (840, 4200), (8400, 10**6)]:
        monkeypatch.setattr(host, "BUFFER_BYTES", buffer)
        monkeypatch.setattr(host, "CHUNK_BYTES", chunk)
        assert_same(hierarchy.fit(logits, num_threads=2, **options), tree)
        stream = hierarchy.fit_stream(batches(), spool=tmp_path, **options)
        assert_same(stream, tree)
    assert_same(hierarchy.fit_stream(logits, **options), tree)
    assert not list(tmp_path.iterdir())
    if dtype == np.float16:
        np.save(tmp_path / "logits.npy", logits)
        mapped = np.load(tmp_path / "logits.npy", mmap_mode="r")
        assert_same(hierarchy.fit(mapped, **options), tree)


@pytest.mark.parametrize("devices", [1, 4])
def test_sharded_tree_has_the_same_bits(devices):
    logits = every_class_has_rows(5, 203, 10, np.float16)
    mesh = sharding.make_mesh(jax.devices()[:devices])
    tree = hierarchy.fit_sharded(logits, mesh, block=16)
    assert_same(tree, hierarchy.fit(logits))


def test_every_half_precision_number_is_read_exactly():
    from repr_jax.estimators.hierarchy.arithmetic import load

    for dtype in (np.float16, jnp.bfloat16):
        numbers = np.arange(2**16, dtype=np.uint16).view(dtype)
        numbers = numbers[np.isfinite(numbers.astype(np.float32))][None]
        out = np.empty(numbers.shape, np.float32)
        load(numbers, out)
        np.testing.assert_array_equal(out, numbers.astype(np.float32))


@pytest.mark.parametrize(("k", "spread"), [(2, 1.0), (37, 5.0), (1000, 3.0)])
def test_confidences_are_exact_to_a_millionth(k, spread):
    from repr_jax.estimators.hierarchy import arithmetic

    rng = np.random.default_rng(k)
    logits = (rng.normal(size=(200, k)) * spread).astype(np.float32)
    p = np.exp(logits.astype(np.float64))
    scale, buffers = arithmetic.log2_scale("test", 1.0), np.empty((3, 200, k), "f4")
    arithmetic.load(logits, buffers[0])
    found = arithmetic.both_choices(buffers[0], scale, buffers[1:])
    first, best, second, masked = found
    rows = np.arange(200)
    expected = p[rows, first] / p.sum(axis=1)
    np.testing.assert_allclose(best / 2**30, expected, rtol=1e-6)
    p[rows, first] = 0
    expected = p[rows, second] / p.sum(axis=1)
    np.testing.assert_array_equal(second, p.argmax(axis=1))
    np.testing.assert_allclose(masked / 2**30, expected, rtol=1e-6)


def test_bootstrap_draws_rows_with_replacement():
    logits = every_class_has_rows(1, 80, 5)
    found = hierarchy.bootstrap(logits, num_samples=3, seed=4)
    for sample, tree in enumerate(found):
        rows = np.random.default_rng((4, sample)).integers(80, size=80)
        expected = hierarchy.fit(logits[np.sort(rows)])
        assert_same(tree, expected)


def test_bootstrap_supports_clear_blocks_and_doubts_the_rest():
    rng = np.random.default_rng(0)
    y, block = rng.integers(12, size=600), np.arange(12) // 3
    logits = np.where(block[y][:, None] == block, 3.0, 0.0)
    logits[np.arange(600), y] = 6
    logits += rng.normal(size=logits.shape) * 0.3
    tree = hierarchy.fit(logits)
    drawn = hierarchy.bootstrap(logits, num_samples=8)
    support = trees.clade_support(tree.parents, [x.parents for x in drawn])
    np.testing.assert_array_equal(support[:12], 1)
    below, support = trees.below(tree.parents)[12:], support[12:]
    is_block = [any(np.array_equal(row, block == b) for b in range(4)) for row in below]
    assert sum(is_block) == 4
    np.testing.assert_array_equal(support[is_block], 1)
    assert support[-1] == 1
    assert support[~np.array(is_block)].min() < 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_that_are_not_finite_are_named(bad, dtype):
    logits = every_class_has_rows(0, 50, 6, dtype)
    logits[37, 2] = bad
    for fit in (hierarchy.fit, lambda x: hierarchy.fit_stream(np.split(x, 5))):
        with pytest.raises(
            ValueError, match=r"finite logits; got .* in row 37, column 2"
        ):
            fit(logits)
    with pytest.raises(ValueError, match=r"fit_sharded: .* in row 37, column 2"):
        hierarchy.fit_sharded(logits)


def test_errors():
    logits = np.zeros((3, 2), np.float32)
    cases = [
        (TypeError, "of floats; got int", lambda: hierarchy.fit(logits.astype(int))),
        (ValueError, "rank 2", lambda: hierarchy.fit(logits[0])),
        (ValueError, "rows of two classes", lambda: hierarchy.fit(logits[:0])),
        (ValueError, r"more; got shape \(3, 1\)", lambda: hierarchy.fit(logits[:, :1])),
        (
            ValueError,
            "aggregation among",
            lambda: hierarchy.fit(logits, aggregation=""),
        ),
        (ValueError, "temperature > 0", lambda: hierarchy.fit(logits, temperature=0)),
        (ValueError, "got inf", lambda: hierarchy.fit(logits, temperature=np.inf)),
        (ValueError, "got nan", lambda: hierarchy.fit(logits, temperature=np.nan)),
        (ValueError, "range of", lambda: hierarchy.fit(logits, temperature=1e-40)),
        (TypeError, "got object", lambda: hierarchy.fit(logits.astype(object))),
        (TypeError, "byte order", lambda: hierarchy.fit(logits.astype(">f4"))),
        (ValueError, "batch or more", lambda: hierarchy.fit_stream([])),
        (
            ValueError,
            "2 columns of float32",
            lambda: hierarchy.fit_stream([logits, np.zeros((3, 3), np.float32)]),
        ),
    ]
    for error, words, call in cases:
        with pytest.raises(error, match=words):
            call()


def test_the_best_averages_are_exact():
    """Of numbers that float64 cannot tell apart, and of equal ones the first."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        size = rng.integers(1, 4096, size=50)
        total = size * 2**40 + rng.integers(-1, 2, size=50)
        eligible = rng.random(50) < rng.choice([0.5, 0.03])
        eligible[rng.integers(50)] = True
        averages = {
            i: Fraction(int(total[i]), int(size[i])) for i in np.flatnonzero(eligible)
        }
        expected = min(averages, key=lambda i: (-averages[i], i))
        assert merging.highest_average(total, size, eligible) == expected


# The first 16 digits of SHA-256 of the trees of `stored_inputs`, from the first version
# of this module: trees stay what they were, to the last bit.
STORED = {"sum_mean": "a7c2ad785eae507d", "sum_sum": "8b96f42c014e109c"}


def stored_inputs():
    """Logits of few different values, with ties and a class that is no row's best."""
    rng = np.random.default_rng(0)
    for n, k, spread in [(40, 5, 512), (500, 40, 512), (3000, 120, 700), (200, 30, 2)]:
        x = rng.integers(-spread, spread + 1, size=(n, k)) / 128
        x[:, k // 2] -= 8
        yield x.astype(np.float32 if k % 4 else np.float16)


@pytest.mark.parametrize("name", STORED)
def test_trees_are_those_stored(name):
    digest = hashlib.sha256()
    for x in stored_inputs():
        tree = hierarchy.fit(x, aggregation=name, temperature=0.7)
        fields = (tree.merges, tree.linkage, tree.affinities, tree.confidences)
        for array in (*fields, tree.assignments):
            digest.update(np.ascontiguousarray(array).tobytes())
    assert digest.hexdigest()[:16] == STORED[name]
