"""Checks of tasks made of images: montages, contexts, noise in place of photographs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend, hidden
from repr_jax import losses
from repr_jax.data import colors, mnist, pretext, procedural
from repr_jax.data.montage import montage
from repr_jax.evaluators import linear_probe

CHECKS: list[Check] = []
check = checks_in(CHECKS)


@functools.cache
def _large(split):
    """[rows, 28, 28, 1] digits."""
    images, _ = mnist.arrays(split, source="embedded")
    return images[..., None] / np.float32(255)


def _cut(key, patches):
    """Patches [rows, side, side, 1] of 28 x 28 pixels, moved a little, 14 x 14."""
    small = jax.image.resize(patches, (len(patches), 14, 14, 1), "linear")
    flat = toys.moved(key, small[..., 0], shift=0.1, zoom=0.1)
    return flat.reshape(small.shape)


@check(
    "jigsaw clustering",
    "data.montage.montage",
    "linear probe of moved digits, 128 patches of 32",
    beats="rotations of 32 moved digits",
)
def jigsaw(seed):
    keys = jax.random.split(jax.random.key(seed), 2)
    start = {
        "encoder": toys.encoder(seed),
        "cell": toys.dense(keys[0], (128, 4)),
    }

    def loss(params, key):
        keys = jax.random.split(key)
        (some,) = batch(keys[0], _large("train"), size=32)
        found = montage(keys[1], some, change=_cut)
        tiles = found.images.reshape(32, 2, 14, 2, 14)
        tiles = jnp.moveaxis(tiles, 3, 2).reshape(-1, 196)
        z = apply(params["encoder"], tiles)
        cells = apply(params["cell"], hidden(params["encoder"], tiles))
        return losses.sup_con(
            z, found.source.ravel(), temperature=0.07
        ) + losses.cross_entropy(cells, found.cell.ravel())

    params = descend(loss, start, seed=seed, num_steps=400)
    return toys.probe_of(params["encoder"]), toys.probe_of(toys.rotating(seed, 400))


def _of_noise(seed, images):
    """Probe of an encoder of aligned, uniform views of images [rows, 14, 14]."""

    def loss(params, key):
        keys = jax.random.split(key, 3)
        (some,) = batch(keys[0], images)
        a, b = (apply(params, toys.moved(k, some)) for k in keys[1:])
        return losses.alignment_uniformity(a, b)

    params = descend(loss, toys.encoder(seed), seed=seed, num_steps=300)
    return toys.probe_of(params)


def _gray(dataset):
    """[rows, 14, 14], all training images."""
    images = [
        batch["image"][batch["where"]] for batch in dataset.evaluate("train", 100)
    ]
    return np.concatenate(images).mean(axis=-1)


@functools.lru_cache(1)
def _of_white_noise(seed):
    noise = np.random.default_rng(seed).uniform(size=(1_000, 14, 14))
    return _of_noise(seed, np.float32(noise))


@check(
    "dead leaves",
    "data.procedural.dead_leaves",
    "linear probe of moved digits",
    beats="white noise in place of leaves",
)
def leaves(seed):
    dataset = procedural.dead_leaves(num_examples=500, size=14, seed=seed)
    return _of_noise(seed, _gray(dataset)), _of_white_noise(seed)


@check(
    "noise of a spectrum",
    "data.procedural.spectrum",
    "linear probe of moved digits",
    beats="white noise",
)
def spectrum(seed):
    dataset = procedural.spectrum(num_examples=1_000, size=14, seed=seed)
    return _of_noise(seed, _gray(dataset)), _of_white_noise(seed)


def _fringed(images):
    """Flat digits [rows, 196] -> [rows, 18, 18, 3], red enlarged, blue made smaller."""
    side, found = 18, []
    padded = np.pad(images.reshape(-1, 14, 14), ((0, 0), (2, 2), (2, 2)))
    for zoom in (1.12, 1.0, 0.88):
        scale = jnp.array([zoom, zoom])
        found.append(
            jax.image.scale_and_translate(
                padded,
                padded.shape,
                (1, 2),
                scale,
                (1 - scale) / 2 * side,
                method="linear",
                antialias=False,
            )
        )
    return jnp.stack(found, axis=-1)


@check(
    "blurred chroma",
    "data.colors.chroma_blur",
    "linear probe of moved digits with color fringes, after relative places",
    beats="without blur",
)
def chroma(seed):
    (x, y), (t, label) = (
        toys.displaced(*rows) for rows in (("train", 2_000), ("test", 2_000))
    )
    found = []
    keys = jax.random.split(jax.random.key(seed), 3)
    for size in (7, 1):
        train, test = (colors.chroma_blur(_fringed(r), size=size) for r in (x, t))

        def encode(params, patches):
            flat = patches.reshape(-1, 75)
            return jax.nn.relu(apply(params["encoder"], flat))

        def loss(params, key, train=train, encode=encode):
            keys = jax.random.split(key, 3)
            (some,) = batch(keys[0], train)
            patches = pretext.yoked_patches(keys[1], some, patch_size=5)
            pairs, places = pretext.relative_pairs(keys[2], patches)
            z = encode(params, pairs).reshape(len(some), -1)
            return losses.cross_entropy(apply(params["head"], z), places)

        start = {
            "encoder": toys.dense(keys[0], (75, 64, 32)),
            "head": toys.dense(keys[1], (64, 64, 8)),
        }
        params = descend(loss, start, seed=seed, num_steps=600)
        rows = (
            np.asarray(encode(params, pretext.yoked_patches(
                keys[2], images, patch_size=5
            ))).reshape(len(images), -1)
            for images in (train, test)
        )  # fmt: skip
        found.append(linear_probe.score(next(rows), y, next(rows), label).accuracy)
    return tuple(found)
