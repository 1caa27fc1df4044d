"""Published weights of torch as variables of our networks, converted once to an .npz.

    python -m repr_jax.models.from_torch resnet resnet50.pth resnet50.npz
    python -m repr_jax.models.from_torch vit dino_vits16.pth vits16.npz
    python -m repr_jax.models.from_torch vit mae_vitb16.pth vitb16.npz --entry=model

A run then starts from the .npz, as from another run:

    --config.start.source=resnet50.npz
    --config.start.prefixes="('params/encoder=params',
        'extras/batch_stats/encoder=extras/batch_stats')"

(`params/encoder/vit=params` for a `vit.ClassToken`). Neither step needs torch.
`--entry` and `--prefix` find the network among others in a file; tensors that are not
of it are listed. A file that holds an optimizer's state as well is refused, as it names
more than tensors: save the state dict by itself, with torch.

Networks: `ResNet` as torchvision names it, which Barlow Twins, VICReg, SwAV and DINO do
too; `ViT` as timm, DINO and MAE name it, or as torchvision does; `masked`, MAE's
decoder. A classifier's last layer is taken from ResNets alone; leave it out of the
prefixes, or give the encoder features=0. Images must be normalized as the weights want:
mean (0.485, 0.456, 0.406) and std (0.229, 0.224, 0.225) of all these.
"""

import argparse
import io
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from repr_jax import files
from repr_jax.data import torch_file


class Converted(NamedTuple):
    """Variables of a network, and the tensors that it has no place for."""

    variables: dict[str, Any]  # {"params": ...}, and "batch_stats" of a ResNet
    unused: list[str]


class Tensors:
    """A state dict that notes what is taken from it."""

    def __init__(self, who: str, state: Mapping[str, np.ndarray]):
        self.who, self.state, self.taken = who, state, set()

    def __call__(self, name: str) -> np.ndarray:
        if name not in self.state:
            raise ValueError(
                f"{self.who}: expected a tensor {name}; the state has none."
            )
        self.taken.add(name)
        return np.asarray(self.state[name])

    def layer(self, name: str) -> dict[str, np.ndarray]:
        """A linear layer: [out, in] -> kernel [in, out], and bias."""
        return {"kernel": self(f"{name}.weight").T, "bias": self(f"{name}.bias")}

    def scale(self, name: str) -> dict[str, np.ndarray]:
        """Scale and bias of a normalization."""
        return {"scale": self(f"{name}.weight"), "bias": self(f"{name}.bias")}

    def unused(self) -> list[str]:
        return sorted(
            name
            for name in set(self.state) - self.taken
            if not name.endswith("num_batches_tracked")
        )


def resnet(state: Mapping[str, np.ndarray]) -> Converted:
    """`ResNet` with basic blocks or bottlenecks, of torchvision's names.

    Raises:
      ValueError: a tensor is missing.
    """
    take, params, stats = Tensors("from_torch.resnet", state), {}, {}

    def conv(tree: dict, running: dict, name: str, conv_name: str, norm: str) -> None:
        kernel = take(f"{conv_name}.weight").transpose(2, 3, 1, 0)
        tree[name] = {"kernel": kernel, "BatchNorm_0": take.scale(norm)}
        moments = {"mean": take(f"{norm}.running_mean")}
        moments["var"] = take(f"{norm}.running_var")
        running[name] = {"BatchNorm_0": moments}

    conv(params, stats, "NormalizedConv_0", "conv1", "bn1")
    convs = 3 if "layer1.0.conv3.weight" in state else 2
    kind, number = ("Block", "Bottleneck")[convs - 2], 0
    for stage in range(1, 5):
        for index in range(_count(state, f"layer{stage}.")):
            old, tree, running = f"layer{stage}.{index}", {}, {}
            for i in range(convs):
                names = f"{old}.conv{i + 1}", f"{old}.bn{i + 1}"
                conv(tree, running, f"NormalizedConv_{i}", *names)
            if f"{old}.downsample.0.weight" in state:
                names = f"{old}.downsample.0", f"{old}.downsample.1"
                conv(tree, running, f"NormalizedConv_{convs}", *names)
            params[f"{kind}_{number}"], stats[f"{kind}_{number}"] = tree, running
            number += 1
    if "fc.weight" in state:
        params["Dense_0"] = take.layer("fc")
    return Converted({"params": params, "batch_stats": stats}, take.unused())


def vit(state: Mapping[str, np.ndarray]) -> Converted:
    """`ViT`, of the names of timm, DINO and MAE, or else of torchvision.

    Raises:
      ValueError: a tensor is missing.
    """
    take = Tensors("from_torch.vit", state)
    theirs = "conv_proj.weight" in state  # torchvision's
    first = ("class_token", "encoder.pos_embedding", "conv_proj", "encoder.ln")
    names = first if theirs else ("cls_token", "pos_embed", "patch_embed.proj", "norm")
    token, positions, embed, norm = names
    params = {
        "class_token": take(token).reshape(-1),
        "positions": take(positions)[0],
        "embed": {
            "kernel": _patches(take(f"{embed}.weight")),
            "bias": take(f"{embed}.bias"),
        },
        "norm": take.scale(norm),
    }
    place = "encoder.layers.encoder_layer_" if theirs else "blocks."
    block = _torchvision_block if theirs else _block
    for i in range(_count(state, place)):
        params[f"block_{i}"] = block(take, f"{place}{i}")
    return Converted({"params": params}, take.unused())


