"""Gates of pairs of classes: in which dimensions two classes are to be alike."""

import flax.linen as nn
import jax.numpy as jnp

from repr_jax.ops import checks


class PairGate(nn.Module):
    """Two [batch] int labels each -> [batch, dim] float32 gates in (0, 1).

    sigmoid(MLP of the mean of the embeddings of both classes), the same for (y, y') and
    (y', y); each layer of the MLP is a ReLU, batch normalization and a linear map. The
    gates of `losses.gated_pairs`, whose partners are the labels permuted.

    Raises:
      ValueError: shapes differ or are not [batch]. TypeError: labels that are none.

    Source: Wu et al., "Rethinking Positive Pairs in Contrastive Learning" (SimLAP),
      2024, https://arxiv.org/abs/2410.18200, as in the authors' code.
    """

    num_classes: int
    dim: int  # of the projections that are gated
    embedding_dim: int = 512
    hidden: int = 1024

    @nn.compact
    def __call__(self, labels, partners, *, train):
        checks.same_shape("PairGate", rank=1, labels=labels, partners=partners)
        checks.integers("PairGate", labels=labels, partners=partners)
        normal = nn.initializers.normal(1.0)
        embed = nn.Embed(self.num_classes, self.embedding_dim, embedding_init=normal)
        x = (embed(jnp.asarray(labels)) + embed(jnp.asarray(partners))) / 2
        for width in (self.hidden, self.dim):
            x = nn.BatchNorm(use_running_average=not train)(nn.relu(x))
            x = nn.Dense(width)(x)
        return nn.sigmoid(x)
