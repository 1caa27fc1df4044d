"""A small convolutional classifier of digit images, the judge of generated ones."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from repr_jax.models.conv import Conv


class ConvClassifier(nn.Module):
    """[batch, height, width, channels] -> [batch, num_classes] logits.

    Convolutions of stride 2, each followed by dropout of whole feature maps and a ReLU,
    then one hidden layer. With the defaults and [28, 28, 3] images it is the published
    PolyMNIST classifier, of 130,568 parameters. `train=True` needs a dropout `key`.

    Source: Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021, code,
      https://arxiv.org/abs/2105.02470.
    """

    num_classes: int = 10
    widths: Sequence[int] = (10, 20)
    hidden: int = 128
    dropout: float = 0.5
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train, key=None):
        keys = [None] * (len(self.widths) + 1)
        if train:
            keys = jax.random.split(key, len(keys))
        for width, map_key in zip(self.widths, keys):
            conv = Conv(width, (4, 4), (2, 2), (1, 1), dtype=self.dtype)
            drop = nn.Dropout(self.dropout, broadcast_dims=(1, 2))
            x = nn.relu(drop(conv(x), deterministic=not train, rng=map_key))
        x = nn.Dense(self.hidden, dtype=self.dtype)(x.reshape(x.shape[0], -1))
        drop = nn.Dropout(self.dropout)
        x = nn.relu(drop(x, deterministic=not train, rng=keys[-1]))
        return nn.Dense(self.num_classes, dtype=self.dtype)(x).astype(jnp.float32)
