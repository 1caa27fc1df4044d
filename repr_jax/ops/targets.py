"""Targets put together from several outputs of a target network, without gradient."""

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks
from repr_jax.ops.batch import checked_where, present
from repr_jax.ops.numerics import to_float


def consolidated(
    tokens: Array, patches: Array, sampled: Array, *, mix: float | Array = 0.5
) -> Array:
    """mix mean_{sampled p} patches_p + (1 - mix) tokens: [batch, prototype] logits.

    `losses.dino` takes them as targets, with a center of their own.

    Args:
      tokens: [batch, prototype] float, logits of the class token.
      patches: [batch, patch, prototype] float, logits of the patches.
      sampled: [batch, patch] bool, such as one patch of each cell of a coarse grid. Of
        a row without any the token alone counts.
      mix: in [0, 1]; 0 is the target of DINO. The paper writes alpha.

    Raises:
      ValueError: shapes do not fit. TypeError: integers, a mask that is not bool.

    Source: Su and Ji, "Unsqueeze [CLS] Bottleneck to Learn Rich Representations" (UDI),
      2024, https://arxiv.org/abs/2407.17671, as in its code, which mixes logits.
    """
    who = "consolidated"
    checks.same_shape(who, rank=3, patches=patches)
    checks.floating(who, tokens=tokens, patches=patches)
    batch, num_patches, size = jnp.shape(patches)
    checks.shape(who, (batch, size), tokens=tokens)
    checks.fraction(who, mix=mix)
    sampled = checked_where(who, sampled, (batch, num_patches))
    tokens, patches = lax.stop_gradient((to_float(tokens), to_float(patches)))
    count = jnp.maximum(jnp.sum(sampled, axis=1, keepdims=True), 1)
    mean = jnp.sum(present(patches, sampled), axis=1) / count
    mix = jnp.where(jnp.any(sampled, axis=1, keepdims=True), mix, 0)
    return mix * mean + (1 - mix) * tokens