def masked(state: Mapping[str, np.ndarray]) -> Converted:
    """`MaskedDecoder`, of MAE's names; its fixed positions are not taken.

    Raises:
      ValueError: a tensor is missing.
    """
    take = Tensors("from_torch.masked", state)
    params = {
        "embed": take.layer("decoder_embed"),
        "mask_token": take("mask_token").reshape(-1),
        "norm": take.scale("decoder_norm"),
        "output": take.layer("decoder_pred"),
    }
    for i in range(_count(state, "decoder_blocks.")):
        params[f"block_{i}"] = _block(take, f"decoder_blocks.{i}")
    return Converted({"params": params}, take.unused())


def _count(state: Mapping[str, np.ndarray], place: str) -> int:
    """How many numbered parts there are."""
    found = {n.removeprefix(place).split(".")[0] for n in state if n.startswith(place)}
    return len(found)


def _patches(kernel: np.ndarray) -> np.ndarray:
    """[dim, channels, size, size] -> [size * size * channels, dim], as `patchify`."""
    return kernel.transpose(2, 3, 1, 0).reshape(-1, len(kernel))


def _block(take: Tensors, name: str) -> dict[str, Any]:
    attention = {"qkv": take.layer(f"{name}.attn.qkv")}
    attention["output"] = take.layer(f"{name}.attn.proj")
    return {
        "norm_0": take.scale(f"{name}.norm1"),
        "attention": attention,
        "norm_1": take.scale(f"{name}.norm2"),
        "hidden": take.layer(f"{name}.mlp.fc1"),
        "output": take.layer(f"{name}.mlp.fc2"),
    }


def _torchvision_block(take: Tensors, name: str) -> dict[str, Any]:
    attention, mlp = f"{name}.self_attention", f"{name}.mlp"
    older = f"{mlp}.linear_1.weight" in take.state  # before torchvision 0.13
    hidden, output = ("linear_1", "linear_2") if older else ("0", "3")
    qkv = {
        "kernel": take(f"{attention}.in_proj_weight").T,
        "bias": take(f"{attention}.in_proj_bias"),
    }
    return {
        "norm_0": take.scale(f"{name}.ln_1"),
        "attention": {"qkv": qkv, "output": take.layer(f"{attention}.out_proj")},
        "norm_1": take.scale(f"{name}.ln_2"),
        "hidden": take.layer(f"{mlp}.{hidden}"),
        "output": take.layer(f"{mlp}.{output}"),
    }


NETWORKS: dict[str, Callable] = {"resnet": resnet, "vit": vit, "masked": masked}


def convert(
    network: str,
    source: str | os.PathLike,
    target: str | os.PathLike,
    *,
    entry: str | None = None,
    prefix: str = "",
) -> list[str]:
    """Writes an .npz for `config.start`; returns the tensors that it leaves out.

    Args:
      network: "resnet", "vit" or "masked".
      source, entry: see `torch_file.read`.
      target: the .npz.
      prefix: how the names of the network's tensors start there; it is cut off, and
        others are left out.

    Raises:
      ValueError: see `torch_file.read`, or a tensor is missing.
    """
    state = torch_file.read(source, entry=entry)
    others = [name for name in state if not name.startswith(prefix)]
    state = {
        n.removeprefix(prefix): x for n, x in state.items() if n.startswith(prefix)
    }
    variables, unused = NETWORKS[network](state)
    arrays = {}
    for path, x in jax.tree_util.tree_flatten_with_path(variables)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        name = name if name.startswith("params/") else f"extras/{name}"
        arrays[name] = np.asarray(x, np.float32)
    content = io.BytesIO()
    np.savez(content, **arrays)
    files.write(target, content.getvalue())
    return sorted([*others, *(prefix + name for name in unused)])


def main(argv: list[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        prog="python -m repr_jax.models.from_torch", description=__doc__.split("\n")[0]
    )
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("source", help="a file of torch, such as resnet50.pth")
    parser.add_argument("target", help="the .npz to write")
    parser.add_argument("--entry", help="key of the state dict in a larger dict")
    parser.add_argument("--prefix", default="", help="how names of its tensors start")
    given = parser.parse_args(argv)
    try:
        unused = convert(
            given.network,
            given.source,
            given.target,
            entry=given.entry,
            prefix=given.prefix,
        )
    except (ValueError, OSError) as error:
        parser.exit(2, f"error: {' '.join(str(error).split())}\n")
    print(f"{given.target}: written; not used: {', '.join(unused) or 'none'}")


if __name__ == "__main__":
    main()
