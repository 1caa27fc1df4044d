"""Several modalities, each with its encoder and decoder, around one latent space."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from repr_jax.models.vae import Posterior


class MultimodalVAE(nn.Module):
    """One posterior per modality, and one decoder of all modalities from one latent.

    How the posteriors are fused is the business of the loss. Modalities are looped over
    and not vmapped, so that they may differ in architecture and because a convolution
    vmapped over kernels is a slow grouped one.
    """

    encoders: Sequence[nn.Module]  # x, train -> Posterior; all of one latent_dim
    decoders: Sequence[nn.Module]  # z, train -> means or logits of one modality

    def encode(self, inputs, *, train):
        """A tuple of [batch, ...] -> Posterior of [modality, batch, latent_dim] arrays.

        An absent modality must be filled with finite numbers before.

        Raises:
          ValueError: another number of inputs than of encoders, or encoders that
            disagree on latent_dim.
        """
        if len(inputs) != len(self.encoders):
            raise ValueError(
                f"MultimodalVAE: expected {len(self.encoders)} inputs, one per "
                f"encoder; got {len(inputs)}."
            )
        posteriors = [
            encoder(x, train=train) for encoder, x in zip(self.encoders, inputs)
        ]
        shapes = [posterior.mean.shape for posterior in posteriors]
        if len(set(shapes)) > 1:
            raise ValueError(
                f"MultimodalVAE: expected posteriors of one shape; got {shapes}."
            )
        return Posterior(*(jnp.stack(arrays) for arrays in zip(*posteriors)))

    def decode(self, z, *, train):
        """[batch, latent_dim] -> a tuple of [batch, ...], one entry per modality."""
        return tuple(decoder(z, train=train) for decoder in self.decoders)

    def __call__(self, inputs, *, train):
        """Posterior, and what the first modality's mean decodes to, for `init`."""
        if len(self.encoders) != len(self.decoders):
            raise ValueError(
                f"MultimodalVAE: expected as many decoders as encoders; got "
                f"{len(self.decoders)} and {len(self.encoders)}."
            )
        posterior = self.encode(inputs, train=train)
        return posterior, self.decode(posterior.mean[0], train=train)
