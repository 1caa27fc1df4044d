"""Our convolutions against flax's, against loops, and under every transformation."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from repr_jax.models import conv
from repr_jax.models.conv import Conv, ConvTranspose

# height and width, kernel, strides, padding
CONVOLUTIONS = [
    ((28, 28), (3, 3), (2, 2), (1, 1)),  # the published encoder: 28, 14, 7, 4
    ((14, 14), (3, 3), (2, 2), (1, 1)),
    ((7, 7), (3, 3), (2, 2), (1, 1)),
    ((8, 8), (4, 4), (2, 2), (1, 1)),
    ((5, 5), (3, 3), (1, 1), (1, 1)),
    ((6, 7), (1, 1), (2, 2), (0, 0)),
    ((9, 11), (5, 5), (2, 2), (2, 2)),
    ((10, 9), (3, 2), (3, 2), (1, 0)),
    ((7, 6), (2, 2), (3, 3), (0, 0)),
    ((3, 2), (3, 2), (1, 1), (2, 1)),
]
# the same, and output padding
TRANSPOSED = [
    ((4, 4), (3, 3), (2, 2), (1, 1), (0, 0)),  # the published decoder: 4, 7, 14, 28
    ((7, 7), (3, 3), (2, 2), (1, 1), (1, 1)),
    ((14, 14), (3, 3), (2, 2), (1, 1), (1, 1)),
    ((4, 4), (4, 4), (2, 2), (1, 1), (0, 0)),
    ((5, 5), (3, 3), (1, 1), (1, 1), (0, 0)),
    ((5, 4), (1, 1), (2, 2), (0, 0), (1, 0)),
    ((4, 5), (5, 5), (2, 2), (2, 2), (1, 0)),
    ((3, 4), (3, 2), (3, 2), (1, 0), (2, 1)),
    ((3, 3), (2, 2), (3, 3), (0, 0), (0, 2)),
    ((1, 1), (4, 4), (1, 1), (0, 0), (0, 0)),
    ((4, 4), (3, 3), (2, 2), (2, 2), (0, 0)),
]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def assert_close(actual, expected):
    def close(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)

    jax.tree.map(close, actual, expected)


def flax_convolution(kernel_size, strides, padding):
    return nn.Conv(3, kernel_size, strides, padding=[(p, p) for p in padding])


def flax_transposed(kernel_size, strides, padding, output_padding):
    pads = [
        (k - 1 - p, k - 1 - p + op)
        for k, p, op in zip(kernel_size, padding, output_padding)
    ]
    return nn.ConvTranspose(3, kernel_size, strides, padding=pads)


def value_and_gradients(module, variables, x):
    """Output, and gradients of a random weighting of it by x and the parameters."""

    def loss(variables, x):
        y = module.apply(variables, x)
        return jnp.sum(y * draw(*y.shape, seed=1)), y

    grad = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    (_, y), gradients = jax.jit(grad)(variables, x)
    return y, gradients


def assert_like_flax(ours, theirs, size):
    x = draw(2, *size, 5)
    variables = jax.jit(theirs.init)(jax.random.key(0), x)
    jax.tree.map(
        np.testing.assert_array_equal,
        jax.jit(ours.init)(jax.random.key(0), x),
        variables,
    )
    variables["params"]["bias"] = variables["params"]["bias"] + draw(3)
    expected = value_and_gradients(theirs, variables, x)
    actual = value_and_gradients(ours, variables, x)
    assert_close(actual, expected)


@pytest.mark.parametrize(("size", "kernel_size", "strides", "padding"), CONVOLUTIONS)
def test_conv_is_that_of_flax(size, kernel_size, strides, padding):
    ours = Conv(3, kernel_size, strides, padding)
    assert_like_flax(ours, flax_convolution(kernel_size, strides, padding), size)


@pytest.mark.parametrize(
    ("size", "kernel_size", "strides", "padding", "output_padding"), TRANSPOSED
)
def test_conv_transpose_is_that_of_flax(
    size, kernel_size, strides, padding, output_padding
):
    ours = ConvTranspose(3, kernel_size, strides, padding, output_padding)
    theirs = flax_transposed(kernel_size, strides, padding, output_padding)
    assert_like_flax(ours, theirs, size)


def test_conv_matches_its_definition():
    x, kernel = draw(2, 6, 5, 3), draw(3, 2, 3, 4)
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((2, 3, 6, 4))
    for i, j, a, b in np.ndindex(3, 6, 3, 2):
        expected[:, i, j] += padded[:, 2 * i + a, j + b] @ kernel[a, b]
    actual = jax.jit(conv.conv, static_argnames=("strides", "padding"))(
        x, kernel, strides=(2, 1), padding=(1, 1)
    )
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_conv_transpose_matches_its_definition():
    x, kernel = draw(2, 4, 3, 3), draw(3, 2, 3, 4)
    whole = np.zeros((2, 3 * 2 + 3 + 1, 2 + 2, 4))  # (n - 1) s + k + op, before the cut
    for u, v, a, b in np.ndindex(4, 3, 3, 2):
        whole[:, 2 * u + 2 - a, v + 1 - b] += x[:, u, v].astype(float) @ kernel[a, b]
    options = dict(strides=(2, 1), padding=(1, 1), output_padding=(1, 0))
    actual = jax.jit(lambda x, k: conv.conv_transpose(x, k, **options))(x, kernel)
    np.testing.assert_allclose(actual, whole[:, 1:-1, 1:-1], atol=1e-5)


def down_and_up(kernels, x):
    """A strided and a transposed convolution in a row, to one number per image."""
    halved = jnp.tanh(conv.conv(x, kernels[0], strides=(2, 2), padding=(1, 1)))
    options = dict(strides=(2, 2), padding=(1, 1), output_padding=(0, 0))
    y = conv.conv_transpose(halved, kernels[1], **options)
    return jnp.sum(jnp.sin(y), axis=(1, 2, 3))


def mean_down_and_up(kernels, x):
    return jnp.mean(down_and_up(kernels, x))


def by_flax(kernels, x):
    """`down_and_up` by flax."""
    down = nn.Conv(4, (3, 3), (2, 2), padding=[(1, 1)] * 2, use_bias=False)
    up = nn.ConvTranspose(2, (3, 3), (2, 2), padding=[(1, 1)] * 2, use_bias=False)
    halved = jnp.tanh(down.apply({"params": {"kernel": kernels[0]}}, x))
    y = up.apply({"params": {"kernel": kernels[1]}}, halved)
    return jnp.sum(jnp.sin(y), axis=(1, 2, 3))


def jitted_gradients(loss):
    """(kernels, x) -> the loss and its gradients by both."""
    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))


@pytest.fixture(scope="module")
def case():
    """Kernels, images, and value and gradients of `mean_down_and_up` by flax."""
    kernels = (draw(3, 3, 2, 4), draw(3, 3, 4, 2, seed=2))
    x = draw(8, 7, 7, 2, seed=3)
    expected = jitted_gradients(lambda k, x: jnp.mean(by_flax(k, x)))(kernels, x)
    return kernels, x, expected


def make_mesh():
    return jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))


def test_gradients_inside_scan(case):
    kernels, x, expected = case

    def step(carry, x):
        grad = jax.value_and_grad(mean_down_and_up, argnums=(0, 1))
        return carry, grad(kernels, x)

    _, actual = jax.jit(lambda x: jax.lax.scan(step, 0, x))(x[None])
    assert_close(jax.tree.map(lambda a: np.asarray(a)[0], actual), expected)


def test_gradients_of_a_scan(case):
    kernels, x, expected = case

    def loss(kernels, x):
        def step(total, row):
            return total + down_and_up(kernels, row[None])[0], None

        return jax.lax.scan(step, 0.0, x)[0] / len(x)

    assert_close(jitted_gradients(loss)(kernels, x), expected)


def test_vmap_over_images(case):
    kernels, x, expected = case

    def loss(kernels, x):
        return jnp.mean(jax.vmap(lambda row: down_and_up(kernels, row[None])[0])(x))

    assert_close(jitted_gradients(loss)(kernels, x), expected)


def test_vmap_over_kernels(case):
    kernels, x, _ = case
    double = jax.tree.map(lambda a: 2 * a, kernels)
    both = jax.tree.map(lambda *a: np.stack(a), kernels, double)
    actual = jax.jit(jax.vmap(down_and_up, in_axes=(0, None)))(both, x)
    of_flax = jax.jit(by_flax)
    assert_close(actual, np.stack([of_flax(k, x) for k in (kernels, double)]))


@pytest.mark.parametrize("check_vma", [True, False])
def test_gradients_inside_shard_map(case, check_vma):
    kernels, x, (expected, (expected_gradients, _)) = case
    split, whole = PartitionSpec("data"), PartitionSpec()

    def local(kernels, x):
        def loss(kernels):
            return jax.lax.pmean(mean_down_and_up(kernels, x), "data")

        value, gradients = jax.value_and_grad(loss)(kernels)
        return value, jax.lax.pmean(gradients, "data")

    mapped = jax.shard_map(
        local,
        mesh=make_mesh(),
        in_specs=(whole, split),
        out_specs=whole,
        check_vma=check_vma,
    )
    assert_close(jax.jit(mapped)(kernels, x), (expected, expected_gradients))


def test_gradients_of_a_sharded_batch(case):
    kernels, x, expected = case
    x = jax.device_put(x, NamedSharding(make_mesh(), PartitionSpec("data")))
    assert_close(jitted_gradients(mean_down_and_up)(kernels, x), expected)


def test_forward_mode_agrees_with_reverse_mode(case):
    kernels, x, (_, (gradients, _)) = case
    direction = jax.tree.map(lambda a: draw(*a.shape, seed=4), kernels)

    def slope(kernels, direction):
        zero = np.zeros_like(x)
        return jax.jvp(mean_down_and_up, (kernels, x), (direction, zero))[1]

    expected = sum(np.vdot(g, d) for g, d in zip(gradients, direction))
    assert_close(jax.jit(slope)(kernels, direction), expected)


def test_second_derivatives(case):
    kernels, x, _ = case
    direction = jax.tree.map(lambda a: draw(*a.shape, seed=4), kernels)

    def curvature(loss):
        grad = jax.grad(lambda kernels: jnp.mean(loss(kernels, x)))
        return jax.jit(lambda k, d: jax.jvp(grad, (k,), (d,))[1])(kernels, direction)

    assert_close(curvature(down_and_up), curvature(by_flax))


def by_xla(x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), [(2, 2), (1, 1)], dimension_numbers=conv.LAYOUT
    )


@pytest.mark.parametrize("way", ["forward", "second", "scan", "images", "kernels"])
def test_stride_1_is_xlas_under_every_transformation(way):
    x, kernel = draw(2, 5, 4, 3), draw(3, 2, 3, 4, seed=1)
    x_dot, kernel_dot = draw(*x.shape, seed=2), draw(*kernel.shape, seed=3)

    def transformed(convolve):
        def loss(x, kernel):
            return jnp.sum(jnp.sin(convolve(x, kernel)))

        gradient, both = jax.grad(loss, argnums=(0, 1)), jnp.stack([kernel, kernel_dot])
        ways = {
            "forward": lambda: jax.jvp(convolve, (x, kernel), (x_dot, kernel_dot)),
            "second": lambda: jax.jvp(gradient, (x, kernel), (x_dot, kernel_dot)),
            "scan": lambda: jax.lax.scan(lambda c, k: (c, gradient(x, k)), 0, both),
            "images": lambda: jax.vmap(gradient, (0, None))(x[:, None], kernel),
            "kernels": lambda: jax.vmap(gradient, (None, 0))(x, both),
        }
        return jax.jit(ways[way])()

    actual = transformed(lambda x, k: conv.conv(x, k, padding=(2, 1)))
    assert_close(actual, transformed(by_xla))


@pytest.mark.parametrize("module", [Conv, ConvTranspose])
def test_bfloat16_rounds_only_inputs_and_outputs(module):
    x = draw(4, 7, 7, 6)
    ours = module(8, (3, 3), (2, 2), (1, 1), dtype="bfloat16")
    variables = jax.jit(ours.init)(jax.random.key(0), x)
    assert variables["params"]["kernel"].dtype == jnp.float32
    actual, gradients = value_and_gradients(ours, variables, x)
    assert actual.dtype == jnp.bfloat16
    assert gradients[0]["params"]["kernel"].dtype == jnp.float32
    exact = module(8, (3, 3), (2, 2), (1, 1))
    rounded = jax.tree.map(
        lambda a: np.asarray(a).astype(jnp.bfloat16).astype("f"), (variables, x)
    )
    expected, exact_gradients = value_and_gradients(exact, *rounded)
    np.testing.assert_allclose(np.asarray(actual, "f"), expected, rtol=2**-8, atol=1e-2)
    leaves = (jax.tree.leaves(tree) for tree in (gradients, exact_gradients))
    for a, b in zip(*(map(np.asarray, tree) for tree in leaves)):
        np.testing.assert_allclose(a, b, rtol=0.02, atol=0.02 * np.abs(b).max())


@pytest.mark.parametrize(("platform", "count"), [("tpu", 5), ("cuda", 5), ("cpu", 1)])
def test_only_the_cpu_leaves_xlas_own_convolution(case, platform, count):
    kernels, x, _ = case
    traced = jax.jit(jax.grad(mean_down_and_up)).trace(kernels, x)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    # Elsewhere: two forward, three gradients. On CPU: conv_transpose forward.
    assert text.count("stablehlo.convolution(") == count
    assert ("stablehlo.dot_general" in text) == (platform == "cpu")


def test_errors_name_who_wanted_and_got():
    x, kernel = np.zeros((1, 4, 4, 3), "f"), np.zeros((3, 3, 3, 2), "f")
    with pytest.raises(ValueError, match=r"conv: expected x .* got \(4, 4, 3\)"):
        conv.conv(x[0], kernel)
    with pytest.raises(
        ValueError, match=r"conv_transpose: expected x .*\(3, 3, 2, 3\)"
    ):
        conv.conv_transpose(x, np.zeros((3, 3, 2, 3), "f"))
    with pytest.raises(ValueError, match=r"at least one pixel .*; got \(0, 2\)"):
        conv.conv(x[:, :2], kernel)
