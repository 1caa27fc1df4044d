"""A variational autoencoder whose latents form a binary tree that may grow.

Every node has parameters of its own, stacked on axis 0 for a fixed number of nodes, and
`trees.growing` says which nodes there are: one program serves a tree of any size.

    x --encoder--> d[depth D] -> ... -> d[1] -> d[0]     the same for all nodes
    d[depth] and z of the node above --node--> z of the node
    z of a leaf --decoder--> what explains x

Variables are a dict of what encoder, nodes and decoders have, each with params and the
moments of its batch normalization, batch_stats. In training the methods of `TreeVAE`
return the variables with new moments. (With layer normalization in its place, in one
trial on digits, routers sent nearly all rows to one side.)

Source: Manduchi, Vandenhirtz, Ryser and Vogt, "Tree Variational Autoencoders", 2023,
https://arxiv.org/abs/2306.08984, and the authors' code, whose sizes for MNIST are the
defaults; but encoder and decoder are fully connected, and narrower.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import gaussian
from repr_jax.trees import growing

SLOPE = 0.3  # of the leaky ReLU for negative inputs


class TreeEncoder(nn.Module):
    """[batch, ...] -> [depth, batch, hidden]: the deepest level is computed first."""

    num_levels: int  # the largest depth of a node, and one for the root
    widths: Sequence[int] = (512, 512)  # of what comes before the levels
    hidden: int = 128

    @nn.compact
    def __call__(self, x, *, train):
        x = x.reshape(x.shape[0], -1)
        for width in self.widths:
            x = _layer(x, width, train)
        levels = []
        for _ in range(self.num_levels):
            x = _layer(x, self.hidden, train)
            levels.append(x)
        return jnp.stack(levels[::-1])


class NodeOutput(NamedTuple):
    """Of one node for every row."""

    z: Array  # [batch, dim], a sample of q
    mean: Array  # [batch, dim], of q
    log_var: Array  # [batch, dim]
    prior_mean: Array  # [batch, dim], of p given z of the node above
    prior_log_var: Array  # [batch, dim]
    logits: Array  # [batch], log odds of q for the child with the lower number
    prior_logits: Array  # [batch], of p given z


class TreeNode(nn.Module):
    """Latent and router of one node, given z of the node above and the input's d."""

    latent_dim: int = 8
    hidden: int = 128

    def setup(self):
        self.posterior = DiagonalGaussian(self.latent_dim)
        self.prior = DiagonalGaussian(self.latent_dim, self.hidden)
        self.router = Router(self.hidden)
        self.prior_router = Router(self.hidden)

    def __call__(self, above, d, noise, is_root, *, train):
        """[batch, latent_dim], [batch, hidden], [batch, latent_dim], [] bool."""
        own, prior = self.posterior(d, train=train), self.prior(above, train=train)
        experts = (jnp.stack(pair) for pair in zip(own, prior))
        product = gaussian.product_of_experts(*experts)
        mean, log_var = (jnp.where(is_root, *pair) for pair in zip(own, product))
        z = mean + jnp.exp(log_var / 2) * noise
        routers = self.routers(z, d, train=train)
        return NodeOutput(z, mean, log_var, *prior, *routers)

    def routers(self, z, d, *, train):
        """[batch, latent_dim], [batch, hidden] -> logits of q, logits of p."""
        return self.router(d, train=train), self.prior_router(z, train=train)


class DiagonalGaussian(nn.Module):
    """[batch, ...] -> mean, log-variance [batch, dim]; the variance is a softplus."""

    dim: int
    hidden: int = 0  # width of a layer before; 0 for none

    @nn.compact
    def __call__(self, x, *, train):
        x = _layer(x, self.hidden, train) if self.hidden else x
        variance = nn.softplus(nn.Dense(self.dim, name="variance")(x))
        return nn.Dense(self.dim, name="mean")(x), jnp.log(variance + 1e-7)


class Router(nn.Module):
    """[batch, ...] -> [batch] log odds."""

    hidden: int

    @nn.compact
    def __call__(self, x, *, train):
        for _ in range(2):
            x = _layer(x, self.hidden, train)
        return nn.Dense(1)(x)[..., 0]


