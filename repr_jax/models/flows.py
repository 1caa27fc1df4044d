"""Normalizing flows as modules: invertible maps whose densities are learned."""

import itertools
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax

from repr_jax.models.initializers import uniform_fan_in


class MaskedAutoregressiveFlow(nn.Module):
    """Blocks that scale and shift every coordinate by what those before it are.

    u_i = (z_i - shift_i(z_<i)) * exp(-log_scale_i(z_<i)), by one masked network a
    block; the order of coordinates is reversed between blocks. It starts as the
    identity. Noise and density take one pass, the way back one for each coordinate.

    Source: Papamakarios, Pavlakou and Murray, "Masked Autoregressive Flow for Density
      Estimation", 2017, eq. 3, https://arxiv.org/abs/1705.07057. The sizes are the
      defaults of MultiVae 1.0.3 for JNF; the bound on log-scales is ours.
    """

    dim: int
    hidden: Sequence[int] = (128, 128, 128)
    num_blocks: int = 2
    largest: float = 4.0  # of a log-scale

    def setup(self):
        self.masks = autoregressive_masks(self.dim, self.hidden)
        self.blocks = [
            [self._layer(f"block_{b}_{n}", n) for n in range(len(self.masks))]
            for b in range(self.num_blocks)
        ]

    def _layer(self, name, number):
        """(kernel, bias) of a masked layer; zeros for the last."""
        shape = self.masks[number].shape
        last = number + 1 == len(self.masks)
        init = nn.initializers.zeros if last else uniform_fan_in(shape[0])
        kernel = self.param(f"{name}_kernel", init, shape)
        return kernel, self.param(f"{name}_bias", init, shape[1:])

    def to_noise(self, z):
        """[batch, dim] -> noise [batch, dim], [batch] log |det d noise / d z|."""
        log_det = jnp.zeros_like(z[:, 0])
        for block in self.blocks:
            log_scale, shift = self._network(block, z)
            z = ((z - shift) * jnp.exp(-log_scale))[:, ::-1]
            log_det = log_det - jnp.sum(log_scale, axis=1)
        return z, log_det

    def from_noise(self, u):
        """[batch, dim] -> [batch, dim], the inverse of `to_noise`."""
        for block in reversed(self.blocks):
            u = u[:, ::-1]

            def closer(_, z, block=block, u=u):  # one more coordinate is right
                log_scale, shift = self._network(block, z)
                return u * jnp.exp(log_scale) + shift

            u = lax.fori_loop(0, self.dim, closer, u)
        return u

    def _network(self, block, x):
        """[batch, dim] log-scales and shifts."""
        for number, ((kernel, bias), mask) in enumerate(zip(block, self.masks)):
            x = x @ (kernel * mask) + bias[None]
            x = nn.relu(x) if number + 1 < len(block) else x
        log_scale, shift = jnp.split(x, 2, axis=1)
        return self.largest * jnp.tanh(log_scale / self.largest), shift


def autoregressive_masks(dim: int, hidden: Sequence[int]) -> list[np.ndarray]:
    """[in, out] masks of a network of 2 dim outputs, i and dim + i of inputs below i.

    Source: Germain et al., "MADE", 2015, eqs. 8 and 9, https://arxiv.org/abs/1502.03509,
      with degrees that take turns.
    """
    degrees = [np.arange(1, dim + 1)]
    degrees += [np.arange(width) % max(dim - 1, 1) + 1 for width in hidden]
    masks = [a[:, None] <= b[None] for a, b in itertools.pairwise(degrees)]
    outputs = np.tile(degrees[0], 2)
    masks.append(degrees[-1][:, None] < outputs[None])
    return [mask.astype(np.float32) for mask in masks]
