"""A tree of latents grown on images of four kinds, and what each stage moves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import metrics, trees
from repr_jax.estimators import tree_vae
from repr_jax.losses.variational_tree import tree_elbo
from repr_jax.models import tree_vae as models
from repr_jax.ops import likelihood
from repr_jax.trees import growing

MODEL = models.fully_connected(
    36,
    num_leaves=4,
    max_depth=2,
    latent_dim=2,
    hidden=8,
    encoder_widths=(16,),
    decoder_widths=(8,),
)
SMALL = dict(num_leaves=4, num_steps=200, batch_size=32, learning_rate=3e-3)


@pytest.fixture(scope="module")
def fitted(four_kinds):
    seen = []
    found = tree_vae.fit(
        jax.random.key(0),
        four_kinds()[0],
        model=MODEL,
        **SMALL,
        progress=lambda *n: seen.append(n),
    )
    variables = jax.tree.map(jnp.asarray, found.variables)
    return found._replace(variables=variables), seen


def test_finds_the_kinds(fitted, four_kinds):
    found, seen = fitted
    kind = four_kinds()[1]
    num = len(found.nodes)
    table = metrics.contingency(found.assignments, kind, num_clusters=num)
    assert metrics.hungarian_accuracy(table) == 1
    trees.check("test", found.parents, num)
    assert growing.leaves(found.tree)[found.nodes].all()
    assert seen == [(200 * n, 1300) for n in (1, 2, 3, 4)]
    assert found.losses[-100:].mean() < found.losses[:20].mean()


def test_assigns_other_rows_as_the_rows_fitted_on(fitted, four_kinds):
    found, _ = fitted
    share = tree_vae.probabilities(found, four_kinds()[0], model=MODEL)
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-5)
    assert (share.argmax(axis=1) == found.assignments).all()
    x, kind = four_kinds(40, seed=1)
    leaf = {k: found.assignments[k] for k in range(4)}
    assign = jax.jit(functools.partial(tree_vae.assign, model=MODEL))
    assert assign(found, x).tolist() == [leaf[k] for k in kind]
    assert tree_vae.assign(found, x[:0], model=MODEL).shape == (0,)


def training(images, max_depth=2, min_rows=10):
    return tree_vae._Training(
        model=MODEL._replace(encoder=MODEL.encoder.clone(num_levels=max_depth + 1)),
        images=jnp.asarray(images),
        key=jax.random.key(1),
        num_leaves=4,
        batch_size=SMALL["batch_size"],
        num_steps=2,
        learning_rate=1e-2,
        growing_beta=0.15,
        min_rows=min_rows,
        log_likelihood=likelihood.bernoulli,
        report=lambda done: None,
    )


def test_a_new_sub_tree_leaves_the_rest_as_it_was(fitted, four_kinds):
    found, _ = fitted
    tree, (a, b) = growing.split(growing.start(9), 2)
    split, rows = np.array([2, a, b], np.int32), np.arange(10)
    after = tree_vae._train_split(
        training(four_kinds()[0]), found.variables, tree, split, rows, []
    )

    def compare(path, old, new):
        path = jax.tree_util.keystr(path)
        moving = {"nodes": [a, b], "decoders": [a, b]}.get(path[2:].split("'")[0], [])
        if "nodes" in path and "router" in path:
            moving = [2, *moving]
        still = np.setdiff1d(np.arange(len(old)), moving)
        np.testing.assert_array_equal(np.asarray(old)[still], np.asarray(new)[still])
        if moving and "kernel" in path:
            assert (np.asarray(old)[moving] != np.asarray(new)[moving]).any()

    jax.tree_util.tree_map_with_path(compare, found.variables, after)


def test_the_loss_of_a_sub_tree_has_the_gradient_of_the_whole(fitted, four_kinds):
    """Of what it moves; all moments fixed, all leaves decoded, the same noise."""
    found, _ = fitted
    model, x = MODEL, jnp.asarray(four_kinds()[0][:8].reshape(8, -1))
    tree, (a, b) = growing.split(growing.start(9), 2)
    leaves, split = np.array([1, a, b, -1]), np.array([2, a, b])
    noise = jax.random.normal(jax.random.key(3), (8, 9, 2))
    variables, beta = found.variables, 0.3
    own = {
        "nodes": jax.tree.map(lambda v: v[split], variables["nodes"]),
        "decoders": jax.tree.map(lambda v: v[split[1:]], variables["decoders"]),
    }
    still = functools.partial(models.apply, train=False)

    def steady(module, variables, *inputs, train, method=None):
        return still(module, variables, *inputs, method=method)

    def bound(said):
        out, decoded, leaves, _ = said
        return tree_elbo(x, decoded, *out[1:], parents=tree, leaves=leaves, beta=beta)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "apply", steady)
        part = jax.jit(
            jax.grad(
                lambda own: bound(
                    model.outputs_of_split(own, x, noise, tree, split, variables)
                )
            )
        )(own)
        whole = jax.jit(
            jax.grad(lambda v: bound(model.outputs(v, x, noise, tree, leaves)))
        )(variables)
    for i in (1, 2):  # of both children, everything
        jax.tree.map(
            lambda p, w, i=i: np.testing.assert_allclose(p[i], w[split[i]], atol=1e-5),
            part["nodes"]["params"],
            whole["nodes"]["params"],
        )
    for name in ("router", "prior_router"):
        jax.tree.map(
            lambda p, w: np.testing.assert_allclose(p[0], w[2], atol=1e-5),
            part["nodes"]["params"][name],
            whole["nodes"]["params"][name],
        )
    jax.tree.map(
        lambda p, w: np.testing.assert_allclose(p, w[split[1:]], atol=1e-5),
        part["decoders"]["params"],
        whole["decoders"]["params"],
    )


def test_the_leaf_with_most_rows_is_split_unless_too_deep_or_too_small(
    fitted, four_kinds
):
    found, _ = fitted
    run, variables = training(four_kinds()[0]), found.variables
    tree = growing.start(9)
    share = tree_vae._probabilities(MODEL, variables, run.images, tree, [1, 2])
    sure = (share >= 0.5).sum(axis=0)
    leaf, rows = tree_vae._to_split(run, variables, tree)
    assert leaf == 1 + sure.argmax() and len(rows) == sure.max()
    deep, small = (
        training(four_kinds()[0], max_depth=1),
        training(four_kinds()[0], min_rows=161),
    )
    assert tree_vae._to_split(deep, variables, tree) == (None, None)
    assert tree_vae._to_split(small, variables, tree) == (None, None)
    full = np.array([-1, 0, 0, 1, 1, 2, 2, 3, 3])
    assert tree_vae._to_split(run, variables, full) == (None, None)


def test_empty_leaves_are_pruned(fitted, four_kinds):
    """A router that sends all rows to one side: the other goes."""
    found, _ = fitted
    run, nodes = training(four_kinds()[0]), found.variables["nodes"]
    odds = nodes["params"]["router"]["Dense_2"]["bias"].at[0].set(100.0)
    router = {
        **nodes["params"]["router"],
        "Dense_2": {**nodes["params"]["router"]["Dense_2"], "bias": odds},
    }
    params = {**nodes["params"], "router": router}
    variables = {**found.variables, "nodes": {**nodes, "params": params}}
    tree = tree_vae._pruned(run, variables, growing.start(9))
    assert tree.tolist()[:3] == [-1, 0, -2]


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(num_leaves=1), "expected num_leaves >= 2"),
        (dict(images=np.zeros((0, 4), "f")), "at least 1 rows; got shape"),
        (dict(images=np.full((2, 4), 2, "f")), r"in \[0, 1\]; got values from 0.0 to"),
        (dict(images=np.full((2, 4), np.nan, "f")), "finite; got nan in row 0"),
        (dict(num_steps=0), "expected num_steps >= 1"),
        (dict(min_rows=0), "expected min_rows >= 1"),
        (dict(growing_beta=-1.0), "expected growing_beta >= 0"),
    ],
)
def test_errors(change, message, four_kinds):
    arguments = dict(images=four_kinds()[0], model=MODEL, num_leaves=4)
    with pytest.raises(ValueError, match=message):
        tree_vae.fit(jax.random.key(0), **{**arguments, **change})
