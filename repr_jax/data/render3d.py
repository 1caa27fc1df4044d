"""Pictures of one object over a colored floor, under a colored spotlight.

A ray marcher in JAX: a picture is a pure function of its scene, all of whose numbers
may be traced. The camera looks straight down on a floor z = FLOOR, over which the
object floats with its middle in the plane z = 0; in the picture x is to the right and y
up. The lamp stands on a half circle above and beside the middle and follows the object.
Points are tuples (x, y, z) of [points] arrays, in the world or in the object's own
axes, see `Frame`.

The factors are those of Multimodal3DIdent, see `multimodal3dident`; sizes, the shading
and all else that the pictures of Blender do not share with ours are our choice.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.data import shapes3d
from repr_jax.data.shapes3d import Point
from repr_jax.ops import checks

RADIUS = 1.95  # of the ball that holds the object
FLOOR = -1.8  # z of the floor
CAMERA = 24.0  # z of the camera
HALF_WIDTH = 5.0  # of what the picture shows of the plane z = 0
LIGHT_RADIUS = 0.5  # of the lamp, makes shadows soft
LIGHT_OFFSET = 4.0  # of the lamp from the middle
LIGHT_HEIGHT = 6.0 + RADIUS  # z of the lamp
CONE = math.radians(35.0)  # full angle of the spotlight
BLEND = 0.1  # part of the cone in which the light fades
AMBIENT, DIFFUSE, GLOSS = 0.2, 0.8, 0.12
SHADOW_SHIFT = 1.3  # of the shadow's middle against that of a point in the middle
SHADOW_REACH = 1.5  # radius of the shadow's place on the floor, in RADIUS
TOUCH = 0.004  # a ray this near has hit, in units of RADIUS
STRIDE = 0.03  # the least step of a ray that has not, likewise


class Scene(NamedTuple):
    """What a picture shows: numbers, or arrays of them for a batch."""

    shape: Array  # [] int, 0..6, see shapes3d.NAMES
    position: Array  # [2], x and y of the object's middle, in -3..3
    angles: Array  # [3], turns about x, then y, then z, radians
    light: Array  # [], place of the lamp, radians; 0 is up, pi / 2 to the right
    colors: Array  # [3, 3], rgb in [0, 1] of object, light and floor


class Frame(NamedTuple):
    """The object's own axes: its middle is the origin, its ball has radius 1."""

    middle: tuple  # x, y, z in the world
    turn: Array  # [3, 3], from the object's axes to the world's

    def direction(self, v: Point) -> Point:
        """A direction of the world in the object's axes."""
        return tuple(dot(self.turn[:, i], v) for i in range(3))

    def point(self, p: Point) -> Point:
        """A point of the world in the object's axes."""
        return self.direction([(a - m) / RADIUS for a, m in zip(p, self.middle)])


def render(scene: Scene, *, size: int, samples: int = 1, steps: int = 20) -> Array:
    """[size, size, 3] float32 in [0, 1]: the picture, row 0 at the top; vmap for many.

    pixel = color sqrt(ambient + diffuse light_color spot seen max(0, normal . light))

    plus a faint gloss on the object. The root turns light into brightness as screens
    do, without a change of hue. `spot` is 1 in the cone of the light and 0 outside,
    `seen` is 0 in the shadow.

    Args:
      scene: of one picture.
      size: pixels a side, any.
      samples: rays a side in each pixel that the object may cover. Its silhouette is
        smooth with 1 as well: a ray that misses it by less than the width of a pixel
        counts in part.
      steps: of a ray; with fewer the rim of what is behind something is lost.

    Raises:
      ValueError: size, samples or steps below 1.
    """
    checks.count("render", size=size, samples=samples, steps=steps)
    lamp = (
        LIGHT_OFFSET * jnp.sin(scene.light),
        LIGHT_OFFSET * jnp.cos(scene.light),
        LIGHT_HEIGHT,
    )
    frame = Frame((*scene.position, 0.0), shapes3d.rotation(*scene.angles))
    parts = jax.tree.map(
        lambda table: jnp.asarray(table)[scene.shape], shapes3d.table()
    )
    picture = floor_picture(scene, parts, frame, lamp, size)
    return add_object(picture, scene, parts, frame, lamp, samples, steps)


