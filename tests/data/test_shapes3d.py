"""Distances to the objects, against loops in float64 and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.data import shapes3d

OBJECTS = ("_teapot", "_hare", "_dragon", "_cow", "_armadillo", "_horse", "_head")


def distance_in_loops(shape, point):
    """The formulas in float64, of the parts that the object really has."""

    def limb(p):
        start, along, (radius, growth) = p[0:3], p[3:6], p[6:8]
        square = along @ along
        t = np.clip((point - start) @ along / square, 0, 1) if square else 0.0
        return np.linalg.norm(point - start - t * along) - radius - t * growth

    def bulge(p):
        q = p[3:12].reshape(3, 3) @ (point - p[0:3])
        k = np.linalg.norm(q)
        return k * (k - 1) / np.linalg.norm(q * p[12:15])

    limbs, bulges = getattr(shapes3d, OBJECTS[shape])()
    point = np.array([point[0], point[1], abs(point[2])])
    whole = 10.0
    for measure, parts in ((bulge, bulges), (limb, limbs)):
        for p in np.array(parts):
            mine, blend = measure(p), p[-1]
            h = max(blend - abs(whole - mine), 0)
            whole = min(whole, mine) - h * h / (4 * blend)
    return whole


@pytest.fixture(scope="module")
def distance():
    """[7, points, 3] -> [7, points], all objects at once."""

    @jax.jit
    def of_points(points):
        parts = jax.tree.map(jnp.asarray, shapes3d.table())
        return jax.vmap(shapes3d.distance)(parts, tuple(jnp.moveaxis(points, -1, 0)))

    return lambda points: np.asarray(of_points(np.asarray(points, np.float32)))


def test_objects_are_those_of_the_loops(distance):
    points = np.random.default_rng(0).uniform(-1, 1, (7, 1500, 3))
    found = distance(points)
    for shape in range(7):
        for i in range(0, 1500, 50):
            expected = distance_in_loops(shape, points[shape, i])
            assert found[shape, i] == pytest.approx(expected, abs=2e-5)


def test_limb_by_hand():
    points = [(0.5, 0.5, 0.0), (2.0, 0.0, 0.0), (0.5, 0.0, 0.05), (-0.3, 0.4, 0.0)]
    x, y, z = np.array(points).T
    limb = jax.jit(shapes3d.limb)
    found = limb(x, y, z, (0, 0, 0), (1, 0, 0), (0.1, 0.0))
    np.testing.assert_allclose(found, [0.4, 0.9, -0.05, 0.4], atol=1e-6)
    wider = np.asarray(limb(x, y, z, (0, 0, 0), (1, 0, 0), (0.1, 0.2)))
    assert wider[0] == pytest.approx(0.3)  # the radius is 0.2 halfway


def test_bulge_is_exact_for_a_ball_and_on_an_ellipsoid():
    points = np.random.default_rng(1).normal(size=(50, 3))
    p = np.array(shapes3d._bulge((0.1, 0.2, 0.3), (2.0, 2.0, 2.0), (10, 20, 30)))
    bulge = jax.jit(shapes3d.bulge)
    found = bulge(*points.T, p[0:3], p[3:12], p[12:15])
    expected = np.linalg.norm(points - np.array([[0.1, 0.2, 0.3]]), axis=1) - 2
    np.testing.assert_allclose(found, expected, atol=1e-5)
    p = np.array(shapes3d._bulge((0.0, 0.0), (1.0, 0.5, 0.2), (0, 0, 90)))
    ends = np.array([[0.0, 1, 0], [-0.5, 0, 0], [0, 0, 0.2]])  # the long axis is y
    found = bulge(*ends.T, p[0:3], p[3:12], p[12:15])
    np.testing.assert_allclose(found, 0.0, atol=1e-6)


def test_gradients_of_exact_parts_have_norm_one():
    points = np.random.default_rng(2).normal(size=(40, 3)).astype("f")
    ball = np.array(shapes3d._bulge((0.1, 0.0), (0.7, 0.7, 0.7)), "f")

    def limb(p):
        return shapes3d.limb(*p, (0, 0, 0), (0.3, 0.4, 0.1), (0.1, 0.0))

    def bulge(p):
        return shapes3d.bulge(*p, ball[0:3], ball[3:12], ball[12:15])

    for function in (limb, bulge):
        gradients = jax.jit(jax.vmap(jax.grad(function)))(points)
        norms = np.linalg.norm(gradients, axis=1)
        np.testing.assert_allclose(norms, 1, atol=1e-3)


def test_steps_as_long_as_the_distance_are_safe(distance):
    """No point inside is nearer than the distance says, by more than 2 %."""
    points = np.random.default_rng(3).uniform(-1, 1, (7, 1500, 3))
    found = distance(points)
    for shape in range(7):
        outside, inside = found[shape] > 0, found[shape] < 0
        way = points[shape][outside][:, None] - points[shape][inside][None]
        nearest = np.linalg.norm(way, axis=-1).min(axis=1)
        assert (found[shape][outside] < 1.02 * nearest).all()


def test_objects_fill_the_unit_ball_and_stay_in_it(distance):
    directions = np.random.default_rng(4).normal(size=(7, 1500, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    assert distance(directions).min() > 0
    grid = np.random.default_rng(5).uniform(-1, 1, (7, 1500, 3))
    inside = distance(grid) < 0
    volume = 8 * inside.mean(axis=1)  # the ball's is 4.19
    assert volume.min() > 0.1 and volume.max() < 1.5
    for shape in range(7):
        reach = np.linalg.norm(grid[shape][inside[shape]], axis=1).max()
        assert reach > 0.75


def test_objects_are_mirrored_and_differ(distance):
    points = np.random.default_rng(6).uniform(-1, 1, (1, 1500, 3)).repeat(7, axis=0)
    found = distance(points)
    np.testing.assert_array_equal(found, distance(points * np.array([[[1, 1, -1]]])))
    inside = found < 0
    for a in range(7):
        for b in range(a):
            both, either = inside[a] & inside[b], inside[a] | inside[b]
            assert both.sum() < 0.7 * either.sum()


def test_rotation_turns_about_x_then_y_then_z():
    quarter = np.pi / 2
    turn = shapes3d.rotation(quarter, 0.0, quarter, xp=np)
    np.testing.assert_allclose(turn @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(turn @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    turn = shapes3d.rotation(0.3, -0.5, 1.2, xp=np)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    of_jax = jax.jit(shapes3d.rotation)(0.3, -0.5, 1.2)
    np.testing.assert_allclose(of_jax, turn, atol=1e-6)


def test_light_is_hidden_where_the_way_to_it_is(distance):
    """Against rays followed in small steps, inside the shadow and outside its rim."""
    rng = np.random.default_rng(7)
    point = rng.normal(size=(7, 60, 3))
    point *= 1.6 / np.linalg.norm(point, axis=-1, keepdims=True)
    aim = rng.uniform(-0.7, 0.7, point.shape)
    direction = (aim - point) / np.linalg.norm(aim - point, axis=-1, keepdims=True)
    t = np.linspace(0, 4, 25)
    way = point[:, :, None] + t[None, None, :, None] * direction[:, :, None]
    ways = distance(way.reshape(7, 1500, 3)).reshape(7, 60, 25)
    width = 0.05 * t[None, None] + 0.01
    expected = np.min(ways / width, axis=-1)  # in widths of the bundle of rays
    seen = jax.jit(jax.vmap(shapes3d.visibility))(
        shapes3d.table(),
        tuple(np.moveaxis(point, -1, 0).astype("f")),
        tuple(np.moveaxis(direction, -1, 0).astype("f")),
        np.full((7, 60), 0.05, "f"),
    )
    hidden, clear = expected < -1, expected > 1.5
    assert hidden.sum() > 80 and clear.sum() > 30
    assert np.mean(np.asarray(seen)[hidden] < 0.05) > 0.97
    assert np.asarray(seen)[clear].min() > 0.9
