"""What holds for every loss in losses.__all__, whatever it computes.

A loss is called through its row in `contract_rows.ROWS`. `run` lets learned parameters
act on every array, as a network does: replicated where the batch is split.
"""

import inspect
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from repr_jax import losses
from tests import older_jax
from tests.jaxprs import rounded_products
from tests.lanes import slow_unless
from tests.losses.contract_calls import BATCH, DIM
from tests.losses.contract_rows import ROWS

NUM_DEVICES = 4
# pytest runs what is of the scope of a module together: all tests of one loss, so that
# its gradient is traced once, and not once more by another worker.
of_losses = partial(pytest.mark.parametrize, scope="module")
every_loss = of_losses("name", losses.__all__)
# Of what look across an axis in different ways, one each.
IN_EVERY_FORM = (
    "barlow_twins",  # sums of products of rows
    "deep_ect",  # sums over a tree
    "elbo",  # noise by row
    "info_nce",  # pairs of rows of all shards, in blocks
    "mopoe",  # subsets shared out among all rows
    "sup_con",  # gathered labels
    "temi",  # a marginal of all rows
    "uniformity",  # a mean of exponentials
)


def every_loss_with(option, *, without=()):
    def has(name, option):
        return option in inspect.signature(getattr(losses, name)).parameters

    names = [name for name in losses.__all__ if has(name, option)]
    names = [name for name in names if not any(has(name, other) for other in without)]
    return of_losses("name", names)


def draw(name):
    """Arrays and `where`; two rows are absent, one whole device's share of them."""
    rng = np.random.default_rng(0)
    row = ROWS[name]
    arrays = {
        key: rng.normal(size=(BATCH, *shape)).astype("f")
        for key, shape in row.shapes.items()
    }
    where = np.ones(BATCH, bool)
    if row.modalities:
        where = rng.random((BATCH, row.modalities)) < 0.7
        where[0] = True
        where[:, 0] |= ~where.any(axis=1)
    where[[2, 3, 5]] = False
    return arrays, where


def parameters(name):
    arrays, _ = draw(name)
    decoder = np.random.default_rng(1).normal(size=(DIM, 3)).astype("f")
    return {
        "gain": {key: np.float32(1.0) for key in arrays},
        "shift": {key: np.float32(0.0) for key in arrays},
        "decoder": decoder,
    }


def run(name, params, arrays, where, axis_name=None, dtype=None, **options):
    arrays = {
        key: (x * params["gain"][key] + params["shift"][key]).astype(dtype or x.dtype)
        for key, x in arrays.items()
    }
    loss, row = getattr(losses, name), ROWS[name]
    decoder = params["decoder"]
    return row.call(loss, arrays, decoder, where=where, axis_name=axis_name, **options)


@cache
def value_and_grad(name):
    """Compiled: params, arrays, where -> value, gradients by params and by arrays."""
    return jax.jit(jax.value_and_grad(partial(run, name), argnums=(0, 1)))


def assert_same(actual, expected, rtol=1e-4):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-5)


def test_every_loss_has_a_row():
    assert set(ROWS) == set(losses.__all__)


@every_loss
def test_a_float32_scalar(name):
    value, _ = value_and_grad(name)(parameters(name), *draw(name))
    assert value.shape == () and value.dtype == jnp.float32


# Operation by operation, a loss takes some hundred programs to compile.
@of_losses("name", slow_unless(IN_EVERY_FORM, losses.__all__))
def test_jit_changes_neither_value_nor_gradient(name):
    """Also as users compile: FULL_COMPILATION=1, where products and sums are fused."""
    arrays, where = draw(name)
    loss = jax.value_and_grad(partial(run, name), argnums=(0, 1))
    value, gradient = loss(parameters(name), arrays, where)
    compiled = value_and_grad(name)(parameters(name), arrays, where)
    assert value.shape == () and value.dtype == jnp.float32
    np.testing.assert_allclose(compiled[0], value, rtol=1e-5)
    assert_same(compiled[1], gradient)


@every_loss
def test_products_of_float32_are_not_rounded(name):
    arrays, where = draw(name)
    found = rounded_products(value_and_grad(name), parameters(name), arrays, where)
    assert not found, found


@every_loss
def test_bfloat16_in_float32_inside(name):
    arrays, where = draw(name)
    rounded = {k: np.float32(x.astype(jnp.bfloat16)) for k, x in arrays.items()}
    params = parameters(name)
    low = jax.jit(partial(run, name, dtype=jnp.bfloat16))(params, arrays, where)
    high, _ = value_and_grad(name)(params, rounded, where)
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, high, rtol=1e-5)


@every_loss
def test_a_row_of_nan_makes_the_loss_nan(name):
    """No comparison hides it. Labels are made of numbers that may be NaN."""
    arrays, where = draw(name)
    for key in set(arrays) - {"label", "index"}:
        broken = {k: x.copy() for k, x in arrays.items()}
        broken[key][0] = np.nan
        value, _ = value_and_grad(name)(parameters(name), broken, where)
        assert np.isnan(value), key


@every_loss
def test_integers_are_refused(name):
    arrays, where = draw(name)
    with pytest.raises(TypeError, match=f"{name}: expected .* of floats; got int32"):
        run(name, parameters(name), arrays, where, dtype=jnp.int32)


@every_loss
@pytest.mark.parametrize("constant", [0.0, 3.0, 1e4, -1e4])
def test_finite_with_gradient_at_constant_inputs(name, constant):
    arrays, where = draw(name)
    arrays = {key: np.full_like(x, constant) for key, x in arrays.items()}
    value, gradient = value_and_grad(name)(parameters(name), arrays, where)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))


