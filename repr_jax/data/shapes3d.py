"""Seven solid objects as signed distances: teapot, hare, dragon, cow and others.

An object is a few rounded parts, limbs and bulges, joined by smooth unions and mirrored
at the plane z = 0. Every object has the same number of parts, some of them idle, so
that the shape is a row of a table and a batch of different objects is one array program
without branches. Objects fit into the unit ball around the origin; x points forwards, y
up, z to the side.

The objects are ours. They take the places of the scanned ones of 3DIdent: Zimmermann et
al., "Contrastive Learning Inverts the Data Generating Process", 2021,
https://arxiv.org/abs/2102.08850. The distances of parts and the polynomial smooth union
are as described by Inigo Quilez, https://iquilezles.org/articles/distfunctions.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

NAMES = ("teapot", "hare", "dragon", "cow", "armadillo", "horse", "head")
NUM_LIMBS = 11
NUM_BULGES = 3

Point = tuple[Array, Array, Array]  # x, y and z, [points] each
Numbers = tuple[list[list[float]], list[list[float]]]  # of limbs, of bulges


class Parts(NamedTuple):
    """Numbers of the parts of one object, or of all with a leading axis."""

    limbs: Array  # [..., limb, 9]: start xyz, end xyz, two radii, blend
    bulges: Array  # [..., bulge, 16]: center, 9 of axes / radii, 3 of 1 / radii, blend


def limb(
    x: Array, y: Array, z: Array, start: Point, along: Point, radius: Array
) -> Array:
    """Distance to a straight limb whose radius changes linearly; exact if it does not.

    |p - start - t along| - r(t), t the nearest point's place in [0, 1].

    Args:
      x, y, z: [points], coordinates of p.
      start: x, y and z of one end; along: from there to the other end.
      radius: of the start, and how much it grows towards the end.
    """
    px, py, pz = x - start[0], y - start[1], z - start[2]
    square = along[0] ** 2 + along[1] ** 2 + along[2] ** 2
    t = (px * along[0] + py * along[1] + pz * along[2]) / (square + 1e-9)
    t = jnp.clip(t, 0.0, 1.0)
    dx, dy, dz = px - t * along[0], py - t * along[1], pz - t * along[2]
    return jnp.sqrt(dx * dx + dy * dy + dz * dz) - (radius[0] + t * radius[1])


def bulge(
    x: Array, y: Array, z: Array, center: Point, axes: Array, inverse_radii: Array
) -> Array:
    """Approximate distance to an ellipsoid: exact on it, and for a ball everywhere.

    k (k - 1) / |g|, with q = axes (p - center) the coordinates in units of the radii,
    k = |q| and g = q / radii, half the gradient of k^2.
    """
    px, py, pz = x - center[0], y - center[1], z - center[2]
    value, slope = 1e-12, 1e-12
    for i in range(3):
        q = axes[3 * i] * px + axes[3 * i + 1] * py + axes[3 * i + 2] * pz
        value += q * q
        slope += (q * inverse_radii[i]) ** 2
    k = jnp.sqrt(value)
    return k * (k - 1.0) / jnp.sqrt(slope)


def union(a: Array, b: Array, blend: float | Array) -> Array:
    """The smaller distance, rounded off where the two differ by less than `blend`."""
    h = jnp.maximum(blend - jnp.abs(a - b), 0.0)
    return jnp.minimum(a, b) - h * h / (4.0 * blend)


def distance(parts: Parts, point: Point) -> Array:
    """[points] distance from points to the surface of one object, negative inside."""
    x, y, z = point[0], point[1], jnp.abs(point[2])

    def with_bulge(whole: Array, p: Array) -> tuple[Array, None]:
        mine = bulge(x, y, z, p[0:3], p[3:12], p[12:15])
        return union(whole, mine, p[15]), None

    def with_limb(whole: Array, p: Array) -> tuple[Array, None]:
        return union(whole, limb(x, y, z, p[0:3], p[3:6], p[6:8]), p[8]), None

    # Loops compile four times faster than one long expression, and run as fast.
    whole, _ = jax.lax.scan(with_bulge, jnp.full_like(x, 10.0), parts.bulges)
    return jax.lax.scan(with_limb, whole, parts.limbs)[0]


def visibility(parts: Parts, point: Point, direction: Point, spread: Array) -> Array:
    """[points]: 1 where the light is seen from a point, 0 where it is hidden.

    Along the ray to the light, each part is measured where the ray passes it closest:
    its distance there in units of the width of the light's bundle of rays.

    Args:
      parts: of one object.
      point: x, y and z, [points] each.
      direction: unit vector to the light, likewise.
      spread: [points], radius of the light divided by its distance.
    """
    sides = []  # the ray as it is and mirrored; the parts stay where they are
    for side in (1.0, -1.0):
        origin = (point[0], point[1], side * point[2])
        sides.append((origin, (direction[0], direction[1], side * direction[2])))

    def narrower(
        closest: Array, o: Point, d: Point, t: Array, measure: Callable, *numbers: Any
    ) -> Array:
        x, y, z = (a + t * b for a, b in zip(o, d))
        return jnp.minimum(closest, measure(x, y, z, *numbers) / (spread * t + 0.01))

    def past_bulge(closest: Array, p: Array) -> tuple[Array, None]:
        for o, d in sides:
            t = _nearest_to_bulge(o, d, p)
            closest = narrower(closest, o, d, t, bulge, p[0:3], p[3:12], p[12:15])
        return closest, None

    def past_limb(closest: Array, p: Array) -> tuple[Array, None]:
        for o, d in sides:
            t = _nearest_to_limb(o, d, p)
            closest = narrower(closest, o, d, t, limb, p[0:3], p[3:6], p[6:8])
        return closest, None

    closest, _ = jax.lax.scan(past_bulge, jnp.ones_like(point[0]), parts.bulges)
    closest, _ = jax.lax.scan(past_limb, closest, parts.limbs)
    return smooth(0.5 + 0.5 * closest)


def smooth(x: Array) -> Array:
    """From 0 at x <= 0 to 1 at x >= 1 without a corner."""
    x = jnp.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _nearest_to_bulge(o: Point, d: Point, p: Array) -> Array:
    """Place on the ray, >= 0, nearest to an ellipsoid's center in its own units."""
    across, along = 0.0, 1e-12
    w = (o[0] - p[0], o[1] - p[1], o[2] - p[2])
    for i in range(3):
        a, b, c = p[3 + 3 * i], p[4 + 3 * i], p[5 + 3 * i]
        q = a * w[0] + b * w[1] + c * w[2]
        r = a * d[0] + b * d[1] + c * d[2]
        across += q * r
        along += r * r
    return jnp.maximum(-across / along, 0.0)


