"""Masked confidences whose bits depend on the row and the mask, and on nothing else.

A tree is a chain of comparisons, so one bit may change it. Every form of the algorithm,
on the host and on devices, therefore computes the confidence of a row by the same list
of operations, each of which has one right answer:

- Differences to the largest logit that is not masked, times log2(e) / temperature, are
  split into a whole part and a remainder in [-1/2, 1/2]; 2^remainder is a polynomial of
  degree 5 (largest relative error 2e-7), and the whole part is added to the exponent
  bits: the last bits of libm differ from machine to machine.
- Compilers may fuse a product and a sum, which then round once, or reorder sums. NumPy
  never does; on devices `Ops.multiply` and `Ops.add` prevent it.
- The terms of a row are added in halves: with h the largest power of two below the
  number of columns, column j takes in column h + j, and so on down to one column.
- A confidence is rounded to a multiple of 2^-30: sums over rows are sums of integers.

A normalizer has a relative error below 1e-6; it is never the unmasked one less the
group's, which may leave 0 / 0.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from repr_jax.ops import checks

FRACTION = 30  # confidences are whole multiples of 2^-FRACTION
LOWEST = np.float32(-100)  # lower exponents of two are cut off: lost in a sum >= 1
ROUND = np.float32(1.5 * 2**23)  # added and taken away again, leaves a whole number
ONE = np.float32(1)

# 2^f = 1 + f (c0 + f (c1 + ...)) on [-1/2, 1/2]; fitted here to the least largest
# relative error, with the constant 1 kept so that the largest term is exactly 1.
COEFFICIENTS = [0.693147, 0.24022242, 0.055507336, 0.009671513, 0.0013264727]
COEFFICIENTS = np.float32(COEFFICIENTS)


def log2_scale(who: str, temperature: float) -> np.float32:
    """What turns differences of logits into exponents of two; ValueError if none."""
    checks.positive(who, temperature=temperature)
    with np.errstate(over="ignore"):
        scale = np.float32(np.log2(np.e) / temperature)
    if not 0 < scale < np.inf:
        expected = "expected a temperature in the range of float32"
        raise ValueError(f"{who}: {expected}; got {temperature}.")
    return scale


def load(block: np.ndarray, x: np.ndarray) -> float:
    """Writes the block to x as float32, exactly; float64 is rounded.

    float16 and bfloat16 go through integers, several times quicker than NumPy's cast.
    Returns the largest finite number: infinity and NaN of float16 come out above it.
    """
    bits = x.view(np.int32)
    if block.dtype == np.float16:
        np.copyto(bits, block.view(np.int16))  # repeats the sign bit
        np.left_shift(bits, 13, out=bits)
        np.bitwise_and(bits, np.int32(~0x70000000), out=bits)
        np.multiply(x, np.float32(2.0**112), out=x)
        return 65504.0
    if block.dtype == jnp.bfloat16:
        np.copyto(bits, block.view(np.int16))
        np.left_shift(bits, 16, out=bits)
    else:
        with np.errstate(over="ignore"):
            np.copyto(x, block, casting="same_kind")
    return float(np.finfo(np.float32).max)


def sum_in_halves(terms: np.ndarray) -> np.ndarray:
    """[rows, columns] -> [rows]; the order of the module's docstring; overwrites."""
    n = terms.shape[1]
    while n > 64:  # then columns first: NumPy is slow on short rows
        half = 1 << ((n - 1).bit_length() - 1)
        np.add(terms[:, : n - half], terms[:, half:n], out=terms[:, : n - half])
        n = half
    terms = np.ascontiguousarray(terms[:, :n].T)
    while n > 1:
        half = 1 << ((n - 1).bit_length() - 1)
        terms[: n - half] += terms[half:n]
        n = half
    return terms[0]


class Ops(NamedTuple):
    """What the host and devices do in their own ways; `out` may be written to."""

    add: Callable = np.add  # this and `multiply` round before anything else happens
    multiply: Callable = np.multiply
    subtract: Callable = np.subtract
    maximum: Callable = np.maximum
    argmax: Callable = np.argmax  # the lowest index of equals
    sum_in_halves: Callable = sum_in_halves


HOST = Ops()


def power(y, scale, lowest, buffers=(None, None), ops: Ops = HOST):
    """exp(y / temperature) for y <= 0, in float32; y and the buffers are overwritten.

    lowest: LOWEST in an array that y broadcasts with: NumPy's maximum of an array and a
    number is three times slower.
    """
    y = ops.maximum(ops.multiply(y, scale, out=y), lowest, out=y)
    r = ops.add(y, ROUND, out=buffers[0])
    out = ops.subtract(r, ROUND, out=buffers[1])
    y = ops.subtract(y, out, out=y)
    out = ops.multiply(y, COEFFICIENTS[-1], out=out)
    for c in COEFFICIENTS[-2::-1]:
        out = ops.multiply(ops.add(out, c, out=out), y, out=out)
    out, exponent = ops.add(out, ONE, out=out).view(np.int32), r.view(np.int32)
    exponent <<= np.int32(23)
    out += exponent
    return out.view(np.float32)


def normalizer(x, best, scale, buffers, ops: Ops):
    """[rows]: sum_j exp((x_j - best) / temperature), of -inf nothing; overwrites x."""
    y, r = buffers
    if y is not None:  # then whole arrays: quicker than broadcasting
        np.copyto(y, best[:, None])
    y = ops.subtract(x, best[:, None] if y is None else y, out=y)
    lowest = np.full((1, x.shape[1]), LOWEST)
    return ops.sum_in_halves(power(y, scale, lowest, (r, x), ops))


def to_fixed(sums):
    """1 / sums as int32 multiples of 2^-FRACTION."""
    return (np.float32(2**FRACTION) / sums).round().astype(np.int32)


def masked(x, bias, scale, buffers=(None, None), ops: Ops = HOST):
    """The best class of each row without those of a group, and its confidence.

    x: [rows, K] float32 logits, overwritten. bias: [K] float32, -inf for the classes of
    the group, 0 for others. scale: of `log2_scale`. buffers: two like x on the host.
    Returns [rows] int and [rows] int32, in fixed point.
    """
    x = ops.add(x, bias[None], out=x)
    index = ops.argmax(x, axis=1)
    best = x[np.arange(len(x)), index]
    return index, to_fixed(normalizer(x, best, scale, buffers, ops))


def both_choices(x, scale, buffers=(None, None), ops: Ops = HOST):
    """The best class, its confidence, the second best, its own when the best is masked.

    Of K >= 2, with one exponential per logit: terms are relative to the second best
    logit, without the best; one more gives the unmasked. Arguments are as for `masked`.
    """
    rows = np.arange(len(x))
    first = ops.argmax(x, axis=1)
    best = x[rows, first]
    if isinstance(x, np.ndarray):
        x[rows, first] = -np.inf
    else:
        x = x.at[rows, first].set(-np.inf)
    second = ops.argmax(x, axis=1)
    second_best = x[rows, second]
    sums = normalizer(x, second_best, scale, buffers, ops)
    ratio = power(second_best - best, scale, LOWEST, ops=ops)
    total = ops.add(ONE, ops.multiply(sums, ratio))
    return first, to_fixed(total), second, to_fixed(sums)
