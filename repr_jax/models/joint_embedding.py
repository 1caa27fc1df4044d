"""An encoder whose output is kept, and a projector whose output the loss compares."""

from typing import NamedTuple

import flax.linen as nn
from jax import Array


class Embedding(NamedTuple):
    """What a joint embedding makes of a batch."""

    representation: Array  # [batch, dim], what is used afterwards
    projection: Array  # [batch, projection dim], what the loss sees


class JointEmbedding(nn.Module):
    """x -> Embedding(encoder(x), projector(encoder(x)))."""

    encoder: nn.Module
    projector: nn.Module

    def __call__(self, x, *, train):
        representation = self.encoder(x, train=train)
        return Embedding(representation, self.projector(representation, train=train))