def _nearest_to_limb(o: Point, d: Point, p: Array) -> Array:
    """Place on the ray, >= 0, nearest to the axis of a limb."""
    w = (o[0] - p[0], o[1] - p[1], o[2] - p[2])
    dw = d[0] * w[0] + d[1] * w[1] + d[2] * w[2]
    du = d[0] * p[3] + d[1] * p[4] + d[2] * p[5]
    uw = p[3] * w[0] + p[4] * w[1] + p[5] * w[2]
    square = p[3] ** 2 + p[4] ** 2 + p[5] ** 2
    s = jnp.clip((uw - du * dw) / (square - du * du + 1e-6), 0.0, 1.0)
    return jnp.maximum(s * du - dw, 0.0)


def rotation(alpha: Any, beta: Any, gamma: Any, xp: Any = jnp) -> Any:
    """[3, 3]: a turn about x by alpha, then y by beta, then z by gamma, in radians."""
    ca, cb, cg = (xp.cos(angle) for angle in (alpha, beta, gamma))
    sa, sb, sg = (xp.sin(angle) for angle in (alpha, beta, gamma))
    rows = [
        [cg * cb, cg * sb * sa - sg * ca, cg * sb * ca + sg * sa],
        [sg * cb, sg * sb * sa + cg * ca, sg * sb * ca - cg * sa],
        [-sb, cb * sa, cb * ca],
    ]
    return xp.stack([xp.stack(row) for row in rows])


def _limb(
    start: Sequence[float], end: Sequence[float], radii: Any, blend: float = 0.06
) -> list[float]:
    """Numbers of a limb; points are (x, y) on the mirror plane, or (x, y, z)."""
    start, end = (np.array([*p, 0.0][:3]) for p in (start, end))
    first, last = radii if isinstance(radii, tuple) else (radii, radii)
    return [*start, *(end - start), first, last - first, blend]


def _ball(
    center: Sequence[float], radius: float, blend: float | Array = 0.06
) -> list[float]:
    return _limb(center, center, radius, blend)


def _bulge(
    center: Sequence[float],
    radii: Any,
    turns: Sequence[float] = (0, 0, 0),
    blend: float | Array = 0.06,
) -> list[float]:
    """Numbers of an ellipsoid, its axes turned as by `rotation`, in degrees."""
    center = np.array([*center, 0.0][:3])
    turn = rotation(*np.deg2rad(turns), xp=np)
    inverse = 1.0 / np.array(radii)
    return [*center, *(inverse[:, None] * turn.T).reshape(-1), *inverse, blend]


@functools.cache
def table() -> Parts:
    """Numbers of all seven objects: [7, limb, 9] and [7, bulge, 16] float32."""
    objects = (_teapot, _hare, _dragon, _cow, _armadillo, _horse, _head)
    limbs, bulges = zip(*(make() for make in objects))
    return Parts(_filled(limbs, NUM_LIMBS), _filled(bulges, NUM_BULGES))


