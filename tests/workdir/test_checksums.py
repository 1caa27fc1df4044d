"""Checksums of a state: the same on all devices, and no change goes unseen."""

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax import sharding
from repr_jax.workdir import checksums


def test_checksums_do_not_depend_on_the_devices():
    x = np.random.default_rng(0).normal(size=(16, 3, 8)).astype(np.float32)
    expected = checksums.of([jnp.asarray(x)])
    for count in (1, 2, 4):
        mesh = sharding.make_mesh(jax.devices()[:count])
        for axis in (0, 2):
            split = jax.device_put(x, sharding.batch_sharding(mesh, axis))
            assert checksums.of([split]) == expected


def test_checksum_is_the_documented_sum():
    """In Python integers: mix(bits + position * odd), added up modulo 2^32."""

    def mix(h):
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            h = ((h ^ (h >> shift)) * factor) % 2**32
        return h ^ (h >> 16)

    x = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    words = x.view(np.uint32).reshape(-1).tolist()
    total = sum(mix((w + i * 0x9E3779B1) % 2**32) for i, w in enumerate(words))
    assert checksums.of([jnp.asarray(x)]) == [total % 2**32]


def test_checksums_see_every_bit_and_place():
    x = np.random.default_rng(0).integers(0, 2**32, size=(4, 6), dtype=np.uint32)
    variants = [x]
    for place in np.ndindex(x.shape):
        for bit in (0, 7, 31):
            changed = x.copy()
            changed[place] ^= np.uint32(1 << bit)
            variants.append(changed)
    signs = x.copy()
    signs[0, :2] ^= np.uint32(1 << 31)  # two signs: a weighted sum would miss this
    variants += [signs, x[::-1], x[:, ::-1], x[[1, 0, 2, 3]], np.zeros_like(x)]
    sums = checksums.of([jnp.asarray(v) for v in variants])
    assert len(set(sums)) == len(variants)
