"""Tissue under a microscope, drawn on the device: a stand-in for Camelyon17.

Hematoxylin stains nuclei, eosin what is around them; light is absorbed by both,
I = exp(-(h v_H + e v_E)). A tumor (label 1) is a crowd of large, irregular nuclei with
their centers in the middle third of the image; elsewhere, and without a tumor (label
0), nuclei are small and sparse. Each of five hospitals has stains of its own hue and
strength, a white balance and a blur. `data.shift` says how strongly hospital and label
correlate, and what a batch has: the image is [batch, size, size, 3].

Labels go with hospitals as `wilds.HOSPITAL_LABELS` has it. Hospital 1 is in none of the
four splits: "ood_hospital" is of it alone, as in Camelyon17.

The drawings are ours. Stain vectors: Ruifrok and Johnston, "Quantification of
Histochemical Staining by Color Deconvolution", 2001.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.data import augment, wilds
from repr_jax.data import shift as shifts
from repr_jax.data.dataset import Dataset
from repr_jax.ops import checks

HEMATOXYLIN, EOSIN = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11)
# Of hospitals 0 to 4: hue turned by degrees, gains of both stains, blur in 48ths of a
# side, and a white balance.
TURNS = (-12.0, 0.0, 12.0, -6.0, 4.0)
GAINS = ((0.8, 1.2), (1.3, 0.7), (1.1, 0.8), (0.7, 1.1), (1.2, 1.3))
BLURS = (0.0, 1.0, 0.6, 0.6, 0.0)
BALANCES = ((1.0, 1.0, 1.0), (1.0, 0.92, 0.96), (0.94, 1.0, 0.95))
BALANCES += ((1.0, 0.96, 0.9), (0.92, 0.95, 1.0))
SPARSE, CROWD = 22, 14  # nuclei, those of a tumor
NOISE = 0.02


def stains() -> np.ndarray:
    """[hospital, 2, 3] float32: what a unit of each stain absorbs of each color."""
    vectors, axis = np.array([HEMATOXYLIN, EOSIN]), np.full(3, 3**-0.5)
    found = []
    for degrees, gains in zip(TURNS, GAINS):
        angle = np.deg2rad(degrees)  # about the axis of grays
        along = (vectors @ axis)[:, None] * axis * (1 - np.cos(angle))
        across = np.cross(axis, vectors) * np.sin(angle)
        turned = vectors * np.cos(angle) + across + along
        found.append(np.array(gains)[:, None] * np.maximum(turned, 0.0))
    return np.array(found, np.float32)


def stained(h: Array, e: Array, hospital: Array) -> Array:
    """[height, width] amounts of both stains -> [height, width, 3] light that is left.

    hospital: [] int, whose stains and white balance these are.
    """
    v = jnp.asarray(stains())[hospital]
    dense = h[..., None] * v[0][None, None] + e[..., None] * v[1][None, None]
    return jnp.exp(-dense) * jnp.array(BALANCES)[hospital][None, None]


def nuclei(
    key: Array,
    places: Array,
    *,
    count: int,
    low: float,
    high: float,
    radii: tuple[float, float],
    rough: float,
) -> Array:
    """[height, width] the densest of some nuclei at each pixel, 0 between them.

    Ellipses with wavy edges, whose centers are uniform in the square low to high.

    Args:
      key: PRNG key.
      places: [2, height, width] pixel centers, x and y, in units of a 48th of a side.
      count, low, high: how many, and where.
      radii: smallest and largest. rough: how far edges are from an ellipse.
    """
    draws = jax.random.uniform(key, (8, count))
    centers = low + (high - low) * draws[:2]
    radius = radii[0] + (radii[1] - radii[0]) * draws[2]
    angle, phase = jnp.pi * draws[3], 2 * jnp.pi * draws[4]
    density = jnp.where(draws[5] < 0.8, 0.7 + 0.5 * draws[6], 0.0)  # a fifth is absent
    flat = 0.6 + 0.4 * draws[7]
    wide = (slice(None), None, None)
    x, y = (places[i][None] - centers[i][wide] for i in range(2))
    cos, sin = jnp.cos(angle)[wide], jnp.sin(angle)[wide]
    u, v = cos * x + sin * y, (cos * y - sin * x) / flat[wide]
    edge = radius[wide] * (1 + rough * three_waves(u, v, phase[wide]))
    beyond = jnp.sqrt(u * u + v * v) - edge
    shown = density[wide] * jnp.clip(0.5 - beyond, 0.0, 1.0)
    return jnp.max(shown, axis=0)


def three_waves(u: Array, v: Array, phase: Array) -> Array:
    """sin(3 angle + phase) of the direction of (u, v), without trigonometry of it."""
    square = u * u + v * v + 1e-6
    cube = 1 / (square * jnp.sqrt(square))  # a power of -1.5 would be slow
    sine, cosine = (3 * u * u - v * v) * v * cube, (u * u - 3 * v * v) * u * cube
    return sine * jnp.cos(phase) + cosine * jnp.sin(phase)


def draw(key: Array, label: Array, hospital: Array, *, size: int) -> Array:
    """One image [size, size, 3] float32 in [0, 1], before the hospital's blur."""
    keys = jax.random.split(key, 4)
    line = (jnp.arange(size) + 0.5) * 48 / size
    places = jnp.stack(jnp.meshgrid(line, line))
    sparse = nuclei(
        keys[0], places, count=SPARSE, low=0.0, high=48.0, radii=(2.0, 3.0), rough=0.05
    )
    crowd = nuclei(
        keys[1], places, count=CROWD, low=18.0, high=30.0, radii=(3.0, 5.0), rough=0.25
    )
    h = jnp.maximum(sparse, jnp.where(label == 1, crowd, 0.0))
    waves = jax.random.normal(keys[2], (4, 2)) * 0.2
    phases = jnp.einsum("kd,dhw->khw", waves, places)
    texture = jnp.mean(jnp.cos(phases + 6 * jnp.arange(4)[:, None, None]), axis=0)
    e = (0.45 + 0.25 * texture) * (1 - 0.5 * jnp.minimum(h, 1.0))
    image = stained(0.08 + h, e, hospital)
    return jnp.clip(image + NOISE * jax.random.normal(keys[3], image.shape), 0.0, 1.0)


