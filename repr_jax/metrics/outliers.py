"""Neighbors, texts and levels of noise as scores of outliers; targets for a score.

Scores are [batch] float32, higher for what is more anomalous. ValueError for shapes
that do not fit together, TypeError for integers in place of floats.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import Array, lax

from repr_jax.ops import checks, latent_levels, likelihood
from repr_jax.ops.batch import by_row, checked_rows, log_mean_exp
from repr_jax.ops.numerics import argmax, l2_normalize, same_class, to_float
from repr_jax.ops.uncertainty import log_shares


def neighbor_consistency(
    representations: Array,
    neighbors: Array,
    neighbor_logits: Array,
    predicted: Array,
    *,
    label_weight: float = 0.8,
    rank: int = 20,
) -> Array:
    """Minus the rank-th largest similarity of a row to its augmentations.

    label_weight cos(onehot(predicted), z_n) + (1 - label_weight) cos(h, h_n)

    An adversarial example has the label of few of its augmentations. The cosine is with
    logits z_n as they are, not with probabilities, as in the authors' code, which the
    paper's counts, `neighbor_counts`, differ from.

    Args:
      representations: [batch, dim] float, of the rows themselves (h).
      neighbors: [neighbors, batch, dim] float, of random augmentations (h_n).
      neighbor_logits: [neighbors, batch, num_classes] float, of the self-supervised
        model's head on them (z_n).
      predicted: [batch] int, what the deployed classifier says of the row.
      label_weight: in [0, 1].
      rank: from 1 to the number of neighbors, of which the code has 50.

    Source: He et al., "Be Your Own Neighborhood: Detecting Adversarial Example by the
      Neighborhood Relations Built on Self-Supervised Learning", 2022, https://arxiv.org/abs/2209.00005.
    """
    who = "neighbor_consistency"
    alike = _alike(who, representations, neighbors, neighbor_logits, predicted)
    checks.fraction(who, label_weight=label_weight)
    checks.count(who, rank=rank)
    if rank > len(alike):
        raise ValueError(
            f"{who}: expected rank up to the number of neighbors, {len(alike)}; got "
            f"{rank}."
        )
    codes = jnp.arange(neighbor_logits.shape[2])[None] == predicted[:, None]
    labels = jnp.sum(jnp.where(codes[None], l2_normalize(neighbor_logits), 0), axis=2)
    both = label_weight * labels + (1 - label_weight) * alike
    return jnp.sort(-both, axis=0)[rank - 1]


def neighbor_counts(
    representations: Array,
    neighbors: Array,
    neighbor_logits: Array,
    predicted: Array,
    *,
    threshold: float,
) -> tuple[Array, Array]:
    """[batch] int32 each: augmentations of the predicted label, and of alike features.

    #{ n: argmax z_n = predicted } and #{ n: cos(h, h_n) > threshold }; a row is flagged
    if either is below a limit, set where few clean rows are. So low is anomalous here.
    Arguments are those of `neighbor_consistency`.
    """
    who = "neighbor_counts"
    alike = _alike(who, representations, neighbors, neighbor_logits, predicted)
    same = argmax(to_float(neighbor_logits)) == predicted[None]
    return tuple(jnp.sum(x, axis=0, dtype=jnp.int32) for x in (same, alike > threshold))


def model_specific_targets(predictions: Array, labels: Array) -> Array:
    """[batch] bool: what a given classifier should reject, being wrong about it.

    True where the predicted class is not the label; labels of new classes are any
    number that is not predicted, such as -1. A score is evaluated on these by `auroc`
    and the like, over rows from each source and over all; rejects are the positive
    class, which is our reading. On rows of known classes it is failure prediction.

    Args:
      predictions, labels: [batch] int.

    Source: Averly and Chao, "Unified Out-Of-Distribution Detection: A Model-Specific
      Perspective", 2023, https://arxiv.org/abs/2304.06813.
    """
    who = "model_specific_targets"
    checks.same_shape(who, rank=1, predictions=predictions, labels=labels)
    checks.integers(who, predictions=predictions, labels=labels)
    return ~same_class(predictions, labels)


def score_norms(scores: Array, sigma: Array) -> Array:
    """sigma_l |s(x, sigma_l)|: [levels, batch, ...], [levels] -> [batch, levels].

    Features of multiscale score matching, of a network trained by
    `losses.score_matching` and asked about clean rows at each level of noise. An
    estimator of density on them, such as `estimators.gaussian_mixture`, has the score:
    minus its log_prob.

    Source: Mahmood, Oliva and Styner, "Multiscale Score Matching for
      Out-of-Distribution Detection", 2021, https://arxiv.org/abs/2010.13132.
    """
    who = "score_norms"
    checks.floating(who, scores=scores, sigma=sigma)
    checks.shape(who, jnp.shape(scores)[:1], sigma=sigma)
    if jnp.ndim(scores) < 2:
        raise ValueError(
            f"{who}: expected scores [levels, batch, ...]; got {jnp.shape(scores)}."
        )
    scores = to_float(scores)
    norms = jnp.linalg.norm(scores.reshape(*scores.shape[:2], -1), axis=2)
    return (to_float(sigma)[:, None] * norms).T


def bound_above(
    key: Array,
    x: Array,
    mean: Array,
    log_var: Array,
    decode: Callable[[Array], Array],
    *,
    encoders: Sequence[latent_levels.Conditional],
    priors: Sequence[latent_levels.Conditional],
    num_from_prior: int,
    num_samples: int = 1,
    log_likelihood: Callable[[Array, Array], Array] = likelihood.laplace,
) -> Array:
    """Samples of a bound of log p(x) whose lowest latents come from the prior.

    log p(x | z_1) - sum_{l > k} (log q(z_l | z_{l-1}) - log p(z_l | z_{l+1})), where
    z_{k+1}, ... are drawn from q, and z_k, ..., z_1 are the modes of p given the level
    above. What `likelihood_ratio` takes: `full` with k = 0, `above` with k > 0.

    Args:
      key: PRNG key, of which each row has its own.
      x, mean, log_var, decode, encoders, priors, log_likelihood: those of
        `losses.hierarchical_elbo`; decode takes [rows, dim], any number of rows.
      num_from_prior: k, from 0, all latents from q, to the number of priors.
      num_samples: >= 1.

    Returns:
      [num_samples, batch] in nats; with k = 0 minus their mean is hierarchical_elbo.

    Raises:
      ValueError: shapes or numbers that do not fit. TypeError: integers.

    Source: Havtorn et al., "Hierarchical VAEs Know What They Don't Know", 2021, eq. 6,
      https://arxiv.org/abs/2102.08248; the modes are as in the authors' code.
    """
    who = "bound_above"
    checks.count(who, num_samples=num_samples)
    checks.count(who, minimum=0, num_from_prior=num_from_prior)
    latent_levels.same_number(who, encoders, priors)
    if num_from_prior > len(priors):
        raise ValueError(
            f"{who}: expected num_from_prior <= {len(priors)}, the priors; got "
            f"{num_from_prior}."
        )
    mean, log_var, where = checked_rows(who, None, mean=mean, log_var=log_var)
    checks.rows(who, len(mean), x=x)
    checks.floating(who, x=x)
    levels = latent_levels.draw(
        key, mean, log_var, encoders, where=where, num_samples=num_samples
    )
    terms = latent_levels.excess(levels, priors)[num_from_prior:]
    z = levels[num_from_prior][0]
    for prior in reversed(priors[:num_from_prior]):
        z, _ = latent_levels.given(prior, z)
    log_p = likelihood.by_row(log_likelihood, to_float(x), by_row(decode, z), where)
    return log_p - sum(jnp.sum(level, axis=-1) for level in terms)


def likelihood_ratio(full: Array, above: Array) -> Array:
    """log mean_s exp(full_s) - log mean_s exp(above_s): [samples, batch] -> [batch].

    Of a hierarchy of latents: `full` bounds log p(x) with all of them from the
    posterior, `above` with those above a layer from it and the lower ones from p, given
    those above. High where only the details are explained by this very input, which is
    more of an outlier.

    Args:
      full, above: [samples, batch] float, nats, such as those of `bound_above`; the
        numbers of samples may differ.

    Raises:
      ValueError: another rank, or another batch. TypeError: no floats.

    Source: Havtorn et al., "Hierarchical VAEs Know What They Don't Know", 2021, eq. 7,
      https://arxiv.org/abs/2102.08248. The authors' code adds 1e-8 within a log.
    """
    who = "likelihood_ratio"
    checks.floating(who, full=full, above=above)
    checks.same_shape(who, rank=2, full=full)
    checks.same_shape(who, rank=2, above=above)
    checks.rows(who, jnp.shape(full)[1], above=jnp.transpose(above))
    return log_mean_exp(to_float(full)) - log_mean_exp(to_float(above))


def inpainting_distance(images: Array, inpainted: Array) -> Array:
    """Median over repeats of the mean squared difference: lift, map, detect.

    An image of the training distribution comes back where parts of it are hidden and
    made again by a model of it: `ops.diffusion.inpaint` with the masks of
    `ops.inpainting.checkerboards`, or `ops.ddrm.sample`. The authors measure by LPIPS.

    Args:
      images: [batch, ...] float.
      inpainted: [repeats, batch, ...] float, made with different masks or noise.

    Returns:
      [batch], higher for what is more of an outlier.

    Raises:
      ValueError: shapes that do not fit. TypeError: no floats.

    Source: Liu et al., "Unsupervised Out-of-Distribution Detection with Diffusion
      Inpainting", 2023, https://arxiv.org/abs/2302.10326.
    """
    who = "inpainting_distance"
    checks.floating(who, images=images, inpainted=inpainted)
    repeats = jnp.shape(inpainted)[:1]
    checks.shape(who, (*repeats, *jnp.shape(images)), inpainted=inpainted)
    squares = (to_float(inpainted) - to_float(images)[None]) ** 2
    return jnp.median(jnp.mean(squares.reshape(*squares.shape[:2], -1), axis=2), axis=0)


def textual_share(
    x: Array,
    class_texts: Array,
    outlier_texts: Array,
    *,
    temperature: float | Array = 0.01,
) -> Array:
    """Share of the outlier texts in softmax(cosines / temperature), in (0, 1).

    The score of embedded images, [batch, dim], with texts of
    `losses.textual_outliers`, which says more.
    """
    who = "textual_share"
    checks.same_shape(who, rank=2, x=x)
    checks.floating(who, x=x)
    texts = dict(class_texts=class_texts, outlier_texts=outlier_texts)
    return jnp.exp(log_shares(who, x, temperature=temperature, **texts)[1])


def _alike(who, representations, neighbors, neighbor_logits, predicted):
    """[neighbors, batch] cosines of rows and their augmentations."""
    checks.same_shape(who, rank=2, representations=representations)
    checks.same_shape(who, rank=3, neighbors=neighbors)
    checks.same_shape(who, rank=3, neighbor_logits=neighbor_logits)
    checks.floating(
        who,
        representations=representations,
        neighbors=neighbors,
        neighbor_logits=neighbor_logits,
    )
    shape = (len(neighbors), *jnp.shape(representations))
    checks.shape(who, shape, neighbors=neighbors)
    logits_shape = (*shape[:2], jnp.shape(neighbor_logits)[2])
    checks.shape(who, logits_shape, neighbor_logits=neighbor_logits)
    checks.shape(who, shape[1:2], predicted=predicted)
    checks.integers(who, predicted=predicted)
    rows = l2_normalize(representations)
    return lax.map(lambda x: jnp.sum(rows * l2_normalize(x), axis=1), neighbors)
