"""Numbers to read, not to differentiate: arrays in, numbers out. jax and numpy only."""

from repr_jax.metrics.classification import accuracy, agreement
from repr_jax.metrics.regression import r2
from repr_jax.metrics.retrieval import ranks, recall_at_k

__all__ = ["accuracy", "agreement", "r2", "ranks", "recall_at_k"]
