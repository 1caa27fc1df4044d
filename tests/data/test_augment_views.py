"""Crops, flips, blur, colors and recipes: against loops over images, and by hand."""

import colorsys
from functools import partial

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from repr_jax import config
from repr_jax.data import augment, colors, recipes

KEY = jax.random.key(0)
SHAPE = (6, 9, 7, 3)


def draw(shape=SHAPE):
    return np.random.default_rng(0).uniform(size=shape).astype("f")


def triangle(t):
    return max(1 - abs(t), 0.0)


def keys_cubic(t):
    t = abs(t)
    if t < 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def resized_in_loops(x, size, kernel):
    """Along axis 0 of one box: as wide as a pixel where it shrinks."""
    n, out = len(x), []
    step = n / size
    for i in range(size):
        center = (i + 0.5) * step
        weights = [kernel((j + 0.5 - center) / max(step, 1)) for j in range(n)]
        out.append(sum(w * row for w, row in zip(weights, x)) / sum(weights))
    return np.stack(out)


@pytest.mark.parametrize(
    "ours,kernel", [(augment.linear, triangle), (augment.cubic, keys_cubic)]
)
def test_resized_crop_is_that_of_loops(ours, kernel):
    images, size = draw(), 4
    boxes = [(0, 0, 9, 7), (2, 1, 5, 4), (3, 3, 1, 1), (8, 6, 1, 1), (0, 2, 9, 2)]
    boxes = np.array([*boxes, (4, 0, 3, 7)])
    found = jax.jit(lambda x, b: augment.resized_crop(x, b, size=size, kernel=ours))(
        images, boxes
    )
    for image, (top, left, tall, wide), y in zip(images, boxes, np.asarray(found)):
        part = image[top : top + tall, left : left + wide].astype(np.float64)
        part = resized_in_loops(part, size, kernel).transpose(1, 0, 2)
        part = resized_in_loops(part, size, kernel).transpose(1, 0, 2)
        np.testing.assert_allclose(y, np.clip(part, 0, 1), atol=1e-5)


def test_boxes_fit_and_have_the_area_and_ratio_asked_for():
    shape, scale, ratio = (4000, 40, 60, 3), (0.2, 0.6), (0.5, 2.0)
    draws = jax.jit(lambda k: augment.crop_boxes(k, shape, scale=scale, ratio=ratio))
    boxes = np.asarray(draws(KEY))
    top, left, tall, wide = boxes.T
    assert top.min() == 0 and left.min() == 0
    assert (top + tall).max() == 40 and (left + wide).max() == 60
    area = tall * wide / 2400
    assert 0.19 < area.min() < 0.22 and 0.56 < area.max() < 0.62
    aspect = wide / tall
    assert 0.47 < aspect.min() < 0.56 and 1.8 < aspect.max() < 2.15
    room = 40 - tall
    some = room > 0
    assert abs((top[some] / room[some]).mean() - 0.5) < 0.03


@pytest.mark.parametrize(
    "size,ratio,expected",
    [
        ((4, 60), (0.75, 4 / 3), (0, 27, 4, 5)),  # far too wide
        ((60, 4), (0.75, 4 / 3), (27, 0, 5, 4)),
        ((8, 8), (0.5, 0.5), (0, 2, 8, 4)),
    ],
)
def test_without_a_box_that_fits_the_largest_in_the_middle_is_taken(
    size, ratio, expected
):
    options = dict(scale=(1.0, 1.0), ratio=ratio)
    boxes = jax.jit(lambda k: augment.crop_boxes(k, (3, *size), **options))(KEY)
    np.testing.assert_array_equal(boxes, [expected] * 3)


