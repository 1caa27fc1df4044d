"""Contrastive losses of lightly and open_clip, and as one writes them in torch."""

from functools import partial

import numpy as np
import sizes
import torch
from lightly.loss import NTXentLoss
from open_clip.loss import ClipLoss
from torch.nn import functional as F


def plain_info_nce(a, b):
    logits = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / 0.1
    return F.cross_entropy(logits, torch.arange(len(a)))


def plain_clip(a, b):
    logits = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / 0.1
    own = torch.arange(len(a))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def open_clip(a, b):
    return ClipLoss()(F.normalize(a, dim=1), F.normalize(b, dim=1), 1 / 0.1)


def plain_nt_xent(a, b):
    z = F.normalize(torch.cat([a, b]), dim=1)
    logits = z @ z.T / 0.1
    logits.fill_diagonal_(-torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(a)))


def lightly(a, b):
    return NTXentLoss(temperature=0.1)(a, b)


LOSSES = {
    "nt_xent": {"lightly": lightly, "plain torch": plain_nt_xent},
    "clip": {"open_clip": open_clip, "plain torch": plain_clip},
    "info_nce": {"plain torch": plain_info_nce},
}


def prepare(loss, batch, dim):
    rows = np.random.default_rng(0).normal(size=(2, batch, dim)).astype(np.float32)
    a, b = (torch.from_numpy(x).requires_grad_() for x in rows)

    def call():
        value = loss(a, b)
        torch.autograd.grad(value, (a, b))
        return value

    return call


def problems(smoke):
    return {
        f"{name}, {batch:,} x {dim}": {
            peer: partial(prepare, loss, batch, dim) for peer, loss in peers.items()
        }
        for name, peers in LOSSES.items()
        for batch, dim in sizes.pairs(smoke)
    }