def floor_picture(
    scene: Scene, parts: shapes3d.Parts, frame: Frame, lamp: Point, size: int
) -> Array:
    """[size, size, 3]: the floor with spotlight and shadow, without the object."""
    lamp_there = frame.point(lamp)
    to_lamp, _, spot = spotlight(lamp_there, frame.point(on_floor(size, 0, 0, size)))
    fall = SHADOW_SHIFT * -FLOOR / LIGHT_HEIGHT
    across = [m + fall * (m - a) for m, a in zip(frame.middle, lamp)]
    row, column, count = window(across, SHADOW_REACH * RADIUS, FLOOR, size)
    points = frame.point(on_floor(size, row, column, count))
    to_lamp_here, far, _ = spotlight(lamp_there, points)
    spread = LIGHT_RADIUS / RADIUS / far
    seen = shapes3d.visibility(parts, points, to_lamp_here, spread)
    seen = jax.lax.dynamic_update_slice(
        jnp.ones((size, size)), seen.reshape(count, count), (row, column)
    )
    lit = (spot * dot(to_lamp, frame.turn[2])).reshape(size, size) * seen
    lit = jax.lax.optimization_barrier(lit)  # else XLA computes it for each color
    return shade(scene.colors[2], AMBIENT, lit, scene.colors[1])


def add_object(
    picture: Array,
    scene: Scene,
    parts: shapes3d.Parts,
    frame: Frame,
    lamp: Point,
    samples: int,
    steps: int,
) -> Array:
    """The picture with the object in it."""
    size = picture.shape[0]
    row, column, count = window(frame.middle, RADIUS, RADIUS, size)
    direction = frame.direction(rays(size, row, column, count, samples))
    camera = frame.point((0.0, 0.0, CAMERA))
    origin = along(camera, direction, -dot(camera, direction))  # nearest the middle
    half = jnp.sqrt(jnp.maximum(1.0 - dot(origin, origin), 0.0))
    t, distance = march(parts, origin, direction, half, steps)
    pixel = 2 * HALF_WIDTH / RADIUS / size / samples
    cover = jnp.clip(1.0 - distance / pixel, 0.0, 1.0)

    points = along(origin, direction, t)
    normal = normals(parts, points)
    to_lamp, far, spot = spotlight(frame.point(lamp), points)
    seen = shapes3d.visibility(
        parts, along(points, normal, 0.02), to_lamp, LIGHT_RADIUS / RADIUS / far
    )
    lit = spot * seen * jnp.maximum(dot(normal, to_lamp), 0.0)
    half_way = normalize([a - b for a, b in zip(to_lamp, direction)])
    shine = GLOSS * lit * jnp.maximum(dot(normal, half_way), 0.0) ** 16
    ambient = AMBIENT * (0.7 + 0.3 * dot(normal, frame.turn[2]))

    cover, ambient, lit, shine = (
        a.reshape(count * samples, count * samples)
        for a in jax.lax.optimization_barrier((cover, ambient, lit, shine))
    )
    color = shade(scene.colors[0], ambient, lit, scene.colors[1])
    color += shine[..., None] * scene.colors[1][None, None, :]
    color = pooled(cover[..., None] * color, samples)
    under = jax.lax.dynamic_slice(picture, (row, column, 0), (count, count, 3))
    under = (1.0 - pooled(cover[..., None], samples)) * under
    return jax.lax.dynamic_update_slice(
        picture, jnp.minimum(color + under, 1.0), (row, column, 0)
    )


def march(
    parts: shapes3d.Parts, origin: Point, direction: Point, half: Array, steps: int
) -> tuple[Array, Array]:
    """Where rays are nearest to the object between -half and half, and how near.

    From the side of the camera, each step as long as the distance, which is never too
    long, until the surface is reached or the ray has left; but no shorter than STRIDE
    on the way, so that a ray that grazes something arrives at what is behind it.
    """

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        t, place, nearest = carry
        here = shapes3d.distance(parts, along(origin, direction, t))
        place = jnp.where(jnp.abs(here) < nearest, t, place)
        nearest = jnp.minimum(jnp.abs(here), nearest)
        move = jnp.where(here > TOUCH, jnp.maximum(here, STRIDE), here)
        return (jnp.minimum(t + move, half), place, nearest), None

    start = (-half, -half, jnp.ones_like(half))
    (_, place, nearest), _ = jax.lax.scan(step, start, None, length=steps)
    return place, nearest


