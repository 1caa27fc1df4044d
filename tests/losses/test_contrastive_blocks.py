"""Blocks and rings against one matrix in float64, and what they may keep in memory."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax import losses
from repr_jax.ops import pairs
from tests import older_jax
from tests.jaxprs import equations

BATCH, DIM = 16, 3
WHERE = np.arange(BATCH) % 5 != 2


def draw():
    return np.random.default_rng(0).normal(size=(2, BATCH, DIM))


def info_nce(params, a, b, where, **options):
    """Parameters act on all rows, as a network does."""
    a, b = a * params["gain"], b + params["shift"]
    temperature = params["temperature"]
    return losses.info_nce(a, b, temperature=temperature, where=where, **options)


def siglip(params, a, b, where, **options):
    a, b = a * params["gain"], b + params["shift"]
    scaling = {name: params[name] for name in ("temperature", "bias")}
    return losses.siglip(a, b, **scaling, where=where, **options)


def parameters():
    gain, shift = np.random.default_rng(1).normal(size=(2, 1, DIM))
    return {"gain": gain, "shift": shift, "temperature": 0.3, "bias": -1.0}


def assert_equal_to_rounding(actual, expected):
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert x.dtype == y.dtype == jnp.float64
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13)


@cache
def dense(loss):
    """Value and gradients in float64, of all pairs at once."""
    with jax.enable_x64(True):
        evaluate = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
        return evaluate(parameters(), *draw(), WHERE)


@pytest.mark.parametrize(
    "loss, chunk_size", [(info_nce, 1), (info_nce, 7), (siglip, 7), (siglip, BATCH)]
)
def test_blocks_change_nothing(loss, chunk_size):
    with jax.enable_x64(True):
        in_blocks = partial(loss, chunk_size=chunk_size)
        evaluate = jax.jit(jax.value_and_grad(in_blocks, argnums=(0, 1, 2)))
        actual = evaluate(parameters(), *draw(), WHERE)
        assert_equal_to_rounding(actual, dense(loss))


not_from_outside = pytest.mark.skipif(
    older_jax.OLD_CHECK, reason="JAX before 0.6 cannot; see repr_jax/ops/pairs.py"
)


def mesh(num_devices):
    return jax.make_mesh(
        (num_devices,),
        ("data",),
        axis_types=(jax.sharding.AxisType.Auto,),
        devices=jax.devices()[:num_devices],
    )


def step(loss, params, a, b, where, **options):
    """As a trainer takes it inside a mapped function."""
    loss = partial(loss, axis_name="data", **options)
    value, gradient = jax.value_and_grad(loss)(params, a, b, where)
    return value, jax.lax.pmean(gradient, "data")


@pytest.mark.parametrize(
    "loss, num_devices, ring, chunk_size",
    [
        (info_nce, 1, True, None),
        (siglip, 2, True, None),
        (info_nce, 4, True, None),
        (siglip, 4, True, None),
        (info_nce, 2, True, 7),  # of eight
        (siglip, 4, True, 1),
        (siglip, 2, False, 7),
        (info_nce, 4, False, 1),
    ],
)
def test_devices_change_nothing(loss, num_devices, ring, chunk_size):
    with jax.enable_x64(True):
        split = jax.shard_map(
            partial(step, loss, ring=ring, chunk_size=chunk_size),
            mesh=mesh(num_devices),
            in_specs=(P(), P("data"), P("data"), P("data")),
            out_specs=P(),
        )
        value, gradient = jax.jit(split)(parameters(), *draw(), WHERE)
        expected, (by_parameter, *_) = dense(loss)
        assert_equal_to_rounding((value, gradient), (expected, by_parameter))


def unchecked(**options):
    return jax.jit(
        jax.shard_map(
            partial(step, info_nce, **options),
            mesh=mesh(4),
            in_specs=(P(), P("data"), P("data"), P("data")),
            out_specs=P(),
            check_vma=False,
        )
    )


def stacked(mapped):
    """pmap or vmap of the step, over shards on axis 0; the second shard's answer."""

    def evaluate(params, *batch):
        batch = (x.reshape(4, -1, *x.shape[1:]) for x in batch)
        return jax.tree.map(lambda x: x[1], mapped(params, *batch))

    return evaluate


def by_pmap(**options):
    return stacked(
        jax.pmap(
            partial(step, info_nce, **options),
            axis_name="data",
            in_axes=(None, 0, 0, 0),
            devices=jax.devices()[:4],
        )
    )


def by_vmap(**options):
    mapped = jax.vmap(
        partial(step, info_nce, **options), axis_name="data", in_axes=(None, 0, 0, 0)
    )
    return stacked(jax.jit(mapped))


