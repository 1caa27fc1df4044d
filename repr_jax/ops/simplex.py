"""Fixed classifiers: the vertices of a regular simplex."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.ops import checks


def vertices(num_vertices: int) -> Array:
    """[num_vertices, num_vertices - 1] float32, of unit length and as far as can be.

    They sum to 0, and two of them have the cosine -1 / (num_vertices - 1).

    Source: Pernici et al., "Regular Polytope Networks", 2021,
      https://arxiv.org/abs/2103.15632; Biondi et al., "Stationary Representations:
      Optimally Approximating Compatibility and Implications for Improved Model
      Replacements", 2024, https://arxiv.org/abs/2405.02581, whose code gives classes
      the vertices from the end, of 1024.
    """
    checks.count("vertices", minimum=2, num_vertices=num_vertices)
    dim = num_vertices - 1
    last = np.full((1, dim), (1 - np.sqrt(1 + dim)) / dim)
    corners = np.concatenate([np.eye(dim), last])
    corners -= corners.mean(axis=0)
    return jnp.asarray(corners / np.linalg.norm(corners, axis=1)[:, None], jnp.float32)
