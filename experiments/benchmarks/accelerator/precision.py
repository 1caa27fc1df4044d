"""Whether float32 stays float32: values and gradients against float64 on the host.

Accelerators may round the operands of float32 products to TF32, of 11 bits. The
contrast is the same loss with a similarity that lets them.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.benchmarks.accelerator.ceilings import EMULATED
from experiments.benchmarks.accelerator.measure import Figures
from repr_jax import losses
from repr_jax.evaluators import knn
from repr_jax.ops import neighbors
from repr_jax.ops import similarity as similarities
from repr_jax.ops.numerics import pairwise_dot

CHUNK = 512


class rounded_cosine(similarities.cosine):
    """Cosines by products as the device likes them."""

    @staticmethod
    def of_pairs(a, b):
        """[n, dim], [m, dim] -> [n, m]."""
        return jnp.matmul(a, b.T, precision=lax.Precision.DEFAULT)


PAIRS = dict(temperature=0.1, similarity=rounded_cosine)
OF_VIEWS = {  # of two views of [batch, dim], and by products that may be rounded
    "nt_xent": (losses.nt_xent, partial(losses.nt_xent, **PAIRS)),
    "clip": (
        partial(losses.clip, temperature=0.1),
        partial(losses.symmetric_info_nce, **PAIRS),
    ),
    "siglip": (losses.siglip, partial(losses.siglip, **PAIRS)),
    "nt_xent in blocks": (
        partial(losses.nt_xent, chunk_size=CHUNK),
        partial(losses.nt_xent, chunk_size=CHUNK, **PAIRS),
    ),
    "info_nce": (losses.info_nce, partial(losses.info_nce, **PAIRS)),
    "dcl": (losses.dcl, None),
    "spectral_contrastive": (losses.spectral_contrastive, None),
    "barlow_twins": (losses.barlow_twins, None),
    "vicreg": (losses.vicreg, None),
}


def figures(smoke: bool) -> Figures:
    """Relative errors, by the largest entry of the float64 result."""
    rows, dim = (32, 16) if smoke else (1024, 512)
    rng = np.random.default_rng(0)
    a = rng.normal(size=(rows, dim))
    b = a + rng.normal(size=(rows, dim))
    products = {"float32": pairwise_dot, "TF32": rounded_cosine.of_pairs}
    yield "product", partial(of_arrays, products, a, b)
    squares = {
        "float32": similarities.negative_squared_distance.of_pairs,
        "TF32": _rounded_distances,
    }
    yield "squared distances", partial(of_arrays, squares, a, b)
    for name, (loss, rounded) in OF_VIEWS.items():
        forms = {"float32": loss} | ({"TF32": rounded} if rounded else {})
        yield name, partial(of_losses, forms, a, b)
    for preset in EMULATED if jax.default_backend() == "gpu" else ():
        products = {"float32": pairwise_dot, "emulated": partial(_emulated, preset)}
        yield f"product, {preset}", partial(of_arrays, products, a, b)
    yield "nearest", partial(of_neighbors, a, min(20, rows // 2))
    yield "knn.shares", partial(of_shares, a, b, min(200, rows // 2))


def _emulated(preset: str, a, b):
    """Float32 products made of several of fewer bits."""
    return jnp.matmul(a, b.T, precision=lax.DotAlgorithmPreset[preset])


def _rounded_distances(a, b):
    squares = jnp.sum(a * a, axis=-1)[:, None] + jnp.sum(b * b, axis=-1)[None]
    return 2 * rounded_cosine.of_pairs(a, b) - squares


def exactly(function: Callable, *arrays):
    """The function of float64 arrays on the host."""
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        found = jax.jit(function)(*(np.asarray(x, np.float64) for x in arrays))
        return jax.tree.map(np.asarray, found)


def on_device(function: Callable, *arrays):
    """The function of float32 arrays on the device."""
    found = jax.jit(function)(*(np.asarray(x, np.float32) for x in arrays))
    return jax.tree.map(np.asarray, found)


def error(found, exact) -> float:
    """The largest difference over the largest entry."""
    return float(np.max(np.abs(found - exact)) / np.max(np.abs(exact)))


def of_arrays(forms: dict, *arrays) -> dict:
    """Errors of functions of arrays that should agree; the first is the truth."""
    arrays = [np.float32(x) for x in arrays]
    exact = exactly(next(iter(forms.values())), *arrays)
    return {
        f"error, {name}": error(on_device(form, *arrays), exact)
        for name, form in forms.items()
    }


def of_losses(forms: dict, *arrays) -> dict:
    """Errors of value and gradient."""
    arrays, columns = [np.float32(x) for x in arrays], {}
    both = {
        name: jax.value_and_grad(form, argnums=(0, 1)) for name, form in forms.items()
    }
    value, gradient = exactly(next(iter(both.values())), *arrays)
    for name, form in both.items():
        found, slopes = on_device(form, *arrays)
        columns[f"error, {name}"] = error(found, value)
        pairs = zip(slopes, gradient)
        columns[f"error of gradient, {name}"] = max(error(x, y) for x, y in pairs)
    return columns


def of_neighbors(x, count: int) -> dict:
    """Shares of nearest rows that are those of float64."""
    x, columns = np.float32(x), {}
    unit = x.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    exact = np.argsort(-cosines, axis=1)[:, :count]
    for name, kind in (("float32", similarities.cosine), ("TF32", rounded_cosine)):
        found = neighbors.nearest(jnp.asarray(x), num_neighbors=count, similarity=kind)
        same = np.asarray(found) == exact
        columns[f"not the same, {name}"] = float(1 - same.mean())
    return columns


def of_shares(bank, queries, count: int) -> dict:
    """Errors of the votes of nearest rows."""
    labels = np.arange(len(bank), dtype=np.int32) % 10

    def shares(bank, queries):
        return knn.shares(
            bank, labels, queries, num_neighbors=count, num_classes=10, temperature=0.07
        )

    return of_arrays({"float32": shares}, bank, queries)
