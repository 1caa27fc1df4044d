"""What a traced program computes, inner programs included."""

import jax
import jax.numpy as jnp
from jax import lax


def equations(jaxpr):
    """All equations of a jaxpr and of those inside of it."""
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def rounded_products(function, *arguments) -> list[str]:
    """Products of float32 that a device may round to fewer bits, such as TF32."""
    full = (lax.Precision.HIGHEST,) * 2
    return [
        str(equation)
        for equation in equations(jax.make_jaxpr(function)(*arguments).jaxpr)
        if equation.primitive.name in ("dot_general", "conv_general_dilated")
        and jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.floating)
        and equation.params["precision"] not in (full, full[0])
    ]
