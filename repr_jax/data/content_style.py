"""Content, style and modality-specific factors, mixed into two observed modalities.

    content ~ N(0, S_content)
    style = offset + effect content + N(0, S_style)
    style_changed = style + mask * N(0, S_change),  mask_i ~ Bernoulli(change_rate)
    modality1 ~ N(0, S_modality1),  modality2 ~ N(0, S_modality2)
    x1 = f1([content, style, modality1])
    x2 = f2([content, style_changed, modality2])

The change is one draw of a vector that may be correlated, then masked coordinate by
coordinate, row by row; the mask is not correlated. Only x2 sees the changed style, and
both see the very same content. A batch holds after `prepare`, all float32:
  x1, x2: [batch, dim], dim = content + style + modality1 (for x2 modality2).
  content, style, style_changed, modality1, modality2: [batch, their dim], the factors;
    those of no dimension are left out.
  label: int32 [batch], 2 * (content_0 > 0) + (content_1 > 0), for pictures and probes.
  where: bool [batch], in evaluation.
and before it only `id` and `stream`, uint32 [batch]: a row is a function of the seed,
its stream and its id. If somebody intervenes, see `permute_content`, there is also
`content_id`, of the row whose content is shown.

Decided here, where the authors' code leaves room:
  Covariances. Their five Wishart draws get one integer seed, so equal dimensions give
    five equal matrices. covariance_seeds="shared" does the same; "split", the default,
    draws five different ones.
  A Wishart matrix with as many degrees of freedom as dimensions, theirs and ours, is
    often nearly singular. `spectrum` says how near; it is not repaired.
  Blocks. Each block has its own covariance. (An older code, of the case of one mixing,
    mistakenly gives the style's to the content.)
  Splits. The seed alone determines covariances, offset, effect and mixings, so training
    and evaluation share them; their rows come from separate streams. Training rows
    repeat after 2^32 of them.
  Scales. Without covariances every S is the identity, as in all reported settings.

Source: Daunhawer et al., "Identifiability Results for Multimodal Contrastive Learning",
  2023, https://arxiv.org/abs/2303.09166, and for one mixing von Kuegelgen et al.,
  "Self-Supervised Learning with Data Augmentations Provably Isolates Content from
  Style", 2021, https://arxiv.org/abs/2106.04619; the numbers as in their code.
"""

import functools
import numbers
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtri

from repr_jax.data import mixing
from repr_jax.data.dataset import (
    Dataset,
    check_seed,
    example_keys,
    of_draws,
    this_process,
)
from repr_jax.ops import checks

MODALITIES = ("x1", "x2")
STREAMS = {"train": 1, "test": 2}  # of evaluation; 0 is training
BLOCKS = ("content", "style", "change", "modality1", "modality2")  # with a covariance
FACTORS = ("content", "style", "style_changed", "modality1", "modality2")


class Process(NamedTuple):
    """One draw of everything that is fixed: float64 on the host."""

    covariances: Mapping[str, np.ndarray]  # of BLOCKS, [dim, dim]
    offset: np.ndarray  # [style]; the papers write a
    effect: np.ndarray  # [style, content]; the papers write B
    change_rate: float  # in [0, 1]; the papers write pi
    mixings: tuple[mixing.Mixing, mixing.Mixing]  # f1, f2


