"""Vision transformers: against loops, patches left out, positions, and sizes."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.models.vit import (
    Block,
    ClassToken,
    MaskedDecoder,
    Tokens,
    ViT,
    resize_positions,
    sine_cosine_positions,
)
from repr_jax.ops.patches import patchify

KEY = jax.random.key(0)
SMALL = dict(patch_size=2, dim=8, depth=2, num_heads=2, shape=(4, 6, 3))
DECODER = dict(patch_size=2, dim=8, depth=1, num_heads=2, shape=(4, 6, 3))


def start(model, *inputs, **options):
    """Shapes of the variables."""
    return jax.eval_shape(lambda: model.init(KEY, *inputs, train=False, **options))


def random_variables(model, *inputs):
    """Every parameter drawn, those that start at 0 and 1 as well."""
    return drawn(start(model, *inputs))


def drawn(shapes):
    leaves, structure = jax.tree.flatten(shapes)
    rng = np.random.default_rng(0)
    leaves = [rng.normal(size=x.shape, scale=0.4).astype("f") for x in leaves]
    return jax.tree.unflatten(structure, leaves)


def images(batch=3, size=(4, 6)):
    return np.random.default_rng(1).uniform(size=(batch, *size, 3)).astype("f")


def layer_norm(x, p):
    centered = x - x.mean()
    return centered / np.sqrt(x.var() + 1e-6) * p["scale"] + p["bias"]


def linear(x, p):
    return x @ np.asarray(p["kernel"], np.float64) + p["bias"]


def block_in_loops(x, p, num_heads, scale=(1.0, 1.0)):
    """Of one row [tokens, dim], one token, head and dimension after another."""
    tokens, dim = x.shape
    width = dim // num_heads
    y = [linear(layer_norm(row, p["norm_0"]), p["attention"]["qkv"]) for row in x]
    mixed = np.zeros((tokens, dim))
    for t in range(tokens):
        for h in range(num_heads):
            here = slice(h * width, (h + 1) * width)
            query = y[t][:dim][here]
            keys = [row[dim : 2 * dim][here] for row in y]
            scores = np.array([query @ k / math.sqrt(width) for k in keys])
            weights = np.exp(scores) / np.exp(scores).sum()
            mixed[t, here] = sum(w * r[2 * dim :][here] for w, r in zip(weights, y))
    x = x + scale[0] * np.stack([linear(r, p["attention"]["output"]) for r in mixed])
    out = []
    for row in x:
        hidden = linear(layer_norm(row, p["norm_1"]), p["hidden"])
        gelu = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in hidden]
        out.append(row + scale[1] * linear(np.array(gelu), p["output"]))
    return np.stack(out)


def test_block_is_that_of_loops():
    x = np.random.default_rng(0).normal(size=(3, 5, 8)).astype("f")
    block = Block(num_heads=2, hidden=12)
    variables = drawn(jax.eval_shape(block.init, KEY, x))
    scale = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 3.0]], "f")
    plain = jax.jit(block.apply)(variables, x)
    scaled = jax.jit(block.apply)(variables, x, scale)
    for i, row in enumerate(x.astype(np.float64)):
        expected = block_in_loops(row, variables["params"], 2)
        np.testing.assert_allclose(plain[i], expected, rtol=1e-4, atol=1e-4)
        expected = block_in_loops(row, variables["params"], 2, scale[:, i])
        np.testing.assert_allclose(scaled[i], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fixed", [False, True])
def test_network_is_that_of_loops(fixed):
    model = ViT(**SMALL, fixed_positions=fixed, mean=(0.5, 0.4, 0.3), std=(0.2,))
    x = images()
    variables = random_variables(model, x)
    p = variables["params"]
    assert ("positions" in p) != fixed
    positions = sine_cosine_positions((2, 3), 8) if fixed else p["positions"]
    keep = np.array([[4, 1], [0, 5], [2, 3]], np.int32)
    whole = jax.jit(lambda x: model.apply(variables, x, train=False))(x)
    some = jax.jit(lambda x, k: model.apply(variables, x, train=False, keep=k))(x, keep)
    for kept, found in ((np.tile(np.arange(6), (3, 1)), whole), (keep, some)):
        for i in range(3):
            image = (x[i].astype(np.float64) - [0.5, 0.4, 0.3]) / 0.2
            patches = np.asarray(patchify(image[None], 2)[0], np.float64)
            tokens = [p["class_token"] + positions[0]]
            for place in kept[i]:
                tokens.append(linear(patches[place], p["embed"]) + positions[1 + place])
            y = np.stack(tokens)
            for number in range(2):
                y = block_in_loops(y, p[f"block_{number}"], 2)
            y = np.stack([layer_norm(row, p["norm"]) for row in y])
            np.testing.assert_allclose(found.tokens[i], y, rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(
                found.representation[i], y[0], rtol=1e-3, atol=1e-3
            )


def test_more_class_tokens_go_first_each_at_the_position_of_the_first():
    model, x = ViT(**SMALL, num_class_tokens=2), images()
    variables = random_variables(model, x)
    p = variables["params"]
    assert p["class_token"].shape == (2, 8) and p["positions"].shape == (7, 8)
    found = jax.jit(lambda x: model.apply(variables, x, train=False))(x)
    assert found.tokens.shape == (3, 8, 8)
    for i in range(3):
        patches = np.asarray(patchify(x[i : i + 1].astype(np.float64), 2)[0])
        tokens = [token + p["positions"][0] for token in p["class_token"]]
        for patch, position in zip(patches, p["positions"][1:]):
            tokens.append(linear(patch, p["embed"]) + position)
        y = np.stack(tokens)
        for number in range(2):
            y = block_in_loops(y, p[f"block_{number}"], 2)
        y = np.stack([layer_norm(row, p["norm"]) for row in y])
        np.testing.assert_allclose(found.tokens[i], y, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found.representation, found.tokens[:, 0])
    every = Tokens(model).apply({"params": {"vit": p}}, x, train=True)
    np.testing.assert_allclose(every, found.tokens, atol=1e-6)
    with pytest.raises(ValueError, match="num_class_tokens"):
        start(ViT(**SMALL, num_class_tokens=0), x)


def test_all_patches_kept_in_order_are_none_left_out():
    model, x = ViT(**SMALL), images()
    variables = random_variables(model, x)
    apply = jax.jit(lambda k: model.apply(variables, x, train=False, keep=k))
    order = jnp.tile(jnp.arange(6), (3, 1))
    np.testing.assert_allclose(apply(order).tokens, apply(None).tokens, atol=1e-6)
    backwards = apply(order[:, ::-1])  # the order of tokens does not matter to others
    np.testing.assert_allclose(
        backwards.representation, apply(None).representation, atol=1e-4
    )
    encoder = ClassToken(model)
    params = {"params": {"vit": variables["params"]}}
    np.testing.assert_allclose(
        jax.jit(lambda: encoder.apply(params, x, train=True))(),
        apply(None).representation,
        atol=1e-6,
    )


def test_hidden_patches_do_not_matter_even_nan():
    model, x = ViT(**SMALL), images()
    variables = random_variables(model, x)
    keep = jnp.array([[0, 4]] * 3)
    broken = x.copy()
    broken[:, :2, 2:4] = np.nan  # patch 1
    apply = jax.jit(lambda x: model.apply(variables, x, train=False, keep=keep))
    np.testing.assert_array_equal(apply(broken).tokens, apply(x).tokens)


def decode_in_loops(p, tokens, keep, patches):
    """Of one row, all blocks but the transformer's in loops."""
    positions = sine_cosine_positions((2, 3), 8)
    y = [linear(tokens[0], p["embed"]) + positions[0]]
    for place in range(patches):
        where = np.flatnonzero(keep == place)
        token = p["mask_token"]
        if len(where):
            token = linear(tokens[1 + where[0]], p["embed"])
        y.append(token + positions[1 + place])
    y = block_in_loops(np.stack(y), p["block_0"], 2)[1:]
    return np.stack([linear(layer_norm(row, p["norm"]), p["output"]) for row in y])


