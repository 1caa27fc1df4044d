"""Contrastive losses of two views: rows of one example attract, all others repel.

Common to the family, here and in its siblings contrastive_*.py:
  queries, keys, view_a, view_b: [batch, dim] float, any scale; row i of both is example
    i. The negatives of a row are rows of other examples, over the whole batch.
  similarity: one of `ops.similarity`, or any object with its functions. Cosine
    normalizes the rows; nothing else does.
  temperature: > 0, divides similarities; a float or a learned scalar array. The papers
    write tau.
  chunk_size: >= 1, pairs are taken in blocks of so many rows and columns, in both
    passes, so that nothing of batch x batch exists; None takes all at once. Same value,
    same gradient.
  ring: with axis_name, keys are not gathered but travel from device to device. Same
    value, same gradient. With either of the two, gradients by reverse mode only.
  where: [batch] bool, False for absent rows; None if all are present.
  axis_name: the mapped axis the batch is split over; None if it is whole.
Each returns a float32 scalar, in nats unless its docstring says otherwise, and raises
ValueError for shapes that do not fit together, a temperature of 0 or less, a chunk_size
below 1 or a ring without axis_name; TypeError for integer inputs or a `where` that is
not bool.
"""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks, pairs
from repr_jax.ops import similarity as similarities
from repr_jax.ops.batch import checked_rows, checked_where, masked_mean, num_present
from repr_jax.ops.pairs import Rows
from repr_jax.ops.queue import Labeled
from repr_jax.ops.similarity import Similarity


