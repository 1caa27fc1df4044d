"""ResNet-18: its size, a block against loops, and batch normalization."""

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax.models.resnet import Block, Bottleneck, ResNet

KEY = jax.random.key(0)


def num_parameters(model, shape):
    x = np.zeros(shape, "f")
    shapes = jax.eval_shape(lambda: model.init(KEY, x, train=False)["params"])
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def test_sizes_are_the_published_ones():
    assert num_parameters(ResNet(1000), (2, 64, 64, 3)) == 11_689_512  # ResNet-18
    large = ResNet(1000, (3, 4, 6, 3), Bottleneck)  # ResNet-50
    assert num_parameters(large, (2, 64, 64, 3)) == 25_557_032
    encoder = ResNet(4, hidden=100)
    assert num_parameters(encoder, (2, 64, 64, 3)) == 11_228_216


def conv_in_loops(x, kernel, stride):
    """Of one image [size, size, in], zeros around it, by the formula."""
    size, pad = len(x), len(kernel) // 2
    out = np.zeros((-(-size // stride), -(-size // stride), kernel.shape[-1]))
    for i, j in np.ndindex(out.shape[:2]):
        for a, b in np.ndindex(kernel.shape[:2]):
            u, v = stride * i + a - pad, stride * j + b - pad
            if 0 <= u < size and 0 <= v < size:
                out[i, j] += x[u, v] @ kernel[a, b]
    return out


def test_block_is_that_of_loops():
    """Running means and variances of a fresh block are 0 and 1."""
    block = Block(3, stride=2)
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 2)).astype("f")
    variables = jax.jit(lambda: block.init(KEY, x, train=False))()
    found = jax.jit(lambda: block.apply(variables, x, train=False))()
    kernels = [
        np.asarray(variables["params"][f"NormalizedConv_{i}"]["kernel"], np.float64)
        for i in range(3)
    ]
    norm = 1 / np.sqrt(1 + 1e-5)
    for image, y in zip(x.astype(np.float64), np.asarray(found)):
        first = np.maximum(norm * conv_in_loops(image, kernels[0], 2), 0)
        second = norm * conv_in_loops(first, kernels[1], 1)
        through = norm * conv_in_loops(image, kernels[2], 2)
        np.testing.assert_allclose(y, np.maximum(second + through, 0), atol=1e-5)


def test_small_images_keep_their_size_in_the_stem():
    x = np.zeros((4, 6, 6, 3), "f")

    def of_the_stem(**options):
        model = ResNet(2, blocks=(), width=4, **options)
        (z, variables) = jax.eval_shape(
            lambda: model.init_with_output(
                KEY, x, train=False, capture_intermediates=True
            )
        )
        assert z.shape == (4, 2) and z.dtype == jnp.float32
        return variables["intermediates"]["NormalizedConv_0"]["__call__"][0].shape

    assert of_the_stem(small_images=True) == (4, 6, 6, 4)
    assert of_the_stem() == (4, 3, 3, 4)


def test_images_are_shifted_and_scaled_first_and_running_means_move():
    x = np.random.default_rng(0).uniform(size=(2, 4, 4, 3)).astype("f")
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.5, 0.5)
    options = dict(blocks=(), width=2, small_images=True)
    plain, shifted = ResNet(2, **options), ResNet(2, mean=mean, std=std, **options)

    @jax.jit
    def encodings():
        variables = plain.init(KEY, x, train=False)
        changed = 2 * (x - jnp.array([[[mean]]]))
        _, updates = shifted.apply(variables, x, train=True, mutable=["batch_stats"])
        return (
            shifted.apply(variables, x, train=False),
            plain.apply(variables, changed, train=False),
            updates["batch_stats"]["NormalizedConv_0"]["BatchNorm_0"]["mean"],
        )

    found, expected, running = encodings()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(np.asarray(running)).min() > 0


def test_bottleneck_is_that_of_loops():
    block = Bottleneck(2, stride=2)
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 3)).astype("f")
    variables = jax.jit(lambda: block.init(KEY, x, train=False))()
    found = jax.jit(lambda: block.apply(variables, x, train=False))()
    kernels = [
        np.asarray(variables["params"][f"NormalizedConv_{i}"]["kernel"], np.float64)
        for i in range(4)
    ]
    norm = 1 / np.sqrt(1 + 1e-5)
    for image, y in zip(x.astype(np.float64), np.asarray(found)):
        z = np.maximum(norm * conv_in_loops(image, kernels[0], 1), 0)
        z = np.maximum(norm * conv_in_loops(z, kernels[1], 2), 0)
        z = norm * conv_in_loops(z, kernels[2], 1)
        through = norm * conv_in_loops(image, kernels[3], 2)
        np.testing.assert_allclose(y, np.maximum(z + through, 0), atol=1e-5)


def test_without_features_the_mean_is_returned_and_bfloat16_is_near_it():
    x = np.random.default_rng(0).uniform(size=(4, 8, 8, 3)).astype("f")
    options = dict(blocks=(1, 1), width=8, small_images=True)
    model, brief = ResNet(0, **options), ResNet(0, **options, dtype="bfloat16")
    variables = jax.jit(lambda: model.init(KEY, x, train=False))()
    assert not any(name.startswith("Dense") for name in variables["params"])

    @jax.jit
    def both(variables):
        return [
            m.apply(variables, x, train=True, mutable=["batch_stats"])[0]
            for m in (model, brief)
        ]

    exact, near = both(variables)
    assert exact.shape == (4, 16) and near.dtype == jnp.float32
    np.testing.assert_allclose(near, exact, atol=0.1)


def test_batch_statistics_are_of_the_whole_batch_on_four_devices():
    x = np.random.default_rng(0).uniform(size=(8, 8, 8, 3)).astype("f")
    model = ResNet(3, blocks=(1,), width=4, small_images=True)
    variables = jax.jit(lambda: model.init(KEY, x, train=False))()
    apply = jax.jit(
        lambda x: model.apply(variables, x, train=True, mutable=["batch_stats"])
    )
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.device_put(x, jax.NamedSharding(mesh, jax.P("data")))
    for one, four in zip(jax.tree.leaves(apply(x)), jax.tree.leaves(apply(split))):
        np.testing.assert_allclose(one, four, atol=1e-5)