class TreeDecoder(nn.Module):
    """[batch, latent_dim] -> [batch, pixels], of one leaf; no activation at the end."""

    pixels: int
    widths: Sequence[int] = (256,)

    @nn.compact
    def __call__(self, z, *, train):
        for width in self.widths:
            z = _layer(z, width, train)
        return nn.Dense(self.pixels)(z)


class TreeVAE(NamedTuple):
    """The modules, and what the tree computes with the variables that `init` makes."""

    encoder: TreeEncoder
    node: TreeNode
    decoder: TreeDecoder

    def init(self, key: Array, x: Array, num_nodes: int) -> dict[str, Any]:
        """Variables of the encoder, and of nodes and decoders stacked for num_nodes."""
        encoder_key, *keys = jax.random.split(key, 3)
        node_keys, decoder_keys = (jax.random.split(k, num_nodes) for k in keys)
        levels, encoder = self.encoder.init_with_output(encoder_key, x, train=False)
        z, d = jnp.zeros((len(x), self.node.latent_dim)), levels[0]

        def init_node(key):
            return self.node.init(key, z, d, z, False, train=False)

        def init_decoder(key):
            return self.decoder.init(key, z, train=False)

        nodes = jax.vmap(init_node)(node_keys)
        decoders = jax.vmap(init_decoder)(decoder_keys)
        return {"encoder": encoder, "nodes": nodes, "decoders": decoders}

    def descend(
        self, variables: Mapping, x: Array, parents: Array, noise: Array, *, train: bool
    ) -> tuple[NodeOutput, Array, dict]:
        """Down the tree from the root: the outputs of all nodes for x.

        x: [batch, ...]; noise: [batch, node, latent_dim], zeros for means in place of
        samples. Returns a NodeOutput of arrays [batch, node, ...], the encoder's
        levels, and the variables. Outputs of nodes that the tree does not have are
        arbitrary.
        """
        levels, encoder = apply(self.encoder, variables["encoder"], x, train=train)
        depth = jnp.maximum(growing.depths(parents), 0)
        above = jnp.maximum(jnp.asarray(parents), 0)
        noise = jnp.moveaxis(noise, 1, 0)

        def visit(z, inputs):
            node, variables, noise = inputs
            inputs = (z[above[node]], levels[depth[node]], noise, node == 0)
            out, variables = apply(self.node, variables, *inputs, train=train)
            return z.at[node].set(out.z), (out, variables)

        inputs = (jnp.arange(len(above)), variables["nodes"], noise)
        _, (out, nodes) = jax.lax.scan(visit, jnp.zeros_like(noise), inputs)
        out = jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1), out)
        return out, levels, {**variables, "encoder": encoder, "nodes": nodes}

    def decode(
        self, variables: Mapping, z: Array, leaves: Array, *, train: bool
    ) -> tuple[Array, dict]:
        """[batch, node, latent_dim] -> [batch, leaf, pixels], each leaf by its decoder.

        leaves: [leaf] int, nodes; negative for one that is not used, whose output is
        arbitrary. Returns the variables as well.
        """
        leaves = jnp.asarray(leaves)
        nodes = jnp.maximum(leaves, 0)

        def one(variables, z):
            return apply(self.decoder, variables, z, train=train)

        decoders = jax.tree.map(lambda a: a[nodes], variables["decoders"])
        by_leaf = jax.vmap(one, in_axes=(0, 1), out_axes=(1, 0))
        out, moved = by_leaf(decoders, z[:, nodes])
        places = jnp.where(leaves >= 0, leaves, z.shape[1])  # beyond the last: dropped
        decoders = jax.tree.map(
            lambda a, b: a.at[places].set(b, mode="drop"), variables["decoders"], moved
        )
        return out, {**variables, "decoders": decoders}

    def leaf_probabilities(
        self, variables: Mapping, x: Array, parents: Array, leaves: Array
    ) -> Array:
        """[batch, leaf]: the probability of q to end in each leaf; 0 if it is negative.

        Without noise: the routers of q read the input alone.
        """
        noise = jnp.zeros((len(x), len(parents), self.node.latent_dim))
        out, _, _ = self.descend(variables, x, parents, noise, train=False)
        passed = growing.path_probabilities(out.logits, parents)
        share = passed[:, jnp.maximum(leaves, 0)]
        return jnp.where((jnp.asarray(leaves) >= 0)[None, :], share, 0)

    def outputs(self, variables, x, noise, tree, leaves):
        """What `losses.tree_elbo` takes, in training: of all nodes and these leaves.

        Returns a NodeOutput, decoded, leaves, and the variables.
        """
        out, _, variables = self.descend(variables, x, tree, noise, train=True)
        decoded, variables = self.decode(variables, out.z, leaves, train=True)
        return out, decoded, leaves, variables

    def outputs_of_split(self, own, x, noise, tree, split, variables):
        """As `outputs`, with gradients of two new leaves and of the router above alone.

        No other leaf is decoded, since it would add a constant to the loss.

        Args:
          own: variables of the three nodes `split`, and of the two decoders.
          split: [3] int, a node and its two children, which are leaves.
          variables: of the whole tree; those of `own` are not read.

        Returns:
          a NodeOutput, decoded, leaves, and `own` with new moments.
        """
        leaf, children = split[0], split[1:]
        out, levels, _ = jax.lax.stop_gradient(
            self.descend(variables, x, tree, noise, train=False)
        )
        z, depth = out.z[:, leaf], growing.depths(tree)[leaf]
        options = dict(train=True, method=TreeNode.routers)
        top, *below = (
            jax.tree.map(lambda a, i=i: a[i], own["nodes"]) for i in range(3)
        )
        routers, top = apply(self.node, top, z, levels[depth], **options)
        routers = (a.at[:, leaf].set(b) for a, b in zip(out[5:], routers))
        out, moved = NodeOutput(*out[:5], *routers), [top]
        for i, node in enumerate(below):
            child = children[i]
            inputs = (z, levels[depth + 1], noise[:, child], False)
            new, node = apply(self.node, node, *inputs, train=True)
            out = jax.tree.map(lambda a, b, n=child: a.at[:, n].set(b), out, new)
            moved.append(node)
        nodes = jax.tree.map(lambda *a: jnp.stack(a), *moved)
        pair = out.z[:, children]
        decoded, own = self.decode(own, pair, jnp.arange(2), train=True)
        return out, decoded, children, {**own, "nodes": nodes}


