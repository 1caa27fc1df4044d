"""Representation learning in JAX: losses to import, experiments to launch.

Importing this package imports nothing else; `from repr_jax import losses` needs jax
and numpy alone.
"""

__version__ = "0.1.0"
