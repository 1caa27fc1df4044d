"""Whole training steps of networks beside MultiVae and torch, in a loop.

What bounds them, from profiles of one call each and programs of the parts, on a busy
machine of two cores in November 2026 (JAX 0.10, torch 2.14): read shares, not seconds.

All: XLA's one buffer of 470 to 1,400 MB faulted in anew at every step, 8 to 20% of the
processor time, until the process kept its memory, see `repr_jax.memory`.
ResNet-18: the kernel's gradient, where XLA's products of few columns reach half the
rate of large ones, see `repr_jax.models.conv`; normalization passes were not looked at.
ViT: half is products, for which XLA alone took 0.9 to 2.1 times torch's time on one
core; a seventh is copies that transpose what gradients of kernels multiply. Layer
normalization with a gradient of its own, in float32 and in one pass, gained nothing,
nor did XLA's own code for products and reductions in place of YNNPACK's.
"""

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks import conv
from experiments.benchmarks.accelerator import measure
from experiments.benchmarks.speed.peers import sizes
from experiments.benchmarks.speed.turns import Problem, Subject
from repr_jax.models.resnet import ResNet
from repr_jax.models.vit import ViT
from repr_jax.ops.numerics import pairwise_dot

TEXT = (
    "One step of training: forward, backward and the optimizer (Adam for MoPoE and the "
    "ViT, SGD with momentum for the ResNet), float32. MoPoE has the published networks "
    "of PolyMNIST, five views, latent 512; the peer is MultiVae's, whose networks have "
    "the same sizes. The ResNet-18 is for images of 32 x 32, the ViT has patches of 4, "
    "dim 192, depth 6; the peer is torch, with images in channels_last. The limit is "
    "the operations of our step, as XLA counts them in the program as written, done by "
    "products of matrices of 1,024 x 1,024."
)
SIDE = 1024  # of the matrices of the limit


class ClassifyingViT(nn.Module):
    """[batch, 32, 32, 3] -> [batch, 10] logits."""

    dim: int
    depth: int

    @nn.compact
    def __call__(self, images, *, train):
        vit = ViT(4, self.dim, self.depth, 3, (32, 32, 3))
        return nn.Dense(10)(vit(images, train=train).representation)


def mopoe(smoke: bool):
    """(state, images) -> (state, loss), and both arguments."""
    batch, views, latent = sizes.mopoe(smoke)
    size = SimpleNamespace(batch=batch, modalities=views, latent_dim=latent)
    step, start = conv.make_step(size)
    return step, start()


def classifier(kind: str, smoke: bool):
    """The same of a network that classifies images of 32 x 32 pixels."""
    batch, width, depth = getattr(sizes, kind)(smoke)
    if kind == "resnet":
        model = ResNet(10, (depth,) * 4, width=width, small_images=True)
        optimizer = optax.sgd(0.1, momentum=0.9)
    else:
        model, optimizer = ClassifyingViT(width, depth), optax.adam(1e-3)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, 32, 32, 3)).astype(np.float32)
    labels = rng.integers(10, size=batch)

    @jax.jit
    def start():
        found = model.init(jax.random.key(0), jnp.asarray(images), train=True)
        return found, optimizer.init(found["params"])

    def loss(params, rest, images, labels):
        logits, rest = model.apply(
            {"params": params, **rest}, images, train=True, mutable=["batch_stats"]
        )
        each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return each.mean(), rest

    def step(state, batch):
        variables, memory = state
        rest, params = flax.core.pop(variables, "params")
        (value, rest), slope = jax.value_and_grad(loss, has_aux=True)(
            params, rest, *batch
        )
        change, memory = optimizer.update(slope, memory, params)
        params = optax.apply_updates(params, change)
        return ({"params": params, **rest}, memory), value

    return step, (start(), jax.device_put((images, labels)))


NETWORKS = {
    "MoPoE": mopoe,
    "ResNet-18": partial(classifier, "resnet"),
    "ViT": partial(classifier, "vit"),
}


def ours(name: str, smoke: bool) -> Callable:
    """A step from where the last one ended; returns the loss."""
    step, (state, batch) = NETWORKS[name](smoke)
    run = jax.jit(step, donate_argnums=0)

    def call():
        nonlocal state
        state, value = run(state, batch)
        return value

    return call


def as_products(operations: float, rows: int, side: int) -> Callable:
    """So many operations in products of a rows x side and a side x side matrix."""
    times = max(1, round(operations / (2 * rows * side**2)))
    x = jax.random.normal(jax.random.key(0), (rows, side))
    a = jax.random.orthogonal(jax.random.key(1), side)  # no product grows

    @jax.jit
    def products(x, a):
        return jax.lax.fori_loop(0, times, lambda _, x: pairwise_dot(x, a), x)

    return partial(products, x, a)


def roofline(name: str, smoke: bool) -> Callable:
    """As many operations as our step has, in products of large matrices."""
    step, arguments = NETWORKS[name](smoke)
    needed = 1e12 * measure.operations(jax.jit(step).lower(*arguments))
    side = 64 if smoke else SIDE
    return as_products(needed, side, side)


def problems(smoke: bool) -> Iterator[Problem]:
    for name in NETWORKS:
        limit = partial(roofline, name, smoke)
        yield Problem(name, partial(ours, name, smoke), limit, same=False)


SUBJECT = Subject("Speed of training steps", TEXT, problems)
