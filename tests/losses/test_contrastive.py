"""Two views against float64 loops, by hand, and the invariances of each similarity."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import losses
from repr_jax.ops import similarity
from repr_jax.ops.numerics import pairwise_dot

SIMILARITIES = (
    similarity.cosine,
    similarity.dot,
    similarity.negative_squared_distance,
)
SYMMETRIC = (losses.symmetric_info_nce, losses.nt_xent, losses.clip, losses.siglip)


def draw(count=2, batch=7, dim=5, seed=0):
    shape = (count, batch, dim)
    return np.random.default_rng(seed).normal(size=shape).astype("f")


def alike(kind, a, b):
    """One pair of rows, from the definition, in float64."""
    a, b = a.astype(float), b.astype(float)
    if kind is similarity.negative_squared_distance:
        return -sum((x - y) ** 2 for x, y in zip(a, b))
    product = sum(x * y for x, y in zip(a, b))
    if kind is similarity.cosine:
        product /= math.sqrt(sum(a * a)) * math.sqrt(sum(b * b))
    return product


def info_nce_from_the_paper(queries, keys, *, similarity, temperature):
    """van den Oord et al., eq. 4, f = exp(s / temperature)."""
    total = 0.0
    for i, query in enumerate(queries):
        scores = [math.exp(alike(similarity, query, k) / temperature) for k in keys]
        total -= math.log(scores[i] / sum(scores))
    return total / len(queries)


def symmetric_from_the_paper(a, b, **options):
    """Daunhawer et al.: both directions, halved."""
    there = info_nce_from_the_paper(a, b, **options)
    return (there + info_nce_from_the_paper(b, a, **options)) / 2


def nt_xent_from_the_paper(a, b, *, similarity, temperature):
    """Chen et al., eq. 1, one loop per sum, over the 2N views."""
    z, n, total = np.concatenate([a, b]), len(a), 0.0
    for i in range(2 * n):
        score = [math.exp(alike(similarity, z[i], y) / temperature) for y in z]
        total -= math.log(score[(i + n) % (2 * n)] / (sum(score) - score[i]))
    return total / (2 * n)


def siglip_from_the_paper(images, texts, *, similarity, temperature, bias):
    """Zhai et al., algorithm 1, t = 1 / temperature."""
    total = 0.0
    for i, image in enumerate(images):
        for j, text in enumerate(texts):
            sign = 1 if i == j else -1
            logit = alike(similarity, image, text) / temperature + bias
            total -= math.log(1 / (1 + math.exp(-sign * logit)))
    return total / len(images)


def fresh_negatives_from_the_code(a, b, new_a, new_b, *, similarity, temperature):
    """Section 1.5 of the identifiability experiments: log-mean-exp over N + 1."""
    total = 0.0
    for x, y, new in ((a, b, new_a), (b, a, new_b)):
        for i, row in enumerate(x):
            p = alike(similarity, row, y[i]) / temperature
            rest = [math.exp(alike(similarity, row, z) / temperature) for z in new]
            total += math.log((math.exp(p) + sum(rest)) / (len(new) + 1)) - p
    return total / (2 * len(a))


@pytest.mark.parametrize("kind", SIMILARITIES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "loss, reference, count",
    [
        (losses.info_nce, info_nce_from_the_paper, 2),
        (losses.symmetric_info_nce, symmetric_from_the_paper, 2),
        (losses.nt_xent, nt_xent_from_the_paper, 2),
        (losses.siglip, partial(siglip_from_the_paper, bias=-1.5), 2),
        (losses.fresh_negatives_nce, fresh_negatives_from_the_code, 4),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_losses_match_their_papers(loss, reference, count, kind):
    arrays = draw(count)
    options = {"bias": -1.5} if loss is losses.siglip else {}
    compiled = jax.jit(partial(loss, similarity=kind, **options))
    for temperature in (0.5, 2.0):
        actual = compiled(*arrays, temperature=temperature)
        expected = reference(*arrays, similarity=kind, temperature=temperature)
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_clip_is_symmetric_info_nce_of_cosines():
    views = draw()
    expected = symmetric_from_the_paper(
        *views, similarity=similarity.cosine, temperature=0.07
    )
    np.testing.assert_allclose(jax.jit(losses.clip)(*views), expected, rtol=1e-5)


def test_nt_xent_at_temperature_1_is_the_loss_of_two_blocks_of_logits():
    """The image and text experiments: [ab | aa], [bb | ba], the partner is the target.

    aa and bb without their diagonals, so that row i has its partner in column i of the
    first block and in column N + i of the second.
    """
    a, b = draw()
    n, total = len(a), 0.0
    for i in range(n):
        for x, y in ((a, b), (b, a)):
            across = [math.exp(alike(similarity.cosine, x[i], row)) for row in y]
            within = [math.exp(alike(similarity.cosine, x[i], row)) for row in x]
            total -= math.log(across[i] / (sum(across) + sum(within) - within[i]))
    actual = jax.jit(losses.nt_xent)(a, b, temperature=1.0)
    np.testing.assert_allclose(actual, total / (2 * n), rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e30])
def test_cosine_losses_at_any_scale(scale):
    a, b = np.random.default_rng(0).normal(size=(2, 6, 8)).astype("f")
    for loss in (losses.info_nce, losses.nt_xent, losses.clip, losses.siglip):
        scaled = jax.jit(loss)(a * np.float32(scale), b * np.float32(scale))
        np.testing.assert_allclose(scaled, jax.jit(loss)(a, b), rtol=2e-6)


def test_distances_far_from_0_with_absent_rows():
    a, b = np.random.default_rng(0).normal(size=(2, 8, 3))
    a, b = (np.round(x * 64) / 64 for x in (a, b))  # exact at either place
    where = np.arange(8) % 2 == 0
    kind = similarity.negative_squared_distance
    loss = jax.jit(partial(losses.info_nce, similarity=kind))
    near = loss(a.astype("f"), b.astype("f"), where=where)
    far = loss((a + 4096).astype("f"), (b + 4096).astype("f"), where=where)
    np.testing.assert_allclose(far, near, rtol=1e-5)


def test_constant_rows_give_the_log_of_the_number_of_candidates():
    same = np.ones((256, 4), "f")
    expected = {
        losses.info_nce: math.log(256),
        losses.symmetric_info_nce: math.log(256),
        losses.clip: math.log(256),
        losses.nt_xent: math.log(511),
        losses.fresh_negatives_nce: 0.0,
    }
    for loss, value in expected.items():
        arrays = (same,) * (4 if loss is losses.fresh_negatives_nce else 2)
        actual, gradient = jax.jit(jax.value_and_grad(loss))(*arrays)
        np.testing.assert_allclose(actual, value, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(gradient, 0.0, atol=1e-7)


def test_bounds():
    """Reached by views that agree and are as far apart as can be: with two examples."""
    opposite = np.array([[1.0, 0.0], [-1.0, 0.0]], "f")
    least = math.log(1 + math.exp(-2.0))
    info_nce = jax.jit(losses.info_nce)
    actual = info_nce(opposite, opposite, temperature=1.0)
    np.testing.assert_allclose(actual, least, rtol=1e-6)
    apart = (100 * opposite, 100 * opposite)
    fresh = (1e4 + apart[0],) * 2
    actual = jax.jit(losses.fresh_negatives_nce)(*apart, *fresh)
    np.testing.assert_allclose(actual, -math.log(3), rtol=1e-6)
    a, b = draw(batch=64, dim=2)
    for temperature in (0.05, 1.0):
        value = info_nce(a, b, temperature=temperature)
        assert value >= math.log(1 + 63 * math.exp(-2 / temperature))


def test_scaled_one_hot_rows_by_hand():
    """Rows at distance scale * sqrt 2 of one another: log(1 + (N - 1) e^(-2 t^2))."""
    kind = similarity.negative_squared_distance
    for loss in (losses.info_nce, losses.symmetric_info_nce):
        compiled = jax.jit(partial(loss, similarity=kind, temperature=1.0))
        for scale in (0.5, 2.0, 100.0):
            rows = scale * np.eye(16, dtype="f")
            expected = math.log1p(15 * math.exp(-2 * scale**2))
            actual = compiled(rows, rows)
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_of_aligned_orthogonal_pairs_by_hand(temperature):
    """log(1 + (2N - 2) e^(-1 / temperature)), in whatever basis."""
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(9, 9)))[0]
    expected = math.log1p(16 * math.exp(-1 / temperature))
    for rows in (np.eye(9), rotation):
        rows = rows.astype("f")
        actual = jax.jit(losses.nt_xent)(rows, rows, temperature=temperature)
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_siglip_of_one_hot_similarities_by_hand():
    """The paper's first step: log 2 + 255 log(1 + e^-10) = 0.704724."""
    rows = np.eye(256, dtype="f")
    actual = jax.jit(losses.siglip)(rows, rows, temperature=0.1, bias=-10.0)
    np.testing.assert_allclose(actual, 0.704724, rtol=1e-6)