def process(
    *,
    content_dim: int = 5,
    style_dim: int = 5,
    modality_dims: tuple[int, int] = (5, 5),
    style_change_rate: float = 1.0,
    statistical: bool = False,
    causal: bool = False,
    covariance_seeds: str = "split",
    shared_mixing: bool = False,
    seed: int = 0,
) -> Process:
    """Draws what a run keeps fixed.

    Args:
      content_dim, style_dim: >= 1.
      modality_dims: of modality1 and modality2, each >= 0.
      style_change_rate: in [0, 1], the probability that a coordinate of style changes.
        At 0 style is content.
      statistical: dependence within blocks: every covariance is a Wishart draw with as
        many degrees of freedom as dimensions and scale I. Else all are I.
      causal: dependence of style on content: entries of offset and effect are drawn
        from N(0, 1). Else they are 0.
      covariance_seeds: "split", or "shared" for equal covariances of equal dimensions.
      shared_mixing: one mixing for both modalities, f2 = f1. With modality_dims (0, 0)
        this is the multi-view setting of von Kuegelgen et al.
      seed: of all draws.

    Raises:
      ValueError, TypeError: a value out of range, or one mixing for two sizes.
    """
    who = "content_style.process"
    checks.count(who, content_dim=content_dim, style_dim=style_dim)
    modality1_dim, modality2_dim = modality_dims
    checks.count(who, minimum=0, modality1_dim=modality1_dim)
    checks.count(who, minimum=0, modality2_dim=modality2_dim)
    rate = style_change_rate
    if not isinstance(rate, numbers.Real) or not 0 <= rate <= 1:
        raise ValueError(f"{who}: expected style_change_rate in [0, 1]; got {rate!r}.")
    checks.one_of(who, ("split", "shared"), covariance_seeds=covariance_seeds)
    if shared_mixing and modality1_dim != modality2_dim:
        raise ValueError(
            f"{who}: expected equal modality_dims of a shared mixing; got "
            f"{modality1_dim} and {modality2_dim}."
        )
    check_seed(who, seed)
    dims = (content_dim, style_dim, style_dim, modality1_dim, modality2_dim)
    covariances = {}
    for number, (block, dim) in enumerate(zip(BLOCKS, dims)):
        which = number if covariance_seeds == "split" else 0
        rng = np.random.default_rng((seed, 0, which))
        covariances[block] = wishart(rng, dim) if statistical else np.eye(dim)
    rng = np.random.default_rng((seed, 1))
    offset, effect = np.zeros(style_dim), np.zeros((style_dim, content_dim))
    if causal:
        offset, effect = rng.normal(size=style_dim), rng.normal(size=effect.shape)
    shared = content_dim + style_dim
    f1 = mixing.of_seed((seed, 2), shared + modality1_dim)
    f2 = f1 if shared_mixing else mixing.of_seed((seed, 3), shared + modality2_dim)
    return Process(covariances, offset, effect, float(rate), (f1, f2))


def wishart(rng: np.random.Generator, dim: int) -> np.ndarray:
    """[dim, dim]: G G^T with G of dim x dim independent N(0, 1); its mean is dim I."""
    root = rng.normal(size=(dim, dim))
    return root @ root.T


def sample(
    process: Process, key: Array, content_key: Array | None = None
) -> dict[str, Array]:
    """One row of FACTORS, float32 [dim] each; use vmap for a batch.

    With a content_key the row has the content of another, the one of that key, while
    everything else stays, style too: it follows the content that it would have had.
    """
    roots = {
        block: np.linalg.cholesky(covariance)
        for block, covariance in process.covariances.items()
    }
    ends = np.cumsum([*map(len, roots.values()), len(process.offset)])
    threshold = ndtri(jnp.float32(process.change_rate))  # of a normal number

    def draw(key: Array) -> tuple[dict[str, Array], Array]:
        *noise, mask = jnp.split(jax.random.normal(key, ends[-1:]), ends[:-1])
        return {name: _times(x, roots[name]) for name, x in zip(BLOCKS, noise)}, mask

    draws, mask = draw(key)
    effect = _times(draws["content"], process.effect)
    style = jnp.asarray(process.offset, jnp.float32) + effect + draws["style"]
    shown = draws if content_key is None else draw(content_key)[0]
    return {
        "content": shown["content"],
        "style": style,
        "style_changed": style + jnp.where(mask < threshold, draws["change"], 0.0),
        "modality1": draws["modality1"],
        "modality2": draws["modality2"],
    }


def observe(process: Process, factors: Mapping[str, Array]) -> dict[str, Array]:
    """{"x1", "x2"}: [..., dim] from the factors [..., their dim]."""
    seen = (
        ("content", "style", "modality1"),
        ("content", "style_changed", "modality2"),
    )
    return {
        name: mixing.mix(f, jnp.concatenate([factors[n] for n in names], axis=-1))
        for name, f, names in zip(MODALITIES, process.mixings, seen)
    }


