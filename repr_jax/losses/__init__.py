"""Losses: arrays in, one scalar out; jax and numpy are all they need."""

from repr_jax.losses.contrastive import (
    clip,
    fresh_negatives_nce,
    info_nce,
    nt_xent,
    siglip,
    symmetric_info_nce,
)
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
    "clip",
    "dreg",
    "elbo",
    "fresh_negatives_nce",
    "info_nce",
    "iwae",
    "mmvae",
    "mmvae_iwae",
    "mmvae_tight",
    "moe_elbo",
    "mopoe",
    "mvae",
    "nt_xent",
    "siglip",
    "symmetric_info_nce",
]
