"""What holds for every estimator; a new one adds a row that says how to fit it.

With `where`, absent rows are as good as deleted, whatever they hold. Compiled, a fit is
the same. A split batch is the whole one. A row that is not finite is refused by number;
in traced code it is as good as absent, or everything is NaN, but no number is wrong.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from repr_jax import estimators
from repr_jax.models.mlp import MLP
from repr_jax.models.tree_vae import fully_connected
from tests.jaxprs import rounded_products

KEY, ROWS, DIM, CLASSES = jax.random.key(0), 24, 4, 3
HEAD = np.random.default_rng(1).normal(size=(CLASSES + 1, DIM)).astype("f")
SHORT = dict(num_steps=2, batch_size=8)
ENCODER, DECODER = MLP((4, 2)), MLP((4, DIM))
LATENTS = fully_connected(DIM, num_leaves=2, max_depth=1, latent_dim=2, hidden=4)


class Case(NamedTuple):
    """How an estimator is fitted to rows [rows, DIM], in [0, 1], of three clouds."""

    fit: Callable  # (module, x, labels, **where and axis_name) -> fitted
    apply: Callable | None = None  # (module, fitted, x) -> arrays by row
    on_host: bool = False  # fit takes no traced arrays
    whole: bool = False  # it is fitted to whole numbers made of the rows


def by_key(**options):
    """Of fit(key, x, ...)."""
    return lambda module, x, labels, **masks: module.fit(KEY, x, **options, **masks)


def by_target(module, x, labels, **masks):
    target = jnp.stack([x[:, 0] ** 2, 3 * x[:, 1]], axis=1)
    return module.fit(x, target, penalty=0.1, **masks)


def as_maps(x):
    """Two positions of two features."""
    return x.reshape(-1, 2, 1, 2)


def cosines(module, x, labels):
    """Similarities of rows, of which a row that is not finite spoils some."""
    return module.fit(KEY, x @ x.T, num_steps=2)


def entities_of(x):
    """[rows, DIM] int in {0, 1, 2}; anything where x is absent."""
    return jnp.asarray(3 * x).astype(jnp.int32)


def decoded_around(x):
    """Points of the unit cube for each row, those inside in the middle."""
    points = np.random.default_rng(1).uniform(size=(20, DIM)).astype(np.float32)
    inside = np.sum((points - 0.5) ** 2, axis=1) < 0.3
    return tuple(np.broadcast_to(a, (len(x), *a.shape)) for a in (points, inside))


CASES = {
    "agglomerative": Case(
        lambda module, x, labels: module.fit(x, num_leaves=3), on_host=True
    ),
    "calibrated_gaussians": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, num_classes=CLASSES, head_size=4, **masks
        ),
        lambda module, fitted, x: module.sample(KEY, fitted, num=2),
        on_host=True,
    ),
    "class_boundary": Case(
        lambda module, x, labels, **masks: module.fit(
            np.eye(CLASSES, DIM, dtype=np.float32), x, labels, keep=0.8, **masks
        ),
        lambda module, *args: module.score(*args),
    ),
    "cluster_pruning": Case(  # rows are log densities
        lambda module, x, labels, **masks: module.fit(
            x, np.zeros(DIM, np.float32), dim=2, **masks
        ),
        lambda module, *args: module.assign(*args),
    ),
    "confident_learning": Case(
        lambda module, x, labels, **masks: module.fit(x[:, :CLASSES], labels, **masks),
        lambda module, fitted, x: module.confident_class(fitted, x[:, :CLASSES]),
    ),
    "conformal_sets": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, miscoverage=0.2, **masks
        ),
        lambda module, *args: module.sets(*args),
    ),
    "coupling_flow": Case(
        by_key(num_steps=2, batch_size=8, num_layers=2, hidden=4),
        lambda module, *args: module.log_prob(*args),
    ),
    "deep_ect": Case(
        by_key(encoder=ENCODER, decoder=DECODER, num_leaves=3, **SHORT),
        lambda module, fitted, x: module.assign(fitted, x, encoder=ENCODER),
        on_host=True,
    ),
    "diverse_query": Case(
        by_key(num_queries=4, temperature=0.1), lambda module, fitted, x: fitted.x
    ),
    "event_embedding": Case(
        lambda module, x, labels, **masks: module.fit(
            KEY, entities_of(x), num_entities=3, dim=2, **SHORT, **masks
        ),
        lambda module, fitted, x: module.score(fitted, entities_of(x)),
        whole=True,
    ),
    "deep_svdd": Case(
        by_key(widths=(4, 2), **SHORT), lambda module, *args: module.score(*args)
    ),
    "ecod": Case(
        lambda module, x, labels, **masks: module.fit(x, **masks),
        lambda module, *args: module.score(*args),
    ),
    "gaussian_mixture": Case(
        by_key(num_components=CLASSES, num_steps=2, ridge=1e-3),
        lambda module, *args: module.assign(*args),
    ),
    "gradient_separation": Case(  # rows are gradients
        lambda module, x, labels, **masks: module.fit(x, HEAD[0], **masks),
        lambda module, *args: module.score(*args),
    ),
    "hierarchy": Case(lambda module, x, labels: module.fit(x), on_host=True),
    "hyphc": Case(cosines, on_host=True),
    "invariants": Case(
        by_key(num_layers=2, hidden=4, **SHORT),
        lambda module, *args: module.score(*args),
    ),
    "kernel_ridge": Case(
        by_target, lambda module, *args: module.predict(*args), on_host=True
    ),
    "kmeans": Case(
        by_key(num_clusters=CLASSES), lambda module, *args: module.assign(*args)
    ),
    "knn_distance": Case(
        lambda module, x, labels, **masks: module.fit(x, **masks),
        lambda module, *args: module.score(*args, num_neighbors=3),
    ),
    "label_propagation": Case(
        lambda module, x, labels, **masks: module.fit(
            x, jnp.where(x[:, 3] > 0.13, labels, -1), num_classes=CLASSES, **masks
        ),
        lambda module, *args: module.predict(*args),
    ),
    "local_outlier": Case(
        lambda module, x, labels, **masks: module.fit(x, num_neighbors=3, **masks),
        lambda module, *args: module.score(*args),
    ),
    "logistic": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, num_classes=CLASSES, **masks
        ),
        lambda module, *args: module.predict(*args),
    ),
    "loss_mixture": Case(
        lambda module, x, labels, **masks: module.fit(x[:, 1], **masks),
        lambda module, fitted, x: module.clean_probability(fitted, x[:, 1]),
    ),
    "low_density": Case(  # two labels, and none
        lambda module, x, labels, **masks: module.fit(
            x, labels - 1, num_rounds=2, steps_per_round=3, **masks
        ),
        lambda module, *args: module.score(*args),
    ),
    "naive_bayes": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, num_classes=CLASSES, **masks
        ),
        lambda module, *args: module.predict(*args),
    ),
    "patch_classifier": Case(
        lambda module, x, labels, **masks: module.fit(
            KEY, x, labels == 1, widths=(4,), **SHORT, **masks
        ),
        lambda module, *args: module.patch_scores(*args),
    ),
    "patch_memory": Case(
        by_key(num_rows=6), lambda module, *args: module.patch_scores(*args)
    ),
    "quantile_region": Case(
        lambda module, x, labels, **masks: module.fit(
            x, *decoded_around(x), miscoverage=0.2, **masks
        ),
        lambda module, region, x: module.contains(region, x, *decoded_around(x)),
    ),
    "ordinal": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, num_classes=CLASSES, max_steps=20, **masks
        ),
        lambda module, *args: module.predict(*args),
    ),
    "relation_graph": Case(
        lambda module, x, labels, **masks: module.fit(x, x[:, :CLASSES], **masks),
        lambda module, fitted, x: module.score(fitted, x, x[:, :CLASSES]),
    ),
    "ridge": Case(by_target, lambda module, *args: module.predict(*args)),
    "separation": Case(
        lambda module, x, labels, **masks: module.fit(x, x[:, 1], **masks),
        lambda module, *args: module.score(*args),
    ),
    "spectral_kernel": Case(
        lambda module, x, labels, **masks: module.fit(
            x, x[:, 3] > 0.13, x[:, :2], transform=jnp.square, **masks
        ),
        lambda module, *args: module.predict(*args),
    ),
    "sdm": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, labels, num_classes=CLASSES, **masks
        ),
        lambda module, fitted, x: module.measure(fitted, x, np.zeros(len(x), np.int32))[
            1
        ],
    ),
    "mahalanobis": Case(
        lambda module, x, labels, **masks: module.fit(
            x, labels, num_classes=CLASSES, ridge=0.01, **masks
        ),
        lambda module, *args: module.relative_score(*args),
    ),
    "padim": Case(
        lambda module, x, labels, **masks: module.fit(as_maps(x), **masks),
        lambda module, fitted, x: module.score(fitted, as_maps(x)),
    ),
    "temperature_scaling": Case(
        lambda module, x, labels, **masks: module.fit(x, labels, **masks),
        lambda module, *args: module.logits(*args),
    ),
    "temi": Case(
        by_key(num_classes=CLASSES, num_heads=1, num_neighbors=3, **SHORT),
        lambda module, *args: module.assign(*args),
        on_host=True,
    ),
    "tree_vae": Case(
        by_key(model=LATENTS, num_leaves=2, **SHORT),
        lambda module, fitted, x: module.assign(fitted, x, model=LATENTS),
        on_host=True,
    ),
    "turtle": Case(
        lambda module, x, labels, **masks: module.fit(
            KEY, (x,), num_classes=CLASSES, num_inner_steps=2, **SHORT, **masks
        ),
        lambda module, fitted, x: module.assign(fitted, (x,)),
        on_host=True,
    ),
    "vim": Case(
        lambda module, x, labels, **masks: module.fit(
            x, HEAD[:CLASSES], HEAD[CLASSES, :CLASSES], num_components=2, **masks
        ),
        lambda module, *args: module.score(*args),
    ),
}


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
