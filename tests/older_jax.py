"""What tests call by its present name, on releases of JAX that have it elsewhere.

The losses, ops and metrics also work on the oldest release that pyproject.toml allows;
their tests are then the same tests. Nothing here changes a release that has the names.
"""

import enum
import functools

import jax
import jax.experimental

# The replication check of shard_map was another one. It gives up on some loops and on
# gradients of a mapped function with integers among its inputs: check_rep=False helps.
OLD_CHECK = not hasattr(jax, "shard_map")


def give_present_names() -> None:
    """Adds to the `jax` module what it lacks of shard_map, AxisType and enable_x64."""
    if not hasattr(jax, "shard_map"):
        from jax.experimental.shard_map import shard_map

        def by_present_keywords(f, *, check_vma=True, **specs):
            return shard_map(f, check_rep=check_vma, **specs)

        jax.shard_map = by_present_keywords
    if not hasattr(jax.sharding, "AxisType"):  # every axis was automatic then
        jax.sharding.AxisType = enum.Enum("AxisType", ["Auto"])
        make_mesh = jax.make_mesh

        @functools.wraps(make_mesh)
        def without_types(*args, axis_types=None, **rest):
            return make_mesh(*args, **rest)

        jax.make_mesh = without_types
    if not hasattr(jax, "enable_x64"):
        jax.enable_x64 = jax.experimental.enable_x64