def test_random_resized_crop_is_its_parts():
    images = draw()
    found = jax.jit(lambda k: augment.random_resized_crop(k, images, size=5))(KEY)
    boxes = jax.jit(
        lambda k: augment.crop_boxes(k, SHAPE, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
    )(KEY)
    expected = jax.jit(lambda b: augment.resized_crop(images, b, size=5))(boxes)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_flips_are_of_some_rows():
    images = np.repeat(draw()[:1], 2000, axis=0)
    flip = jax.jit(augment.horizontal_flip)
    found = np.asarray(flip(KEY, images, rate=0.3))
    flipped = (found == images[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (found == images).all(axis=(1, 2, 3))
    assert (flipped != kept).all() and abs(flipped.mean() - 0.3) < 0.05


def test_blur_is_that_of_loops():
    images, sigma = draw(), np.array([0.1, 0.4, 0.8, 1.0, 1.2, 1.4], "f")
    found = np.asarray(jax.jit(augment.blur)(images, sigma))

    def blurred(x, s):
        """Along axis 0, far beyond the edges, where the image is mirrored."""
        n = len(x)
        mirrored = np.pad(x, [(n - 1, n - 1), (0, 0), (0, 0)], mode="reflect")
        offsets = np.arange(-(n - 1), n)
        weights = np.exp(-0.5 * (offsets / s) ** 2)
        weights /= weights.sum()
        return np.stack(
            [np.tensordot(weights, mirrored[i : i + 2 * n - 1], 1) for i in range(n)]
        )

    for image, s, y in zip(images.astype(np.float64), sigma, found):
        expected = blurred(blurred(image, s).transpose(1, 0, 2), s).transpose(1, 0, 2)
        # what is beyond the mirror images weighs exp(-(7 / 1.4)^2 / 2)
        np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(found[0], images[0], atol=1e-6)


def test_blur_at_random_has_widths_in_the_range():
    point = np.zeros((400, 15, 15, 1), "f")
    point[:, 7, 7] = 1.0
    blur = partial(augment.gaussian_blur, sigma=(1.0, 1.5), rate=0.5)
    found = np.asarray(jax.jit(blur)(KEY, point))
    peaks = found[:, 7, 7, 0]
    assert abs((peaks < 1).mean() - 0.5) < 0.1
    widths = np.sqrt(1 / (2 * np.pi * peaks[peaks < 1]))  # 1 / (2 pi sigma^2)
    assert 0.98 < widths.min() < 1.1 and 1.4 < widths.max() < 1.52
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), 1.0, rtol=1e-4)


def gray(pixel):
    return 0.2989 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]


def adjusted_in_loops(image, order, factors):
    """One pixel after another; hue by the standard library."""
    x = image.astype(np.float64)
    for change in order:
        f, y = factors[change], np.empty_like(x)
        flat = np.mean([gray(p) for p in x.reshape(-1, 3)])
        for i, j in np.ndindex(x.shape[:2]):
            pixel = x[i, j]
            if change == 3:
                h, s, v = colorsys.rgb_to_hsv(*pixel)
                y[i, j] = colorsys.hsv_to_rgb((h + f) % 1.0, s, v)
            else:
                target = (0.0, flat, gray(pixel))[change]
                y[i, j] = np.clip(f * pixel + (1 - f) * target, 0, 1)
        x = y
    return x


def test_colors_are_those_of_loops_in_every_order():
    rng = np.random.default_rng(1)
    order = np.array([rng.permutation(4) for _ in range(24)])
    factors = rng.uniform(0.2, 1.8, size=(24, 4)).astype("f")
    factors[:, 3] = rng.uniform(-0.5, 0.5, size=24)
    images = draw((24, 4, 5, 3))
    images[:, 0, 0] = 0.5  # gray, black and white pixels
    images[:, 0, 1], images[:, 0, 2] = 0.0, 1.0
    found = np.asarray(jax.jit(colors.adjust_colors)(images, order, factors))
    for i in range(24):
        expected = adjusted_in_loops(images[i], order[i], factors[i])
        np.testing.assert_allclose(found[i], expected, atol=1e-5)


