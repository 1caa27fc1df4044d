"""Pictures against rays followed in small steps, and shading by hand, in float64."""

import functools

import jax
import numpy as np
import pytest

from repr_jax.data import render3d, shapes3d

SIZE = 16
BATCH = 63
BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def render():
    """Pictures of 63 scenes; keywords are repeated for every scene."""
    draw = functools.partial(render3d.render, size=SIZE)
    drawn = jax.jit(jax.vmap(draw))
    return lambda scene: np.asarray(drawn(scene))


def scenes(shape=0, position=(0, 0), angles=(0, 0, 0), light=0.0, colors=None):
    """A Scene of 63 rows; each argument is one for all, or one for each."""

    def rows(x, rank, dtype=np.float32):
        x = np.asarray(x, dtype)
        return np.broadcast_to(x, (BATCH, *x.shape[x.ndim - rank :]))

    colors = (WHITE, BLACK, BLACK) if colors is None else colors
    return render3d.Scene(
        rows(shape, 0, np.int32),
        rows(position, 1),
        rows(angles, 1),
        rows(light, 0),
        rows(colors, 2),
    )


def pixel_ray(row, column):
    """Unit direction through the middle of a pixel."""
    x = (2 * (column + 0.5) / SIZE - 1) * render3d.HALF_WIDTH
    y = (1 - 2 * (row + 0.5) / SIZE) * render3d.HALF_WIDTH
    ray = np.array([x, y, -render3d.CAMERA])
    return ray / np.linalg.norm(ray)


def lamp_of(light):
    return np.array(
        [
            render3d.LIGHT_OFFSET * np.sin(light),
            render3d.LIGHT_OFFSET * np.cos(light),
            render3d.LIGHT_HEIGHT,
        ]
    )


def test_floor_is_shaded_by_hand(render):
    """All pixels away from object and shadow, the lit ones and the dark ones."""
    light, middle = -1.1, np.array([3.0, -3.0, 0.0])
    colors = np.array([(0.2, 0.4, 0.6), (1.0, 0.3, 0.2), (0.9, 0.5, 0.7)])
    image = render(scenes(5, middle[:2], (0.3, 0.2, 0.1), light, colors))[0]
    lamp = lamp_of(light)
    num_lit = num_dark = 0
    for row, column in np.ndindex(SIZE, SIZE):
        ray = pixel_ray(row, column)
        t = (render3d.FLOOR - render3d.CAMERA) / ray[2]
        point = np.array([0, 0, render3d.CAMERA]) + t * ray
        if np.abs(point - middle)[:2].max() < 2.4 or (point[0] > 2 and point[1] < -1):
            continue  # object or shadow
        to_lamp = (lamp - point) / np.linalg.norm(lamp - point)
        beam = (lamp - middle) / np.linalg.norm(lamp - middle)
        edge = np.cos(render3d.CONE / 2)
        u = np.clip((to_lamp @ beam - edge) / (render3d.BLEND * (1 - edge)), 0, 1)
        spot = u * u * (3 - 2 * u)
        energy = render3d.AMBIENT + render3d.DIFFUSE * spot * to_lamp[2] * colors[1]
        expected = colors[2] * np.sqrt(energy)
        np.testing.assert_allclose(image[row, column], expected, atol=2e-4)
        num_lit, num_dark = num_lit + (spot == 1), num_dark + (spot == 0)
    assert num_lit > 3 and num_dark > 100


def test_unlit_pixels_have_exactly_the_objects_hue(render):
    color = np.array([1.0, 0.45, 0.1])
    images = render(scenes(6, colors=(color, BLACK, (0.0, 0.0, 1.0))))
    ratio = images[0, 6, 7] / images[0, 6, 7, 0]  # the forehead
    np.testing.assert_allclose(ratio, color / color[0], atol=1e-5)
    corner = np.sqrt(render3d.AMBIENT)
    np.testing.assert_allclose(images[0, 0, 0], [0, 0, corner], atol=1e-6)


def test_lit_objects_have_their_hue_in_white_light(render):
    shape = np.arange(BATCH) % 7
    hue = np.array([0.1, 0.8, 0.3])
    images = render(scenes(shape, colors=(hue, WHITE, BLACK)))
    brightest = images.reshape(BATCH, -1, 3)
    brightest = brightest[np.arange(BATCH), brightest[..., 1].argmax(axis=1)]
    np.testing.assert_array_equal(brightest.argmax(axis=1), 1)
    np.testing.assert_array_equal(brightest.argmin(axis=1), 0)
    assert brightest[:, 1].min() > 0.6