@pytest.mark.parametrize("dim, scale", [(2, 1), (3, 2), (5, 1)])
def test_aligned_gaussians_reach_their_closed_form(dim, scale):
    """N(0, s^2) rows: E_j exp -|a - a_j|^2 = (1+2s^2)^(-k/2) exp(-|a|^2 / (1+2s^2)).

    Without the positive, which adds 1 to the sum of each row, the loss would tend to
    -(k/2) log(1 + 2 s^2) - k s^2 / (1 + 2 s^2).
    """
    rows, fresh = draw(batch=4096, dim=dim) * scale
    loss = jax.jit(partial(losses.fresh_negatives_nce, chunk_size=512))
    variance = 1 + 2 * scale**2
    near = np.exp(-(rows.astype(float) ** 2).sum(axis=1) / variance)
    near *= variance ** (-dim / 2)
    expected = np.mean(np.log((1 + 4096 * near) / 4097))
    np.testing.assert_allclose(loss(rows, rows, fresh, fresh), expected, atol=0.01)


@pytest.mark.parametrize("loss", SYMMETRIC, ids=lambda loss: loss.__name__)
def test_views_may_be_swapped_and_rows_permuted(loss):
    a, b = draw()
    evaluate = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    value, (d_a, d_b) = evaluate(a, b)
    swapped, (d_b_swapped, d_a_swapped) = evaluate(b, a)
    order = np.random.default_rng(1).permutation(len(a))
    permuted, (d_a_permuted, d_b_permuted) = evaluate(a[order], b[order])
    close = partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-6)
    close(swapped, value)
    close(permuted, value)
    for actual, expected in (
        (d_a_swapped, d_a),
        (d_b_swapped, d_b),
        (d_a_permuted, np.asarray(d_a)[order]),
        (d_b_permuted, np.asarray(d_b)[order]),
    ):
        close(actual, expected)


