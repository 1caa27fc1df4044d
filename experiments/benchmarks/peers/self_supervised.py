"""The peer of `self_supervised`: lightly's losses, in torch, in a process of its own.

  PYTHON experiments/benchmarks/peers/self_supervised.py FOLDER

FOLDER has what `self_supervised.hand_over` writes; networks, start, views, optimizer
and schedules are those of this project, written again in torch, so that what differs
is the loss and its gradient. Adds peer.npz: representations, losses and times. Needs
numpy, torch and lightly alone.
"""

import copy
import json
import math
import pathlib
import sys
import time

import lightly.loss
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def norm(kind, width):
    """With the numbers of flax, whose momentum is of the old average."""
    return kind(width, eps=1e-5, momentum=0.01)


class ConvNet(nn.Module):
    """As `repr_jax.models.convnet.ConvNet`, of images [batch, channels, size, size]."""

    def __init__(self, shape, widths, hidden, features):
        super().__init__()
        self.depth, (size, _, channels) = len(widths), shape
        for i, width in enumerate(widths):
            self.add_module(f"Conv_{i}", nn.Conv2d(channels, width, 3, 2, 1))
            self.add_module(f"BatchNorm_{i}", norm(nn.BatchNorm2d, width))
            channels, size = width, (size + 1) // 2
        self.Dense_0 = nn.Linear(size * size * channels, hidden)
        self.Dense_1 = nn.Linear(hidden, features)

    def forward(self, x):
        for i in range(self.depth):
            x = getattr(self, f"Conv_{i}")(x)
            x = F.relu(getattr(self, f"BatchNorm_{i}")(x))
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.Dense_1(F.relu(self.Dense_0(x)))


class MLP(nn.Module):
    """As `repr_jax.models.mlp.MLP`."""

    def __init__(self, width, widths, batch_norm):
        super().__init__()
        self.depth, self.batch_norm = len(widths), batch_norm
        for i, following in enumerate(widths):
            self.add_module(f"Dense_{i}", nn.Linear(width, following))
            if batch_norm and i + 1 < self.depth:
                name = f"BatchNorm_{i}"
                self.add_module(name, norm(nn.BatchNorm1d, following))
            width = following

    def forward(self, x):
        for i in range(self.depth):
            x = getattr(self, f"Dense_{i}")(x)
            if i + 1 < self.depth:
                x = getattr(self, f"BatchNorm_{i}")(x) if self.batch_norm else x
                x = F.relu(x)
        return x


class PrototypeHead(nn.Module):
    """As `repr_jax.models.joint_embedding.PrototypeHead`."""

    def __init__(self, width, widths, num_prototypes, batch_norm):
        super().__init__()
        self.MLP_0 = MLP(width, widths, batch_norm)
        self.prototypes = nn.Parameter(torch.zeros(num_prototypes, widths[-1]))

    def forward(self, x):
        x = F.normalize(self.MLP_0(x), dim=1)
        return x @ F.normalize(self.prototypes, dim=1).T


def network(job, shape):
    """Encoder, projector, and a predictor if there is one, as modules of that name."""
    width = job["encoder"]["features"]
    parts = {"encoder": ConvNet(shape, **job["encoder"])}
    widths, batch_norm = job["projector"], job["batch_norm"]
    parts["projector"] = (
        PrototypeHead(width, widths, job["num_prototypes"], batch_norm)
        if job["num_prototypes"]
        else MLP(width, widths, batch_norm)
    )
    if job["predictor"]:
        parts["predictor"] = MLP(job["projector"][-1], job["predictor"], True)
    return nn.ModuleDict(parts)


def take(model, start):
    """Parameters of the other framework, by their paths."""
    own = dict(model.named_parameters())
    for path, value in start.items():
        *place, last = path.split("/")
        value = torch.from_numpy(value)
        if last == "kernel":
            value = value.permute(3, 2, 0, 1) if value.ndim == 4 else value.T
        last = {"kernel": "weight", "scale": "weight"}.get(last, last)
        own.pop(".".join((*place, last))).data.copy_(value)
    if own:
        raise ValueError(f"expected a start of all parameters; none of {sorted(own)}.")


