"""Two random views of one image, one network, and a loss of its two outputs.

SimCLR, decoupled and debiased contrast, spectral contrast, alignment and uniformity,
Barlow Twins and VICReg are `make`: they differ in `config.loss`. SimSiam is
`make_predicted`. A batch has `image` and may have `where`, the rows that are present;
absent ones are encoded as zeros and take no part in the loss, but batch normalization
sees them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from experiments.autoencoder import observed
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.models.joint_embedding import JointEmbedding
from repr_jax.models.vit import ClassToken, ViT


def make(config) -> Experiment:
    """Reads encoder, projector, loss, and what `views` reads.

    `config.loss` is called as loss(projection_a, projection_b, where=...).
    """

    def objective(loss_fn, a, b, where):
        return loss_fn(a.projection, b.projection, where=where)

    return _experiment(config, objective)


def make_predicted(config) -> Experiment:
    """As `make`, with a predictor of the other view's projection: `config.predictor`.

    `config.loss` is called as loss(predictions, targets, where=...) in both directions,
    of which the mean is taken; the targets get no gradient from it.
    """

    def objective(loss_fn, a, b, where):
        forth = loss_fn(a.prediction, b.projection, where=where)
        return (forth + loss_fn(b.prediction, a.projection, where=where)) / 2

    return _experiment(config, objective)


def views(config) -> Callable:
    """(key, images) -> the views, a tuple of images; reads augment and its relatives.

    `config.augment` is (key, images) -> images, for the first view and the second, or
    for the first alone if there is a `config.second_augment`. If there is a
    `config.local_augment`, `config.num_local` more follow, of any size.
    """
    first = bind(config.augment, "config.augment")
    second, local = (
        bind(config[name], f"config.{name}") if name in config else None
        for name in ("second_augment", "local_augment")
    )
    num_local = 0 if local is None else config.num_local
    functions = [first, second or first, *[local] * num_local]

    def of_images(key, images):
        keys = jax.random.split(key, len(functions))
        return tuple(function(k, images) for function, k in zip(functions, keys))

    return of_images


def embed(model, params, extras, images):
    """Its output in training, and the new extras, which are its collections."""
    variables = {"params": params, **extras}
    return model.apply(variables, images, train=True, mutable=list(extras))


def representation(model, params, extras, batch):
    """[batch, dim] in evaluation, of the images as they are."""
    variables = {"params": params, **extras}
    return model.apply(variables, observed(batch)[0], train=False).representation


def frozen(x, step, until: int):
    """x, which gets no gradient before step `until`."""
    return jnp.where(step < until, jax.lax.stop_gradient(x), x)


def joint_embedding(config, of_vit=ClassToken) -> JointEmbedding:
    """Reads encoder, projector, and predictor if there is one.

    A `vit.ViT` as encoder is represented by its class token, or as `of_vit` has it.
    """
    names = ("encoder", "projector", "predictor")
    parts = {
        name: bind(config[name], f"config.{name}")() for name in names if name in config
    }
    if isinstance(parts["encoder"], ViT):
        parts["encoder"] = of_vit(parts["encoder"])
    return JointEmbedding(**parts)


def _experiment(config, objective) -> Experiment:
    """`objective(loss_fn, a, b, where)` says how the loss is called."""
    of_images, model = views(config), joint_embedding(config)
    loss_fn = bind(config.loss, "config.loss")

    def init(key, batch):
        variables = dict(model.init(key, observed(batch)[0], train=False))
        return variables.pop("params"), variables

    def loss(params, extras, batch, key, step):
        image, where = observed(batch)
        view_a, view_b = of_images(key, image)
        a, extras = embed(model, params, extras, view_a)
        b, extras = embed(model, params, extras, view_b)
        return objective(loss_fn, a, b, where), (extras, {})

    def represent(params, extras, batch, key):
        return representation(model, params, extras, batch)

    return Experiment(init, loss, {"represent": represent})