def test_objects_are_in_their_cells(render):
    """7 shapes in 9 cells, turned: the middle of the visible object is in its cell."""
    cells = np.array([(x, y) for y in (3, 0, -3) for x in (-3, 0, 3)]).repeat(7, axis=0)
    angles = np.random.default_rng(0).uniform(-1.5, 1.5, (BATCH, 3))
    mask = render(scenes(np.arange(BATCH) % 7, cells, angles))[..., 0] > 0.05
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    area = mask.sum(axis=(1, 2))
    assert area.min() >= 8 and area.max() <= 60
    x = (mask * columns[None]).sum(axis=(1, 2)) / area
    y = (mask * rows[None]).sum(axis=(1, 2)) / area
    unit = SIZE / 2 / render3d.HALF_WIDTH
    np.testing.assert_allclose(x, SIZE / 2 + unit * cells[:, 0], atol=1.6)
    np.testing.assert_allclose(y, SIZE / 2 - unit * cells[:, 1], atol=1.6)


def test_silhouettes_are_those_of_followed_rays(render):
    """No holes, nothing lost behind something nearer, nothing where nothing is."""
    rng = np.random.default_rng(1)
    shape, angles = np.arange(BATCH) % 7, rng.uniform(-1.5, 1.5, (BATCH, 3))
    cover = render(scenes(shape, (0, 0), angles, 0.0, (WHITE, BLACK, BLACK)))[..., 0]
    window = slice(SIZE // 2 - 4, SIZE // 2 + 4)
    rays = [pixel_ray(r, c) for r, c in np.ndindex(SIZE, SIZE)]
    rays = np.array(rays).reshape(SIZE, SIZE, 3)[window, window].reshape(-1, 3)
    t = render3d.CAMERA + np.linspace(-2.2, 2.2, 160)
    camera = np.array([0, 0, render3d.CAMERA])
    points = camera[None, None] + t[None, :, None] * rays[:, None]
    turns = np.array([shapes3d.rotation(*a, xp=np) for a in angles])
    local = np.einsum("rtk,nki->nrti", points / render3d.RADIUS, turns)
    parts = jax.tree.map(lambda x: x[shape], shapes3d.table())
    flat = np.moveaxis(local.reshape(BATCH, -1, 3), -1, 0).astype(np.float32)
    distance = jax.jit(jax.vmap(shapes3d.distance))(parts, tuple(flat))
    nearest = np.asarray(distance).reshape(*local.shape[:-1]).min(axis=-1)
    cover = cover[:, window, window].reshape(BATCH, -1)
    pixel = 2 * render3d.HALF_WIDTH / render3d.RADIUS / SIZE
    inside, outside = nearest < -0.02, nearest > pixel + 0.02
    assert inside.sum() > 500 and outside.sum() > 1000
    darkest = np.sqrt(render3d.AMBIENT * 0.4)
    assert np.mean(cover[inside] > 0.99 * darkest) > 0.99
    assert cover[outside].max() == 0


def test_shadow_falls_away_from_the_lamp(render):
    """A head seen from the front: lamps on both sides give mirrored pictures."""
    light = np.where(np.arange(BATCH) % 2, np.pi / 2, -np.pi / 2)
    colors = (BLACK, WHITE, WHITE)
    images = render(scenes(6, (0, 0), (0, -np.pi / 2, 0), light, colors))[..., 0]
    from_left, from_right = images[:2]
    np.testing.assert_allclose(from_left, from_right[:, ::-1], atol=0.03)
    beside = (slice(6, 8), 5)  # left of the face
    assert from_left[beside].min() > 0.85 and from_right[beside].max() < 0.6


def test_pictures_are_within_range_and_repeat(render):
    rng = np.random.default_rng(2)
    scene = scenes(
        rng.integers(7, size=BATCH),
        3 * rng.integers(-1, 2, (BATCH, 2)),
        rng.uniform(-1.5, 1.5, (BATCH, 3)),
        rng.uniform(-1.5, 1.5, BATCH),
        rng.uniform(0, 1, (BATCH, 3, 3)),
    )
    images = render(scene)
    assert images.dtype == np.float32 and images.shape == (BATCH, SIZE, SIZE, 3)
    assert images.min() >= 0 and images.max() <= 1
    np.testing.assert_array_equal(images, render(scene))


def test_more_samples_are_the_same_picture(render):
    scene = scenes(1, (0, 3), (0.5, 0.2, 0.1), 0.4, (WHITE, WHITE, (0.3, 0.5, 0.2)))
    one = jax.tree.map(lambda x: x[0], scene)
    fine = jax.jit(functools.partial(render3d.render, size=SIZE, samples=3))(one)
    assert np.abs(render(scene)[0] - fine).mean() < 0.03


@pytest.mark.parametrize("name", ["size", "samples", "steps"])
def test_counts_are_checked(name):
    one = jax.tree.map(lambda x: x[0], scenes())
    with pytest.raises(ValueError, match=f"render: expected {name} >= 1; got 0"):
        render3d.render(one, **{"size": 8, name: 0})
