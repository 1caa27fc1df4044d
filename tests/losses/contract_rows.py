"""How to draw the arrays of every loss in losses.__all__, and how to call it on them.

A row names the arrays that a loss takes, batch axis first, and the function that hands
them over; `test_contract.py` holds what is true of all.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax import losses
from repr_jax.ops import laplace, subsets
from repr_jax.ops.batch import gather_rows, present
from repr_jax.ops.numerics import pairwise_dot

BATCH, DIM = 8, 2
KEY = jax.random.key(7)


class Row(NamedTuple):
    call: Callable  # loss, arrays, decoder [DIM, 3], **where and axis_name -> scalar
    shapes: dict[str, tuple[int, ...]]  # of one row of each array
    modalities: int | None = None  # of `where`, if it has an axis of them


def unimodal(loss, arrays, decoder, **rest):
    return loss(KEY, **arrays, decode=lambda z: pairwise_dot(z, decoder.T), **rest)


def of_posterior(loss, arrays, decoder, **rest):
    """Of enough nats that every latent lacks some."""
    return loss(**arrays, nats=50.0, **rest)


def multimodal(loss, arrays, decoder, *, where, **rest):
    """Modality m has m + 1 features."""
    modalities = range(where.shape[1])
    inputs = tuple(arrays[f"input{m}"] for m in modalities)
    posterior = (jnp.moveaxis(arrays[name], 1, 0) for name in ("mean", "log_var"))

    def decode(z):
        return tuple(pairwise_dot(z, decoder.T)[:, : m + 1] for m in modalities)

    return loss(KEY, inputs, *posterior, decode, where=where.T, **rest)


def multimodal_private(loss, arrays, decoder, **rest):
    """As `multimodal`, with a private latent for each modality."""
    kinds = ("private_mean", "private_log_var")
    count = rest["where"].shape[1]
    own = [tuple(arrays[f"{kind}{m}"] for m in range(count)) for kind in kinds]
    shared = {k: x for k, x in arrays.items() if not k.startswith("private")}

    def private_loss(key, inputs, mean, log_var, decode, **keywords):
        def both(z, w):
            return tuple(x + v for x, v in zip(decode(z), w))

        return loss(key, inputs, mean, log_var, both, private=own, **keywords)

    return multimodal(private_loss, shared, decoder, **rest)


def multimodal_joint(loss, arrays, decoder, **rest):
    """As `multimodal`, with the posterior of a joint encoder."""
    joint = arrays["joint_mean"], arrays["joint_log_var"]
    shared = {k: x for k, x in arrays.items() if not k.startswith("joint")}
    return multimodal(partial(loss, joint=joint), shared, decoder, **rest)


def experts_alone(loss, arrays, decoder, **rest):
    """Of experts and a joint posterior, without data or decoders."""

    def densities(key, inputs, mean, log_var, decode, *, joint, **keywords):
        return loss(key, mean, log_var, joint=joint, **keywords)

    arrays = {f"input{m}": arrays["joint_mean"] for m in range(3)} | arrays
    return multimodal_joint(densities, arrays, decoder, **rest)


def upper(loss, arrays, decoder, *, where, **rest):
    """Latents of modalities of m + 1 dimensions, and linear messages of them."""
    latents = tuple(arrays.values())

    def message(latents):
        parts = [pairwise_dot(z, decoder[:, : m + 1]) for m, z in enumerate(latents)]
        return jnp.stack(parts)

    def decode(z):
        return tuple(
            pairwise_dot(z, decoder.T)[:, : m + 1] for m in range(len(latents))
        )

    def encode(h):
        return h, 0.1 * h

    return loss(KEY, latents, message, encode, decode, where=where.T, **rest)


def below(z):
    """Prior and three experts of a level, given that above it."""
    experts = jnp.stack([z, 0.5 * z, -z])
    return (0.5 * z, jnp.zeros_like(z)), (experts, jnp.zeros_like(experts))


def layered(loss, arrays, decoder, **rest):
    """A latent above another, both of which have fewer nats than are free, or more."""
    levels = dict(
        encoders=(lambda z: (0.5 * z, jnp.zeros_like(z)),),
        priors=(lambda z: (0.7 * z, 0.1 * z),),
    )
    return unimodal(loss, arrays, decoder, free_nats=0.5, **levels, **rest)


def conditional(loss, arrays, decoder, **rest):
    prior = arrays["prior_mean"], arrays["prior_log_var"]
    shared = {k: x for k, x in arrays.items() if not k.startswith("prior")}
    return unimodal(partial(loss, prior=prior), shared, decoder, **rest)


def embeddings(loss, arrays, decoder, **rest):
    """Losses of what encoders returned, which decode nothing."""
    return loss(**arrays, **rest)


def fresh_negatives(loss, arrays, decoder, *, where, **rest):
    """As many fresh examples as pairs, present and absent alike."""
    return loss(**arrays, where=where, negatives_where=where, **rest)


def forgetting(loss, arrays, decoder, *, where, **rest):
    """As many forgotten rows as remaining ones, present and absent alike."""
    return loss(**arrays, where=where, forget_where=where, **rest)


def labeled(loss, arrays, decoder, **rest):
    """Two classes."""
    labels = (jnp.nan_to_num(arrays["label"]) > 0).astype(jnp.int32)
    return loss(arrays["x"], labels, **rest)


def with_prototypes(loss, arrays, decoder, **rest):
    """Three prototypes that are learned, of three classes."""
    return labeled(
        lambda x, y, **k: loss(x, y, decoder.T, **k), arrays, decoder, **rest
    )


def supported(loss, arrays, decoder, **rest):
    """With counts and shares, which are at least 0."""
    q, d = (jnp.abs(arrays[name]) for name in ("num_matches", "closeness"))
    return labeled(lambda x, y, **k: loss(x, y, q, d, **k), arrays, decoder, **rest)


def labeled_by_name(loss, arrays, decoder, **rest):
    """Two classes, of several arrays."""
    labels = (jnp.nan_to_num(arrays["label"]) > 0).astype(jnp.int32)
    others = {name: x for name, x in arrays.items() if name != "label"}
    return loss(labels=labels, **others, **rest)


def matched(loss, arrays, decoder, **rest):
    """Pairs with a number above 0 match; bias and scale are learned."""

    def own(labels, **options):
        bias, scale = decoder[0, 0], jnp.abs(decoder[0, 1])
        return loss(matches=labels, bias=bias, scale=scale, **options)

    return labeled_by_name(own, arrays, decoder, **rest)


def compatible(loss, arrays, decoder, **rest):
    """A classifier that is learned, of three classes, and a stored one of five."""
    classifiers = dict(classifier=decoder.T, old_classifier=STORED)
    return labeled_by_name(partial(loss, **classifiers), arrays, decoder, **rest)


def masked_map(loss, arrays, decoder, **rest):
    """Pixels with a number above 0 are anomalous."""
    return loss(arrays["logits"], jnp.nan_to_num(arrays["label"]) > 0, **rest)


def exposed(loss, arrays, decoder, *, where, **rest):
    """Logits of labeled rows and of as many outliers, present and absent alike."""

    def own(x, labels, **options):
        outliers = arrays["outliers"]
        return loss(x, labels, outliers, outliers_where=where, **options)

    return labeled(own, arrays, decoder, where=where, **rest)


def mixed(loss, arrays, decoder, **rest):
    def own(x, labels, **options):
        return loss(x, labels, arrays["mixed"], 0.3, **options)

    return labeled(own, arrays, decoder, **rest)


def wild(loss, arrays, decoder, *, where, **rest):
    """A boundary of energies that is learned; one constraint of two is violated."""
    learned = -jnp.abs(decoder[0, 0]), decoder[0, 1]
    duals = np.array([0.3, 0.2], "f"), np.array([1.0, 1.5], "f")

    def own(x, labels, **options):
        outliers = arrays["outliers"]
        return loss(x, labels, outliers, *learned, *duals, wild_where=where, **options)

    numbers = dict(margin=-1.0, loss_tolerance=0.1, false_alarm=0.9)
    return labeled(own, arrays, decoder, where=where, **numbers, **rest)


def cells(loss, arrays, decoder, **rest):
    """Of a map of two by one."""

    def own(x, labels, **options):
        return loss(x, arrays["id_logits"], labels, threshold=0.6, **options)

    return labeled(own, arrays, decoder, **rest)


def prompted(loss, arrays, decoder, *, where, **rest):
    """Texts of classes that are stored, and of outliers that are learned."""
    texts = STORED, decoder.T
    options = dict(temperature=0.5, where=where, outliers_where=where)
    return loss(*arrays.values(), *texts, **options, **rest)


def evident(loss, arrays, decoder, **rest):
    """Evidence is not below 0."""
    return labeled(loss, {**arrays, "x": jnp.abs(arrays["x"])}, decoder, **rest)


def paired(loss, arrays, decoder, *, where, axis_name, **rest):
    """A number of each pair, which no dtype rounds."""

    def own(scores, **options):
        return labeled(loss, {**arrays, "x": scores}, decoder, **options)

    return scored(own, arrays, decoder, where=where, axis_name=axis_name, **rest)


def scored(loss, arrays, decoder, *, where, axis_name, **rest):
    """A score of each pair, which no dtype rounds."""
    x = present(arrays["x"], where)
    others = gather_rows(x, axis_name)
    scores = jnp.minimum(x[:, :1], others[None, :, 1])
    return loss(scores, where=where, axis_name=axis_name, **rest)


def mixture(loss, arrays, decoder, **rest):
    """Three prototypes of two classes that are learned."""
    kinds = np.array([0, 1, 0])
    return loss(arrays["z"], decoder.T, kinds, arrays["weights"], **rest)


def queued(loss, arrays, decoder, **rest):
    return loss(**arrays, queue=STORED, **rest)


def banked(loss, arrays, decoder, **rest):
    """Which of the stored rows an example has is told by a number of its own."""
    index = jnp.abs(jnp.nan_to_num(arrays["index"])).astype(jnp.int32) % len(STORED)
    return loss(arrays["x"], STORED, index, **rest)


def told_apart(loss, arrays, decoder, **rest):
    """As `banked`, from three draws of noise."""

    def own(x, bank, index, **options):
        noise = (index[:, None] + np.array([[0, 1, 3]])) % len(bank)
        return loss(x, bank, index, noise, **options)

    return banked(own, arrays, decoder, **rest)


def gated(loss, arrays, decoder, **rest):
    """Two classes, and a partner of each row among them."""
    both = (jnp.nan_to_num(arrays["label"]) > 0).astype(jnp.int32)
    others = {name: x for name, x in arrays.items() if name != "label"}
    return loss(labels=both[:, 0], partners=both[:, 1], **others, **rest)


def related(loss, arrays, decoder, *, where, **rest):
    """As many anchors as rows, present and absent alike."""
    return loss(**arrays, where=where, anchors_where=where, **rest)


def hidden_steps(loss, arrays, decoder, **rest):
    """Of three steps the first is hidden, and more in some rows."""
    label = jnp.nan_to_num(arrays["label"])
    mask = (label > 0) | (jnp.arange(3) == 0)[None]
    others = {name: x for name, x in arrays.items() if name != "label"}
    return loss(mask=mask, **others, **rest)


def modalities(loss, arrays, decoder, *, where, **rest):
    """By the loss of two views that compiles soonest."""
    pairs = losses.spectral_contrastive
    return loss(tuple(arrays.values()), loss=pairs, where=where.T, **rest)


def clustered(loss, arrays, decoder, **rest):
    """A root above two leaves, whose centers are learned."""
    tree = dict(weights=np.ones(3, "f"), parents=np.array([-1, 0, 0], np.int32))
    return loss(**arrays, centers=decoder.T, **tree, **rest)


def heads(loss, arrays, decoder, **rest):
    """Of two heads, or of several views, which are on the first axis."""
    return loss(**{name: jnp.moveaxis(x, 1, 0) for name, x in arrays.items()}, **rest)


def prototyped(loss, arrays, decoder, **rest):
    """Three prototypes that are learned, and a queue with an empty place."""
    views = jnp.moveaxis(arrays["views"], 1, 0)
    where = np.arange(len(STORED)) != 1
    stored = np.stack([STORED, STORED[::-1]])
    return loss(views, decoder.T, queue=stored, queue_where=where, **rest)


def hiding(loss, arrays, decoder, **rest):
    """Of two patches the first is hidden, or both."""
    both = arrays["predictions"][:, 0, 0] > 0
    hidden = jnp.stack([jnp.ones_like(both), both], axis=1)
    return loss(hidden=hidden, **arrays, **rest)


def restored(loss, arrays, decoder, **rest):
    """Features are those of two layers."""
    layers, target_layers = (
        tuple(arrays[f"{kind}{n}"] for n in range(2))
        for kind in ("layer", "target_layer")
    )
    others = {name: x for name, x in arrays.items() if "layer" not in name}
    return loss(layers=layers, target_layers=target_layers, **others, **rest)


def rare(loss, arrays, decoder, **rest):
    """Targets are probabilities."""
    targets = jax.nn.softmax(arrays["targets"].astype(jnp.float32))
    return loss(arrays["online"], targets, MARGINAL[0], **rest)


def pasted(loss, arrays, decoder, **rest):
    """Of three classes, and a box of two pixels of four."""
    labels = [
        jnp.argmax(jnp.nan_to_num(arrays[n]), axis=-1) for n in ("label", "index")
    ]
    labels = labels[: 1 + (loss is losses.copy_paste)]
    region = np.array([[True, False], [True, False]])
    return loss(arrays["logits"], *labels, region, **rest)


def binary(loss, arrays, decoder, **rest):
    return loss(arrays["logits"], jnp.nan_to_num(arrays["label"]) > 0, **rest)


def branching(loss, arrays, decoder, **rest):
    """A root above two leaves, each with its decoder."""
    tree = dict(parents=np.array([-1, 0, 0], np.int32), leaves=np.array([1, 2]))
    return loss(**arrays, **tree, **rest)


UNIMODAL = {"x": (3,), "mean": (DIM,), "log_var": (DIM,)}
THREE = {"input0": (1,), "input1": (2,), "input2": (3,)}
THREE |= {"mean": (3, DIM), "log_var": (3, DIM)}
VIEWS = {"view_a": (DIM,), "view_b": (DIM,)}
CAPTIONED = {"images": (DIM,), "texts": (DIM,)}
QUERIES = {"queries": (DIM,), "keys": (DIM,)}
STORED = np.random.default_rng(2).normal(size=(5, DIM)).astype("f")
SEQUENCES = {"predictions": (3, 2, DIM), "latents": (3, DIM)}
TRIPLETS = {"anchors": (DIM,), "positives": (DIM,), "negatives": (DIM,)}
BLOCKS = TRIPLETS | {"negatives": (3, DIM)}
LABELED = {"x": (DIM,), "label": ()}
UPDATED = {"new": (DIM,), "old": (DIM,), "label": ()}
BRANCHING = {"x": (3,), "decoded": (2, 3), "logits": (3,), "prior_logits": (3,)}
BRANCHING |= {"mean": (3, DIM), "log_var": (3, DIM)}
BRANCHING |= {"prior_mean": (3, DIM), "prior_log_var": (3, DIM)}
LAYERS = {"layer0": (2, 2, 3), "layer1": (1, 2, DIM)}
LAYERS |= {f"target_{name}": shape for name, shape in LAYERS.items()}
RESTORED = {"images": (2, 3), "targets": (2, 3), "offsets": (2, DIM)} | LAYERS
LEAVES = {"first": (DIM,), "second": (DIM,), "third": (DIM,), "similarities": (3,)}
NEIGHBORS = {"online_a": (2, 3), "online_b": (2, 3)}
NEIGHBORS |= {"target_a": (2, 3), "target_b": (2, 3)}
MEANS = np.array([[0.5, 0.0], [-0.5, 1.0]], "f")
COUNTS = np.array([20, 3])
GAUSSIANS = dict(means=MEANS, covariances=np.stack([np.eye(DIM)] * 2).astype("f"))
PASTED = {name: (2, 2, 3) for name in ("logits", "label", "index")}
MARGINAL = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]], np.float32)
PREDICTED = {"predictions": (DIM,), "targets": (DIM,)}
CROPS = {"online": (3, 3), "targets": (2, 3)}
FRESH = VIEWS | {"negatives_a": (DIM,), "negatives_b": (DIM,)}
TWO = {"input0": (1,), "input1": (2,), "mean": (2, DIM), "log_var": (2, DIM)}
OWN = {f"private_{n}{m}": (1,) for n in ("mean", "log_var") for m in range(2)}
JOINT = {"joint_mean": (DIM,), "joint_log_var": (DIM,)}
EXPERTS = {"mean": (3, DIM), "log_var": (3, DIM)}
CONDITIONAL = UNIMODAL | {"prior_mean": (DIM,), "prior_log_var": (DIM,)}
PLUS = dict(auxiliary=(np.zeros(1, "f"), np.ones(1, "f")), num_samples=2)
EVENTS = {"scores": (), "negative_scores": (3,)}
EVENTS |= {"log_noise": (), "negative_log_noise": (3,)}
SPHERES = {"features": (3,), "attributes": (DIM,), "label": (), "logits": (2, 2)}
SPHERES |= {"decoded_features": (2, 3), "decoded_attributes": (2, DIM)}
SPHERES |= {"feature_samples": (3, DIM), "attribute_samples": (3, DIM)}
CASCADE = {"x": (2, 3), "reconstruction": (2, 3), "mean": (1,), "log_var": (1,)}
CASCADE |= {"second_mean": (DIM,), "second_log_var": (DIM,)}
KEPT = {"remain": (DIM,), "forget": (DIM,)}
REBUILT = {"remain_reconstructed": (DIM,), "forget_reconstructed": (DIM,)}
ORIGINAL = {"remain_original": (DIM,), "forget_original": (DIM,)}
ROWS = {
    "elbo": Row(unimodal, UNIMODAL),
    "hierarchical_elbo": Row(layered, UNIMODAL),
    "free_nats": Row(of_posterior, {"mean": (DIM,), "log_var": (DIM,)}),
    "iwae": Row(partial(unimodal, num_samples=2), UNIMODAL),
    "dreg": Row(partial(unimodal, num_samples=2), UNIMODAL),
    "mvae": Row(partial(multimodal, num_subsets=1), THREE, 3),
    "moe_elbo": Row(partial(multimodal, distribution=laplace), TWO, 2),
    "mmvae": Row(partial(multimodal, num_samples=2), TWO, 2),
    "mmvae_iwae": Row(partial(multimodal, num_samples=2, distribution=laplace), TWO, 2),
    "mmvae_tight": Row(partial(multimodal, num_samples=2), TWO, 2),
    "mopoe": Row(partial(multimodal, draw=subsets.stratified), THREE, 3),
    "mvtcae": Row(multimodal, THREE, 3),
    "mmjsd": Row(multimodal_private, TWO | OWN, 2),
    "mmjsd_arithmetic": Row(multimodal, THREE, 3),
    "crmvae": Row(multimodal, THREE, 3),
    "mmvm": Row(multimodal, THREE, 3),
    "mmvm_mixture": Row(partial(multimodal, standard_weight=0.25), TWO, 2),
    "nexus_top": Row(upper, {f"latent{m}": (m + 1,) for m in range(3)}, 3),
    "mhvae": Row(partial(multimodal, conditionals=(below, below)), THREE, 3),
    "fused_elbo": Row(multimodal, THREE, 3),
    "consensus_elbo": Row(
        partial(multimodal, logits=np.arange(7.0, dtype="f")), THREE, 3
    ),
    "masked_elbo": Row(multimodal, THREE, 3),
    "jmvae": Row(multimodal_joint, THREE | JOINT, 3),
    "unimodal_elbo": Row(multimodal, THREE, 3),
    "joint_to_unimodal": Row(experts_alone, EXPERTS | JOINT, 3),
    "cvae": Row(conditional, CONDITIONAL),
    "dmvae": Row(multimodal_private, TWO | OWN, 2),
    "mmvae_plus": Row(partial(multimodal_private, **PLUS), TWO | OWN, 2),
    "mmvae_plus_dreg": Row(partial(multimodal_private, **PLUS), TWO | OWN, 2),
    "mmvae_plus_tight": Row(partial(multimodal_private, **PLUS), TWO | OWN, 2),
    "info_nce": Row(embeddings, QUERIES),
    "symmetric_info_nce": Row(embeddings, VIEWS),
    "nt_xent": Row(embeddings, VIEWS),
    "clip": Row(embeddings, CAPTIONED),
    "siglip": Row(embeddings, CAPTIONED),
    "fresh_negatives_nce": Row(fresh_negatives, FRESH),
    "pairwise": Row(modalities, {f"view{m}": (DIM,) for m in range(3)}, 3),
    "dcl": Row(embeddings, VIEWS),
    "debiased": Row(embeddings, VIEWS),
    "hard_negative": Row(embeddings, VIEWS),
    "spectral_contrastive": Row(embeddings, VIEWS),
    "alignment": Row(embeddings, VIEWS),
    "uniformity": Row(embeddings, {"x": (DIM,)}),
    "alignment_uniformity": Row(embeddings, VIEWS),
    "barlow_twins": Row(embeddings, VIEWS),
    "deep_cca": Row(embeddings, VIEWS),
    "vicreg": Row(embeddings, VIEWS),
    "vicreg_invariance": Row(embeddings, VIEWS),
    "vicreg_variance": Row(embeddings, {"x": (DIM,)}),
    "vicreg_covariance": Row(embeddings, {"x": (DIM,)}),
    "negative_cosine": Row(embeddings, PREDICTED),
    "byol": Row(embeddings, PREDICTED),
    "cross_view": Row(heads, CROPS),
    "dino": Row(partial(heads, center=MARGINAL[0]), CROPS),
    "swav": Row(prototyped, {"views": (3, DIM)}),
    "masked_patches": Row(hiding, {"predictions": (2, 3), "patches": (2, 3)}),
    "psp": Row(restored, RESTORED),
    "cross_entropy": Row(labeled, LABELED),
    "swapped_cross_entropy": Row(labeled, LABELED),
    "logit_adjusted": Row(partial(labeled, counts=COUNTS), LABELED),
    "ldam": Row(partial(labeled, counts=COUNTS), LABELED),
    "generalized_cross_entropy": Row(labeled, LABELED),
    "gaussian_affinity": Row(partial(labeled, **GAUSSIANS), LABELED),
    "focal_binary": Row(partial(binary, alpha=0.3), {"logits": (), "label": ()}),
    "fixmatch": Row(partial(embeddings, threshold=0.5), {"weak": (3,), "strong": (3,)}),
    "selective_pseudo_label": Row(
        partial(embeddings, threshold=0.5),
        {"local_weak": (3,), "global_weak": (3,), "strong": (3,)},
    ),
    "agreeing_kl": Row(embeddings, {"local_logits": (3,), "global_logits": (3,)}),
    "pseudo_class": Row(
        partial(embeddings, entropy_weight=0.7), {"images": (3,), "captions": (3,)}
    ),
    "robust_hinge": Row(
        partial(embeddings, norm=np.float32(1.5), gamma=0.8), {"margins": ()}
    ),
    "copy_paste": Row(pasted, PASTED),
    "class_dice": Row(pasted, PASTED),
    "region_cross_entropy": Row(pasted, PASTED),
    "rare_prototypes": Row(rare, {"online": (3,), "targets": (3,)}),
    "relation_distillation": Row(embeddings, {"online": (3,), "targets": (2,)}),
    "channel_distillation": Row(embeddings, {"online": (3,), "targets": (3,)}),
    "soft_margin_ranking": Row(embeddings, VIEWS | {"clean": ()}),
    "soft_margin_ranking_average": Row(embeddings, VIEWS | {"clean": ()}),
    "soft_cross_entropy": Row(embeddings, {"logits": (3,), "targets": (3,)}),
    "evidential_cross_entropy": Row(evident, LABELED),
    "outlier_exposure": Row(exposed, LABELED | {"outliers": (DIM,)}),
    "mixture_outlier_exposure": Row(mixed, LABELED | {"mixed": (DIM,)}),
    "energy_margins": Row(
        partial(exposed, inlier_margin=-1.0, outlier_margin=0.5),
        LABELED | {"outliers": (DIM,)},
    ),
    "energy_margin_outliers": Row(wild, LABELED | {"outliers": (DIM,)}),
    "background_outliers": Row(
        cells, {"x": (2, 1, 3), "id_logits": (2, 1), "label": ()}
    ),
    "textual_outliers": Row(prompted, {"inliers": (DIM,), "outliers": (DIM,)}),
    "discriminative": Row(partial(labeled, num_classes=2), LABELED),
    "flow_con": Row(paired, LABELED),
    "palm": Row(mixture, {"z": (DIM,), "weights": (3,)}),
    "gan_discriminator": Row(embeddings, {"real": (), "fake": ()}),
    "gan_generator": Row(embeddings, {"fake": ()}),
    "hinge_discriminator": Row(embeddings, {"real": (), "fake": ()}),
    "hinge_generator": Row(embeddings, {"fake": ()}),
    "noise_prediction": Row(embeddings, {"predictions": (2, DIM), "noise": (2, DIM)}),
    "score_matching": Row(
        embeddings, {"scores": (2, DIM), "noise": (2, DIM), "sigma": ()}
    ),
    "gradient_penalty": Row(embeddings, {"gradients": (2, DIM)}),
    "sup_con": Row(labeled, LABELED),
    "triplet": Row(embeddings, TRIPLETS),
    "triplet_hardest": Row(labeled, LABELED),
    "triplet_semi_hard": Row(labeled, LABELED),
    "cosface": Row(with_prototypes, LABELED),
    "arcface": Row(with_prototypes, LABELED),
    "madacos": Row(with_prototypes, LABELED),
    "proxy_anchor": Row(with_prototypes, LABELED),
    "unified_negatives": Row(with_prototypes, LABELED),
    "contrastive_margin": Row(labeled, LABELED),
    "multi_similarity": Row(labeled, LABELED),
    "circle": Row(partial(labeled, scale=4.0), LABELED),  # values not of hundreds
    "triplet_ratio": Row(embeddings, TRIPLETS),
    "local_triplet": Row(
        embeddings,
        {name: (3, DIM) for name in ("queries", "positives", "negatives")}
        | {"attention": (3,)},
    ),
    "gist": Row(
        embeddings,
        QUERIES
        | {f"guide_{name}": (3,) for name in ("queries", "keys", "negatives")}
        | {"negatives": (DIM,)},
    ),
    "focal_info_nce": Row(embeddings, QUERIES | {"negatives": (2, DIM)}),
    "block_contrastive": Row(embeddings, BLOCKS | {"positives": (2, DIM)}),
    "many_negatives": Row(embeddings, BLOCKS),
    "nwj": Row(scored, {"x": (DIM,)}),
    "donsker_varadhan": Row(scored, {"x": (DIM,)}),
    "jensen_shannon": Row(scored, {"x": (DIM,)}),
    "moco": Row(queued, QUERIES),
    "nnclr": Row(queued, PREDICTED),
    "instance_discrimination": Row(banked, {"x": (DIM,), "index": ()}),
    "instance_nce": Row(
        partial(told_apart, normalizer=20.0), {"x": (DIM,), "index": ()}
    ),
    "inter_instance": Row(told_apart, {"x": (DIM,), "index": ()}),
    "gated_pairs": Row(gated, QUERIES | {"gates": (DIM,), "label": (2,)}),
    "relational_js": Row(related, VIEWS | {"anchors": (DIM,)}),
    "masked_contrastive": Row(
        hidden_steps, {"context": (3, DIM), "targets": (3, DIM), "label": (3,)}
    ),
    "ibot": Row(hidden_steps, {"online": (3, 4), "targets": (3, 4), "label": (3,)}),
    "koleo": Row(embeddings, {"x": (DIM,)}),
    "batch_barlow": Row(heads, {name: (2, DIM) for name in PREDICTED}),
    "codebook_diversity": Row(heads, {"probabilities": (2, 3)}),
    "local_dimension": Row(partial(embeddings, num_neighbors=3), {"x": (DIM,)}),
    "soft_orthogonality": Row(partial(embeddings, threshold=0.5), {"weights": (DIM,)}),
    "hoc": Row(labeled_by_name, UPDATED),
    "hoc_strict": Row(labeled_by_name, UPDATED),
    "pair_match": Row(matched, VIEWS | {"label": ()}),
    "similarity_calibration": Row(
        embeddings,
        {f"{kind}_{side}": (3,) for kind in ("features", "codes") for side in "ab"},
    ),
    "code_quantization": Row(embeddings, {"codes": (3,)}),
    "backward_compatible": Row(
        compatible,
        {name: (DIM,) for name in ("features", "block", "old_features", "reference")}
        | {"label": ()},
    ),
    "cpc": Row(embeddings, SEQUENCES),
    "temi": Row(partial(heads, target_marginal=MARGINAL), NEIGHBORS),
    "turtle": Row(heads, {"task_logits": (2, 3), "inner_logits": (2, 3)}),
    "tree_elbo": Row(branching, BRANCHING),
    "deep_ect": Row(clustered, {"x": (3,), "decoded": (3,), "embeddings": (DIM,)}),
    "hyphc": Row(partial(embeddings, temperature=0.5), LEAVES),
    "sdm": Row(supported, LABELED | {"num_matches": (), "closeness": ()}),
    "directional_pinball": Row(
        partial(embeddings, level=0.1), {"projections": (3,), "quantiles": (3,)}
    ),
    "forget_extract": Row(forgetting, KEPT | REBUILT),
    "forget_align": Row(forgetting, KEPT | ORIGINAL),
    "soft_outlier": Row(
        partial(embeddings, ratio=0.4), {"normal_loss": (), "anomaly_loss": ()}
    ),
    "event_nce": Row(embeddings, EVENTS),
    "mean_shifted": Row(
        partial(embeddings, center=MARGINAL[0, :DIM], angular_weight=0.5), VIEWS
    ),
    "prompt_orthogonality": Row(embeddings, {"prompts": (DIM,)}),
    "aligned_spheres": Row(partial(labeled_by_name, num_steps=3), SPHERES),
    "focal_balanced": Row(masked_map, {"logits": (2, 3), "label": (2, 3)}),
    "dice": Row(masked_map, {"logits": (2, 3), "label": (2, 3)}),
    "bucketed_nll": Row(
        partial(embeddings, borders=np.array([-1, -0.5, 0.5, 1], "f")),
        {"logits": (3,), "y": ()},
    ),
    "cvad": Row(embeddings, CASCADE),
    "flow_kl": Row(
        embeddings,
        {name: (DIM,) for name in ("z", "bent", "mean", "log_var")} | {"log_det": ()},
    ),
}
