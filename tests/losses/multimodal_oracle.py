"""A small linear model with many losses known to it, and its figures' arrays.

Features (2, 3, 1), 4 rows, 2 shared latents and a private one each: x_m = W_m z + V_m w
+ b_m + e_m. The figures in the tests are means over the rows and exact expectations
over posterior noise, computed in float64 by code of its own. Two forms of the arrays
need no averaging over keys: "flat" has decoders that return b_m, and "cold" posteriors
are points.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax.ops import likelihood

FEATURES, BATCH, DIM, MODALITIES = (2, 3, 1), 4, 2, 3
WHERE = {
    "full": np.ones((3, 4), bool),
    "masked": np.array([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 0]], bool),
}


class Case(NamedTuple):
    W: tuple
    b: tuple
    x: tuple
    mean: np.ndarray
    lv: np.ndarray
    jm: np.ndarray
    jlv: np.ndarray
    pm: np.ndarray
    plv: np.ndarray
    V: tuple
    wm: np.ndarray
    wlv: np.ndarray
    A: np.ndarray
    c: np.ndarray
    mu_c: np.ndarray
    logit_c: np.ndarray
    T: np.ndarray
    U: np.ndarray
    C: np.ndarray
    nlv: np.ndarray
    P: np.ndarray
    P_lv: np.ndarray
    R: np.ndarray
    r: np.ndarray
    R_lv: np.ndarray
    zs: np.ndarray
    ws: np.ndarray
    wt: np.ndarray


@functools.cache
def case(seed, form=""):
    """The arrays in the order in which the sheet of figures drew them."""
    rng = np.random.default_rng(seed)
    n = lambda *shape: rng.standard_normal(shape)  # noqa: E731
    W = [n(f, DIM) for f in FEATURES]
    b = [n(f) for f in FEATURES]
    x = [n(BATCH, f) for f in FEATURES]
    shape = (MODALITIES, BATCH, DIM)
    posteriors = [n(*shape), 0.5 * n(*shape)]
    posteriors += [scale * n(BATCH, DIM) for scale in (1, 0.5, 1, 0.5)]
    V = [n(f, 1) for f in FEATURES]
    private = [n(MODALITIES, BATCH, 1), 0.5 * n(MODALITIES, BATCH, 1)]
    E = 0.3 * n(MODALITIES, DIM, DIM)
    A = [np.tril(E[m], -1) + np.diag(np.exp(0.3 * n(DIM))) for m in range(3)]
    c = n(MODALITIES, DIM)
    clusters = [n(4, DIM), n(4)]
    nexus = [
        n(MODALITIES, DIM, DIM),
        n(MODALITIES, DIM, DIM),
        n(DIM, DIM),
        0.5 * n(DIM),
    ]
    levels = [n(DIM, DIM), 0.5 * n(DIM), 0.5 * n(MODALITIES, DIM, DIM), n(*shape)]
    levels += [0.5 * n(MODALITIES, DIM)]
    samples = [n(MODALITIES, 3, BATCH, DIM), n(MODALITIES, 3, BATCH, 1)]
    samples += [n(MODALITIES, MODALITIES, 3, BATCH, 1)]
    if form == "flat":
        W, V = [0 * w for w in W], [0 * v for v in V]
    if form == "cold":
        for array in (posteriors[1], posteriors[3], private[1]):
            array[:] = -30
    arrays = (tuple(W), tuple(b), tuple(x), *posteriors, tuple(V), *private)
    arrays += (np.array(A), c, *clusters, *nexus, *levels, *samples)
    return Case(*jax.tree.map(lambda a: np.asarray(a, np.float32), arrays))


def decode(o, z, w=None):
    """Linear decoders; w, if given, a tuple of private latents."""
    outputs = [z @ W.T + b for W, b in zip(o.W, jax.tree.map(lambda b: b[None], o.b))]
    if w is None:
        return tuple(outputs)
    return tuple(out + own @ V.T for out, own, V in zip(outputs, w, o.V))


def private(o):
    return tuple(o.wm), tuple(o.wlv)


def repeated(o, where, times):
    """Every row `times` times: as many draws of its noise at once."""

    def wide(x, axis):
        return jnp.repeat(jnp.asarray(x), times, axis=axis)

    by_row = dict(x=tuple(wide(x, 0) for x in o.x))
    by_row |= {name: wide(getattr(o, name), 0) for name in ("jm", "jlv", "pm", "plv")}
    by_row |= {n: wide(getattr(o, n), 1) for n in ("mean", "lv", "wm", "wlv", "r")}
    return o._replace(**by_row), wide(where, 1)


# Arrays are arguments: one program serves all seeds and masks of a loss.


@functools.partial(jax.jit, static_argnums=0)
def value(call, key, o, where):
    """What call(key, case, where) returns, compiled."""
    return call(key, o, where)


@functools.partial(jax.jit, static_argnums=0)
def _values(call, keys, o, where):
    return jax.lax.map(lambda key: call(key, o, where), keys)


def estimate(call, seed, mask="full", form="", times=500, keys=40):
    """Mean and standard error of call(key, case, where), over keys.

    `times` copies of every row draw at once.
    """
    o, where = repeated(case(seed, form), WHERE[mask], times)
    values = np.asarray(
        _values(call, jax.random.split(jax.random.key(seed), keys), o, where)
    )
    return values.mean(), values.std(ddof=1) / np.sqrt(keys)


def assert_estimates(call, figures, **options):
    """figures: {(seed, mask): loss}; within five standard errors of each."""
    for (seed, mask), expected in figures.items():
        mean, error = estimate(call, seed, mask, **options)
        assert error < 0.02 + 0.002 * abs(expected)
        assert abs(mean - expected) < 5 * error + 1e-5 * abs(expected), (seed, mask)


def assert_equal(call, form, figures):
    """The same for the forms of the arrays that need no averaging."""
    for (seed, mask), expected in figures.items():
        actual = value(call, jax.random.key(0), case(seed, form), WHERE[mask])
        np.testing.assert_allclose(actual, expected, rtol=2e-6)


def four(*figures):
    """Seed 0 full and masked, seed 1 full and masked."""
    names = [(0, "full"), (0, "masked"), (1, "full"), (1, "masked")]
    return dict(zip(names, figures, strict=True))


LIKELIHOOD = likelihood.gaussian
