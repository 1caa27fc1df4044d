"""A variational autoencoder whose latents form a binary tree that may grow.

Every node has parameters of its own, stacked on axis 0 for a fixed number of nodes, and
`trees.growing` says which nodes there are: one program serves a tree of any size.

    x --encoder--> d[depth D] -> ... -> d[1] -> d[0]     the same for all nodes
    d[depth] and z of the node above --node--> z of the node
    z of a leaf --decoder--> what explains x

Variables are a dict of what encoder, nodes and decoders have, each with params and the
moments of its batch normalisation, batch_stats. In training the functions below return
the variables with new moments. (With layer normalisation in its place, in one trial on
digits, routers sent nearly all rows to one side.)

Source: Manduchi, Vandenhirtz, Ryser and Vogt, "Tree Variational Autoencoders", 2023,
https://arxiv.org/abs/2306.08984, and the authors' code, whose sizes for MNIST are the
defaults; but encoder and decoder are fully connected, and narrower.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.losses.variational_tree import path_probabilities, posterior
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
        said, prior = self.posterior(d, train=train), self.prior(above, train=train)
        mean, log_var = (
            jnp.where(is_root, *pair) for pair in zip(said, posterior(*said, *prior))
        )
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
    """The modules; `init` makes their variables."""

    encoder: TreeEncoder
    node: TreeNode
    decoder: TreeDecoder


def init(key: Array, model: TreeVAE, x: Array, num_nodes: int) -> dict[str, Any]:
    """Variables of the encoder, and of nodes and decoders stacked for num_nodes."""
    encoder_key, *keys = jax.random.split(key, 3)
    node_keys, decoder_keys = (jax.random.split(k, num_nodes) for k in keys)
    levels, encoder = model.encoder.init_with_output(encoder_key, x, train=False)
    z, d = jnp.zeros((len(x), model.node.latent_dim)), levels[0]
    return {
        "encoder": encoder,
        "nodes": jax.vmap(lambda k: model.node.init(k, z, d, z, False, train=False))(
            node_keys
        ),
        "decoders": jax.vmap(lambda k: model.decoder.init(k, z, train=False))(
            decoder_keys
        ),
    }


def apply(module: nn.Module, variables, *inputs, train: bool, method=None):
    """What a module returns, and its variables, in training with new moments."""
    if not train:
        out = module.apply(variables, *inputs, train=False, method=method)
        return out, variables
    out, moved = module.apply(
        variables, *inputs, train=True, mutable=["batch_stats"], method=method
    )
    return out, {**variables, **moved}


def descend(
    model: TreeVAE,
    variables,
    x: Array,
    parents: Array,
    noise: Array,
    *,
    train: bool,
):
    """Down the tree from the root: what all nodes say of x.

    x: [batch, ...]; noise: [batch, node, latent_dim], zeros for means in place of
    samples. Returns a NodeOutput of arrays [batch, node, ...], the encoder's levels,
    and the variables. Nodes that the tree does not have say what means nothing.
    """
    levels, encoder = apply(model.encoder, variables["encoder"], x, train=train)
    depth = jnp.maximum(growing.depths(parents), 0)
    above = jnp.maximum(jnp.asarray(parents), 0)
    noise = jnp.moveaxis(noise, 1, 0)

    def visit(z, inputs):
        node, variables, noise = inputs
        inputs = (z[above[node]], levels[depth[node]], noise, node == 0)
        out, variables = apply(model.node, variables, *inputs, train=train)
        return z.at[node].set(out.z), (out, variables)

    inputs = (jnp.arange(len(above)), variables["nodes"], noise)
    _, (out, nodes) = jax.lax.scan(visit, jnp.zeros_like(noise), inputs)
    out = jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1), out)
    return out, levels, {**variables, "encoder": encoder, "nodes": nodes}


def decode(model: TreeVAE, variables, z: Array, leaves: Array, *, train: bool):
    """[batch, node, latent_dim] -> [batch, leaf, pixels], each leaf by its decoder.

    leaves: [leaf] int, nodes; negative for one that is not used, whose output means
    nothing. Returns the variables as well.
    """
    leaves = jnp.asarray(leaves)
    nodes = jnp.maximum(leaves, 0)

    def one(variables, z):
        return apply(model.decoder, variables, z, train=train)

    decoders = jax.tree.map(lambda a: a[nodes], variables["decoders"])
    out, moved = jax.vmap(one, in_axes=(0, 1), out_axes=(1, 0))(decoders, z[:, nodes])
    places = jnp.where(leaves >= 0, leaves, z.shape[1])  # beyond the last: dropped
    decoders = jax.tree.map(
        lambda a, b: a.at[places].set(b, mode="drop"), variables["decoders"], moved
    )
    return out, {**variables, "decoders": decoders}


def leaf_probabilities(model, variables, x, parents, leaves) -> Array:
    """[batch, leaf]: the probability of q that each row ends in each leaf; 0 if unused.

    No noise: the routers of q read the input alone.
    """
    noise = jnp.zeros((len(x), len(parents), model.node.latent_dim))
    out, _, _ = descend(model, variables, x, parents, noise, train=False)
    share = path_probabilities(out.logits, parents)[:, jnp.maximum(leaves, 0)]
    return jnp.where((jnp.asarray(leaves) >= 0)[None, :], share, 0)


def _layer(x, width, train):
    """A dense layer, normalised over the batch, and a leaky ReLU."""
    x = nn.Dense(width, use_bias=False)(x)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
    return nn.leaky_relu(x, SLOPE)
