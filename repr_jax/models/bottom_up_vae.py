"""A VAE of latents above latents, inferred from the bottom up."""

from collections.abc import Sequence

import flax.linen as nn


class BottomUpVAE(nn.Module):
    """Networks of each level, bottom first: the parts of `losses.hierarchical_elbo`.

    Dense, of 8 and 4 latents of images of 14 x 14 pixels:

        BottomUpVAE(
            encoders=(DenseEncoder(8, shape=(14, 14)), DenseEncoder(4, shape=(8,))),
            priors=(DenseEncoder(8, shape=(4,)),),
            decoder=DenseDecoder(shape=(14, 14)),
        )

    Source: Havtorn et al., "Hierarchical VAEs Know What They Don't Know", 2021,
      https://arxiv.org/abs/2102.08248; that a posterior sees the level below alone is
      ours.
    """

    encoders: Sequence[nn.Module]  # x, or the latent below, and train -> Posterior
    priors: Sequence[nn.Module]  # the latent above, train -> Posterior; one fewer
    decoder: nn.Module  # latent of the bottom, train -> means or logits of x

    def encode(self, x, *, train):
        """[batch, ...] -> Posterior of the bottom level."""
        self.check()
        return self.encoders[0](x, train=train)

    def encode_above(self, z, level: int, *, train):
        """A latent of this level, 0 the bottom -> Posterior of the next one."""
        return self.encoders[level + 1](z, train=train)

    def prior(self, z, level: int, *, train):
        """A latent of the next level -> what p expects of this one, 0 the bottom."""
        return self.priors[level](z, train=train)

    def decode(self, z, *, train):
        """A latent of the bottom -> means or logits of x."""
        return self.decoder(z, train=train)

    def check(self):
        """A prior for each level but the top, whose prior is N(0, I)."""
        if len(self.priors) != len(self.encoders) - 1:
            raise ValueError(
                f"BottomUpVAE: expected one prior less than encoders; got "
                f"{len(self.priors)} and {len(self.encoders)}."
            )

    def __call__(self, x, *, train):
        """x decoded from the posterior's means; touches every parameter."""
        z = [self.encode(x, train=train).mean]
        for level in range(len(self.priors)):
            z.append(self.encode_above(z[-1], level, train=train).mean)
        for level in range(len(self.priors)):
            self.prior(z[level + 1], level, train=train)
        return self.decode(z[0], train=train)