def _filled(parts: Sequence, count: int) -> np.ndarray:
    """[object, count, numbers]; a first part repeated without blend adds nothing."""
    again = [[*some[0][:-1], 1e-6] for some in parts]
    filled = [some + [r] * (count - len(some)) for some, r in zip(parts, again)]
    return np.array(filled, np.float32)


def _teapot() -> Numbers:
    ring = ((-0.42, 0.28), (-0.72, 0.30), (-0.86, 0.06), (-0.72, -0.2), (-0.42, -0.28))
    limbs = [_limb(a, b, 0.06, 0.04) for a, b in itertools.pairwise(ring)]
    limbs += [
        _limb((0.4, -0.22), (0.7, 0.08), (0.17, 0.1), 0.1),
        _limb((0.7, 0.08), (0.86, 0.36), (0.1, 0.065), 0.05),
        _ball((0.0, 0.58), 0.09, 0.04),
    ]
    bulges = [
        _bulge((0.0, -0.08), (0.55, 0.46, 0.55)),
        _bulge((0.0, 0.36), (0.36, 0.13, 0.36), blend=0.03),
        _bulge((0.0, -0.5), (0.36, 0.07, 0.36), blend=0.05),
    ]
    return limbs, bulges


def _hare() -> Numbers:
    limbs = [
        _limb((0.32, 0.2, 0.07), (0.12, 0.55, 0.13), (0.06, 0.085), 0.05),
        _limb((0.12, 0.55, 0.13), (-0.05, 0.92, 0.18), (0.085, 0.035), 0.02),
        _limb((0.15, -0.2), (0.36, 0.1), (0.24, 0.17), 0.12),
        _limb((0.18, -0.35, 0.13), (0.28, -0.76, 0.14), (0.12, 0.07), 0.06),
        _limb((0.28, -0.78, 0.14), (0.38, -0.79, 0.14), (0.065, 0.055), 0.03),
        _limb((-0.4, -0.76, 0.24), (0.0, -0.78, 0.24), (0.085, 0.07), 0.05),
        _ball((-0.76, -0.3), 0.15, 0.03),
        _limb((0.5, 0.08), (0.58, 0.05), (0.13, 0.1), 0.08),
    ]
    bulges = [
        _bulge((-0.26, -0.3), (0.52, 0.38, 0.32), (0, 0, 22), blend=0.1),
        _bulge((-0.42, -0.45, 0.2), (0.3, 0.31, 0.17), blend=0.06),
        _bulge((0.42, 0.12), (0.24, 0.19, 0.18), (0, 0, -15)),
    ]
    return limbs, bulges


def _dragon() -> Numbers:
    limbs = [
        _limb((-0.3, -0.12), (0.12, -0.1), (0.21, 0.22), 0.1),
        _limb((0.12, -0.05), (0.38, 0.32), (0.18, 0.1), 0.1),
        _limb((0.36, 0.36), (0.52, 0.4), (0.13, 0.13), 0.05),
        _limb((0.52, 0.4), (0.82, 0.3), (0.1, 0.06), 0.06),
        _limb((0.36, 0.46, 0.07), (0.12, 0.66, 0.14), (0.045, 0.015), 0.03),
        _limb((-0.32, -0.14), (-0.62, -0.34), (0.18, 0.11), 0.08),
        _limb((-0.62, -0.34), (-0.86, -0.3), (0.11, 0.075), 0.05),
        _limb((-0.86, -0.3), (-0.93, 0.02), (0.075, 0.02), 0.05),
        _limb((0.12, -0.18, 0.15), (0.2, -0.58, 0.22), (0.11, 0.07), 0.06),
        _limb((-0.3, -0.2, 0.15), (-0.3, -0.58, 0.26), (0.15, 0.08), 0.06),
        _limb((0.06, 0.0, 0.1), (-0.22, 0.42, 0.78), (0.07, 0.035), 0.04),
    ]
    bulges = [_bulge((-0.23, 0.21, 0.45), (0.24, 0.045, 0.45), (-33, 12, 22), 0.03)]
    return limbs, bulges