def test_hue_by_hand():
    one, turns = np.ones((2, 1, 1), "f"), np.array([1 / 3, -1 / 3], "f")
    turned = jax.jit(colors.turn_hue)((one, 0 * one, 0 * one), turns)
    expected = [[0, 0], [1, 0], [0, 1]]  # the first is green, the second blue
    np.testing.assert_allclose(np.stack(turned)[:, :, 0, 0], expected, atol=1e-6)


def test_jitter_draws_factors_orders_and_rows():
    """Brightness alone on gray images, then hue alone on red ones, tells the factor."""
    flat = np.full((2000, 2, 2, 3), 0.5, "f")
    none = dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)

    def jitter(images, rate, **some):
        change = partial(colors.color_jitter, **none | some, rate=rate)
        return np.asarray(jax.jit(change)(KEY, images))

    one = jitter(flat, 0.8, brightness=0.4)
    factors = one[:, 0, 0, 0] / 0.5
    assert 0.6 <= factors.min() < 0.61 and 1.39 < factors.max() <= 1.4001
    assert abs((factors == 1).mean() - 0.2) < 0.04
    wide = jitter(flat, 1.0, brightness=1.5)
    assert wide.min() < 0.01 and (wide == 1).mean() > 0.1
    red = np.zeros((2000, 1, 1, 3), "f") + np.array([1.0, 0, 0], "f")
    other = jitter(red, 1.0, hue=0.1)
    turns = [colorsys.rgb_to_hsv(*p)[0] for p in other[:, 0, 0]]
    turns = (np.array(turns) + 0.5) % 1 - 0.5
    assert -0.1001 <= turns.min() < -0.098 and 0.098 < turns.max() <= 0.1001
    np.testing.assert_allclose(jitter(draw(), 1.0), draw(), atol=1e-6)


def test_jitter_changes_in_random_order():
    """With brightness 0 to 2 and contrast 0 to 2, order changes what is clipped."""
    same = np.repeat(draw()[:1], 512, axis=0)
    found = np.asarray(
        jax.jit(
            lambda k: colors.color_jitter(
                k, same, brightness=0.9, contrast=0.9, saturation=0.9, hue=0.5, rate=1.0
            )
        )(KEY)
    )
    assert len(np.unique(found.round(4).reshape(512, -1), axis=0)) == 512
    key_order = jax.random.split(KEY, 3)[0]
    order = np.argsort(jax.random.uniform(key_order, (512, 4)), axis=1)
    assert len(np.unique(order, axis=0)) == 24


def test_gray_and_solarized_by_hand():
    images = draw()
    grayscale, solarize = map(jax.jit, (colors.grayscale, colors.solarize))
    found = grayscale(KEY, images, rate=1.0)
    expected = np.array([[[gray(p) for p in row] for row in x] for x in images])
    np.testing.assert_allclose(found, np.stack([expected] * 3, axis=-1), atol=1e-6)
    np.testing.assert_array_equal(grayscale(KEY, images, rate=0.0), images)
    found = solarize(KEY, images, rate=1.0)
    expected = np.where(images >= 0.5, 1 - images, images)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    some = np.asarray(solarize(KEY, np.ones((2000, 1, 1, 1)), rate=0.2))
    assert abs((some == 0).mean() - 0.2) < 0.04


def test_gains_are_one_factor_a_channel_of_some_rows():
    images = np.repeat(draw()[:1], 2000, axis=0)
    change = partial(colors.channel_gains, low=0.3, high=0.7, rate=0.6)
    found = np.asarray(jax.jit(change)(KEY, images), np.float64)
    gains = found / images
    np.testing.assert_allclose(gains, gains[:, :1, :1] + 0 * gains, rtol=1e-5)
    gains = gains[:, 0, 0]
    changed = (gains != 1).any(axis=1)
    assert abs(changed.mean() - 0.6) < 0.05
    gains = gains[changed]
    assert 0.3 <= gains.min() < 0.31 and 0.69 < gains.max() <= 0.7001
    assert abs(gains.mean() - 0.5) < 0.01
    assert np.abs(np.corrcoef(gains.T) - np.eye(3)).max() < 0.1  # each of its own
    same = jax.jit(partial(colors.channel_gains, low=1.0))(KEY, images)
    np.testing.assert_array_equal(same, images)