def predictable_style(process: Process) -> dict[str, float]:
    """R2 of the best prediction of style from content, in closed form.

    R2_i(style) = v_i / (v_i + S_style_ii), v = diag(effect S_content effect^T), and
    R2_i(style_changed) = v_i / (v_i + S_style_ii + change_rate S_change_ii); means over
    the coordinates i. An encoder that knows the content and nothing else reaches it.

    Returns:
      {"style", "style_changed"} in [0, 1); 0 without a causal effect.
    """
    content, style, change = (
        process.covariances[block] for block in ("content", "style", "change")
    )
    explained = np.diag(process.effect @ content @ process.effect.T)
    total = explained + np.diag(style)
    changed = total + process.change_rate * np.diag(change)
    return {
        "style": float(np.mean(explained / total)),
        "style_changed": float(np.mean(explained / changed)),
    }


def spectrum(process: Process) -> dict[str, float]:
    """How uneven the covariances are.

    Returns:
      "condition/content", ...: condition numbers, >= 1, of all BLOCKS with dimensions.
      "change_to_style": the least generalized eigenvalue of (S_change, S_style): in the
        direction of style that changes least, the variance of the change over its own.
        Near 0, that direction is as good as content.
    """
    found = {
        f"condition/{block}": float(np.linalg.cond(covariance))
        for block, covariance in process.covariances.items()
        if len(covariance)
    }
    style, change = process.covariances["style"], process.covariances["change"]
    root = np.linalg.inv(np.linalg.cholesky(style))
    least = np.linalg.eigvalsh(root @ change @ root.T)[0]
    return found | {"change_to_style": float(least)}


def permute_content(batch: Mapping, seed: int = 0) -> dict:
    """The batch with the content of its rows exchanged, after style followed it.

    The same permutation in both modalities, so that x1 and x2 still share content. For
    batches before `prepare`.
    """
    order = np.random.default_rng(seed).permutation(len(batch["id"]))
    return {**batch, "content_id": np.asarray(batch["id"])[order]}


def load(
    *,
    process: Callable = process,
    num_fit: int = 20_480,
    num_test: int = 20_480,
    seed: int = 0,
) -> Dataset:
    """Endless training pairs, drawn on the device where they are needed.

    Args:
      process: without arguments, makes the Process; in a config
        dict(fn=content_style.process, ...).
      num_fit, num_test: rows of the evaluated splits "train", to which probes are
        fitted, and "test". Published: 5 batches of 4,096 each.
      seed: of the rows.

    Raises:
      ValueError, TypeError: as `process`; no row, or a seed out of range.
    """
    who = "content_style.load"
    checks.count(who, num_fit=num_fit, num_test=num_test)
    check_seed(who, seed)
    num_examples = {"train": num_fit, "test": num_test}
    prepare = functools.partial(_prepare, process=process(), seed=int(seed))

    def rows_of(stream: int, rows: np.ndarray) -> dict[str, np.ndarray]:
        rows = (rows % 2**32).astype(np.uint32)
        return {"id": rows, "stream": np.full(len(rows), stream, np.uint32)}

    def draw(step: int, batch_size: int) -> dict[str, np.ndarray]:
        return rows_of(0, this_process(step * batch_size + np.arange(batch_size)))

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        return rows_of(STREAMS[split], rows)

    return of_draws(
        who, draw, take, num_examples, prepare=prepare, modalities=MODALITIES
    )


def _prepare(batch: Mapping, *, process: Process, seed: int) -> dict:
    """Replaces the numbers of rows by factors and observations."""
    rest = dict(batch)
    number, stream = rest.pop("id"), rest.pop("stream")
    keys = [example_keys(seed, stream, number)]
    if "content_id" in rest:
        keys.append(example_keys(seed, stream, rest.pop("content_id")))
    factors = jax.vmap(functools.partial(sample, process))(*keys)
    signs = (factors["content"][:, :2] > 0).astype(jnp.int32)
    label = jnp.sum(signs * np.array([2, 1])[None, : signs.shape[1]], axis=1)
    kept = {name: x for name, x in factors.items() if x.shape[-1]}
    return {**rest, **observe(process, factors), **kept, "label": label}


def _times(x: Array, matrix: np.ndarray) -> Array:
    """matrix @ x, [inputs] -> [outputs], in full float32 on every backend."""
    matrix = jnp.asarray(matrix, jnp.float32)
    return jnp.matmul(matrix, x, precision=jax.lax.Precision.HIGHEST)
