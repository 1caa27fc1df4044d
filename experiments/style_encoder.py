"""pSp, an encoder into the styles of a trained generator, and a debiased one.

    python -m repr_jax.main --config=configs/reconstruction/psp_faces.py \\
        --config.start.source=runs/style_gan --workdir=runs/psp

The generator is one of `experiments.style_gan`. It stands in extras, where no optimizer
moves it, and comes from that run by `config.start`; without one it makes noise. What
the encoder sees is as large as the image: H^+ y of a measurement y. The output
`restore`, of `y` or else of what `config.operator` measures of `image`, is a function
of it: maps of noise are 0.

Source: Richardson et al., "Encoding in Style: a StyleGAN Encoder for Image-to-Image
  Translation", 2021, https://arxiv.org/abs/2008.00951; debiased: Tanjim et al.,
  "Debiasing Image-to-Image Translation Models", 2022 (from memory).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from experiments.autoencoder import observed
from experiments.diffusion import measured
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.losses import cross_entropy
from repr_jax.models import style_gan
from repr_jax.ops import measurement

NUM_STATISTICS = 1_000  # latents that the average style is estimated from


class Rebuilt(NamedTuple):
    """A batch through encoder and generator."""

    image: Array  # [batch, size, size, channels]
    target: Array  # the like, what was encoded
    offsets: Array  # [batch, styles, dim], of the encoder
    styles: Array  # the like, with the average added
    where: Array  # [batch] bool


class Parts(NamedTuple):
    """What pSp and the debiased one share."""

    init: Callable  # key, batch -> params, extras
    rebuild: Callable  # params, extras, batch, key -> Rebuilt, in training
    restore: Callable  # the output
    error: Callable  # Rebuilt -> scalar, config.loss


def make(config) -> Experiment:
    """pSp. Reads generator, encoder, features, factors, loss and operator.

    `config.generator` is a `style_gan.Generator`, `config.encoder` maps images to
    styles. In training the encoder sees means of factor x factor pixels, one of
    `config.factors` for each row, but `config.operator`'s measurements afterwards.
    `config.features` is images -> a tuple of layers, of a frozen network, and
    `config.loss` is called as `losses.psp` with them.
    """
    parts = _parts(config)

    def loss(params, extras, batch, key, step):
        return parts.error(parts.rebuild(params, extras, batch, key)), (extras, {})

    return Experiment(parts.init, {"encoder": loss}, {"restore": parts.restore})


def make_fair(config) -> Experiment:
    """Reads what `make` does, augment, classifier, contrast, attribute and curriculum.

    Batches have a `label` too, and each class equally often: `class_balanced` of the
    dataset. `config.augment` is (key, images) -> images, of what is encoded and of the
    target alike. To the loss of pSp it adds, times rate * (step // every) of
    `config.curriculum`,
      `config.contrast`, as loss(x, labels, where=...), of all styles of all rows, which
      are views of their row;
      `config.attribute`, as loss(logits, labels, where=...), of the classifier's logits
      of what was made.
    The paper's classifier is trained before. Here `config.classifier`, of images ->
    logits, is a player of its own, trained on the same batches, ready when the rate is.
    """
    parts = _parts(config)
    augment = bind(config.augment, "config.augment")
    classifier = bind(config.classifier, "config.classifier")()
    contrast, attribute = (
        bind(config[name], f"config.{name}") for name in ("contrast", "attribute")
    )
    rate, every = config.curriculum.rate, config.curriculum.every

    def init(key, batch):
        own_key, key = jax.random.split(key)
        params, extras = parts.init(key, batch)
        x, _ = observed(batch)
        found = classifier.init(own_key, x, train=False)["params"]
        return {"classifier": found, **params}, extras

    def logits_of(params, images):
        return classifier.apply({"params": params["classifier"]}, images, train=False)

    def classify(params, extras, batch, key, step):
        x, where = observed(batch)
        logits = logits_of(params, augment(key, x))
        return cross_entropy(logits, batch["label"], where=where), (extras, {})

    def encode(params, extras, batch, key, step):
        augment_key, key = jax.random.split(key)
        batch = {**batch, "image": augment(augment_key, batch["image"])}
        found, labels = parts.rebuild(params, extras, batch, key), batch["label"]
        count = found.styles.shape[1]
        logits = logits_of(params, found.image)
        terms = {"attribute": attribute(logits, labels, where=found.where)}
        terms["contrast"] = contrast(
            found.styles.reshape(-1, found.styles.shape[2]),
            jnp.repeat(labels, count),
            where=jnp.repeat(found.where, count),
        )
        added = rate * (step // every) * (terms["attribute"] + terms["contrast"])
        return parts.error(found) + added, (extras, terms)

    losses = {"classifier": classify, "encoder": encode}
    return Experiment(init, losses, {"restore": parts.restore})


def _parts(config) -> Parts:
    generator = bind(config.generator, "config.generator")()
    encoder = bind(config.encoder, "config.encoder")()
    features = bind(config.features, "config.features")
    loss_fn = bind(config.loss, "config.loss")
    operator = bind(config.operator, "config.operator")()
    factors = tuple(config.factors)

    def init(key, batch):
        x, _ = observed(batch)
        z = jnp.zeros((1, style_gan.latent_dim(generator.size, generator.style_dim)))
        keys = jax.random.split(key)
        found = encoder.init(keys[0], x, train=False)["params"]
        frozen = generator.init(keys[1], z, train=False)["params"]
        return {"encoder": found}, {"generator": frozen}

    def through(params, extras, seen, *, train):
        """Images, offsets and styles of what the encoder sees."""
        frozen = {"params": extras["generator"]}
        offsets = encoder.apply({"params": params["encoder"]}, seen, train=train)
        z = jax.random.normal(jax.random.key(0), (NUM_STATISTICS, generator.style_dim))
        average = jnp.mean(generator.apply(frozen, z, method="styles_of"), axis=0)
        styles = average[None, None] + offsets
        sizes = style_gan.noise_sizes(generator.size)
        noise = [jnp.zeros((len(seen), n, n)) for n in sizes]
        image = generator.apply(frozen, styles, noise, train=False, method="synthesize")
        return image, offsets, styles

    def rebuild(params, extras, batch, key):
        target, where = observed(batch)
        seen = _coarsened(key, target, factors)
        image, offsets, styles = through(params, extras, seen, train=True)
        return Rebuilt(image, target, offsets, styles, where)

    def restore(params, extras, batch, key):
        y = measured(operator, batch)
        seen = measurement.pseudo_inverse(operator, y)
        return jnp.clip(through(params, extras, seen, train=False)[0], 0, 1)

    def error(found):
        layers = (features(x) for x in (found.image, found.target))
        return loss_fn(
            found.image, found.target, *layers, found.offsets, where=found.where
        )

    return Parts(init, rebuild, restore, error)


def _coarsened(key: Array, images: Array, factors: Sequence[int]) -> Array:
    """Each image as means of factor x factor pixels, in their places; by row."""
    pools = [measurement.average_pool(factor) for factor in factors]
    every = jnp.stack([measurement.pseudo_inverse(p, p.forward(images)) for p in pools])
    chosen = jax.random.randint(key, (len(images),), 0, len(factors))
    return every[chosen, jnp.arange(len(images))]