NAMES = [n for n in dir(recipes) if n.isupper() and not n.startswith("_")]
NAMES = [n for n in NAMES if not n.endswith("_COUNTS")]


@pytest.mark.parametrize("name", NAMES)
def test_recipes_make_views(name):
    """Traced at their sizes; those of several views by `views`."""
    recipe = getattr(recipes, name)
    several = recipe if isinstance(recipe, tuple) else (recipe,)
    images = jax.ShapeDtypeStruct((2, 40, 48, 3), jnp.uint8)
    counts = getattr(recipes, f"{name}_COUNTS", None)
    found = jax.eval_shape(
        lambda k, x: recipes.views(k, x / 255, recipes=several, counts=counts),
        KEY,
        images,
    )
    counts = counts or [1] * len(several)
    sizes = [r["size"] for r, count in zip(several, counts) for _ in range(count)]
    assert [x.shape for x in found] == [(2, n, n, 3) for n in sizes]
    assert all(x.dtype == jnp.float32 for x in found)


def test_views_are_in_range_unlike_and_a_view_is_one_of_them():
    images = np.repeat(draw((1, 16, 16, 3)), 4, axis=0)
    small = [{**recipes.DINO[i], "size": 8} for i in (1, 2)]
    make = jax.jit(lambda k: recipes.views(k, images, recipes=small, counts=(1, 8)))
    found = np.stack(make(KEY))
    assert found.shape == (9, 4, 8, 8, 3) and found.min() >= 0 and found.max() <= 1
    flat = found.reshape(36, -1)
    assert len(np.unique(flat.round(4), axis=0)) == 36  # rows and crops all differ
    np.testing.assert_array_equal(found, make(KEY))
    assert (found != np.stack(make(jax.random.key(1)))).any()
    key = jax.random.split(jax.random.fold_in(KEY, 0), 1)[0]
    alone = jax.jit(lambda k: recipes.view(k, images, **small[0]))(key)
    np.testing.assert_allclose(found[0], alone, atol=1e-5)


@pytest.mark.parametrize(
    "choice",
    [
        dict(fn=recipes.view, **recipes.SIMSIAM),
        dict(fn=recipes.views, recipes=recipes.SWAV, counts=(2, 6)),
    ],
)
def test_recipes_are_stored_with_a_config(choice):
    given = config.to_json(ml_collections.ConfigDict({"augment": choice}))
    stored = config.from_json(given)
    assert config.to_json(stored) == given
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    found, expected = (
        jax.eval_shape(config.bind(c), KEY, images) for c in (stored.augment, choice)
    )
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, expected)


def test_a_view_without_colors_takes_any_channels():
    view = partial(recipes.view, **recipes.MAE_CIFAR)
    assert jax.eval_shape(view, KEY, draw((3, 9, 9, 1))).shape == (3, 32, 32, 1)