def test_decoder_is_that_of_loops_and_a_token_stands_for_what_is_hidden():
    decoder = MaskedDecoder(**DECODER)
    tokens = np.random.default_rng(2).normal(size=(2, 3, 5)).astype("f")
    keep = np.array([[4, 1], [0, 5]], np.int32)
    variables = random_variables(decoder, tokens, keep)
    found = jax.jit(lambda t, k: decoder.apply(variables, t, k, train=False))(
        tokens, keep
    )
    assert found.shape == (2, 6, 12) and found.dtype == jnp.float32
    for i in range(2):
        row = tokens[i].astype(np.float64)
        expected = decode_in_loops(variables["params"], row, keep[i], 6)
        np.testing.assert_allclose(found[i], expected, rtol=1e-4, atol=1e-4)


def test_fixed_positions_by_hand():
    found = sine_cosine_positions((2, 3), 8)
    np.testing.assert_array_equal(found[0], 0)
    row, column = 1, 2  # the last patch; dim / 4 = 2 rates, 1 and 0.01
    expected = [math.sin(column), math.sin(0.01 * column)]
    expected += [math.cos(column), math.cos(0.01 * column)]
    expected += [math.sin(row), math.sin(0.01 * row)]
    expected += [math.cos(row), math.cos(0.01 * row)]
    np.testing.assert_allclose(found[6], expected, rtol=1e-6)
    with pytest.raises(ValueError, match="multiple of 4; got 6"):
        sine_cosine_positions((2, 3), 6)


def cubic(t):
    """Keys' kernel with a = -0.5."""
    t = abs(t)
    if t < 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def resize_in_loops(x, size):
    """Along axis 0: weights of the kernel, as wide as a pixel where x shrinks."""
    n, out = len(x), []
    width = max(n / size, 1.0)
    for i in range(size):
        center = (i + 0.5) * n / size
        weights = np.array([cubic((j + 0.5 - center) / width) for j in range(n)])
        out.append(np.tensordot(weights / weights.sum(), x, 1))
    return np.stack(out)


