"""The stacked networks of a tree against one node at a time, and trees of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.models import tree_vae
from repr_jax.trees import growing

# 0 -> (1, 2), 2 -> (3, 4); 5 and 6 are free
PARENTS = np.array([-1, 0, 0, 2, 2, -2, -2], np.int32)
DEPTH = [0, 1, 1, 2, 2]
LEAVES = np.array([3, 1, -1, 4], np.int32)
MODEL = tree_vae.TreeVAE(
    tree_vae.TreeEncoder(num_levels=4, widths=(6,), hidden=5),
    tree_vae.TreeNode(latent_dim=3, hidden=5),
    tree_vae.TreeDecoder(pixels=8, widths=(4,)),
)
descend = jax.jit(
    lambda *inputs, train: MODEL.descend(*inputs, train=train),
    static_argnames="train",
)
init = jax.jit(MODEL.init, static_argnums=2)
apply = jax.jit(tree_vae.apply, static_argnums=0, static_argnames="train")
probabilities = jax.jit(MODEL.leaf_probabilities)


@pytest.fixture(scope="module")
def drawn():
    """Variables of seven nodes, with moments that are not those of the start."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.uniform(keys[0], (9, 4, 2))
    variables = init(keys[1], x, 7)
    noise = jax.random.normal(keys[2], (9, 7, 3))
    _, _, variables = descend(variables, x, PARENTS, noise, train=True)
    return variables, x, noise


def node_of(variables, node):
    return jax.tree.map(lambda a: a[node], variables["nodes"])


@pytest.mark.parametrize("train", [False, True])
def test_descend_is_one_node_after_another(drawn, train):
    variables, x, noise = drawn
    out, levels, _ = descend(variables, x, PARENTS, noise, train=train)
    assert levels.shape == (4, 9, 5)
    for node in range(5):
        above = out.z[:, PARENTS[node]] if node else jnp.zeros((9, 3))
        inputs = (above, levels[DEPTH[node]], noise[:, node], node == 0)
        expected, _ = apply(MODEL.node, node_of(variables, node), *inputs, train=train)
        for a, b in zip(out, expected):
            np.testing.assert_allclose(a[:, node], b, rtol=1e-4, atol=1e-5)


def test_a_node_weighs_input_and_parent_by_precision(drawn):
    variables, x, noise = drawn
    out, levels, _ = descend(variables, x, PARENTS, noise, train=False)
    for node in range(5):
        own = node_of(variables, node)
        mean, log_var = tree_vae.DiagonalGaussian(3).apply(
            {"params": own["params"]["posterior"]}, levels[DEPTH[node]], train=False
        )
        if node:  # the root has the input alone
            prior = np.exp(-out.prior_log_var[:, node])
            precision = np.exp(-log_var) + prior
            mean = mean * np.exp(-log_var) + out.prior_mean[:, node] * prior
            mean, log_var = mean / precision, -np.log(precision)
        np.testing.assert_allclose(out.mean[:, node], mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(out.log_var[:, node], log_var, rtol=1e-4, atol=1e-5)
    z = out.mean + jnp.exp(out.log_var / 2) * noise
    np.testing.assert_allclose(out.z, z, rtol=1e-4, atol=1e-5)


def test_what_the_tree_does_not_have_counts_for_nothing(drawn):
    variables, x, noise = drawn
    out, _, _ = descend(variables, x, PARENTS, noise, train=True)
    broken = jax.tree.map(lambda a: a.at[5:].set(jnp.nan), variables["nodes"])
    spoiled = {**variables, "nodes": broken}
    after, _, _ = descend(spoiled, x, PARENTS, noise, train=True)
    for a, b in zip(out, after):
        np.testing.assert_array_equal(a[:, :5], b[:, :5])


def test_one_program_serves_all_trees(drawn):
    variables, x, noise = drawn
    before = descend._cache_size()
    tree = growing.start(7)
    for leaf in (1, 3):
        out, _, _ = descend(variables, x, tree, noise, train=False)
        assert np.isfinite(out.z[:, : leaf + 2]).all()
        tree, _ = growing.split(tree, leaf)
    assert descend._cache_size() <= before + 1


def test_every_leaf_has_its_decoder(drawn):
    variables, _, noise = drawn
    decoded, moved = MODEL.decode(variables, noise, LEAVES, train=True)
    assert decoded.shape == (9, 4, 8)
    for i, leaf in enumerate(LEAVES):
        if leaf >= 0:
            own = jax.tree.map(lambda a, n=leaf: a[n], variables["decoders"])
            expected, own = apply(MODEL.decoder, own, noise[:, leaf], train=True)
            np.testing.assert_allclose(decoded[:, i], expected, rtol=1e-4, atol=1e-5)
            jax.tree.map(
                lambda a, b, n=leaf: np.testing.assert_allclose(a[n], b, rtol=1e-4),
                moved["decoders"],
                own,
            )
    others = np.array([0, 2, 5, 6])  # their moments stay
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a[others], b[others]),
        moved["decoders"],
        variables["decoders"],
    )


def test_probabilities_of_leaves(drawn):
    variables, x, noise = drawn
    share = probabilities(variables, x, PARENTS, LEAVES)
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-6)
    assert (share[:, 2] == 0).all()
    out, _, _ = descend(variables, x, PARENTS, noise, train=False)
    np.testing.assert_allclose(share[:, 1], jax.nn.sigmoid(out.logits[:, 0]), rtol=1e-5)
    others = x.at[1:].set(0)  # rows do not depend on one another
    again = probabilities(variables, others, PARENTS, LEAVES)
    np.testing.assert_allclose(share[:1], again[:1], rtol=1e-5)