@every_loss
def test_finite_with_gradient_at_large_inputs(name):
    arrays, where = draw(name)
    arrays = {key: 1e4 * x for key, x in arrays.items()}
    value, gradient = value_and_grad(name)(parameters(name), arrays, where)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))


@every_loss
def test_absent_is_deleted_even_if_nan(name):
    arrays, where = draw(name)
    evaluate, params = value_and_grad(name), parameters(name)
    expected = evaluate(params, arrays, where)

    def spoiled(key, x):
        if where.ndim == 1 or key.startswith("joint"):
            absent = ~where.reshape(len(where), -1).any(axis=1)
        else:
            absent = ~where[:, int(key[-1])] if key[-1].isdigit() else ~where
        mask = absent.reshape(absent.shape + (1,) * (x.ndim - absent.ndim))
        return np.where(mask, np.nan, x).astype("f")

    broken = {key: spoiled(key, x) for key, x in arrays.items()}
    value, (_, by_array) = evaluate(params, broken, where)
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    assert_same(by_array, expected[1][1])
    for key, gradient in by_array.items():
        assert (np.asarray(gradient)[np.isnan(broken[key])] == 0).all()
    there = where if where.ndim == 1 else where.any(axis=1)
    deleted = {key: x[there] for key, x in arrays.items()}
    value, (by_parameter, by_array) = evaluate(params, deleted, where[there])
    assert_same((value, by_parameter), (expected[0], expected[1][0]))
    for key, gradient in by_array.items():
        assert_same(gradient, np.asarray(expected[1][1][key])[there])


@every_loss
def test_nothing_present_is_0(name):
    arrays, where = draw(name)
    value, gradient = value_and_grad(name)(parameters(name), arrays, where & False)
    assert value == 0
    assert all((g == 0).all() for g in jax.tree.leaves(gradient))


def mesh():
    axes = (jax.sharding.AxisType.Auto,)
    return jax.make_mesh(
        (NUM_DEVICES,), ("data",), axis_types=axes, devices=jax.devices()[:NUM_DEVICES]
    )


def on_a_shard(name, **options):
    """Value and gradient as a trainer takes them inside a mapped function."""

    def step(params, arrays, where):
        loss = partial(run, name, axis_name="data", **options)
        value, gradient = jax.value_and_grad(loss)(params, arrays, where)
        return value, jax.lax.pmean(gradient, "data")

    return step


def by_shard_map(name, params, *batch, check_vma, **options):
    if older_jax.OLD_CHECK and name in ("deep_ect", "tree_elbo"):  # loops over a tree
        check_vma = False
    step = jax.shard_map(
        on_a_shard(name, **options),
        mesh=mesh(),
        in_specs=(P(), P("data"), P("data")),
        out_specs=P(),
        check_vma=check_vma,
    )
    return jax.jit(step)(params, *batch)


def stacked(batch):
    return jax.tree.map(lambda x: x.reshape(NUM_DEVICES, -1, *x.shape[1:]), batch)


def by_pmap(name, params, *batch):
    step = jax.pmap(
        on_a_shard(name),
        axis_name="data",
        in_axes=(None, 0, 0),
        devices=jax.devices()[:NUM_DEVICES],
    )
    return jax.tree.map(lambda x: x[1], step(params, *stacked(batch)))


def by_vmap(name, params, *batch):
    step = jax.vmap(on_a_shard(name), axis_name="data", in_axes=(None, 0, 0))
    return jax.tree.map(lambda x: x[1], jax.jit(step)(params, *stacked(batch)))


def by_sharded_arrays(name, params, *batch):
    batch = jax.device_put(batch, NamedSharding(mesh(), P("data")))
    value, (by_parameter, _) = value_and_grad(name)(params, *batch)
    return value, by_parameter


# Checked, a gradient knows which values differ between shards; in the other forms it
# does not. Those compile the same sums, under vmap in twice the time: so they are quick
# where each function of `ops` that looks across an axis is used, else in the slow lane.
SPLITS = {
    "shard_map": partial(by_shard_map, check_vma=True),
    "vmap": by_vmap,
    "shard_map_unchecked": partial(by_shard_map, check_vma=False),
    "pmap": by_pmap,
    "sharded_arrays": by_sharded_arrays,
}


@of_losses(
    ("split", "name"),
    [
        pytest.param(split, name, marks=() if quick else pytest.mark.slow)
        for split in SPLITS
        for name in losses.__all__
        for quick in [split == "shard_map" or name in IN_EVERY_FORM]
    ],
)
def test_a_split_batch_has_the_value_and_gradient_of_the_whole(split, name):
    batch = draw(name)
    value, (by_parameter, _) = value_and_grad(name)(parameters(name), *batch)
    actual = SPLITS[split](name, parameters(name), *batch)
    assert_same(actual, (value, by_parameter))


@every_loss_with("chunk_size", without=("ring",))
def test_blocks_have_the_value_and_gradient_of_the_whole(name):
    """Three rows at a time, of a batch of eight."""
    expected = value_and_grad(name)(parameters(name), *draw(name))
    in_blocks = jax.value_and_grad(partial(run, name, chunk_size=3), argnums=(0, 1))
    assert_same(jax.jit(in_blocks)(parameters(name), *draw(name)), expected)


@every_loss_with("ring")
def test_a_ring_of_blocks_has_the_value_and_gradient_of_the_whole(name):
    batch = draw(name)
    value, (by_parameter, _) = value_and_grad(name)(parameters(name), *batch)
    options = dict(check_vma=True, ring=True, chunk_size=1)
    actual = by_shard_map(name, parameters(name), *batch, **options)
    assert_same(actual, (value, by_parameter))
