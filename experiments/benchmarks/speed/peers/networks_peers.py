"""Training steps of MultiVae's MoPoE, and of torchvision's ResNet and ViT."""

from functools import partial

import numpy as np
import sizes
import torch
import torchvision
from multivae.data.datasets.base import MultimodalBaseDataset
from multivae.models import MoPoE, MoPoEConfig
from multivae.models.base import BaseAEConfig
from multivae.models.nn import mmnist
from torch import nn


def mopoe(smoke):
    batch, views, latent = sizes.mopoe(smoke)
    shape, names = (3, 28, 28), [f"m{m}" for m in range(views)]
    config = BaseAEConfig(latent_dim=latent, input_dim=shape)
    model = MoPoE(
        MoPoEConfig(
            n_modalities=views,
            latent_dim=latent,
            input_dims=dict.fromkeys(names, shape),
            decoders_dist=dict.fromkeys(names, "laplace"),
            beta=2.5,
        ),
        encoders={name: mmnist.EncoderConvMMNIST(config) for name in names},
        decoders={name: mmnist.DecoderConvMMNIST(config) for name in names},
    )
    data = MultimodalBaseDataset({name: torch.rand(batch, *shape) for name in names})
    optimizer = torch.optim.Adam(model.parameters(), 5e-4)
    return partial(step, lambda: model(data).loss, optimizer)


def resnet(smoke):
    batch, _, depth = sizes.resnet(smoke)
    block = torchvision.models.resnet.BasicBlock
    model = torchvision.models.ResNet(block, [depth] * 4, 10)  # 64 wide
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return classifier(model, torch.optim.SGD(model.parameters(), 0.1, 0.9), batch)


def vit(smoke):
    batch, dim, depth = sizes.vit(smoke)
    model = torchvision.models.VisionTransformer(
        32, 4, depth, 3, dim, 4 * dim, num_classes=10
    )
    return classifier(model, torch.optim.Adam(model.parameters(), 1e-3), batch)


def classifier(model, optimizer, batch):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, 32, 32, 3)).astype(np.float32)
    labels = torch.from_numpy(rng.integers(10, size=batch))
    images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    images = images.to(memory_format=torch.channels_last)
    model = model.to(memory_format=torch.channels_last).train()

    def loss():
        return nn.functional.cross_entropy(model(images), labels)

    return partial(step, loss, optimizer)


def step(loss, optimizer):
    optimizer.zero_grad(set_to_none=True)
    value = loss()
    value.backward()
    optimizer.step()
    return value


def problems(smoke):
    return {
        "MoPoE": {"MultiVae": partial(mopoe, smoke)},
        "ResNet-18": {"torch": partial(resnet, smoke)},
        "ViT": {"torch": partial(vit, smoke)},
    }
