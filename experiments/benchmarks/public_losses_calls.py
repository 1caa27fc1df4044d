"""A row of `public_losses`: our call, and the class of others that it is to equal.

A class is {"class", "options"}, as `peers/losses_hands.py` makes it; options are plain,
or of this form. `hand` names the function there that hands the same arrays to it.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from repr_jax import losses
from repr_jax.ops import margins, mining, queue, sinkhorn
from repr_jax.ops.similarity import cosine, negative_distance

PML = "pytorch_metric_learning"
SIZED = ("num_classes", "embedding_size", "output_dim", "memory_bank_size")  # options


class Case(NamedTuple):
    """A row of the table."""

    ours: str  # as the table shows it
    function: Callable[..., jax.Array]  # (**arrays) -> scalar
    peer: dict
    given: Callable  # (rng, batch, dim) -> arrays, in the order of the peer's arguments
    hand: str = "in_order"
    note: str = ""


def spec(name: str, **options) -> dict:
    """A class, by its full name."""
    return {"class": name, "options": options}


def lightly(name: str, **options) -> dict:
    return spec(f"lightly.loss.{name}", **options)


def pml(name: str, **options) -> dict:
    return spec(f"{PML}.losses.{name}", **options)


def case(
    loss: Callable, peer: dict, given: Callable, hand: str = "in_order", **rest
) -> Case:
    """A loss that takes the arrays by name and the rest; `note` stands beside it.

    Its docstring begins with what to show, if it is none of `losses`.
    """
    note, call = rest.pop("note", ""), partial(loss, **rest)
    ours = f"{loss.__name__}({words(rest)})"
    ours = ours if loss.__name__ in losses.__all__ else loss.__doc__.split(": ")[0]
    return Case(ours, call, peer, given, hand, note)


def words(options: dict) -> str:
    """As in a call, without the sizes of arrays."""
    kept = {name: value for name, value in options.items() if name not in SIZED}
    return ", ".join(f"{name}={shown(value)}" for name, value in kept.items())


def shown(value) -> str:
    """A class with its options, a similarity by name, a number to four digits."""
    if isinstance(value, dict):
        return f"{value['class'].split('.')[-1]}({words(value['options'])})"
    if isinstance(value, type):
        return value.__name__
    return f"{value:.4g}" if isinstance(value, float) else repr(value)


def byol_of_cosine(predictions, targets):
    """byol() / 2 - 1"""
    return losses.byol(predictions, targets) / 2 - 1


def direct_clr(view_a, view_b):
    """nt_xent(temperature=0.5) of x[:, :2]"""
    return losses.nt_xent(view_a[:, :2], view_b[:, :2], temperature=0.5)


def clip_of_scale(images, texts, scale):
    """clip(temperature=1 / scale)"""
    return losses.clip(images, texts, temperature=1 / scale)


def siglip_of_scale(images, texts, scale, bias):
    """siglip(temperature=1 / scale, bias=bias)"""
    return losses.siglip(images, texts, temperature=1 / scale, bias=bias)


def coca(images, texts, logits, labels, scale):
    """clip(temperature=1 / scale) + 2 cross_entropy(where=words): of all steps."""
    labels, logits = labels.ravel(), logits.reshape(-1, logits.shape[-1])
    caption = losses.cross_entropy(logits, labels, where=labels != 0)
    return clip_of_scale(images, texts, scale) + 2 * caption


def distilled_clip(images, texts, target_images, target_texts, scale):
    """clip(temperature=1 / scale) + mean of soft_cross_entropy() both ways: of cosines
    times the scale, which gets no gradient in the teacher's.
    """

    def logits(a, b, scale):
        return scale * cosine.of_pairs(cosine.prepare(a), cosine.prepare(b))

    ours = logits(images, texts, scale)
    theirs = logits(target_images, target_texts, lax.stop_gradient(scale))
    ways = ((ours, theirs), (ours.T, theirs.T))
    terms = (losses.soft_cross_entropy(a, jax.nn.softmax(b)) for a, b in ways)
    return clip_of_scale(images, texts, scale) + sum(terms) / 2


def hardest_of_unit_rows(x, labels):
    """triplet_hardest(similarity=-|a - b|, margin=0.1) of unit rows"""
    x = cosine.prepare(x)
    return losses.triplet_hardest(x, labels, similarity=negative_distance, margin=0.1)


def informative(x, labels):
    """multi_similarity(pair_where=ops.mining.informative_pairs(x, labels))"""
    kept = mining.informative_pairs(x, labels)
    return losses.multi_similarity(x, labels, pair_where=kept)


def beyond_margins(x, labels):
    """circle(pair_where=ops.mining.margin_pairs(x, labels, 0.6, -0.3))"""
    kept = mining.margin_pairs(x, labels, positive_bound=0.6, negative_bound=-0.3)
    return losses.circle(x, labels, pair_where=kept)


def hardest_shares(x, labels):
    """multi_similarity(pair_where=ops.mining.hardest_pairs(x, labels, 0.4))"""
    kept = mining.hardest_pairs(x, labels, fraction=0.4)
    return losses.multi_similarity(x, labels, pair_where=kept)


def semi_hard_triplets(x, labels):
    """triplet_all(margin=0.3) of ops.mining.margin_triplets(x, labels, 0, 0.3)"""
    distance = dict(similarity=negative_distance)
    kept = mining.margin_triplets(x, labels, least=0.0, most=0.3, **distance)
    return losses.triplet_all(x, labels, margin=0.3, triplet_where=kept, **distance)


def wide_triplets(x, labels):
    """triplet_all(smooth=True, margin=0) of ops.mining.angular_triplets(x, labels)"""
    x = cosine.prepare(x)
    kept = mining.angular_triplets(x, labels)
    options = dict(smooth=True, margin=0.0, similarity=negative_distance)
    return losses.triplet_all(x, labels, triplet_where=kept, **options)


def recalled(loss, x, labels, memory_labels, memory, **options):
    """A loss of labels with a memory that is full."""
    where = jnp.ones(len(memory), bool)
    stored = queue.Labeled(memory, memory_labels, where)
    return loss(x, labels, memory=stored, **options)


def sup_con_recalled(**arrays):
    """sup_con(memory=memory)"""
    return recalled(losses.sup_con, **arrays)


def multi_similarity_recalled(**arrays):
    """multi_similarity(memory=memory)"""
    return recalled(losses.multi_similarity, **arrays)


def pair_hinge_recalled(**arrays):
    """pair_hinge(memory=memory)"""
    return recalled(losses.pair_hinge, **arrays)


def first_dynamic_margin(view_a, view_b):
    """dynamic_soft_margin() of a histogram of zeros"""
    return losses.dynamic_soft_margin(view_a, view_b, jnp.zeros(41))


def dynamic_margin(view_a, view_b, histogram):
    """dynamic_soft_margin(decay=0.99 / (0.99 + 0.01 batch))"""
    decay = 0.99 / (0.99 + 0.01 * len(view_a))
    return losses.dynamic_soft_margin(view_a, view_b, histogram, decay=decay)


def uniform_pairs(x, labels):
    """pair_hinge(pair_where=ops.mining.uniform_pairs(num_bins=10000, num_pairs=1))"""
    options = dict(num_bins=10000, num_pairs=1)
    kept = mining.uniform_pairs(jax.random.key(0), x, labels, **options)
    options = dict(similarity=negative_distance, positive_bound=0, negative_bound=-1)
    return losses.pair_hinge(x, labels, pair_where=kept, **options)


CLASS_WEIGHTS = (0.5, 2.0, 1.0, 3.0, 0.1)


def class_weighted(x, labels, prototypes):
    """mean of weights[labels] times cosface() of each row: by vmap"""
    each = jax.vmap(lambda x, y: losses.cosface(x[None], y[None], prototypes))
    return jnp.mean(jnp.asarray(CLASS_WEIGHTS)[labels] * each(x, labels))


def between_thresholds(anchors, positives, negatives):
    """mean of triplet() of each triplet where in (0.5, 3): by vmap"""
    each = jax.vmap(lambda *rows: losses.triplet(*(x[None] for x in rows)))
    terms = each(anchors, positives, negatives)
    return jnp.mean(terms, where=(terms > 0.5) & (terms < 3.0))


HINGES = dict(similarity=negative_distance, positive_bound=0, negative_bound=-9)


def each_anchor(x, labels, kept):
    """[batch] pair_hinge of each row and its pairs that are kept."""
    rows = jnp.eye(len(x), dtype=bool)[:, :, None] & kept[None]
    hinge = partial(losses.pair_hinge, x, labels, **HINGES)
    return jax.vmap(lambda row: hinge(pair_where=row))(rows)


def per_anchor(x, labels):
    """mean of pair_hinge(negative_bound=-9) of each row: by vmap over masks of a row"""
    return jnp.mean(each_anchor(x, labels, jnp.ones(2 * x.shape[:1], bool)))


def of_each_kind(x, labels):
    """pair_hinge(positives) + mean of pair_hinge(negatives) of each row: by masks"""
    same = labels[:, None] == labels[None]
    near = losses.pair_hinge(x, labels, pair_where=same, **HINGES)
    return near + jnp.mean(each_anchor(x, labels, ~same))


def pnp_quotient(x, labels):
    """pnp(penalty=1 - (1 + r)^-3)"""
    return losses.pnp(x, labels, penalty=lambda r: 1 - (1 + r) ** -3)


def pnp_bounded(x, labels):
    """pnp(penalty=(2 r - log(1 + 2 r)) / 4)"""
    return losses.pnp(x, labels, penalty=lambda r: (2 * r - jnp.log1p(2 * r)) / 4)


def large_margin_softmax(x, labels, prototypes):
    """cross_entropy() of ops.margins.sphereface(scale=lengths of both)"""
    cosines = cosine.of_pairs(cosine.prepare(x), cosine.prepare(prototypes))
    lengths = (jnp.linalg.norm(a, axis=1) for a in (x, prototypes))
    scale = jnp.outer(*lengths)
    return losses.cross_entropy(
        margins.sphereface(cosines, labels, scale=scale), labels
    )


def ibot_of_logits(online, targets, mask):
    """ibot() of softmax(targets / 0.04)"""
    return losses.ibot(online, jax.nn.softmax(targets / 0.04), mask)


def power_law(num):
    """Shares of prototypes, as PMSN takes them."""
    powers = jnp.arange(1, num + 1) ** -0.25
    return powers / jnp.sum(powers)


def pmsn(anchors, targets, prototypes):
    """msn(prior=power_law)"""
    prior = power_law(len(prototypes))
    return losses.msn(anchors, targets, prototypes, prior=prior)


def pmsn_reversed(anchors, targets, prototypes):
    """msn(entropy_weight=0) + KL(power_law, mean): the mean of the anchors' shares."""
    prior = power_law(len(prototypes))
    unit = cosine.prepare(anchors.reshape(-1, anchors.shape[-1]))
    scores = cosine.of_pairs(unit, cosine.prepare(prototypes))
    mean = jnp.mean(jax.nn.softmax(scores / 0.1), axis=0)
    match = losses.msn(anchors, targets, prototypes, entropy_weight=0.0)
    return match + jnp.sum(prior * jnp.log(prior / mean))


