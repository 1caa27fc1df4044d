"""Datasets: a NamedTuple of functions that yield dicts of NumPy arrays."""
