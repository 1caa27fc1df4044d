"""Land seen from above, drawn on the device: a stand-in for FMoW.

Eight kinds of land use, each a pattern in two of a region's colors; a region also has a
direction of the sun and haze. `data.shift` says how strongly region and kind correlate,
and what a batch has: the image is [batch, size, size, 3]. The drawings are ours.
"""

import functools

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.data import shift as shifts
from repr_jax.data.dataset import Dataset
from repr_jax.data.histology import three_waves
from repr_jax.ops import checks

KINDS = ("strips", "circles", "roofs", "block", "crossing", "river", "pond", "trees")
# The kinds that go with each of five regions at r = 1.
ASSIGNMENT = {0: (0, 5), 1: (1, 6), 2: (2, 7), 3: (3,), 4: (4,)}
SOIL, PLANTS, ROOF, WATER, ROAD = range(5)
PALETTES = (  # of each region, the five colors in this order
    ((150, 110, 70), (70, 110, 50), (170, 80, 60), (50, 80, 110), (130, 130, 130)),
    ((200, 180, 130), (120, 130, 70), (220, 210, 190), (60, 120, 130), (150, 140, 130)),
    ((110, 90, 80), (40, 80, 50), (90, 90, 110), (40, 60, 80), (90, 90, 90)),
    ((170, 80, 50), (90, 120, 40), (200, 200, 210), (90, 100, 80), (160, 120, 100)),
    ((130, 130, 110), (60, 130, 80), (60, 90, 130), (70, 130, 150), (170, 170, 170)),
)
SUNS = (0.3, 1.6, 2.8, 4.0, 5.2)  # directions, radians
HAZES = (0.0, 0.15, 0.3, 0.1, 0.2)  # share of white
# (behind, in front) of each kind
COLORS = ((SOIL, PLANTS), (SOIL, PLANTS), (PLANTS, ROOF), (SOIL, ROOF))
COLORS += ((PLANTS, ROAD), (PLANTS, WATER), (SOIL, WATER), (SOIL, PLANTS))
NOISE = 0.04


def pattern(kind: Array, u: Array, v: Array, wide: Array, wave: Array) -> Array:
    """Positive in front, negative behind, about -1 to 1 a tenth of the image away.

    Args:
      kind: [] int, an index of KINDS.
      u, v: [height, width] coordinates, 2 across the image, turned and moved.
      wide: [] float in [0, 1], of sizes. wave: [] float, a phase.
    """
    cell = 0.45 + 0.25 * wide  # of what repeats
    a, b = ((x / cell + 0.5) % 1.0 - 0.5 for x in (u, v))  # -0.5 to 0.5 in each cell
    both = jnp.maximum(jnp.abs(a), jnp.abs(b))
    road = 0.07 + 0.06 * wide
    found = [
        0.25 - jnp.abs(a),
        0.36 - jnp.sqrt(a * a + b * b),
        0.28 - both,
        0.35 + 0.2 * wide - jnp.maximum(jnp.abs(u), jnp.abs(v) * 1.5),
        road - jnp.minimum(jnp.abs(u), jnp.abs(v)),
        0.12 + 0.1 * wide - jnp.abs(v - 0.25 * jnp.sin(4 * u + wave)),
        0.4
        + 0.2 * wide
        - jnp.sqrt(u * u + 1.7 * v * v)
        - 0.05 * three_waves(u, v, wave),
        0.16 - jnp.sqrt(a * a + b * b),
    ]
    return 10 * jnp.stack(found)[kind]


def draw(key: Array, kind: Array, region: Array, *, size: int) -> Array:
    """One image [size, size, 3] float32 in [0, 1]."""
    key_pose, key_noise = jax.random.split(key)
    pose = jax.random.uniform(key_pose, (5,))
    line = (2 * jnp.arange(size) + 1.0) / size - 1
    x, y = jnp.meshgrid(line, line)
    angle, wave = 2 * jnp.pi * pose[0], 2 * jnp.pi * pose[1]
    left, up = 0.3 * (2 * pose[2:4] - 1)
    u = jnp.cos(angle) * (x - left) + jnp.sin(angle) * (y - up)
    v = jnp.cos(angle) * (y - up) - jnp.sin(angle) * (x - left)
    front = jax.nn.sigmoid(2 * pattern(kind, u, v, pose[4], wave))[..., None]
    palette = jnp.array(PALETTES, jnp.float32)[region] / 255
    behind, before = (palette[c][None, None] for c in jnp.array(COLORS)[kind])
    image = front * before + (1 - front) * behind
    sun = jnp.array(SUNS)[region]
    light = 1 + 0.2 * (jnp.cos(sun) * x + jnp.sin(sun) * y)[..., None]
    haze = jnp.array(HAZES)[region]
    image = (1 - haze) * image * light + haze
    noise = NOISE * jax.random.normal(key_noise, image.shape)
    return jnp.clip(image + noise, 0.0, 1.0)


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
    """Drawn land at r_id and r_ood; see the module.

    Args:
      r_id: in [0, 1], of the splits "train" and "test". r_ood: of "ood_head" and
        "ood_test".
      num_train, num_test, num_head: how many images "train", each test, and "ood_head"
        have.
      size: pixels of a side.
      seed: of the order of training.
      data_seed: of regions, kinds and drawings.

    Raises:
      ValueError, TypeError: a number out of range.
    """
    checks.count("land_use.load", size=size)
    draw_all = jax.vmap(functools.partial(draw, size=size))
    return shifts.of_drawings(
        "land_use.load",
        draw_all,
        assignment=ASSIGNMENT,
        num_labels=len(KINDS),
        shift=shifts.Shift(r_id, r_ood, data_seed),
        num_examples=dict(
            zip(shifts.SPLITS, (num_train, num_test, num_head, num_test))
        ),
        held_out={},
        seed=seed,
    )