@pytest.mark.parametrize("mapped", [unchecked, by_pmap, by_vmap])
def test_a_ring_under_every_map(mapped):
    with jax.enable_x64(True):
        evaluate = mapped(ring=True, chunk_size=3)
        value, gradient = evaluate(parameters(), *draw(), WHERE)
        expected, (by_parameter, *_) = dense(info_nce)
        assert_equal_to_rounding((value, gradient), (expected, by_parameter))


@not_from_outside
def test_gradient_of_a_mapped_ring_from_outside():
    with jax.enable_x64(True):
        split = jax.shard_map(
            partial(siglip, axis_name="data", ring=True, chunk_size=3),
            mesh=mesh(4),
            in_specs=(P(), P("data"), P("data"), P("data")),
            out_specs=P(),
        )
        evaluate = jax.jit(jax.value_and_grad(split, argnums=(0, 1, 2)))
        actual = evaluate(parameters(), *draw(), WHERE)
        assert_equal_to_rounding(actual, dense(siglip))


def test_blocks_keep_float32_precision():
    """Relative to the largest entry of each array."""
    in_blocks = partial(info_nce, chunk_size=7)
    evaluate = jax.jit(jax.value_and_grad(in_blocks, argnums=(0, 1, 2)))
    actual = evaluate(parameters(), *draw().astype("f"), WHERE)
    expected = dense(info_nce)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert x.dtype == jnp.float32
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=2e-6 * np.max(np.abs(y)))


def sizes(jaxpr):
    """The number of elements of everything that is ever computed."""
    for equation in equations(jaxpr):
        yield from (np.prod(v.aval.shape, dtype=int) for v in equation.outvars)


def gradient_jaxpr(batch, num_devices=None, **options):
    axis_name = None if num_devices is None else "data"
    loss = partial(info_nce, axis_name=axis_name, **options)
    if num_devices is not None:
        loss = jax.shard_map(
            loss,
            mesh=mesh(num_devices),
            in_specs=(P(), P("data"), P("data"), P("data")),
            out_specs=P(),
        )
    rows = jnp.zeros((batch, DIM))
    where = jnp.ones(batch, bool)
    gradient = jax.value_and_grad(loss, argnums=(0, 1, 2))
    return jax.make_jaxpr(gradient)(parameters(), rows, rows, where).jaxpr


@not_from_outside
def test_nothing_of_batch_by_batch_is_ever_computed():
    assert max(sizes(gradient_jaxpr(64))) == 64 * 64
    assert max(sizes(gradient_jaxpr(64, chunk_size=8))) == 64 * DIM
    assert max(sizes(gradient_jaxpr(64, chunk_size=7))) <= 70 * DIM
    local = [s for s in sizes(gradient_jaxpr(64, 4, ring=True)) if s != 64 * DIM]
    assert max(local) == 16 * 16  # 64 * DIM is the gradient outside of the map


def test_sums_over_no_column_and_over_some():
    def score(rows, columns, factor):
        values = factor * rows.x @ columns.x.T
        return jnp.where(pairs.others(rows, columns), values, empty)

    x, index = draw()[0].astype("f"), jnp.arange(BATCH)
    rows = pairs.Rows(x, jnp.asarray(WHERE), index)
    alone = rows._replace(index=jnp.zeros_like(index))
    for reduce, empty in ((pairs.log_sum_exp, -np.inf), (pairs.total, 0.0)):
        for chunk_size in (None, 4):
            reduced = jax.jit(partial(reduce, score, chunk_size=chunk_size))
            assert (reduced(alone, alone, 2.0) == empty).all()
            scores = np.array(score(rows, rows, 2.0), float)
            expected = scores.sum(axis=1)
            if reduce is pairs.log_sum_exp:
                expected = np.log(np.exp(scores).sum(axis=1))
            actual = reduced(rows, rows, 2.0)
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_an_empty_sum_has_no_gradient():
    def score(rows, columns, _):
        return jnp.where(pairs.others(rows, columns), rows.x @ columns.x.T, -jnp.inf)

    where, index = jnp.ones(BATCH, bool), jnp.zeros(BATCH, int)

    def loss(x, chunk_size):
        rows = pairs.Rows(x, where, index)
        return jnp.exp(
            pairs.log_sum_exp(score, rows, rows, chunk_size=chunk_size)
        ).sum()

    for chunk_size in (None, 4):
        gradient = jax.jit(jax.grad(partial(loss, chunk_size=chunk_size)))
        assert (gradient(draw()[0].astype("f")) == 0).all()
