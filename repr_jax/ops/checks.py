"""Errors at trace time in one form: `who: expected this; got that.`"""

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def same_shape(who: str, *, rank: int | None = None, **arrays: Any) -> None:
    """ValueError unless all arrays have one shape, of this rank if one is given."""
    shapes = {name: jnp.shape(x) for name, x in arrays.items()}
    wanted = "one shape" if rank is None else f"one shape of rank {rank}"
    ranks_fit = rank is None or all(len(s) == rank for s in shapes.values())
    if not ranks_fit or len(set(shapes.values())) > 1:
        got = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"{who}: expected {wanted}; got {got}.")


def shape(who: str, wanted: tuple[int, ...], **arrays: Any) -> None:
    """ValueError unless every array has exactly the wanted shape."""
    for name, x in arrays.items():
        if jnp.shape(x) != wanted:
            raise ValueError(
                f"{who}: expected {name} of shape {wanted}; got {jnp.shape(x)}."
            )


def rows(who: str, batch: int, **arrays: Any) -> None:
    """ValueError unless axis 0 of every array has the length `batch`."""
    for name, x in arrays.items():
        if jnp.ndim(x) == 0 or jnp.shape(x)[0] != batch:
            raise ValueError(
                f"{who}: expected {name} with {batch} rows; got shape {jnp.shape(x)}."
            )


def length(who: str, wanted: int, **sequences: Any) -> None:
    """ValueError unless every tuple has `wanted` members, one per modality."""
    for name, x in sequences.items():
        if len(x) != wanted:
            raise ValueError(
                f"{who}: expected {wanted} {name}, one per modality; got {len(x)}."
            )


def floating(who: str, **arrays: Any) -> None:
    """TypeError unless every array holds real floats, of any width."""
    for name, x in arrays.items():
        if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
            raise TypeError(
                f"{who}: expected {name} of floats; got {jnp.result_type(x)}."
            )


def integers(who: str, **arrays: Any) -> None:
    """TypeError unless every array holds whole numbers, of any width."""
    for name, x in arrays.items():
        if not jnp.issubdtype(jnp.result_type(x), jnp.integer):
            raise TypeError(
                f"{who}: expected {name} of integers; got {jnp.result_type(x)}."
            )


def boolean(who: str, **arrays: Any) -> None:
    """TypeError unless every array is bool."""
    for name, x in arrays.items():
        if jnp.result_type(x) != jnp.bool_:
            raise TypeError(f"{who}: expected {name} bool; got {jnp.result_type(x)}.")


def finite(who: str, *, where: Any = None, **arrays: Any) -> None:
    """ValueError names the first present row with a NaN or infinity; traced ones pass.

    where: bool of axis 0, False for rows that may hold anything; None for no such row.
    """
    for name, x in arrays.items():
        _entries(who, f"{name} finite", np.isfinite, x, where)


def within(who: str, size: int, *, where: Any = None, **arrays: Any) -> None:
    """As `finite`, of integers outside of [0, size)."""
    for name, x in arrays.items():
        wanted = f"{name} in [0, {size})"
        _entries(who, wanted, lambda x: (x >= 0) & (x < size), x, where)


def probabilities(who: str, *, where: Any = None, **arrays: Any) -> None:
    """As `finite`, of numbers outside of [0, 1] by more than rounding."""
    for name, x in arrays.items():
        wanted = f"{name} in [0, 1]"
        _entries(who, wanted, lambda x: (x >= 0) & (x <= 1 + 1e-5), x, where)


def _entries(who, wanted, good, x, where):
    """Some thousand rows at a time; what other hosts hold is not looked at."""
    if not (known(x) and known(where)):
        return
    x = np.asarray(x)
    for start in range(0, len(x), 65536):
        block = x[start : start + 65536]
        bad = ~good(block)
        if where is not None:
            present = np.asarray(where[start : start + 65536])
            bad &= present.reshape(-1, *(1,) * (bad.ndim - 1))
        if bad.any():
            first = tuple(np.argwhere(bad)[0])
            row = start + first[0]
            raise ValueError(
                f"{who}: expected {wanted}; got {block[first]} in row {row}."
            )


def known(x: Any) -> bool:
    """Can its values be read here and now: neither traced nor on other hosts?"""
    if isinstance(x, jax.core.Tracer):
        return False
    return not isinstance(x, jax.Array) or x.is_fully_addressable


def non_negative(who: str, **values: Any) -> None:
    """ValueError for a negative or NaN number; arrays and traced values pass."""
    for name, x in values.items():
        if isinstance(x, numbers.Real | np.number) and not x >= 0:
            raise ValueError(f"{who}: expected {name} >= 0; got {x}.")


def positive(who: str, **values: Any) -> None:
    """ValueError for a number that is not above 0; arrays and traced values pass."""
    for name, x in values.items():
        if isinstance(x, numbers.Real | np.number) and not x > 0:
            raise ValueError(f"{who}: expected {name} > 0; got {x}.")


def fraction(who: str, **values: Any) -> None:
    """ValueError for a number that is not in [0, 1]; arrays and traced values pass."""
    for name, x in values.items():
        if isinstance(x, numbers.Real | np.number) and not 0 <= x <= 1:
            raise ValueError(f"{who}: expected {name} in [0, 1]; got {x}.")


def count(who: str, *, minimum: int = 1, **values: Any) -> None:
    """A whole number, at least `minimum`: else TypeError or ValueError."""
    for name, x in values.items():
        if not isinstance(x, numbers.Integral) or isinstance(x, bool):
            raise TypeError(f"{who}: expected {name} a whole number; got {x!r}.")
        if x < minimum:
            raise ValueError(f"{who}: expected {name} >= {minimum}; got {x}.")


def one_of(who: str, choices: tuple, **values: Any) -> None:
    """ValueError unless every value is among the choices."""
    for name, x in values.items():
        if x not in choices:
            raise ValueError(f"{who}: expected {name} among {choices}; got {x!r}.")