@pytest.mark.parametrize("wanted", [(2, 2), (7, 5), (4, 3)])
def test_positions_are_interpolated(wanted):
    positions = np.random.default_rng(0).normal(size=(13, 4)).astype("f")
    found = jax.jit(lambda p: resize_positions(p, (4, 3), wanted))(positions)
    np.testing.assert_array_equal(found[0], positions[0])
    image = positions[1:].reshape(4, 3, 4).astype(np.float64)
    image = resize_in_loops(image, wanted[0])
    image = resize_in_loops(image.transpose(1, 0, 2), wanted[1]).transpose(1, 0, 2)
    np.testing.assert_allclose(found[1:], image.reshape(-1, 4), rtol=1e-4, atol=1e-5)


def test_smaller_crops_share_the_parameters():
    model = ViT(**SMALL)
    variables = random_variables(model, images())
    crops = images(size=(2, 4))
    found = jax.jit(lambda x: model.apply(variables, x, train=False))(crops)
    assert found.tokens.shape == (3, 3, 8)
    params = dict(variables["params"])
    params["positions"] = resize_positions(params["positions"], (2, 3), (1, 2))
    small = ViT(**SMALL | dict(shape=(2, 4, 3)))
    expected = jax.jit(lambda x: small.apply({"params": params}, x, train=False))(crops)
    np.testing.assert_allclose(found.tokens, expected.tokens, atol=1e-6)


def test_sizes_are_the_published_ones():
    """ViT-S/16 and ViT-B/16 without a head, and MAE's decoder for ViT-B."""

    def count(model, *inputs):
        return sum(x.size for x in jax.tree.leaves(start(model, *inputs)))

    shape = (224, 224, 3)
    x, keep = jnp.zeros((1, *shape)), jnp.zeros((1, 49), jnp.int32)
    assert count(ViT(16, 384, 12, 6, shape), x) == 21_665_664
    assert count(ViT(16, 768, 12, 12, shape), x) == 85_798_656
    decoder = MaskedDecoder(16, 512, 8, 16, shape)
    assert count(decoder, jnp.zeros((1, 50, 768)), keep) == 26_008_320


def test_summands_are_left_out_in_training_alone():
    """Of the last of two blocks, at rate 0.5: each is left out, or doubled."""
    model, x = ViT(**SMALL, drop_path=0.5), np.repeat(images(1), 64, axis=0)
    variables = random_variables(model, x)

    @partial(jax.jit, static_argnums=1)
    def apply(key, train):
        return model.apply(variables, x, train=train, key=key).representation

    plain = jax.jit(lambda: ViT(**SMALL).apply(variables, x, train=True))()
    np.testing.assert_allclose(apply(KEY, False), plain.representation, atol=1e-5)
    rows = np.unique(np.round(apply(KEY, True), 3), axis=0)
    assert len(rows) == 4
    assert np.abs(rows - np.asarray(plain.representation[:1])).max(axis=1).min() > 0.01
    assert (apply(KEY, True) != apply(jax.random.key(1), True)).any()
    with pytest.raises(ValueError, match="expected a key in training with drop_path"):
        jax.eval_shape(lambda: model.apply(variables, x, train=True))


def test_bfloat16_is_near_and_gradients_reach_every_parameter():
    x, keep = images(), jnp.array([[0, 4, 5]] * 3)
    plain, brief = ViT(**SMALL), ViT(**SMALL, dtype="bfloat16")
    variables = random_variables(plain, x)
    decoder = MaskedDecoder(**DECODER, dtype="bfloat16")
    tokens = jnp.zeros((3, 4, 8))
    behind = random_variables(decoder, tokens, keep)

    @jax.jit
    def loss(variables, behind):
        found = brief.apply(variables, x, train=True, keep=keep)
        assert found.tokens.dtype == jnp.float32
        return jnp.mean(decoder.apply(behind, found.tokens, keep, train=True) ** 2)

    found = jax.jit(lambda v: brief.apply(v, x, train=True))(variables)
    expected = jax.jit(lambda v: plain.apply(v, x, train=True))(variables)
    np.testing.assert_allclose(found.tokens, expected.tokens, atol=0.15)
    for gradient in jax.tree.leaves(jax.grad(loss, (0, 1))(variables, behind)):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_bad_input_is_named():
    model, x = ViT(**SMALL), images()
    with pytest.raises(ValueError, match="multiples of patch_size 2; got 3 x 6"):
        start(model, x[:, :3])
    with pytest.raises(ValueError, match=r"expected keep \[3, 1 to 6\]; got \(2, 2\)"):
        start(model, x, keep=jnp.zeros((2, 2), int))
    with pytest.raises(TypeError, match="expected keep of integers"):
        start(model, x, keep=jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match="a multiple of num_heads 3; got 8"):
        start(ViT(**SMALL | dict(num_heads=3)), x)
    decoder, tokens = MaskedDecoder(**DECODER), jnp.zeros((3, 4, 8))
    with pytest.raises(ValueError, match="one place per token but the first"):
        start(decoder, tokens, jnp.zeros((3, 2), int))