@pytest.mark.parametrize(
    "loss",
    [losses.symmetric_info_nce, losses.nt_xent, losses.siglip],
    ids=lambda loss: loss.__name__,
)
def test_invariances(loss):
    """Of distances to rotation and shift; of cosines to the length of each row."""
    a, b = draw()
    rng = np.random.default_rng(1)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0].astype("f")
    shift, lengths = rng.normal(size=(1, 5)).astype("f"), rng.uniform(1, 9, (7, 1))
    kind = similarity.negative_squared_distance
    by_distance = jax.jit(
        jax.value_and_grad(partial(loss, similarity=kind, temperature=2.0), (0, 1))
    )
    value, (d_a, d_b) = by_distance(a, b)
    moved, _ = by_distance(a @ rotation + shift, b @ rotation + shift)
    np.testing.assert_allclose(moved, value, rtol=1e-5)
    total = np.sum(d_a, axis=0) + np.sum(d_b, axis=0)
    np.testing.assert_allclose(total, 0.0, atol=1e-6)
    by_cosine = jax.jit(jax.value_and_grad(loss))
    value, gradient = by_cosine(a, b)
    scaled, _ = by_cosine(a * lengths.astype("f"), b)
    np.testing.assert_allclose(scaled, value, rtol=1e-5)
    along = np.sum(a * np.asarray(gradient), axis=1)
    np.testing.assert_allclose(along, 0.0, atol=1e-6)


def test_one_present_example_has_no_negatives():
    a, b = draw()
    where = np.arange(7) == 3
    for loss in (losses.info_nce, losses.nt_xent, losses.clip):
        value, gradient = jax.jit(jax.value_and_grad(loss))(a, b, where=where)
        assert value == 0
        assert (gradient == 0).all()


