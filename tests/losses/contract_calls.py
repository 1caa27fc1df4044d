"""How the contract calls losses: each function hands one kind of arrays over.

`contract_rows.ROWS` says which loss takes which.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax import losses
from repr_jax.ops.batch import gather_rows, present
from repr_jax.ops.numerics import pairwise_dot

BATCH, DIM = 8, 2
KEY = jax.random.key(7)
STORED = np.random.default_rng(2).normal(size=(5, DIM)).astype("f")
MARGINAL = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]], np.float32)


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


def with_centers(loss, arrays, decoder, **rest):
    """Two centers a class, that are learned, of three classes."""
    centers = jnp.stack([decoder.T, jnp.roll(decoder.T, 1, axis=0)], axis=1)
    return labeled(lambda x, y, **k: loss(x, y, centers, **k), arrays, decoder, **rest)


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


def masked_regions(loss, arrays, decoder, **rest):
    """Of two masks, whose numbers are those of two arrays."""
    label, index = (jnp.nan_to_num(arrays[name]) > 0 for name in ("label", "index"))
    others = {name: x for name, x in arrays.items() if name not in ("label", "index")}
    masks = dict(masks_a=label.astype(jnp.int32), masks_b=index.astype(jnp.int32))
    return loss(**others, **masks, **rest)


def clustered_patches(loss, arrays, decoder, **rest):
    """Of two clusters of each kind; centroids get no gradient."""
    label, index = (jnp.nan_to_num(arrays[name]) > 0 for name in ("label", "index"))
    numbers = label.astype(jnp.int32), index.astype(jnp.int32)
    return loss(arrays["patches"], *numbers, decoder.T[:2], **rest)


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


def masked_views(loss, arrays, decoder, **rest):
    """Two views, and three prototypes that are learned."""
    anchors = jnp.moveaxis(arrays["anchors"], 1, 0)
    return loss(anchors, arrays["targets"], decoder.T, **rest)


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
