"""Memory that this process freed, kept for what it computes next.

On a CPU, XLA computes a step in one buffer, hundreds of megabytes for a ResNet-18 or a
ViT, that it takes from malloc and frees when the step ends. glibc returns a block of
this size to the kernel, which then fills every page of the next one with zeros: a fault
for each 4 KiB, a tenth to a fifth of the processor time of such a step.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import sys

TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8  # M_... of glibc's malloc.h
NEVER = -1


def is_of_cpu() -> bool:
    """Whether JAX computes here alone, as far as one sees before it starts."""
    asked = os.environ.get("JAX_PLATFORMS", "")
    if asked:
        return asked == "cpu"
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return not plugins and importlib.util.find_spec("libtpu") is None


def keep() -> bool:
    """Whether malloc will from now on reuse what is freed, as glibc's can.

    It holds for the whole process, so the program that owns the process calls it, as
    `main` does; best before threads start, since they share one pool from now on. The
    process then stays as large as it was at its largest.
    """
    if sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    choices = {MMAP_MAX: 0, TRIM_THRESHOLD: NEVER, ARENA_MAX: 1}
    return all([mallopt(name, value) for name, value in choices.items()])
