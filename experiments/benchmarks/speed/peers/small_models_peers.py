"""The two small trainings as one writes them in torch: a plain loop."""

import itertools
from functools import partial

import numpy as np
import sizes
import torch
from torch import nn
from torch.nn import functional as F


def perceptron(widths, slope):
    layers = []
    for first, second in itertools.pairwise(widths):
        layers += [nn.Linear(first, second), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers[:-1])


def identifiability(batch, steps):
    """Latents of 3 x 3 dimensions, mixed by three layers; symmetric InfoNCE."""
    dim, wide = 3, 9
    encoders = [perceptron((wide, 128, 128, 128, 128, dim), 0.01) for _ in range(2)]
    parameters = [p for encoder in encoders for p in encoder.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10**6)
    mixings = torch.randn(2, 3, wide, wide) / wide**0.5
    own = torch.arange(batch)

    def mix(x, weights):
        for weight in weights[:-1]:
            x = F.leaky_relu(x @ weight, 0.2)
        return x @ weights[-1]

    def step():
        with torch.no_grad():
            content, style, one, two = torch.randn(4, batch, dim).unbind()
            changed = style + torch.randn(batch, dim)
            seen = mix(torch.cat([content, style, one], 1), mixings[0])
            other = mix(torch.cat([content, changed, two], 1), mixings[1])
        a, b = encoders[0](seen), encoders[1](other)
        logits = -(torch.cdist(a, b) ** 2)
        loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss

    return partial(repeated, step, steps)


def ring(batch, steps):
    """Eight Gaussians; discriminator with a penalty of its gradient, then generator."""
    discriminator, generator = (
        perceptron((first, 128, 128, 128, last), 0.0)
        for first, last in ((2, 1), (8, 2))
    )
    optimizers = [
        torch.optim.Adam(network.parameters(), 3e-4, betas=(0.5, 0.999))
        for network in (discriminator, generator)
    ]
    angle = 2 * np.pi * torch.arange(8) / 8
    centers = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    data = centers[torch.randint(8, (10_000,))] + 0.05 * torch.randn(10_000, 2)

    def step():
        real = data[torch.randint(len(data), (batch,))].requires_grad_()
        with torch.no_grad():
            fake = generator(torch.randn(batch, 8))
        of_real, of_fake = discriminator(real), discriminator(fake)
        (slope,) = torch.autograd.grad(of_real.sum(), real, create_graph=True)
        loss = F.softplus(-of_real).mean() + F.softplus(of_fake).mean()
        loss = loss + 0.1 * slope.square().sum(1).mean() / 2
        optimizers[0].zero_grad(set_to_none=True)
        loss.backward()
        optimizers[0].step()
        loss = F.softplus(-discriminator(generator(torch.randn(batch, 8)))).mean()
        optimizers[1].zero_grad(set_to_none=True)
        loss.backward()
        optimizers[1].step()
        return loss

    return partial(repeated, step, steps)


def repeated(step, steps):
    for _ in range(steps):
        loss = step()
    return loss


def problems(smoke):
    made = {"identifiability": identifiability, "ring": ring}
    return {
        sizes.small_model(*size): {"plain torch": partial(made[size[0]], *size[1:])}
        for size in sizes.small_models(smoke)
    }
