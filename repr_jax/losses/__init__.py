"""Losses: arrays in, one scalar out; jax and numpy are all they need."""

from repr_jax.losses.multimodal import mopoe

__all__ = ["mopoe"]
