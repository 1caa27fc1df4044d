"""Small convolutional classifiers of images and of text: judges of generated ones."""

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


class SequenceClassifier(nn.Module):
    """[batch, length, features] -> [batch, num_classes] logits, such as one-hot text.

    A linear layer of each place, convolutions of 4 places and stride 2, each followed
    by a ReLU, as many as can halve the sequence; of what is left the largest value of
    each feature, so that a word counts wherever it is; and one hidden layer.
    """

    num_classes: int = 10
    widths: Sequence[int] = (64, 64, 128)
    hidden: int = 128
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        del train  # nothing here differs in training
        x = x[:, :, None].astype(self.dtype)  # an image of one column
        x = nn.relu(Conv(self.widths[0], (1, 1), dtype=self.dtype)(x))
        for width in self.widths:
            if x.shape[1] > 1:
                conv = Conv(width, (4, 1), (2, 1), (1, 0), dtype=self.dtype)
                x = nn.relu(conv(x))
        x = jnp.max(x, axis=(1, 2))
        x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x))
        return nn.Dense(self.num_classes, dtype=self.dtype)(x).astype(jnp.float32)
