"""An encoder whose output is kept, and heads whose output the loss compares."""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
from jax import Array

from repr_jax.models.mlp import MLP
from repr_jax.ops.numerics import l2_normalize, pairwise_dot


class Embedding(NamedTuple):
    """What a joint embedding makes of a batch."""

    representation: Array  # [batch, dim], what is used afterwards
    projection: Array  # [batch, projection dim], what the loss sees
    prediction: Array  # [batch, projection dim], of others' projections


class JointEmbedding(nn.Module):
    """x -> Embedding: an encoder, a projector of its output, a predictor of that.

    Without a predictor the prediction is the projection.
    """

    encoder: nn.Module
    projector: nn.Module
    predictor: nn.Module | None = None

    def __call__(self, x, *, train):
        representation = self.encoder(x, train=train)
        projection = self.projector(representation, train=train)
        prediction = projection
        if self.predictor is not None:
            prediction = self.predictor(projection, train=train)
        return Embedding(representation, projection, prediction)


class PrototypeHead(nn.Module):
    """[..., dim] -> [..., num_prototypes] cosines, float32.

    Of what a fully connected network makes of its input, and of learned directions.
    """

    widths: Sequence[int]  # of the network
    num_prototypes: int
    batch_norm: bool = False
    dtype: str = "float32"  # of the network's arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        network = MLP(self.widths, self.batch_norm, dtype=self.dtype)
        rows = network(x.reshape(-1, x.shape[-1]), train=train)
        shape = (self.num_prototypes, rows.shape[-1])
        prototypes = self.param("prototypes", nn.initializers.normal(1.0), shape)
        cosines = pairwise_dot(l2_normalize(rows), l2_normalize(prototypes))
        return cosines.reshape(*x.shape[:-1], self.num_prototypes)
