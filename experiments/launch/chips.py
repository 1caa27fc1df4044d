"""What accelerators can do at most, as their makers publish it, and their topologies.

Each figure is of one chip. `link` is what a chip sends to its neighbors in one
direction, over all links: half of what a page calls bidirectional.
"""

import importlib.util
import math
import os
from typing import NamedTuple

import jax


class Chip(NamedTuple):
    """Peaks of one chip."""

    flops: float  # a second, of dense bfloat16 products
    memory: float  # bytes
    bandwidth: float  # bytes a second, of the memory
    link: float  # bytes a second, to other chips, in one direction
    source: str


GIB = 2**30
_TPU = "https://docs.cloud.google.com/tpu/docs/"
_NVIDIA = "https://www.nvidia.com/"
CHIPS = {
    # its page has no figure of the links: all-reduce bandwidth of a pod / 4,096 chips
    "v4": Chip(275e12, 32 * GIB, 1200e9, 1.1e15 / 4096, f"{_TPU}v4"),
    "v5e": Chip(197e12, 16e9, 819e9, 200e9, f"{_TPU}v5e"),
    "v5p": Chip(459e12, 95e9, 2765e9, 600e9, f"{_TPU}v5p-training"),
    "v6e": Chip(918e12, 32e9, 1600e9, 400e9, f"{_TPU}v6e"),
    "a100": Chip(  # 80 GB, SXM
        312e12,
        80e9,
        2039e9,
        300e9,
        f"{_NVIDIA}content/dam/en-zz/Solutions/Data-Center/a100/pdf/"
        "nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf",
    ),
    # SXM; the page's 1,979 TFLOPS are with sparsity
    "h100": Chip(989.5e12, 80e9, 3350e9, 450e9, f"{_NVIDIA}en-us/data-center/h100/"),
}
TWO, THREE = "2x2 2x4 4x4 4x8 8x8 8x16 16x16", "2x2x1 2x2x2 2x2x4 2x4x4 4x4x4"
TOPOLOGIES = {"v4": THREE, "v5e": TWO, "v5p": THREE, "v6e": TWO}


def topology(chip: str, count: int) -> str | None:
    """The topology of so many chips, such as 4x4; None if there is none here."""
    for name in TOPOLOGIES.get(chip, "").split():
        if math.prod(map(int, name.split("x"))) == count:
            return name
    return None


def compiler_of(chip: str) -> str:
    """Whose compiler `devices` is of: "tpu" where libtpu is installed, else "cpu"."""
    found = chip in TOPOLOGIES and importlib.util.find_spec("libtpu") is not None
    return "tpu" if found else "cpu"


def devices(chip: str, count: int) -> list:
    """Devices to compile for, of which none need be here.

    With libtpu installed those of a TPU topology, by its compiler; else of this CPU,
    of which `jax_num_cpu_devices` were asked for before jax was used.

    Raises:
      ValueError: there are not so many.
    """
    if compiler_of(chip) == "tpu":
        from jax.experimental import topologies

        shape = topology(chip, count)
        if count == 1:
            shape = "1x1x1" if TOPOLOGIES[chip] == THREE else "1x1"
        if shape is None:
            known = TOPOLOGIES[chip]
            raise ValueError(f"--chips: expected a topology of {known}; got {count}.")
        for name in ("TPU_WORKER_HOSTNAMES", "TPU_ACCELERATOR_TYPE"):
            os.environ.setdefault(name, "localhost")  # or libtpu warns of none
        os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # it takes no chip
        alone = dict(chips_per_host_bounds=(1, 1, 1)) if count == 1 else {}
        both = dict(chip_config_name="megacore") if chip in ("v4", "v5p") else {}
        found = topologies.get_topology_desc(
            f"{chip}:{shape}", platform="tpu", **alone, **both
        ).devices
    else:
        found = jax.devices("cpu")
    if len(found) < count:
        raise ValueError(f"--chips: expected at most {len(found)}; got {count}.")
    return list(found)[:count]