def _cow() -> Numbers:
    limbs = [
        _limb((0.25, 0.08), (0.56, 0.2), (0.27, 0.17), 0.1),
        _limb((0.58, 0.18), (0.84, -0.02), (0.17, 0.125), 0.06),
        _limb((0.54, 0.3, 0.1), (0.56, 0.36, 0.3), (0.05, 0.04), 0.03),
        _limb((0.56, 0.36, 0.3), (0.62, 0.56, 0.34), (0.04, 0.02), 0.02),
        _limb((0.5, 0.22, 0.16), (0.44, 0.16, 0.34), (0.06, 0.05), 0.03),
        _limb((0.28, -0.2, 0.18), (0.28, -0.68, 0.18), (0.12, 0.085), 0.06),
        _limb((-0.5, -0.15, 0.18), (-0.5, -0.68, 0.18), (0.15, 0.085), 0.06),
        _limb((-0.7, 0.18), (-0.84, -0.25), (0.035, 0.03), 0.03),
        _ball((-0.85, -0.3), 0.06, 0.03),
        _ball((-0.26, -0.32), 0.16, 0.05),
    ]
    bulges = [
        _bulge((-0.14, 0.02), (0.6, 0.34, 0.32), blend=0.08),
        _bulge((-0.45, 0.03), (0.3, 0.32, 0.29), blend=0.08),
    ]
    return limbs, bulges


def _armadillo() -> Numbers:
    limbs = [
        _limb((0.02, 0.42), (0.12, 0.56), (0.2, 0.17), 0.08),
        _limb((0.14, 0.54), (0.46, 0.46), (0.14, 0.055), 0.06),
        _limb((0.02, 0.66, 0.12), (-0.06, 0.92, 0.2), (0.075, 0.05), 0.04),
        _limb((0.02, 0.24, 0.22), (0.1, 0.14, 0.6), (0.12, 0.085), 0.06),
        _limb((0.1, 0.14, 0.6), (0.3, 0.4, 0.72), (0.085, 0.08), 0.04),
        _limb((-0.05, -0.32, 0.18), (0.1, -0.54, 0.3), (0.17, 0.12), 0.06),
        _limb((0.1, -0.54, 0.3), (-0.02, -0.8, 0.3), (0.11, 0.09), 0.05),
        _limb((-0.02, -0.82, 0.3), (0.16, -0.83, 0.32), (0.09, 0.08), 0.04),
        _limb((-0.22, -0.3), (-0.55, -0.6), (0.16, 0.09), 0.06),
        _limb((-0.55, -0.6), (-0.86, -0.4), (0.09, 0.025), 0.05),
    ]
    bulges = [
        _bulge((0.0, -0.02), (0.3, 0.42, 0.3), (0, 0, -8), 0.06),
        _bulge((-0.16, 0.06), (0.24, 0.42, 0.34), (0, 0, -8), 0.02),
    ]
    return limbs, bulges


def _horse() -> Numbers:
    limbs = [
        _limb((0.22, 0.08), (0.48, 0.52), (0.2, 0.12), 0.1),
        _limb((0.5, 0.56), (0.8, 0.34), (0.125, 0.08), 0.05),
        _limb((0.46, 0.62, 0.05), (0.45, 0.8, 0.08), (0.05, 0.02), 0.03),
        _limb((0.08, 0.34), (0.4, 0.72), (0.05, 0.05), 0.04),
        _limb((0.22, -0.05, 0.13), (0.28, -0.44, 0.13), (0.12, 0.06), 0.06),
        _limb((0.28, -0.44, 0.13), (0.24, -0.84, 0.13), (0.06, 0.055), 0.03),
        _limb((-0.42, 0.0, 0.14), (-0.52, -0.42, 0.14), (0.16, 0.065), 0.06),
        _limb((-0.52, -0.42, 0.14), (-0.42, -0.83, 0.14), (0.065, 0.055), 0.03),
        _limb((-0.56, 0.14), (-0.74, -0.04), (0.06, 0.09), 0.04),
        _limb((-0.74, -0.04), (-0.78, -0.46), (0.09, 0.03), 0.04),
    ]
    bulges = [
        _bulge((-0.12, 0.03), (0.48, 0.23, 0.2), blend=0.08),
        _bulge((-0.4, 0.07), (0.24, 0.24, 0.21), blend=0.08),
    ]
    return limbs, bulges


def _head() -> Numbers:
    limbs = [
        _limb((-0.12, -0.3), (-0.14, -0.7), (0.25, 0.26), 0.08),
        _limb((0.46, 0.2), (0.62, -0.02), (0.06, 0.1), 0.05),
        _limb((-0.06, 0.16, 0.42), (-0.02, -0.04, 0.4), (0.11, 0.07), 0.04),
        _limb((0.48, -0.23), (0.42, -0.23, 0.14), (0.06, 0.03), 0.03),
        _limb((0.5, 0.29, 0.1), (0.36, 0.3, 0.28), (0.07, 0.05), 0.04),
        _ball((0.41, 0.14, 0.18), 0.08, 0.02),
        _ball((0.4, -0.44), 0.12, 0.06),
    ]
    bulges = [
        _bulge((-0.06, 0.32), (0.54, 0.52, 0.43), blend=0.1),
        _bulge((0.14, -0.08), (0.35, 0.44, 0.31), (0, 0, 12), blend=0.1),
    ]
    return limbs, bulges
