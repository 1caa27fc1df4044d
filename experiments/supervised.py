"""One network from inputs to logits, and a loss of logits and labels.

A batch has the entry `config.entry`, `label` [batch] int, and may have `where`, which
marks the rows that are present; absent ones are encoded as zeros and take no part in
the loss, but batch normalization sees them.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.autoencoder import observed
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.ops.batch import masked_mean


class Classifier(nn.Module):
    """[batch, ...] -> representation [batch, dim] and logits [batch, num_classes]."""

    encoder: nn.Module
    num_classes: int

    @nn.compact
    def __call__(self, x, *, train):
        representation = self.encoder(x, train=train)
        logits = nn.Dense(self.num_classes, name="head")(nn.relu(representation))
        return representation, logits


def make(config) -> Experiment:
    """Reads entry, num_classes, augment, encoder and loss.

    `config.augment`, if there is one, is (key, x) -> x of the same shape. The outputs
    are `represent`, what the encoder returns, and `logits`.
    """
    augment = bind(config.augment, "config.augment") if "augment" in config else None
    loss_fn = bind(config.loss, "config.loss")
    encoder = bind(config.encoder, "config.encoder")()
    model = Classifier(encoder, config.num_classes)

    def init(key, batch):
        variables = dict(model.init(key, observed(batch, config.entry)[0], train=False))
        return variables.pop("params"), variables

    def loss(params, extras, batch, key, step):
        x, where = observed(batch, config.entry)
        x = x if augment is None else augment(key, x)
        variables = {"params": params, **extras}
        (_, logits), extras = model.apply(
            variables, x, train=True, mutable=list(extras)
        )
        right = jnp.argmax(logits, axis=-1) == batch["label"]
        accuracy = masked_mean(right.astype(jnp.float32), where=where)
        value = loss_fn(logits, batch["label"], where=where)
        return value, (extras, {"accuracy": jax.lax.stop_gradient(accuracy)})

    def apply(params, extras, batch):
        variables = {"params": params, **extras}
        return model.apply(variables, observed(batch, config.entry)[0], train=False)

    def represent(params, extras, batch, key):
        return apply(params, extras, batch)[0]

    def logits(params, extras, batch, key):
        return apply(params, extras, batch)[1]

    return Experiment(init, loss, {"represent": represent, "logits": logits})