def test_views_of_a_split_batch_are_those_of_the_whole():
    images = draw((8, 8, 8, 3))
    recipe = recipes.BYOL[1] | dict(size=8)
    make = jax.jit(lambda k, x: recipes.view(k, x, **recipe))
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.NamedSharding(mesh, jax.P("data"))
    split = make(KEY, jax.device_put(images, sharding))
    assert split.sharding.is_equivalent_to(sharding, 4)
    np.testing.assert_allclose(split, make(KEY, images), atol=1e-5)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"random_resized_crop: .*rank 4; got images"):
        augment.random_resized_crop(KEY, draw()[0], size=4)
    with pytest.raises(
        ValueError, match=r"expected scale \(low, high\); got 1\.0, 0\.5"
    ):
        augment.random_resized_crop(KEY, draw(), size=4, scale=(1.0, 0.5))
    with pytest.raises(ValueError, match=r"color_jitter: expected images \[batch, hei"):
        colors.color_jitter(KEY, draw()[..., :1])
    with pytest.raises(ValueError, match=r"expected hue <= 0\.5; got 0\.6"):
        colors.color_jitter(KEY, draw(), hue=0.6)
    with pytest.raises(ValueError, match=r"low <= high <= 1; got 0\.5"):
        colors.channel_gains(KEY, draw(), low=0.5, high=1.2)
    with pytest.raises(ValueError, match="got 0 recipes and 0 counts"):
        recipes.views(KEY, draw(), recipes=())
    with pytest.raises(ValueError, match="got 2 recipes and 1 counts"):
        recipes.views(KEY, draw(), recipes=recipes.SWAV, counts=(1,))
    with pytest.raises(ValueError, match="expected flip_rate >= 0; got -1"):
        recipes.view(KEY, draw(), size=4, flip_rate=-1)


chroma_blur = jax.jit(colors.chroma_blur, static_argnames="size")


def luma_of(images):
    return np.asarray(images, np.float64) @ [0.299, 0.587, 0.114]


def chroma_blur_in_loops(image, size):
    """Y kept, both differences of color averaged over a square with edges continued."""
    height, width, _ = image.shape
    y = luma_of(image)
    differences = (image[..., 2] - y) / 1.772, (image[..., 0] - y) / 1.402
    found, half = np.empty(image.shape), size // 2
    for i, j in np.ndindex(height, width):
        rows = np.clip(np.arange(i - half, i + half + 1), 0, height - 1)
        columns = np.clip(np.arange(j - half, j + half + 1), 0, width - 1)
        blue, red = (np.mean(d[np.ix_(rows, columns)]) for d in differences)
        b, r = y[i, j] + 1.772 * blue, y[i, j] + 1.402 * red
        found[i, j] = r, (y[i, j] - 0.299 * r - 0.114 * b) / 0.587, b
    return found


def test_chroma_blur_has_the_values_of_loops_and_of_an_independent_program():
    image = np.random.default_rng(29).uniform(size=(4, 4, 3))
    found = np.asarray(chroma_blur(image[None].astype("f"), size=3))[0]
    np.testing.assert_allclose(found, chroma_blur_in_loops(image, 3), rtol=1e-5)
    np.testing.assert_allclose(found[1, 2], [0.4912298, 0.7657602, 0.690147], rtol=1e-5)
    np.testing.assert_allclose(luma_of(found)[1, 2], 0.6750557, rtol=1e-5)
    wide = np.asarray(chroma_blur(draw((1, 9, 7, 3)), size=5))[0]
    expected = chroma_blur_in_loops(draw((1, 9, 7, 3))[0].astype(float), 5)
    np.testing.assert_allclose(wide, expected, rtol=1e-4, atol=1e-6)


def test_chroma_blur_keeps_luma_and_gray_and_smears_a_fringe():
    images = draw()
    found = chroma_blur(images, size=5)
    np.testing.assert_allclose(luma_of(found), luma_of(images), rtol=1e-5)
    gray = np.repeat(images[..., :1], 3, axis=-1)
    np.testing.assert_allclose(chroma_blur(gray, size=5), gray, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(chroma_blur(images, size=1), images, atol=1e-6)
    fringe = np.full((1, 9, 9, 3), 0.5, "f")
    fringe[0, 4, 4, 0] = 0.6  # by hand: a ninth of what red is above luma
    red = np.asarray(chroma_blur(fringe, size=3))[0, 4, 4, 0]
    np.testing.assert_allclose(red, 0.5 + 0.0299 + (0.1 - 0.0299) / 9, rtol=1e-5)
    with pytest.raises(ValueError, match="chroma_blur: expected an odd size; got 4"):
        colors.chroma_blur(images, size=4)
    with pytest.raises(ValueError, match="chroma_blur: expected images"):
        colors.chroma_blur(images[..., :2], size=3)
