"""Two random views of one image, one network, and a loss of two projections.

SimCLR, decoupled and debiased contrast, spectral contrast, alignment and uniformity are
this file: they differ in `config.loss`. A batch has `image` and may have `where`, the
rows that are present; absent ones are encoded as zeros and take no part in the loss,
but batch normalization sees them.
"""

import jax

from experiments.autoencoder import observed
from repr_jax.config import bind
from repr_jax.models.joint_embedding import JointEmbedding
from repr_jax.train import Experiment


def make(config) -> Experiment:
    """Reads augment, encoder, projector and loss.

    `config.augment` is (key, images) -> images of the same shape, called once a view;
    `config.loss` is called as loss(projection_a, projection_b, where=...).
    """
    augment = bind(config.augment, "config.augment")
    loss_fn = bind(config.loss, "config.loss")
    model = JointEmbedding(
        bind(config.encoder, "config.encoder")(),
        bind(config.projector, "config.projector")(),
    )

    def init(key, batch):
        variables = dict(model.init(key, observed(batch)[0], train=False))
        return variables.pop("params"), variables

    def embed(params, extras, image):
        variables = {"params": params, **extras}
        return model.apply(variables, image, train=True, mutable=list(extras))

    def loss(params, extras, batch, key, step):
        image, where = observed(batch)
        key_a, key_b = jax.random.split(key)
        view_a, extras = embed(params, extras, augment(key_a, image))
        view_b, extras = embed(params, extras, augment(key_b, image))
        value = loss_fn(view_a.projection, view_b.projection, where=where)
        return value, (extras, {})

    def represent(params, extras, batch, key):
        variables = {"params": params, **extras}
        image, _ = observed(batch)
        return model.apply(variables, image, train=False).representation

    return Experiment(init, loss, {"represent": represent})
