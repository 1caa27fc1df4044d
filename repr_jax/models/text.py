"""Encoders of sentences, given as the numbers of their words."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from repr_jax.models.conv import Conv
from repr_jax.models.initializers import uniform_fan_in


class ConvText(nn.Module):
    """[batch, length] int words -> [batch, features] float32.

    Each word is one of `embedding` features wide, a linear function of its one-hot
    code. The sentence is then an image of one channel, length x embedding, for
    convolutions of 4 x 4 and stride 2, each with batch normalization and ReLU; a linear
    layer ends it. Words at or above `num_words` are encoded as zeros.

    With 120 words and 4 features it has 0.14 million parameters.

    Raises:
      TypeError: words that are not integers. ValueError: not [batch, length], or too
        short for the convolutions.

    Source: Daunhawer et al., "Identifiability Results for Multimodal Contrastive
      Learning", 2023, https://arxiv.org/abs/2303.09166, code; there a sentence has 24
      to 31 words with its end and padding.
    """

    features: int
    num_words: int
    embedding: int = 128
    widths: Sequence[int] = (25, 50, 100)
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        if not jnp.issubdtype(x.dtype, jnp.integer):
            raise TypeError(f"ConvText: expected integer words; got {x.dtype}.")
        if x.ndim != 2:
            raise ValueError(
                f"ConvText: expected words [batch, length]; got {x.shape}."
            )
        init = uniform_fan_in(self.num_words)
        table = self.param("table", init, (self.num_words, self.embedding), jnp.float32)
        bias = self.param("bias", init, (self.embedding,), jnp.float32)
        known = (x < self.num_words)[..., None]
        x = jnp.where(known, table[jnp.minimum(x, self.num_words - 1)], 0.0)
        x = (x + bias[None, None, :])[..., None].astype(self.dtype)
        for width in self.widths:
            init = uniform_fan_in(16 * x.shape[-1])
            layer = Conv(
                width,
                (4, 4),
                (2, 2),
                (1, 1),
                dtype=self.dtype,
                kernel_init=init,
                bias_init=init,
            )
            norm = nn.BatchNorm(
                use_running_average=not train, momentum=0.9, dtype=self.dtype
            )
            x = nn.relu(norm(layer(x)))
        x = x.reshape(x.shape[0], -1)
        init = uniform_fan_in(x.shape[-1])
        dense = nn.Dense(
            self.features, dtype=self.dtype, kernel_init=init, bias_init=init
        )
        return dense(x).astype(jnp.float32)
