"""A transformer that answers about some points of a set given the others."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from repr_jax.models.vit import EPSILON


class SetTransformer(nn.Module):
    """Points x with values y where known -> outputs for every point, such as logits.

    Each point sees the context, the points whose y is given, and itself; queries never
    see one another. Without positions, so that the order of points does not matter.
    Residual branches start at zero. Here normalization comes before each branch.

    Raises:
      ValueError: dim that heads do not divide.

    Source: Müller et al., "Transformers Can Do Bayesian Inference", 2022, section 3,
      https://arxiv.org/abs/2112.10510.
    """

    num_outputs: int
    dim: int = 64
    num_layers: int = 3
    num_heads: int = 4

    @nn.compact
    def __call__(self, x, y, context):
        """[batch, points, x dim], [batch, points], bool [batch, points] -> [batch,
        points, num_outputs]; y is read in the context alone."""
        known = nn.Dense(self.dim, name="y")(jnp.where(context, y, 0)[..., None])
        h = nn.Dense(self.dim, name="x")(x) + jnp.where(context[..., None], known, 0)
        itself = jnp.eye(x.shape[1], dtype=bool)[None]
        mask = (context[:, None] | itself)[:, None]  # [batch, 1, query, key]
        for i in range(self.num_layers):
            h = h + self._attention(_norm(f"norm_{i}_a")(h), mask, i)
            hidden = nn.Dense(4 * self.dim, name=f"hidden_{i}")(_norm(f"norm_{i}_b")(h))
            h = h + _from_zero(self.dim, f"output_{i}")(nn.gelu(hidden))
        return nn.Dense(self.num_outputs, name="head")(_norm("norm")(h))

    def _attention(self, h, mask, i):
        if self.dim % self.num_heads:
            raise ValueError(
                "SetTransformer: expected dim a multiple of num_heads "
                f"{self.num_heads}; got {self.dim}."
            )
        heads = (*h.shape[:2], 3, self.num_heads, self.dim // self.num_heads)
        parts = nn.Dense(3 * self.dim, name=f"qkv_{i}")(h).reshape(heads)
        queries, keys, values = (parts[:, :, n] for n in range(3))
        h = jax.nn.dot_product_attention(queries, keys, values, mask=mask)
        return _from_zero(self.dim, f"attended_{i}")(h.reshape(*h.shape[:2], -1))


def _norm(name):
    return nn.LayerNorm(epsilon=EPSILON, name=name)


def _from_zero(dim, name):
    return nn.Dense(dim, kernel_init=nn.initializers.zeros, name=name)
