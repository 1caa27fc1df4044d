"""What holds for every estimator; a new one adds its case to `contract_cases.py`.

With `where`, absent rows are as good as deleted, whatever they hold. Compiled, a fit is
the same. A split batch is the whole one. A row that is not finite is refused by number;
in traced code it is as good as absent, or everything is NaN, but no number is wrong.
"""

import functools
import importlib
import inspect
import pkgutil

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax import estimators
from tests.estimators.contract_cases import CASES, CLASSES, DIM, ROWS
from tests.jaxprs import rounded_products


def module_of(name):
    return importlib.import_module(f"repr_jax.estimators.{name}")


def takes(argument):
    """The estimators whose fit has this argument."""
    return [
        name
        for name in CASES
        if argument in inspect.signature(module_of(name).fit).parameters
    ]


def draw():
    """[ROWS, DIM] in [0, 1] and their labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(ROWS) % CLASSES
    centers = 0.1 + 0.8 * np.eye(CLASSES, DIM)
    x = centers[labels] + 0.05 * rng.uniform(size=(ROWS, DIM))
    return x.astype(np.float32), labels.astype(np.int32)


def broken(row=5):
    """The same with a NaN in one row."""
    x, labels = draw()
    x[row, 1] = np.nan
    return x, labels


def assert_same(found, expected):
    def compare(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    jax.tree.map(compare, found, expected)


@functools.cache
def fitted(name):
    """The fit of `draw`, which several tests ask."""
    return CASES[name].fit(module_of(name), *draw())


@functools.cache
def compiled_apply(name):
    """apply(fitted, x); kernel_ridge has a program of its own, and takes no other."""
    apply = functools.partial(CASES[name].apply, module_of(name))
    return apply if name == "kernel_ridge" else jax.jit(apply)


def answers(name, found):
    """What a fit says of the rows, which unlike its arrays has one form."""
    return compiled_apply(name)(found, draw()[0])


# Together: all tests of one estimator, so that it is fitted once, in one worker.
of_estimators = functools.partial(pytest.mark.parametrize, scope="module")


def test_every_estimator_has_a_case():
    assert set(CASES) == {m.name for m in pkgutil.iter_modules(estimators.__path__)}
    assert {"kmeans", "logistic", "ridge", "kernel_ridge"} <= set(takes("where"))


@of_estimators("name", takes("where"))
def test_absent_rows_are_deleted_rows(name):
    x, labels = draw()
    where = np.arange(ROWS) % 4 != 1
    spoiled = np.where(where[:, None], x, np.nan)
    other = np.where(where, labels, -7).astype(np.int32)
    fit = functools.partial(CASES[name].fit, module_of(name))
    found = fit(spoiled, other, where=where)
    again = fit if CASES[name].on_host else jax.jit(fit)  # of other shapes: quicker
    expected = again(x[where], labels[where], where=np.ones(where.sum(), bool))
    assert_same(answers(name, found), answers(name, expected))
    if not hasattr(found, "x"):  # one array a row: absent ones stay
        assert_same(found, expected)


@of_estimators("name", [n for n in CASES if not CASES[n].on_host])
def test_compiled_is_eager(name):
    x, labels = draw()
    fit = functools.partial(CASES[name].fit, module_of(name))
    assert_same(jax.jit(fit)(x, labels), fitted(name))


@of_estimators("name", [n for n in CASES if not CASES[n].on_host])
def test_products_of_float32_are_not_rounded_in_a_fit(name):
    fit = functools.partial(CASES[name].fit, module_of(name))
    found = rounded_products(fit, *draw())
    assert not found, found


WITHOUT_PRODUCTS = ("deep_ect", "tree_vae", "kernel_ridge")  # of their own, or traced


@of_estimators(
    "name", [n for n in CASES if CASES[n].apply and n not in WITHOUT_PRODUCTS]
)
def test_products_of_float32_are_not_rounded_in_what_a_fit_says(name):
    apply = functools.partial(CASES[name].apply, module_of(name))
    found = rounded_products(apply, fitted(name), draw()[0])
    assert not found, found


@of_estimators("name", [n for n in CASES if CASES[n].apply])
def test_what_a_fit_says_compiles(name):
    apply = functools.partial(CASES[name].apply, module_of(name))
    if name == "kernel_ridge":
        with pytest.raises(TypeError):
            jax.jit(apply)(fitted(name), draw()[0])
        return
    eager = apply(fitted(name), draw()[0])
    assert_same(answers(name, fitted(name)), eager)


@of_estimators("name", [n for n in CASES if not CASES[n].whole])
def test_integers_are_refused(name):
    x, labels = draw()
    with pytest.raises(TypeError, match=r"of floats; got u?int"):
        CASES[name].fit(module_of(name), (10 * x).astype(np.uint8), labels)


@of_estimators("name", [n for n in CASES if not CASES[n].whole])
def test_a_row_that_is_not_finite_is_refused_by_number(name):
    case, module = CASES[name], module_of(name)
    number = "leaves 0 and 5" if name == "hyphc" else "row 5"
    with pytest.raises(ValueError, match=f"finite.* got .*{number}"):
        case.fit(module, *broken())


@of_estimators("name", [n for n in CASES if CASES[n].apply])
def test_no_class_is_given_to_a_row_that_is_not_finite(name):
    case, module = CASES[name], module_of(name)
    whole = np.asarray(answers(name, fitted(name)))
    if not np.issubdtype(whole.dtype, np.integer):
        return
    with pytest.raises(ValueError, match=r"finite.* got nan in row 5"):
        case.apply(module, fitted(name), broken()[0])
    traced = compiled_apply(name)(fitted(name), broken()[0])
    others = np.arange(ROWS) != 5
    np.testing.assert_array_equal(np.asarray(traced)[others], whole[others])
    assert np.asarray(traced)[5] == -1


@of_estimators("name", [n for n in CASES if not (CASES[n].on_host or CASES[n].whole)])
def test_in_traced_code_a_row_that_is_not_finite_counts_for_nothing(name):
    """Or for everything: then all is NaN, and nobody takes it for a number."""
    case, module = CASES[name], module_of(name)
    fit = functools.partial(case.fit, module)
    found = jax.jit(fit)(*broken())
    if any(np.isnan(leaf).any() for leaf in jax.tree.leaves(found)):
        said = np.asarray(answers(name, found))
        assert (said == -1).all() if said.dtype.kind == "i" else np.isnan(said).all()
        return
    x, labels = draw()
    where = np.arange(ROWS) != 5
    assert_same(found, fit(x, labels, where=where))


@of_estimators("name", takes("axis_name"))
def test_a_split_batch_is_the_whole(name):
    x, labels = draw()
    where = np.arange(ROWS) % 4 != 1
    fit = functools.partial(CASES[name].fit, module_of(name))
    whole = jax.jit(lambda *a: fit(a[0], a[1], where=a[2]))(x, labels, where)

    def part(x, labels, where):
        return fit(x, labels, where=where, axis_name="data")

    kind = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((4,), ("data",), axis_types=kind)
    split = jax.shard_map(part, mesh=mesh, in_specs=P("data"), out_specs=P())
    assert_same(jax.jit(split)(x, labels, where), whole)
