"""Weights of torch: outputs that torch itself gave for state dicts drawn by formula.

The numbers are of torch 2.14 with torchvision 0.29 and timm 1.0, in evaluation, with
the tensors of `drawn` in place of its own.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.data import torch_file
from repr_jax.models import from_torch
from repr_jax.models.resnet import Bottleneck, ResNet
from repr_jax.models.vit import MaskedDecoder, ViT
from repr_jax.workdir import start

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(9).uniform(size=(2, 3, 32, 32)).astype("f")
IMAGES = IMAGES.transpose(0, 2, 3, 1)


def drawn(shapes):
    """{name: array}, in the order of names; scales and variances around 1."""
    rng, state = np.random.default_rng(0), {}
    for name in sorted(shapes):
        shape = shapes[name]
        around_one = len(shape) == 1 and name.endswith("weight")
        if "running_var" in name or around_one:
            x = rng.uniform(0.5, 1.5, size=shape)
        else:
            spread = np.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.1
            x = rng.normal(size=shape) * spread
        state[name] = x.astype("f")
    return state


def norm(name, size):
    fields = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{field}": (size,) for field in fields}


def of_resnet(*, bottleneck):
    """Shapes of one block a stage, two in the second, and five classes."""
    shapes = {"conv1.weight": (64, 3, 7, 7), **norm("bn1", 64)}
    given, grow = 64, 4 if bottleneck else 1
    for stage, count in enumerate((1, 2, 1, 1)):
        width = 64 * 2**stage
        for index in range(count):
            name = f"layer{stage + 1}.{index}"
            convs = [(given, width, 3), (width, width, 3)]
            if bottleneck:
                convs = [(given, width, 1), (width, width, 3), (width, 4 * width, 1)]
            for i, (of, to, size) in enumerate(convs, start=1):
                shapes[f"{name}.conv{i}.weight"] = (to, of, size, size)
                shapes |= norm(f"{name}.bn{i}", to)
            if given != grow * width:
                shapes[f"{name}.downsample.0.weight"] = (grow * width, given, 1, 1)
                shapes |= norm(f"{name}.downsample.1", grow * width)
            given = grow * width
    return shapes | {"fc.weight": (5, given), "fc.bias": (5,)}


def layer(name, of, to):
    return {f"{name}.weight": (to, of), f"{name}.bias": (to,)}


def scale(name, size):
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def of_blocks(place, count, dim):
    """As timm names them."""
    shapes = {}
    for i in range(count):
        b = f"{place}.{i}"
        shapes |= scale(f"{b}.norm1", dim) | scale(f"{b}.norm2", dim)
        shapes |= layer(f"{b}.attn.qkv", dim, 3 * dim) | layer(
            f"{b}.attn.proj", dim, dim
        )
        shapes |= layer(f"{b}.mlp.fc1", dim, 4 * dim) | layer(
            f"{b}.mlp.fc2", 4 * dim, dim
        )
    return shapes


def of_timm():
    shapes = {"cls_token": (1, 1, 24), "pos_embed": (1, 17, 24)}
    shapes |= {"patch_embed.proj.weight": (24, 3, 8, 8)}
    shapes |= {"patch_embed.proj.bias": (24,), **scale("norm", 24)}
    return shapes | of_blocks("blocks", 2, 24)


def of_torchvision():
    shapes = {"class_token": (1, 1, 24), "encoder.pos_embedding": (1, 17, 24)}
    shapes |= {"conv_proj.weight": (24, 3, 8, 8), "conv_proj.bias": (24,)}
    for i in range(2):
        b = f"encoder.layers.encoder_layer_{i}"
        shapes |= scale(f"{b}.ln_1", 24) | scale(f"{b}.ln_2", 24)
        shapes[f"{b}.self_attention.in_proj_weight"] = (72, 24)
        shapes[f"{b}.self_attention.in_proj_bias"] = (72,)
        shapes |= layer(f"{b}.self_attention.out_proj", 24, 24)
        shapes |= layer(f"{b}.mlp.0", 24, 96) | layer(f"{b}.mlp.3", 96, 24)
    return shapes | scale("encoder.ln", 24)


def outputs(model, converted):
    """With the variables, which must be all that the model has."""
    shapes = jax.eval_shape(partial(model.init, train=False), KEY, IMAGES)
    assert jax.tree.map(np.shape, converted.variables) == jax.tree.map(
        jnp.shape, shapes
    )
    apply = jax.jit(lambda v: model.apply(v, IMAGES, train=False))
    return jax.tree.map(np.asarray, apply(converted.variables))


@pytest.mark.parametrize(
    "bottleneck,expected",
    [
        (False, [0.07874265, -0.17285205, 0.29318303, 0.7415566]),
        (True, [-0.513566, -0.9143005, 0.50167215, 0.30940527]),
    ],
)
def test_resnets_give_the_outputs_of_torch(bottleneck, expected):
    state = drawn(of_resnet(bottleneck=bottleneck))
    state["bn1.num_batches_tracked"] = np.array(3)
    options = dict(block=Bottleneck) if bottleneck else {}
    converted = from_torch.resnet(state)
    assert not converted.unused
    found = outputs(ResNet(5, (1, 2, 1, 1), **options), converted)
    np.testing.assert_allclose(found[0, :4], expected, atol=1e-5)


def test_transformers_give_the_outputs_of_torch():
    model = ViT(8, 24, 2, 3, (32, 32, 3))
    converted = from_torch.vit(drawn(of_timm()) | {"head.bias": np.zeros(5)})
    assert converted.unused == ["head.bias"]
    found = outputs(model, converted).tokens
    expected = [-1.0135639, -1.6195092, 0.8114356, -2.8585005]
    np.testing.assert_allclose(found[0, 0, :4], expected, atol=1e-5)
    state = drawn(of_torchvision())
    found = outputs(model, from_torch.vit(state)).representation
    expected = [-1.6969382, -0.911084, 0.37608334, 2.571878]
    np.testing.assert_allclose(found[0, :4], expected, atol=1e-5)
    older = {
        name.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): x
        for name, x in state.items()
    }
    same = outputs(model, from_torch.vit(older)).representation
    np.testing.assert_array_equal(same, found)


def test_the_decoder_of_masked_autoencoders_has_every_place():
    shapes = of_blocks("decoder_blocks", 2, 16) | {"mask_token": (1, 1, 16)}
    shapes |= layer("decoder_embed", 24, 16) | layer("decoder_pred", 16, 192)
    state = drawn(shapes | scale("decoder_norm", 16))
    converted = from_torch.masked(state)
    decoder = MaskedDecoder(8, 16, 2, 4, (32, 32, 3))
    tokens, keep = np.zeros((2, 5, 24), "f"), np.zeros((2, 4), np.int32)
    wanted = jax.eval_shape(partial(decoder.init, train=False), KEY, tokens, keep)
    assert jax.tree.map(np.shape, converted.variables) == jax.tree.map(
        jnp.shape, wanted
    )
    params = converted.variables["params"]
    kernel = params["block_1"]["attention"]["qkv"]["kernel"]
    expected = state["decoder_blocks.1.attn.qkv.weight"].T
    np.testing.assert_array_equal(kernel, expected)


def test_a_run_starts_from_the_converted_file(tmp_path, monkeypatch, capsys):
    """Found below a prefix in an entry of a file; tensors beside it are listed."""
    state = drawn(of_resnet(bottleneck=False))
    inside = {f"module.{name}": x for name, x in state.items()} | {"head": np.ones(2)}
    asked = []

    def read(path, *, entry):
        asked.append((path, entry))
        return inside

    monkeypatch.setattr(torch_file, "read", read)
    target = tmp_path / "resnet.npz"
    given = ["resnet", "a.pth", str(target), "--entry=model", "--prefix=module."]
    from_torch.main(given)
    assert asked == [("a.pth", "model")]
    assert capsys.readouterr().out == f"{target}: written; not used: head\n"
    model = ResNet(0, (1, 2, 1, 1))
    shapes = jax.eval_shape(partial(model.init, train=False), KEY, IMAGES)
    ours = jax.jit(lambda: jax.tree.map(lambda x: jnp.zeros(x.shape), shapes))()
    params, stats, taken = start.take(
        target,
        {"encoder": ours["params"], "head": jnp.zeros(3)},
        {"batch_stats": {"encoder": ours["batch_stats"]}},
        prefixes=(
            "params/encoder=params",
            "extras/batch_stats/encoder=extras/batch_stats",
        ),
    )
    assert taken.not_taken == ["params/head"]
    assert taken.not_used == ["params/Dense_0/bias", "params/Dense_0/kernel"]
    stem = params["encoder"]["NormalizedConv_0"]["kernel"]
    expected = state["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(stem, expected)
    running = stats["batch_stats"]["encoder"]["Block_2"]["NormalizedConv_1"]
    np.testing.assert_array_equal(
        running["BatchNorm_0"]["var"], state["layer2.1.bn2.running_var"]
    )


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"resnet: expected a tensor conv1\.weight"):
        from_torch.resnet({})
    state = drawn(of_timm())
    del state["blocks.1.mlp.fc2.bias"]
    with pytest.raises(ValueError, match=r"expected a tensor blocks\.1\.mlp\.fc2\.bi"):
        from_torch.vit(state)
    given = ["vit", str(tmp_path / "absent.pth"), str(tmp_path / "x.npz")]
    with pytest.raises(SystemExit) as error:
        from_torch.main(given)
    assert error.value.code == 2