def info_nce(
    queries: Array,
    keys: Array,
    *,
    similarity: Similarity = similarities.cosine,
    temperature: float | Array = 0.1,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of finding each query's own key among all keys.

    mean_i [ log sum_j exp(s_ij / temperature) - s_ii / temperature ], s_ij the
    similarity of query i and key j. At least 0; log(batch) if all keys are equal.

    Args:
      queries: [batch, dim]; each looks for the key of its row.
      keys: [batch, dim]; row i is the positive of query i, a negative of others.

    Source: van den Oord, Li and Vinyals, "Representation Learning with Contrastive
      Predictive Coding", 2018, eq. 4, https://arxiv.org/abs/1807.03748. Here cosine
      similarity replaces the bilinear score.
    """
    check_options("info_nce", temperature, chunk_size, axis_name, ring)
    queries, keys, where = checked_rows("info_nce", where, queries=queries, keys=keys)
    queries, keys = similarity.prepare(queries), similarity.prepare(keys)
    index = pairs.row_index(where, axis_name)
    log_negatives = pairs.log_sum_exp(  # over the keys j != i
        negative_logits(similarity),
        Rows(queries, where, index),
        Rows(keys, where, index),
        temperature,
        chunk_size=chunk_size,
        axis_name=axis_name,
        ring=ring,
    )
    positives = similarity.of_rows(queries, keys) / temperature
    terms = cross_entropy(positives, log_negatives)
    return masked_mean(terms, where=where, axis_name=axis_name)


def symmetric_info_nce(
    view_a: Array,
    view_b: Array,
    *,
    similarity: Similarity = similarities.cosine,
    temperature: float | Array = 0.1,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Half of info_nce of a among b, half of b among a.

    (info_nce(view_a, view_b) + info_nce(view_b, view_a)) / 2.

    Source: Daunhawer et al., "Identifiability Results for Multimodal Contrastive
      Learning", 2023, https://arxiv.org/abs/2303.09166; its numerical experiments take
      similarity=negative_squared_distance and temperature=1.
    """
    check_options("symmetric_info_nce", temperature, chunk_size, axis_name, ring)
    *both, where = checked_rows(
        "symmetric_info_nce", where, view_a=view_a, view_b=view_b
    )
    options = dict(similarity=similarity, temperature=temperature, where=where)
    whole = chunk_size is None and axis_name is None
    if whole and getattr(similarity, "symmetric", False):
        return _symmetric_of_one_matrix(*both, **options)
    options |= dict(chunk_size=chunk_size, ring=ring, axis_name=axis_name)
    a_among_b, b_among_a = (info_nce(*pair, **options) for pair in (both, both[::-1]))
    return (a_among_b + b_among_a) / 2


def _symmetric_of_one_matrix(view_a, view_b, *, similarity, temperature, where):
    """`symmetric_info_nce` of a whole batch: b among a is a among b transposed."""
    a, b = similarity.prepare(view_a), similarity.prepare(view_b)
    index = pairs.row_index(where)
    rows = (Rows(x, where, index) for x in (a, b))
    both = pairs.log_sum_exp_both_ways(negative_logits(similarity), *rows, temperature)
    positives = similarity.of_rows(a, b) / temperature
    terms = sum(cross_entropy(positives, log_negatives) for log_negatives in both) / 2
    return masked_mean(terms, where=where)


def clip(
    images: Array,
    texts: Array,
    *,
    temperature: float | Array = 0.07,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of finding the text of each image, and the image of each text.

    symmetric_info_nce with cosine similarity.

    Args:
      images, texts: [batch, dim], what the two encoders made of example i.
      temperature: the paper learns log(1 / temperature) from 0.07, and keeps
        1 / temperature at most 100: pass jnp.maximum(temperature, 0.01) for that.

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language
      Supervision", 2021, fig. 3 and section 2.5, https://arxiv.org/abs/2103.00020.
    """
    check_options("clip", temperature, chunk_size, axis_name, ring)
    images, texts, where = checked_rows("clip", where, images=images, texts=texts)
    return symmetric_info_nce(
        images,
        texts,
        temperature=temperature,
        chunk_size=chunk_size,
        ring=ring,
        where=where,
        axis_name=axis_name,
    )


def nt_xent(
    view_a: Array,
    view_b: Array,
    *,
    similarity: Similarity = similarities.cosine,
    temperature: float | Array = 0.1,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of finding each view's partner among all other views.

    mean_i [ log sum_{k != i} exp(s_ik / temperature) - s_ip / temperature ] over the
    2 * batch views i, p the other view of the same example; log(2 * batch - 1) if all
    views are equal. Two modalities and temperature=1 make it the loss of the image and
    text experiments of Daunhawer et al. 2023, with negatives of both modalities.

    Args:
      temperature: the paper takes 0.1 on ImageNet and 0.5 on CIFAR-10.

    Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual
      Representations", 2020, eq. 1, https://arxiv.org/abs/2002.05709.
    """
    check_options("nt_xent", temperature, chunk_size, axis_name, ring)
    both, _ = two_views("nt_xent", view_a, view_b, where, axis_name, similarity)
    log_negatives = pairs.log_sum_exp(  # over the 2 * batch - 2 views of others
        negative_logits(similarity),
        both,
        both,
        temperature,
        chunk_size=chunk_size,
        axis_name=axis_name,
        ring=ring,
    )
    positives = similarity.of_rows(*jnp.split(both.x, 2)) / temperature
    terms = cross_entropy(jnp.tile(positives, 2), log_negatives)
    return masked_mean(terms, where=both.where, axis_name=axis_name)


def siglip(
    images: Array,
    texts: Array,
    *,
    similarity: Similarity = similarities.cosine,
    temperature: float | Array = 0.1,
    bias: float | Array = -10.0,
    chunk_size: int | None = None,
    ring: bool = False,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Every pair is a binary question of its own: do image and text belong together?

    -1/N sum_ij log sigmoid(y_ij * (s_ij / temperature + bias)), y_ii = 1, else -1, N
    the number of present rows.

    Args:
      images, texts: [batch, dim], what the two encoders made of example i.
      temperature: the paper learns t = 1 / temperature from 10, as log t.
      bias: added to every logit, a float or a learned scalar array; the paper learns it
        from -10, so that at first all pairs are taken for negatives.

    Source: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", 2023,
      algorithm 1, https://arxiv.org/abs/2303.15343.
    """
    check_options("siglip", temperature, chunk_size, axis_name, ring)
    images, texts, where = checked_rows("siglip", where, images=images, texts=texts)
    images, texts = similarity.prepare(images), similarity.prepare(texts)

    def negatives(rows, columns, params):
        temperature, bias = params
        logits = similarity.of_pairs(rows.x, columns.x) / temperature + bias
        return jnp.where(pairs.others(rows, columns), jax.nn.softplus(logits), 0)

    index = pairs.row_index(where, axis_name)
    negative_terms = pairs.total(
        negatives,
        Rows(images, where, index),
        Rows(texts, where, index),
        (temperature, bias),
        chunk_size=chunk_size,
        axis_name=axis_name,
        ring=ring,
    )
    logits = similarity.of_rows(images, texts) / temperature + bias
    terms = jax.nn.softplus(-logits) + negative_terms
    return masked_mean(terms, where=where, axis_name=axis_name)


def fresh_negatives_nce(
    view_a: Array,
    view_b: Array,
    negatives_a: Array,
    negatives_b: Array,
    *,
    similarity: Similarity = similarities.negative_squared_distance,
    temperature: float | Array = 1.0,
    chunk_size: int | None = None,
    negatives_where: Array | None = None,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Negatives of the row's own modality, from examples drawn anew.

    (L(view_a, negatives_a) + L(view_b, negatives_b)) / 2 with L(x, negatives) =
    mean_i log [ (exp(p_i) + sum_j exp(s(x_i, negatives_j) / temperature)) / (M + 1) ]
    - p_i, p_i = s(view_a_i, view_b_i) / temperature, M the number of negatives. 0 if
    all rows are equal, at least -log(M + 1).

    Args:
      negatives_a, negatives_b: [num_negatives, dim], the two views of other examples.
      negatives_where: [num_negatives] bool, False for absent rows of both.

    Source: the numerical experiments of Daunhawer et al., "Identifiability Results for
      Multimodal Contrastive Learning", 2023, as in their code,
      https://arxiv.org/abs/2303.09166. The paper's own form, with the other modality of
      the same batch, is `symmetric_info_nce`.
    """
    who = "fresh_negatives_nce"
    check_options(who, temperature, chunk_size, axis_name)
    view_a, view_b, where = checked_rows(who, where, view_a=view_a, view_b=view_b)
    negatives_a, negatives_b, negatives_where = checked_rows(
        who, negatives_where, negatives_a=negatives_a, negatives_b=negatives_b
    )
    checks.shape(who, (len(negatives_a), view_a.shape[1]), negatives_a=negatives_a)
    view_a, view_b, negatives_a, negatives_b = (
        similarity.prepare(x) for x in (view_a, view_b, negatives_a, negatives_b)
    )
    index = pairs.row_index(where, axis_name)
    no_example = jnp.full_like(pairs.row_index(negatives_where), -1)
    count = num_present(negatives_where, axis_name)
    positives = similarity.of_rows(view_a, view_b) / temperature
    terms = 0.0
    for view, negatives in ((view_a, negatives_a), (view_b, negatives_b)):
        log_negatives = pairs.log_sum_exp(
            negative_logits(similarity),
            Rows(view, where, index),
            Rows(negatives, negatives_where, no_example),
            temperature,
            chunk_size=chunk_size,
            axis_name=axis_name,
        )
        terms += cross_entropy(positives, log_negatives) - jnp.log(count + 1.0)
    return masked_mean(terms / 2, where=where, axis_name=axis_name)


def pairwise(
    embeddings: Sequence[Array],
    *,
    loss: Callable[..., Array] = symmetric_info_nce,
    where: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """A loss of two views, averaged over all pairs of two or more modalities.

    mean_{m < n} loss(embeddings_m, embeddings_n), over the rows that have both; pairs
    of modalities that no row has do not count.

    Args:
      embeddings: one [batch, dim] array per modality, at least two.
      loss: (view_a, view_b, where, axis_name) -> scalar; a partial sets temperature,
        chunk_size or ring.
      where: [modality, batch] bool, False where absent; None if all are present.

    Source: Tian, Krishnan and Isola, "Contrastive Multiview Coding", 2020, the full
      graph of section 3.3, https://arxiv.org/abs/1906.05849. There a sum, of both
      directions and with sampled negatives; here `loss` decides.
    """
    embeddings = tuple(embeddings)
    checks.count("pairwise", minimum=2, modalities=len(embeddings))
    named = {f"embeddings[{m}]": x for m, x in enumerate(embeddings)}
    checks.same_shape("pairwise", rank=2, **named)
    checks.floating("pairwise", **named)
    shape = (len(embeddings), embeddings[0].shape[0])
    where = checked_where("pairwise", where, shape)
    values, counted = [], []
    for m, n in itertools.combinations(range(len(embeddings)), 2):
        both = where[m] & where[n]
        values.append(
            loss(embeddings[m], embeddings[n], where=both, axis_name=axis_name)
        )
        counted.append(num_present(both, axis_name) > 0)
    return masked_mean(jnp.stack(values), where=jnp.stack(counted))


def check_options(
    who: str,
    temperature: float | Array,
    chunk_size: int | None,
    axis_name: str | None,
    ring: bool = False,
    pair_where: Array | None = None,
    memory: Labeled | None = None,
) -> None:
    """ValueError for options that no loss of the family accepts."""
    checks.positive(who, temperature=temperature)
    pairs.check(who, chunk_size, axis_name, ring, pair_where, memory)


def two_views(
    who: str,
    view_a: Array,
    view_b: Array,
    where: Array | None,
    axis_name: str | None,
    similarity: Similarity,
) -> tuple[Rows, Array]:
    """Both views as the rows of one set, a above b; and `where` of the examples."""
    view_a, view_b, where = checked_rows(who, where, view_a=view_a, view_b=view_b)
    both = similarity.prepare(jnp.concatenate([view_a, view_b]))
    index = pairs.row_index(where, axis_name)
    return Rows(both, jnp.tile(where, 2), jnp.tile(index, 2)), where


def negative_logits(similarity: Similarity) -> pairs.Score:
    """Of prepared rows: similarity / temperature, -inf within one example."""

    def score(rows: Rows, columns: Rows, temperature: Array) -> Array:
        logits = similarity.of_pairs(rows.x, columns.x) / temperature
        return jnp.where(pairs.others(rows, columns), logits, -jnp.inf)

    return score


def cross_entropy(positives: Array, log_negatives: Array) -> Array:
    """-log [ exp(positive) / (exp(positive) + exp(log_negatives)) ], by element."""
    return jax.nn.softplus(log_negatives - positives)
