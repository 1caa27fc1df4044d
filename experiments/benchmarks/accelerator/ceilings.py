"""What the card can do: products of matrices in each arithmetic, and copies."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from experiments.benchmarks.accelerator.measure import Figures, compiled, milliseconds

PRODUCTS = {  # and dtype, precision
    "bfloat16": (jnp.bfloat16, None),
    "TF32": (jnp.float32, lax.Precision.DEFAULT),
    "float32": (jnp.float32, lax.Precision.HIGHEST),
}
EMULATED = ("TF32_TF32_F32_X3", "BF16_BF16_F32_X6")  # float32 of several products


def figures(smoke: bool) -> Figures:
    """The rate of n x n x n products, and gigabytes read and written a second."""
    for size in (64,) if smoke else (8192,):
        for name in PRODUCTS:
            yield f"{name}, {size:,}", partial(product, name, size, smoke)
    yield "copy", partial(copy, 2**12 if smoke else 2**28, smoke)
    for name in EMULATED if jax.default_backend() == "gpu" else ():
        yield name, partial(product, name, 8192, smoke)


def product(name: str, size: int, smoke: bool) -> dict:
    """Of matrices of unit Gaussians: zeros would be quicker."""
    if name in EMULATED:
        dtype, precision = jnp.float32, lax.DotAlgorithmPreset[name]
    else:
        dtype, precision = PRODUCTS[name]
    a, b = jax.random.normal(jax.random.key(0), (2, size, size), dtype)
    program, facts = compiled(partial(jnp.matmul, precision=precision), a, b)
    found = milliseconds(partial(program, a, b), smoke)
    rate = 2 * size**3 / (1e9 * found["ms"])
    return {**found, "TFLOP/s": rate, "compile, s": facts["compile, s"]}


def copy(count: int, smoke: bool) -> dict:
    """x + 1 of float32, too large for a cache: every byte is read and written."""
    x = jax.random.normal(jax.random.key(0), (count,))
    program, facts = compiled(lambda x: x + 1, x, donate=0)

    def call():
        nonlocal x
        x = program(x)
        return x

    found = milliseconds(call, smoke)
    rate = 8 * count / (1e6 * found["ms"])
    return {**found, "GB/s": rate, "compile, s": facts["compile, s"]}
