"""NT-Xent, value and gradient: all pairs at once, and in blocks of the batch."""

from functools import partial

import jax

from experiments.benchmarks.accelerator import measure
from experiments.benchmarks.accelerator.measure import Figures
from repr_jax import losses

TEMPERATURE = 0.1


def figures(smoke: bool) -> Figures:
    """By the number of embeddings, two views of half as many rows, and their size."""
    large, small, dim = (64, 32, 32) if smoke else (65_536, 8_192, 512)
    first, *others = (16, 8) if smoke else (8_192, 4_096, 16_384)
    sizes = [(large, dim, first)]
    for width in (16,) if smoke else (512, 128, 2_048):
        sizes += [(small, width, None), (small, width, small // 4)]
    sizes += [(large, dim, chunk) for chunk in others]
    for count, dim, chunk in sizes:
        form = "all pairs" if chunk is None else f"blocks of {chunk:,}"
        yield f"{count:,} x {dim:,}, {form}", partial(one, count, dim, chunk, smoke)


def one(count: int, dim: int, chunk: int | None, smoke: bool) -> dict:
    """Operations are those of three products of all pairs, one forward, two backward.

    Blocks compute the first twice; a loop hides its bytes from XLA's count.
    """
    views = jax.random.normal(jax.random.key(0), (2, count // 2, dim))
    loss = partial(losses.nt_xent, temperature=TEMPERATURE, chunk_size=chunk)
    function = jax.value_and_grad(loss, argnums=(0, 1))
    program, facts = measure.compiled(function, *views)
    facts["TFLOP"] = 3 * 2 * count**2 * dim / 1e12
    if chunk is not None:
        facts["GB"] = None
    found = measure.milliseconds(partial(program, *views), smoke)
    value, _ = program(*views)
    return {**found, "arithmetic": "float32", **facts, "loss": value}
