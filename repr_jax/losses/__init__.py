"""Losses: arrays in, one scalar out; jax and numpy are all they need."""

from repr_jax.losses.multimodal import (
    mmvae,
    mmvae_iwae,
    mmvae_tight,
    moe_elbo,
    mopoe,
    mvae,
)
from repr_jax.losses.variational import dreg, elbo, iwae

__all__ = [
    "dreg",
    "elbo",
    "iwae",
    "mmvae",
    "mmvae_iwae",
    "mmvae_tight",
    "moe_elbo",
    "mopoe",
    "mvae",
]
