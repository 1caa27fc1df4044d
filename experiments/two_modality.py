"""Two or more modalities, an encoder each, and a loss that pulls pairs together.

CLIP, SigLIP and identifiable multimodal contrastive learning are this file: they differ
in `config.loss`, in the encoders, and in whether a temperature is learned.

A batch has an array for each of `config.modalities`, and may have `where` [batch], the
rows that are present, and `present` [batch, modality], the modalities that are. Absent
ones are encoded as zeros and take no part in the loss; batch normalization sees them.
"""

import functools

import jax
import jax.numpy as jnp
from jax import Array

from experiments.modalities import observed
from repr_jax import losses
from repr_jax.config import bind
from repr_jax.experiment import Experiment
from repr_jax.ops import checks
from repr_jax.ops.batch import masked_mean, present

SHARED = "shared"  # the encoder that serves every modality


def make(config) -> Experiment:
    """Reads modalities, encoders, loss, and temperature and bias if there are any.

    `config.encoders` has a choice per modality, or one by the name of `shared`: one set
    of parameters for all. An encoder maps (x, train) to [batch, dim], dim the same for
    all. `config.loss` is a loss of two views, of the encodings of two modalities; of
    more it is the mean over their pairs, see `losses.pairwise`.

    `config.temperature = dict(initial=0.07, lowest=0.01)`: its logarithm is learned,
    and the loss gets temperature=max(exp(log_temperature), lowest); once at the lowest
    it stays there. `config.bias = dict(initial=-10.0)`: learned too, passed as bias.

    `config.augment` may have a choice per modality, (key, x) -> x of the same shape,
    which changes what is trained on at random, and nothing that is evaluated.
    """
    return _experiment(config, _of_pairs)


def make_fresh_negatives(config) -> Experiment:
    """As `make`, for losses whose negatives are other rows than the pairs.

    The first half of a batch are the pairs, the second half the negatives, so
    `config.batch_size` is twice the number of pairs. `config.loss` is called as
    loss(a, b, negatives_a, negatives_b, where=..., negatives_where=...).
    """
    if len(config.modalities) != 2:
        raise ValueError(
            f"two_modality.make_fresh_negatives: expected two modalities; got "
            f"{len(config.modalities)}."
        )
    if config.batch_size // config.accumulate % 2:
        raise ValueError(
            f"config.batch_size: expected pairs and as many negatives in each of "
            f"{config.accumulate} parts; got {config.batch_size}."
        )
    return _experiment(config, _of_halves)


def _of_pairs(loss_fn, encodings, where):
    return losses.pairwise(encodings, loss=loss_fn, where=where)


def _of_halves(loss_fn, encodings, where):
    where = jnp.all(where, axis=0)
    half = len(where) // 2
    return loss_fn(
        *encodings[:, :half],
        *encodings[:, half:],
        where=where[:half],
        negatives_where=where[half:],
    )


def alignment(encodings: Array, where: Array) -> Array:
    """Mean squared distance of a pair's encodings, over the pairs of modalities.

    encodings: [modality, batch, dim]; where: [modality, batch]. Not differentiated.
    """
    distances = [
        masked_mean(
            jnp.sum((encodings[i] - encodings[j]) ** 2, axis=-1),
            where=where[i] & where[j],
        )
        for i in range(len(encodings))
        for j in range(i)
    ]
    return jax.lax.stop_gradient(jnp.mean(jnp.stack(distances)))


def _encoders(config):
    """{name: module}, and which of them serves each modality."""
    names = tuple(config.modalities)
    if len(names) < 2:
        raise ValueError(f"config.modalities: expected two or more; got {names}.")
    known = set(config.encoders.keys())
    if known not in ({SHARED}, set(names)):
        raise ValueError(
            f"config.encoders: expected {', '.join(names)}, or {SHARED} alone; got "
            f"{', '.join(sorted(known))}."
        )
    serving = (SHARED,) * len(names) if known == {SHARED} else names
    modules = {
        name: bind(config.encoders[name], f"config.encoders.{name}")()
        for name in dict.fromkeys(serving)
    }
    return modules, serving


def _augmentations(config):
    """{name: (key, x) -> x} of the modalities that training changes at random."""
    choices = config.get("augment", {})
    for name in choices:
        checks.one_of("config.augment", tuple(config.modalities), modality=name)
    return {name: bind(choices[name], f"config.augment.{name}") for name in choices}


def _augmented(config, augmentations, batch, key):
    """The batch with the entries that training changes at random."""
    order = tuple(config.modalities).index
    changed = {
        name: augment(jax.random.fold_in(key, order(name)), batch[name])
        for name, augment in augmentations.items()
    }
    return {**batch, **changed}


def _learned(config, params):
    """The keywords of the loss that are parameters."""
    keywords = {}
    if "log_temperature" in params:
        value = jnp.exp(params["log_temperature"])
        keywords["temperature"] = jnp.maximum(value, config.temperature.lowest)
    if "bias" in params:
        keywords["bias"] = params["bias"]
    return keywords


def _experiment(config, objective) -> Experiment:
    """`objective(loss_fn, encodings, where)` says how the loss is called."""
    names = tuple(config.modalities)
    modules, serving = _encoders(config)
    loss_fn = bind(config.loss, "config.loss")
    temperature, bias = config.get("temperature"), config.get("bias")
    augmentations = _augmentations(config)

    def encode(params, extras, batch, *, train):
        """[modality, batch, dim], presence [modality, batch], and new extras."""
        inputs, where = observed(batch, names)
        extras, encodings = dict(extras), []
        for name, x in zip(serving, inputs):
            variables = {"params": params["encoders"][name], **extras[name]}
            if train:
                z, extras[name] = modules[name].apply(
                    variables, x, train=True, mutable=list(extras[name])
                )
            else:
                z = modules[name].apply(variables, x, train=False)
            encodings.append(z)
        encoded = {f"encoding of {name}": z for name, z in zip(names, encodings)}
        checks.same_shape("two_modality", rank=2, **encoded)
        return jnp.stack(encodings), where, extras

    def init(key, batch):
        inputs, _ = observed(batch, names)
        inputs = dict(zip(serving, inputs))
        params, extras = {"encoders": {}}, {}
        for number, (name, module) in enumerate(modules.items()):
            own_key = jax.random.fold_in(key, number)
            variables = dict(module.init(own_key, inputs[name], train=False))
            params["encoders"][name] = variables.pop("params")
            extras[name] = variables
        if temperature is not None:
            params["log_temperature"] = jnp.log(jnp.float32(temperature.initial))
        if bias is not None:
            params["bias"] = jnp.float32(bias.initial)
        return params, extras

    def loss(params, extras, batch, key, step):
        batch = _augmented(config, augmentations, batch, key)
        encodings, where, extras = encode(params, extras, batch, train=True)
        keywords = _learned(config, params)
        value = objective(functools.partial(loss_fn, **keywords), encodings, where)
        return value, (extras, {"alignment": alignment(encodings, where), **keywords})

    def represent(params, extras, batch, key):
        """The mean over the present modalities; zeros if there is none."""
        encodings, where, _ = encode(params, extras, batch, train=False)
        count = jnp.maximum(jnp.sum(where, axis=0), 1)[:, None]
        return jnp.sum(present(encodings, where), axis=0) / count

    return Experiment(init, loss, {"represent": represent})