def load(
    *,
    r_id: float = 1.0,
    r_ood: float = 0.0,
    num_train: int = 8_000,
    num_test: int = 2_000,
    num_head: int = 800,
    size: int = 48,
    seed: int = 0,
    data_seed: int = 0,
) -> Dataset:
    """Drawn tissue at r_id and r_ood; see the module.

    Args:
      r_id: in [0, 1], of the splits "train" and "test". r_ood: of "ood_head" and
        "ood_test".
      num_train, num_test, num_head: how many images "train", each test (ood_hospital
        too), and "ood_head" have.
      size: pixels of a side.
      seed: of the order of training.
      data_seed: of hospitals, labels and drawings.

    Raises:
      ValueError, TypeError: a number out of range.
    """
    checks.count("histology.load", size=size)
    return shifts.of_drawings(
        "histology.load",
        functools.partial(_draw_all, size=size),
        assignment=wilds.HOSPITAL_LABELS,
        num_labels=2,
        shift=shifts.Shift(r_id, r_ood, data_seed),
        num_examples=dict(
            zip(shifts.SPLITS, (num_train, num_test, num_head, num_test))
        ),
        held_out={"ood_hospital": wilds.VALIDATION_HOSPITAL},
        seed=seed,
    )


def _draw_all(keys: Array, labels: Array, hospitals: Array, *, size: int) -> Array:
    images = jax.vmap(functools.partial(draw, size=size))(keys, labels, hospitals)
    blurs = jnp.array(BLURS)[hospitals] * size / 48
    return augment.blur(images, jnp.maximum(blurs, 0.05))