def normals(parts: shapes3d.Parts, points: Point, reach: float = 0.01) -> Point:
    """Unit normals of the object's surface, by differences."""
    corners = jnp.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)

    def add(normal: Point, corner: Array) -> Point:
        there = shapes3d.distance(parts, along(points, corner, reach))
        return tuple(n + c * there for n, c in zip(normal, corner)), None

    nothing = tuple(jnp.zeros_like(x) for x in points)
    return normalize(jax.lax.scan(add, nothing, corners)[0])


def spotlight(lamp: Point, points: Point) -> tuple[Point, Array, Array]:
    """Unit direction to the lamp, distance, brightness in [0, 1]; in the object's axes.

    The beam points at the object's middle, where the origin is.
    """
    to_lamp = [a - b for a, b in zip(lamp, points)]
    far = jnp.sqrt(dot(to_lamp, to_lamp))
    to_lamp = tuple(a / far for a in to_lamp)
    edge = math.cos(CONE / 2)
    inside = dot(to_lamp, normalize(lamp)) - edge
    return to_lamp, far, shapes3d.smooth(inside / (BLEND * (1.0 - edge)))


def shade(
    color: Array, ambient: Array | float, lit: Array, light_color: Array
) -> Array:
    """[height, width, 3] of a surface: its color in ambient light and the lamp's."""
    light = light_color[None, None, :] * (DIFFUSE * lit)[..., None]
    if jnp.ndim(ambient):
        ambient = ambient[..., None]
    return color[None, None, :] * jnp.sqrt(ambient + light)


def window(center: Point, radius: float, z: float, size: int) -> tuple[Any, Any, int]:
    """First row, first column and number of the pixels that show center +- radius.

    Of a square at height z; the number is static. At the edge the window stays inside.
    """
    scale = size / 2 / HALF_WIDTH * CAMERA / (CAMERA - z)  # pixels a unit
    count = min(size, math.ceil(2 * radius * scale) + 1)

    def first(middle: Array) -> Array:
        start = jnp.round(middle - count / 2).astype(jnp.int32)
        return jnp.clip(start, 0, size - count)

    return (
        first(size / 2 - center[1] * scale),
        first(size / 2 + center[0] * scale),
        count,
    )


def rays(size: int, row: Any, column: Any, count: int, samples: int) -> Point:
    """Unit directions from the camera through count x count pixels, row by row."""
    places = (jnp.arange(count * samples) + 0.5) / samples
    down = (row + places) * (2.0 / size) - 1.0
    right = (column + places) * (2.0 / size) - 1.0
    right, down = (a.reshape(-1) for a in jnp.meshgrid(right, down))
    x, y = HALF_WIDTH * right, -HALF_WIDTH * down
    return normalize((x, y, jnp.full_like(x, -CAMERA)))


def on_floor(size: int, row: Any, column: Any, count: int) -> Point:
    """The points of the floor that count x count pixels show."""
    x, y, z = rays(size, row, column, count, 1)
    t = (FLOOR - CAMERA) / z
    return t * x, t * y, jnp.full_like(t, FLOOR)


def pooled(image: Array, samples: int) -> Array:
    """[samples n, samples n, c] -> [n, n, c], means over the samples of a pixel."""
    n = image.shape[0] // samples
    return image.reshape(n, samples, n, samples, -1).mean(axis=(1, 3))


def dot(a: Point, b: Point) -> Array:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def normalize(a: Point) -> Point:
    scale = jax.lax.rsqrt(dot(a, a) + 1e-12)
    return tuple(x * scale for x in a)


def along(origin: Point, direction: Point, t: Array) -> Point:
    return tuple(o + t * d for o, d in zip(origin, direction))