def rate(job, step):
    """Of `optim.adam_cosine`."""
    warmup, peak = job["warmup_steps"], job["peak"]
    if step < warmup:
        return peak * step / warmup
    share = (step - warmup) / (job["num_steps"] - warmup)
    return peak * (1 + math.cos(math.pi * share)) / 2


def cosine(start, end, share):
    """Of `ops.schedules`."""
    return end - (end - start) * (math.cos(math.pi * share) + 1) / 2


def objective(job):
    """(step, outputs of views, projections of targets) -> the loss, by lightly."""
    numbers, method = job["loss"], job["method"]
    if method == "SimCLR":
        loss = lightly.loss.NTXentLoss(temperature=numbers["temperature"])
        return lambda step, views, targets: loss(*views)
    if method == "Barlow Twins":
        weight = numbers["off_diagonal_weight"]
        loss = lightly.loss.BarlowTwinsLoss(lambda_param=weight)
        return lambda step, views, targets: loss(*views)
    if method == "VICReg":
        names = ("invariance_weight", "variance_weight", "covariance_weight")
        loss = lightly.loss.VICRegLoss(*(numbers[name] for name in names))
        return lambda step, views, targets: loss(*views)
    if method == "BYOL":  # 2 - 2 cos, once a direction
        loss = lightly.loss.NegativeCosineSimilarity()
        return lambda step, views, targets: (
            4 + 2 * (loss(views[0], targets[1]) + loss(views[1], targets[0]))
        )
    loss = lightly.loss.DINOLoss(
        job["num_prototypes"],
        student_temp=numbers["temperature"],
        center_momentum=job["center_decay"],
    )
    first, last = job["target_temperature"]

    def dino(step, views, targets):
        share = min(step / job["num_steps"], 1)
        return loss(targets, views, teacher_temp=first + (last - first) * share)

    return dino


def train(job, model, views):
    """Losses and seconds of every step, and the target network, or None."""
    loss_of, losses, seconds = objective(job), [], []
    target = None
    if job["decay"]:
        target = nn.ModuleDict({n: model[n] for n in ("encoder", "projector")})
        target = copy.deepcopy(target).requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(job["num_steps"]):
        began = time.perf_counter()
        images = [torch.from_numpy(np.moveaxis(x[step], -1, 1).copy()) for x in views]
        outputs, targets = [], []
        for image in images:
            out = model["projector"](model["encoder"](image))
            outputs.append(model["predictor"](out) if job["predictor"] else out)
        for image in images[:2] if target else ():
            with torch.no_grad():
                targets.append(target["projector"](target["encoder"](image)))
        optimizer.zero_grad()
        loss = loss_of(step, outputs, targets)
        loss.backward()
        if step < job["freeze_steps"]:
            model["projector"].prototypes.grad = None
        for group in optimizer.param_groups:
            group["lr"] = rate(job, step)
        optimizer.step()
        if target:
            decay = cosine(*job["decay"], step / job["num_steps"])
            with torch.no_grad():
                for old, new in zip(
                    target.parameters(),
                    [p for n in target for p in model[n].parameters()],
                ):
                    old.mul_(decay).add_(new, alpha=1 - decay)
        losses.append(loss.item())
        seconds.append(time.perf_counter() - began)
    return losses, seconds, target


def represent(encoder, images):
    """[rows, dim] in evaluation."""
    encoder.eval()
    images = np.moveaxis(images, -1, 1)
    with torch.no_grad():
        parts = [
            encoder(torch.from_numpy(images[i : i + 256].copy())).numpy()
            for i in range(0, len(images), 256)
        ]
    return np.concatenate(parts)


def main(folder):
    folder = pathlib.Path(folder)
    job = json.loads((folder / "job.json").read_text())
    images = np.load(folder / "images.npz")
    model = network(job, images["train"].shape[1:])
    take(model, dict(np.load(folder / "start.npz")))
    paths = sorted(folder.glob("views_*.npy"))
    views = [np.load(path, mmap_mode="r") for path in paths]
    losses, seconds, target = train(job, model, views)
    encoder = (target if job["by_target"] else model)["encoder"]
    found = {split: represent(encoder, images[split]) for split in images.files}
    np.savez(folder / "peer.npz", losses=losses, seconds=seconds, **found)


if __name__ == "__main__":
    main(sys.argv[1])