def test_wrong_options_are_refused():
    a, b = draw()
    for loss in (losses.info_nce, *SYMMETRIC):
        with pytest.raises(ValueError, match=f"{loss.__name__}: expected temperature"):
            loss(a, b, temperature=0.0)
        with pytest.raises(ValueError, match=f"{loss.__name__}: expected chunk_size"):
            loss(a, b, chunk_size=0)
        with pytest.raises(ValueError, match=f"{loss.__name__}: expected ring with"):
            loss(a, b, ring=True)
        with pytest.raises(ValueError, match=f"{loss.__name__}: expected one shape"):
            loss(a, b[:-1])
        with pytest.raises(TypeError, match=f"{loss.__name__}: expected where bool"):
            loss(a, b, where=np.ones(7, int))
    with pytest.raises(ValueError, match="fresh_negatives_nce: expected negatives_a"):
        losses.fresh_negatives_nce(a, b, a[:, :2], b[:, :2])


def test_temperature_and_bias_may_be_learned():
    """Central differences, in float64."""
    with jax.enable_x64(True):
        a, b = draw().astype(float)

        @jax.jit
        def loss(params):
            temperature, bias = params
            pair = losses.siglip(a, b, temperature=temperature, bias=bias)
            return pair + losses.clip(a, b, temperature=temperature)

        params = np.array([0.5, -1.0])
        gradient = np.asarray(jax.jit(jax.grad(loss))(params))
        for i, step in enumerate(1e-5 * np.eye(2)):
            above, below = float(loss(params + step)), float(loss(params - step))
            slope = (above - below) / 2e-5
            np.testing.assert_allclose(gradient[i], slope, rtol=1e-7)


def test_pairwise_averages_over_the_pairs_of_modalities_that_rows_have():
    modalities = draw(count=3)
    where = np.ones((3, 7), bool)
    where[0, :3], where[2, 2:5] = False, False
    loss = partial(losses.info_nce, temperature=0.7)
    pairwise = jax.jit(partial(losses.pairwise, loss=loss))
    expected = [
        info_nce_from_the_paper(
            modalities[m][where[m] & where[n]],
            modalities[n][where[m] & where[n]],
            similarity=similarity.cosine,
            temperature=0.7,
        )
        for m, n in ((0, 1), (0, 2), (1, 2))
    ]
    actual = pairwise(tuple(modalities), where=where)
    np.testing.assert_allclose(actual, np.mean(expected), rtol=1e-5)
    where[0] = False  # and so are its pairs
    where[2] = True
    expected = info_nce_from_the_paper(
        *modalities[1:], similarity=similarity.cosine, temperature=0.7
    )
    actual = pairwise(tuple(modalities), where=where)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_pairwise_of_two_is_the_loss_and_of_one_is_refused():
    a, b = draw()
    actual = jax.jit(losses.pairwise)((a, b))
    expected = jax.jit(losses.symmetric_info_nce)(a, b)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="pairwise: expected modalities >= 2; got 1"):
        losses.pairwise((a,))
    with pytest.raises(ValueError, match="pairwise: expected one shape of rank 2"):
        losses.pairwise((a, b[:-1]))


class bilinear:
    """Not symmetric: a W b."""

    prepare = staticmethod(similarity.dot.prepare)

    @staticmethod
    def of_rows(a, b):
        return jnp.sum(a * jnp.roll(b, 1, axis=-1), axis=-1)

    @staticmethod
    def of_pairs(a, b):
        return pairwise_dot(a, jnp.roll(b, 1, axis=-1))


@pytest.mark.parametrize("kind", [*SIMILARITIES, bilinear])
def test_both_ways_of_one_matrix_are_the_two_calls(kind):
    a, b = np.random.default_rng(0).normal(size=(2, 7, 3))
    where = np.arange(7) != 2

    def apart(a, b):
        options = dict(similarity=kind, temperature=0.3, where=where)
        return (losses.info_nce(a, b, **options) + losses.info_nce(b, a, **options)) / 2

    def together(a, b):
        options = dict(similarity=kind, temperature=0.3, where=where)
        return losses.symmetric_info_nce(a, b, **options)

    with jax.enable_x64():
        found, expected = (
            jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(a, b)
            for loss in (together, apart)
        )
        products = [
            str(jax.make_jaxpr(loss)(a, b)).count("dot_general")
            for loss in (together, apart)
        ]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12), found, expected)
    assert products == ([2, 2] if kind is bilinear else [1, 2])
