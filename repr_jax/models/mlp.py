"""Fully connected networks."""

from collections.abc import Sequence

import flax.linen as nn


class MLP(nn.Module):
    """[batch, ...] -> [batch, widths[-1]]; trailing axes are flattened."""

    widths: Sequence[int]
    batch_norm: bool = False
    dtype: str = "float32"  # of the arithmetic; parameters stay float32

    @nn.compact
    def __call__(self, x, *, train):
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        for width in self.widths[:-1]:
            x = nn.Dense(width, dtype=self.dtype)(x)
            if self.batch_norm:
                x = nn.BatchNorm(use_running_average=not train, dtype=self.dtype)(x)
            x = nn.relu(x)
        return nn.Dense(self.widths[-1], dtype=self.dtype)(x)