def fully_connected(
    pixels: int,
    *,
    num_leaves: int,
    max_depth: int | None = None,
    latent_dim: int = 8,
    hidden: int = 128,
    encoder_widths: Sequence[int] = (512, 512),
    decoder_widths: Sequence[int] = (256,),
) -> TreeVAE:
    """The modules of a tree of up to `num_leaves` over images of so many pixels.

    max_depth: of a leaf; None for two more than a balanced tree has, at least 5.
    latent_dim, hidden: of every node. encoder_widths, decoder_widths: layers of the
    encoder before its levels, and of every leaf's decoder before its last.
    """
    if max_depth is None:
        max_depth = max(5, (num_leaves - 1).bit_length() + 2)
    return TreeVAE(
        TreeEncoder(max_depth + 1, tuple(encoder_widths), hidden),
        TreeNode(latent_dim, hidden),
        TreeDecoder(pixels, tuple(decoder_widths)),
    )


def apply(module: nn.Module, variables, *inputs, train: bool, method=None):
    """The output of a module, and its variables, in training with new moments."""
    if not train:
        out = module.apply(variables, *inputs, train=False, method=method)
        return out, variables
    out, moved = module.apply(
        variables, *inputs, train=True, mutable=["batch_stats"], method=method
    )
    return out, {**variables, **moved}


def _layer(x, width, train):
    """A dense layer, normalized over the batch, and a leaky ReLU."""
    x = nn.Dense(width, use_bias=False)(x)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
    return nn.leaky_relu(x, SLOPE)
