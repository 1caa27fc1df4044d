"""Masked confidences whose bits depend on the row and the mask, and on nothing else.

A tree is a chain of comparisons, so one bit may change it. Every form of the algorithm,
on the host and on devices, therefore computes the confidence of a row by the same list
of operations, each of which has one right answer:

- Differences to the largest logit that is not masked, times log2(e) / temperature, are
  split into a whole part and a remainder in [-1/2, 1/2]; 2^remainder is a polynomial of
  degree 5 (largest relative error 2e-7), and the whole part is added to the exponent
  bits. So no libm, whose last bits differ from machine to machine, has a part in it.
- Compilers may turn a product and a sum into one fused operation that rounds once.
  NumPy never does; on devices every product that meets a sum passes through
  `device.rounded`.
- The terms of a row are added in halves: with h the largest power of two below the
  number of columns, column j takes in column h + j, and so on down to one column.
- A confidence is rounded to a multiple of 2^-30. Sums over rows are sums of integers,
  and do not depend on order, blocks, threads or devices.

Rounding to float32 first, a normalizer of K terms has a relative error below 1e-6; it
is never obtained by subtraction from the unmasked one, which may leave 0 / 0.
"""

import jax.numpy as jnp
import numpy as np

from repr_jax.ops import checks

FRACTION = 30  # confidences are whole multiples of 2^-FRACTION
LOWEST = -100.0  # exponents of two are cut off here: 2^-100 is lost in a sum >= 1
ROUND = np.float32(1.5 * 2**23)  # added and taken away again, leaves a whole number

# 2^f = 1 + f (c0 + f (c1 + ...)) on [-1/2, 1/2]; fitted here to the least largest
# relative error, with the constant 1 kept so that the largest term is exactly 1.
COEFFICIENTS = (
    0.6931470036506653,
    0.24022242426872253,
    0.05550733581185341,
    0.009671512991189957,
    0.001326472731307149,
)


def log2_scale(who: str, temperature: float) -> np.float32:
    """What turns differences of logits into exponents of two; ValueError if none."""
    checks.positive(who, temperature=temperature)
    with np.errstate(over="ignore"):
        scale = np.float32(np.log2(np.e) / temperature)
    if not 0 < scale < np.inf:
        raise ValueError(
            f"{who}: expected a temperature in the range of float32; got {temperature}."
        )
    return scale


class Workspace:
    """Three buffers of [rows, columns] float32 that a thread works in."""

    def __init__(self, rows: int, columns: int):
        self.x, self.y, self.z = np.empty((3, rows, columns), np.float32)
        self.rows = np.arange(rows)
        # A row: NumPy's maximum of an array and a number is three times slower.
        self.lowest = np.full(columns, LOWEST, np.float32)


def load(block: np.ndarray, x: np.ndarray) -> None:
    """Writes the block to x as float32, exactly; float64 is rounded.

    float16 and bfloat16 go through integers, several times quicker than NumPy's cast.
    In float16, infinity and NaN come out as numbers of 65536 and more.
    """
    bits = x.view(np.int32)
    if block.dtype == np.float16:
        np.copyto(bits, block.view(np.int16))  # repeats the sign bit
        np.left_shift(bits, 13, out=bits)
        np.bitwise_and(bits, np.int32(~0x70000000), out=bits)
        np.multiply(x, np.float32(2.0**112), out=x)
    elif block.dtype == jnp.bfloat16:
        np.copyto(bits, block.view(np.int16))
        np.left_shift(bits, 16, out=bits)
    else:
        with np.errstate(over="ignore"):
            np.copyto(x, block, casting="same_kind")


def largest_finite(dtype) -> float:
    """The bound that `load` keeps finite logits of this dtype within."""
    limit = 65504.0 if dtype == np.float16 else np.finfo(np.float32).max
    return float(limit)


def exp2_of(y, r, out) -> None:
    """out = 2^y for y >= LOWEST, all float32; y and r are overwritten."""
    np.add(y, ROUND, out=r)
    np.subtract(r, ROUND, out=out)
    np.subtract(y, out, out=y)
    np.multiply(y, np.float32(COEFFICIENTS[-1]), out=out)
    for c in COEFFICIENTS[-2::-1]:
        np.add(out, np.float32(c), out=out)
        np.multiply(out, y, out=out)
    np.add(out, np.float32(1), out=out)
    exponent, bits = r.view(np.int32), out.view(np.int32)
    np.left_shift(exponent, 23, out=exponent)
    np.add(bits, exponent, out=bits)


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


def normalizer(x, best, scale, work: Workspace) -> np.ndarray:
    """[rows]: sum_j exp((x_j - best) / temperature), of -inf nothing; overwrites x."""
    y, r = work.y[: len(x)], work.z[: len(x)]
    np.copyto(y, best[:, None])  # then whole arrays: quicker than broadcasting
    np.subtract(x, y, out=y)
    np.multiply(y, scale, out=y)
    np.maximum(y, work.lowest, out=y)
    exp2_of(y, r, x)
    return sum_in_halves(x)


def to_fixed(sums: np.ndarray) -> np.ndarray:
    """1 / sums as int32 multiples of 2^-FRACTION."""
    return np.rint(np.float32(2**FRACTION) * (np.float32(1) / sums)).astype(np.int32)


def masked(block, bias, scale, work: Workspace):
    """Where rows go, and how surely, when the classes of a group do not exist.

    Args:
      block: [rows, K] logits.
      bias: [K] float32, -inf for the classes of the group, 0 for others.

    Returns:
      [rows] int: the best other class; [rows] int32: its confidence, in fixed point.
    """
    n = len(block)
    x, rows = work.x[:n], work.rows[:n]
    load(block, x)
    np.add(x, bias, out=x)
    best = x.argmax(axis=1)
    return best, to_fixed(normalizer(x, x[rows, best], scale, work))


def both_choices(block, scale, work: Workspace):
    """The first pass over a block, with one exponential per logit.

    The terms are taken relative to the second best logit and without the best, which
    gives the masked confidence of a group of one; one more term gives the unmasked.
    With a single class every confidence is 1.

    Returns:
      [rows] int and int32 twice: the best class and its confidence; the second best
      and its confidence when the best is masked; and [rows] bool, the rows of finite
      logits, on which alone the others mean anything.
    """
    n = len(block)
    x, rows = work.x[:n], work.rows[:n]
    load(block, x)
    limit = largest_finite(block.dtype)
    first = x.argmax(axis=1)
    best = x[rows, first]
    finite = (best <= limit) & (x.min(axis=1) >= -limit)
    if not finite.all():
        return first, None, None, None, finite
    if x.shape[1] == 1:
        one = np.full(n, 2**FRACTION, np.int32)
        return first, one, first, one, finite
    x[rows, first] = -np.inf
    second = x.argmax(axis=1)
    second_best = x[rows, second]
    sums = normalizer(x, second_best, scale, work)
    gap = np.maximum((second_best - best) * scale, np.float32(LOWEST))
    ratio, whole = np.empty((2, n), np.float32)
    exp2_of(gap, whole, ratio)
    return first, to_fixed(np.float32(1) + sums * ratio), second, to_fixed(sums), finite
