"""Networks that go through sequences: what was seen predicts what comes."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array


class Predicted(NamedTuple):
    latents: Array  # [batch, time, dim], each of one time alone
    context: Array  # [batch, time, context_dim], of all times up to its own
    predictions: Array  # [batch, time, horizon, dim], of latents 1, 2, ... steps ahead


class Predictive(nn.Module):
    """[batch, time, ...] -> `Predicted`, of which `losses.cpc` takes two.

    The encoder makes a latent of each time, a GRU a context of the latents so far, and
    one linear map W_k of the context a prediction of k steps ahead.

    Source: van den Oord, Li and Vinyals, "Representation Learning with Contrastive
      Predictive Coding", 2018, section 2.2, https://arxiv.org/abs/1807.03748. There the
      encoder of audio also sees its neighbors in time: here windows are cut before.
    """

    encoder: nn.Module  # [batch * time, ...], train -> [batch * time, dim]
    context_dim: int = 256
    horizon: int = 4

    @nn.compact
    def __call__(self, x, *, train):
        batch, time = x.shape[:2]
        latents = self.encoder(x.reshape(batch * time, *x.shape[2:]), train=train)
        latents = latents.reshape(batch, time, -1).astype(jnp.float32)
        context = nn.RNN(nn.GRUCell(self.context_dim, name="context"))(latents)
        dim = latents.shape[-1]
        maps = nn.Dense(self.horizon * dim, use_bias=False, name="ahead")
        predictions = maps(context).reshape(batch, time, self.horizon, dim)
        return Predicted(latents, context, predictions)
