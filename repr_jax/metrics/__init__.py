"""Numbers to read, not to differentiate: arrays in, numbers out. jax and numpy only."""

from repr_jax.metrics.classification import accuracy, agreement

__all__ = ["accuracy", "agreement"]
