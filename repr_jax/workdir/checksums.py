"""Checksums of arrays, the same on any number of devices, and of their descriptions."""

import json
import zlib

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax.workdir.reading import DamagedError


def of(arrays, at_once: int = 16) -> list[int]:
    """One number in [0, 2^32) per array; the same for any sharding of it."""
    arrays = [_narrow(x) if isinstance(x, np.ndarray) else x for x in arrays]
    sums = []  # fetched in groups: too many unfinished collectives can deadlock
    for i in range(0, len(arrays), at_once):
        sums += jax.device_get([_checksum(x) for x in arrays[i : i + at_once]])
    return [int(x) for x in sums]


def _narrow(x):
    """The words of NumPy's numbers of 8 bytes or more, which jax would cut to 4."""
    return np.frombuffer(x.tobytes(), np.uint32) if x.itemsize >= 8 else x


@jax.jit
def _checksum(x):
    """Sum over elements of a mix of their bits and position, modulo 2^32.

    The mix is one to one in the bits, so a change of one element always shows, and one
    of several stays hidden once in 2^32 cases. Integer sums do not depend on order.
    A program a shape: one for the whole state takes long to compile.
    """
    words = _words(x)
    position, stride = jnp.zeros(words.shape, jnp.uint32), 1
    for axis in reversed(range(words.ndim)):
        index = jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
        position += index * np.uint32(stride % 2**32)
        stride *= words.shape[axis]
    mixed = words + position * np.uint32(0x9E3779B1)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):  # as in MurmurHash3
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    return jnp.sum(mixed ^ (mixed >> np.uint32(16)), dtype=jnp.uint32)


def _words(x):
    """The bits of any array as uint32; 8-byte elements get a trailing axis of two."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    if jnp.iscomplexobj(x):
        x = jnp.stack([x.real, x.imag], axis=-1)
    size = x.dtype.itemsize
    if size == 8:
        return jax.lax.bitcast_convert_type(x, jnp.uint32)
    if jnp.issubdtype(x.dtype, jnp.floating):
        x = jax.lax.bitcast_convert_type(x, f"uint{8 * size}")
    return x.astype(jnp.uint32)


def sealed(body: dict) -> dict:
    """JSON text with a checksum of its own."""
    text = json.dumps(body)
    return {"repr_jax": text, "crc32": zlib.crc32(text.encode())}


def unsealed(text: bytes) -> dict:
    """What `sealed` was given, from the file into which orbax puts its result."""
    try:
        sealed = json.loads(text)["custom_metadata"]
        body = sealed["repr_jax"]
        if zlib.crc32(body.encode()) == sealed["crc32"]:
            return json.loads(body)
    except (ValueError, LookupError, TypeError, AttributeError):  # anything but JSON
        pass
    raise DamagedError("its description is missing or changed")
