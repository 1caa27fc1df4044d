"""Several modalities, each with its encoder and decoder, around one latent space."""

from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from repr_jax.models.vae import Posterior, gaussian_log_var
from repr_jax.ops.mixture import Mixture


class MultimodalVAE(nn.Module):
    """One posterior per modality, and one decoder of all modalities from one latent.

    How the posteriors are fused is the business of the loss. Modalities are looped over
    and not vmapped, so that they may differ in architecture and because a convolution
    vmapped over kernels is a slow grouped one.
    """

    encoders: Sequence[nn.Module]  # x, train -> Posterior; all of one latent_dim
    decoders: Sequence[nn.Module]  # z, train -> means or logits of one modality
    private_encoders: Sequence[
        nn.Module
    ] = ()  # x, train -> Posterior of its own latent
    joint_encoder: nn.Module | None = None  # inputs, where, train -> Posterior
    learned: Mapping[str, nn.Module] | None = None  # () -> an argument of the loss
    flows: Sequence[nn.Module] = ()  # with the methods of those in `models.flows`

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

    def encode_private(self, inputs, *, train):
        """(means, log_vars), each a tuple of [batch, dim_m], one per modality."""
        pairs = zip(self.private_encoders, inputs, strict=True)
        posteriors = [encoder(x, train=train) for encoder, x in pairs]
        return tuple(zip(*posteriors))

    def encode_joint(self, inputs, where, *, train):
        """Posterior of all modalities at once; where: [modality, batch] bool."""
        return self.joint_encoder(inputs, where, train=train)

    def decode(self, z, w=(), *, train):
        """[batch, latent_dim] -> a tuple of [batch, ...], one entry per modality.

        w: a tuple of private latents [batch, dim_m], () without private encoders.
        """
        latents = [jnp.concatenate([z, own], axis=-1) for own in w]
        latents = latents or [z] * len(self.decoders)
        return tuple(
            decoder(x, train=train) for decoder, x in zip(self.decoders, latents)
        )

    def to_noise(self, modality, z):
        """[batch, latent_dim] -> noise of the flow of a modality, log-determinants."""
        return self.flows[modality].to_noise(z)

    def from_noise(self, modality, u):
        """[batch, latent_dim] -> the same, the inverse of `to_noise`."""
        return self.flows[modality].from_noise(u)

    def learned_arguments(self):
        """What the modules of `learned` return, by name."""
        return {name: module() for name, module in (self.learned or {}).items()}

    def __call__(self, inputs, where=None, *, train):
        """Posterior, and what the first modality's mean decodes to, for `init`."""
        if len(self.encoders) != len(self.decoders):
            raise ValueError(
                f"MultimodalVAE: expected as many decoders as encoders; got "
                f"{len(self.decoders)} and {len(self.encoders)}."
            )
        posterior = self.encode(inputs, train=train)
        w = ()
        if self.private_encoders:
            w, _ = self.encode_private(inputs, train=train)
        if self.joint_encoder is not None:
            self.encode_joint(inputs, where, train=train)
        for flow in self.flows:
            flow.to_noise(posterior.mean[0])
        self.learned_arguments()
        return posterior, self.decode(posterior.mean[0], w, train=train)


class JointEncoder(nn.Module):
    """All modalities -> Posterior of [batch, latent_dim]: what JMVAE adds to experts.

    Each modality's own encoder, and hidden layers of what they return and of which
    modalities are present. Source: two of 512 are the default of MultiVae 1.0.3.
    """

    encoder: Callable  # () -> a module: x, train -> Posterior; a new one per modality
    latent_dim: int
    widths: Sequence[int] = (512, 512)
    log_var: Callable = gaussian_log_var  # of the second head

    @nn.compact
    def __call__(self, inputs, where, *, train):
        parts = [self.encoder()(x, train=train) for x in inputs]
        parts = [jnp.concatenate(posterior, axis=-1) for posterior in parts]
        parts = [jnp.where(here[:, None], x, 0) for x, here in zip(parts, where)]
        x = jnp.concatenate([*parts, where.T.astype(parts[0].dtype)], axis=-1)
        for width in self.widths:
            x = nn.relu(nn.Dense(width)(x))
        mean = nn.Dense(self.latent_dim, name="mean_head")(x)
        return Posterior(
            mean, self.log_var(nn.Dense(self.latent_dim, name="log_var_head")(x))
        )


class LogVar(nn.Module):
    """() -> [dim], the learned log-variance of a prior; 0 before `log_var` at first."""

    dim: int
    log_var: Callable = gaussian_log_var

    @nn.compact
    def __call__(self):
        raw = self.param("raw", nn.initializers.zeros, (1, self.dim))
        return self.log_var(raw)[0]


class LogVars(nn.Module):
    """() -> a tuple of [dim], a log-variance for each modality, as `LogVar`."""

    modalities: Sequence[str]
    dim: int
    log_var: Callable = gaussian_log_var

    @nn.compact
    def __call__(self):
        return tuple(
            LogVar(self.dim, self.log_var, name=name)() for name in self.modalities
        )


class SubsetLogits(nn.Module):
    """() -> [subset], log-odds of the non-empty subsets, at first equal."""

    modalities: Sequence[str]

    @nn.compact
    def __call__(self):
        shape = (2 ** len(self.modalities) - 1,)
        return self.param("logits", nn.initializers.zeros, shape)


class Clusters(nn.Module):
    """() -> Mixture, a learned prior: means from U(-1, 1) at first, and their odds.

    Source: Palumbo et al. 2024 (as `losses.mmvae_plus`): scales are fixed.
    """

    num_clusters: int
    dim: int
    log_var: float = 0.0  # of every component

    @nn.compact
    def __call__(self):
        shape = (self.num_clusters, self.dim)
        uniform = lambda key, shape: jax.random.uniform(key, shape, minval=-1)  # noqa: E731
        mean = self.param("mean", uniform, shape)
        logits = self.param("logits", nn.initializers.zeros, shape[:1])
        return Mixture(mean, jnp.full(shape, self.log_var), logits)