def vicregl(view_a, view_b, patches_a, patches_b, places_a, places_b):
    """vicreg(covariance_weight=0.5) * 0.75 + mean of vicreg_local() both ways * 0.25"""
    a, b = (patches_a, places_a), (patches_b, places_b)
    ways = [
        losses.vicreg_local(x, y, by_x, by_y, num_matches=(4, 2))
        for (x, by_x), (y, by_y) in ((a, b), (b, a))
    ]
    whole = losses.vicreg(view_a, view_b, covariance_weight=0.5)
    return 0.75 * whole + 0.125 * sum(ways)


def capi(online, targets, mask):
    """ibot(temperature=0.12) of ops.sinkhorn.balanced_by_place(targets)"""
    balanced = sinkhorn.balanced_by_place(targets)
    return losses.ibot(online, balanced, mask, temperature=0.12)


def visreg_of_views(views, directions):
    """visreg() * 0.9 + distance to the mean of global views * 0.1: mean over views."""
    terms = jax.vmap(losses.visreg, in_axes=(0, None))(views, directions)
    apart = jnp.mean((views - jnp.mean(views[:2], axis=0)[None]) ** 2)
    return 0.9 * jnp.mean(terms) + 0.1 * apart


def le_wm(predictions, embeddings, directions):
    """distance of predictions + sigreg() * 0.1: the mean over steps of the batch's."""
    targets = lax.stop_gradient(embeddings[:, 1:])
    terms = jax.vmap(losses.sigreg, in_axes=(1, None))(embeddings, directions)
    return jnp.mean((predictions - targets) ** 2) + 0.1 * jnp.mean(terms)
