"""Several modalities and latents above latents: the networks of Nexus and of MHVAE."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from repr_jax.models.conv import Conv, ConvTranspose
from repr_jax.models.initializers import uniform_fan_in
from repr_jax.models.mlp import MLP
from repr_jax.models.vae import HALVE, Posterior, halvings

SAME = dict(kernel_size=(3, 3), padding=(1, 1))


class Nexus(nn.Module):
    """A VAE for each modality, and one latent above theirs, which messages lead to."""

    encoders: Sequence[nn.Module]  # x, train -> Posterior; all of latent_dim
    decoders: Sequence[nn.Module]  # z, train -> means or logits of one modality
    latent_dim: int  # of each modality
    top_dim: int = 32
    message_dim: int = 512
    hidden: Sequence[int] = (512,)

    def setup(self):
        sizes, every = tuple(self.hidden), range(len(self.encoders))
        self.messages = [MLP((*sizes, self.message_dim)) for _ in every]
        self.top_encoder = MLP((*sizes, 2 * self.top_dim))
        self.top_decoders = [MLP((*sizes, self.latent_dim)) for _ in every]

    def encode(self, inputs, *, train):
        """A tuple of [batch, ...] -> Posterior of [modality, batch, latent_dim]."""
        pairs = zip(self.encoders, inputs, strict=True)
        posteriors = [encoder(x, train=train) for encoder, x in pairs]
        return Posterior(*(jnp.stack(arrays) for arrays in zip(*posteriors)))

    def message(self, latents, *, train):
        """[modality, batch, latent_dim] -> [modality, batch, message_dim]."""
        pairs = zip(self.messages, latents, strict=True)
        return jnp.stack([message(z, train=train) for message, z in pairs])

    def encode_top(self, h, *, train):
        """Mean message [batch, message_dim] -> Posterior of [batch, top_dim]."""
        return Posterior(*jnp.split(self.top_encoder(h, train=train), 2, axis=-1))

    def decode_top(self, z, *, train):
        """[batch, top_dim] -> a tuple of latents [batch, latent_dim]."""
        return tuple(decoder(z, train=train) for decoder in self.top_decoders)

    def decode(self, latents, *, train):
        """A tuple of [batch, latent_dim] -> means or logits of each modality."""
        pairs = zip(self.decoders, latents, strict=True)
        return tuple(decoder(z, train=train) for decoder, z in pairs)

    def __call__(self, inputs, *, train):
        """What the means of all modalities lead to; touches every parameter."""
        posterior = self.encode(inputs, train=train)
        messages = self.message(posterior.mean, train=train)
        top = self.encode_top(jnp.mean(messages, axis=0), train=train)
        self.decode(posterior.mean, train=train)
        return self.decode(self.decode_top(top.mean, train=train), train=train)


class HierarchicalVAE(nn.Module):
    """A vector above small images of latents, which all modalities share: MHVAE.

    Encoders halve the image for each of `widths`. The vector comes from the smallest of
    their feature maps; a level of latents below it, of so many `channels`, from the
    level above and from the feature maps of its size, the smaller ones first. Latents
    are flattened. The lowest level is decoded.

    Source: the structure of Dorent et al. 2023 (as `losses.mhvae`), whose latents are
      images at all levels; these small networks are ours.
    """

    num_modalities: int
    latent_dim: int = 64
    channels: Sequence[int] = (4, 4)  # fewer than widths
    widths: Sequence[int] = (16, 32, 64)
    shape: Sequence[int] = (28, 28, 3)

    def setup(self):
        if not len(self.channels) < len(self.widths):
            raise ValueError(
                f"HierarchicalVAE: expected fewer channels than widths; got "
                f"{len(self.channels)} and {len(self.widths)}."
            )
        every = range(self.num_modalities)
        self.encoders = [Down(self.widths) for _ in every]
        self.heads = [Head(self.latent_dim) for _ in every]
        levels = range(len(self.channels))
        sizes = halvings(self.shape[:2], len(self.widths))[::-1]  # small to large
        widths = self.widths[::-1]
        self.ups = [
            Up(sizes[n], sizes[n + 1], widths[n : n + 2], self._above(n))
            for n in levels
        ]
        self.priors = [MapHead(self.channels[n]) for n in levels]
        self.experts = [[MapHead(self.channels[n]) for _ in every] for n in levels]
        last = len(self.channels)
        self.decoders = [
            Decoder(sizes[last:], widths[last - 1 :], self._above(last), self.shape[-1])
            for _ in every
        ]

    def _above(self, level):
        """Channels of the latents above a level; 0 for the vector."""
        return self.channels[level - 1] if level else 0

    def features(self, inputs, *, train):
        """A tuple of images -> for each a list of feature maps, the smallest first."""
        pairs = zip(self.encoders, inputs, strict=True)
        return [encoder(x, train=train) for encoder, x in pairs]

    def top(self, features, *, train):
        """Posterior of [modality, batch, latent_dim], the experts of the vector."""
        pairs = zip(self.heads, features, strict=True)
        posteriors = [head(maps[0], train=train) for head, maps in pairs]
        return Posterior(*(jnp.stack(arrays) for arrays in zip(*posteriors)))

    def conditional(self, level, features, z, *, train):
        """Latents above [batch, dim] -> the prior of a level, and its experts.

        Each a pair (mean, log_var), [batch, dim_l] and [modality, batch, dim_l].
        """
        h = self.ups[level](z, train=train)
        posteriors = [
            head(jnp.concatenate([h, maps[level + 1]], axis=-1), train=train)
            for head, maps in zip(self.experts[level], features)
        ]
        experts = tuple(jnp.stack(arrays) for arrays in zip(*posteriors))
        return self.priors[level](h, train=train), experts

    def decode(self, z, *, train):
        """Latents of the lowest level [batch, dim] -> a tuple of images."""
        return tuple(decoder(z, train=train) for decoder in self.decoders)

    def __call__(self, inputs, *, train):
        """What means of the prior below the first expert decode to, for `init`."""
        features = self.features(inputs, train=train)
        z = self.top(features, train=train).mean[0]
        for level in range(len(self.channels)):
            (z, _), _ = self.conditional(level, features, z, train=train)
        return self.decode(z, train=train)


class Down(nn.Module):
    """[batch, height, width, channels] -> maps of halved sizes, the smallest first."""

    widths: Sequence[int]

    @nn.compact
    def __call__(self, x, *, train):
        maps = []
        for width in self.widths:
            init = uniform_fan_in(9 * x.shape[-1])
            x = nn.relu(Conv(width, **HALVE, kernel_init=init, bias_init=init)(x))
            maps.append(x)
        return maps[::-1]


class Head(nn.Module):
    """[batch, ...] -> Posterior of [batch, dim] arrays."""

    dim: int

    @nn.compact
    def __call__(self, x, *, train):
        x = MLP((2 * self.dim,), uniform_init=True)(x, train=train)
        return Posterior(*jnp.split(x, 2, axis=-1))


class MapHead(nn.Module):
    """[batch, height, width, n] -> Posterior of images of `channels`, flattened."""

    channels: int

    @nn.compact
    def __call__(self, x, *, train):
        init = uniform_fan_in(9 * x.shape[-1])
        options = dict(kernel_init=init, bias_init=init)
        x = nn.relu(Conv(x.shape[-1], **SAME, **options)(x))
        x = Conv(2 * self.channels, **SAME, **options)(x)
        parts = jnp.split(x, 2, axis=-1)
        return Posterior(*(part.reshape(len(part), -1) for part in parts))


class Up(nn.Module):
    """Latents [batch, dim], a vector or a flattened image -> a map of doubled size."""

    size: Sequence[int]  # of the image below which the latents are, or that they are
    doubled: Sequence[int]  # height and width of what is returned
    widths: Sequence[int]  # features before and after
    channels: int  # of the latents; 0 for a vector

    @nn.compact
    def __call__(self, z, *, train):
        if self.channels:
            x = z.reshape(len(z), *self.size, self.channels)
            init = uniform_fan_in(9 * self.channels)
            x = Conv(self.widths[0], **SAME, kernel_init=init, bias_init=init)(x)
        else:
            wide = self.size[0] * self.size[1] * self.widths[0]
            x = MLP((wide,), uniform_init=True)(z, train=train)
            x = x.reshape(len(z), *self.size, self.widths[0])
        init = uniform_fan_in(9 * self.widths[1])
        extra = tuple(1 - n % 2 for n in self.doubled)  # 4 -> 7, 7 -> 13 + 1
        options = dict(HALVE, output_padding=extra, kernel_init=init, bias_init=init)
        return nn.relu(ConvTranspose(self.widths[1], **options)(nn.relu(x)))


class Decoder(nn.Module):
    """Latents of the lowest level [batch, dim] -> [batch, *sizes[-1], features]."""

    sizes: Sequence[Sequence[int]]  # heights and widths, from that of the latents
    widths: Sequence[int]  # features of each size but the last
    channels: int  # of the latents
    features: int  # of the image

    @nn.compact
    def __call__(self, z, *, train):
        x, channels = z, self.channels
        widths = (*self.widths[1:], self.widths[-1])
        for n in range(len(self.sizes) - 1):
            up = Up(self.sizes[n], self.sizes[n + 1], widths[n : n + 2], channels)
            x = up(x, train=train)
            x, channels = x.reshape(len(x), -1), x.shape[-1]
        x = x.reshape(len(x), *self.sizes[-1], channels)
        init = uniform_fan_in(9 * channels)
        return Conv(self.features, **SAME, kernel_init=init, bias_init=init)(x)
