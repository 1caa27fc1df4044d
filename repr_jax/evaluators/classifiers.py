"""Classifiers of the modalities, trained once and kept: judges of what is generated.

One a modality, kept in workdir/classifiers under a name of their data and settings, so
that all evaluators share them; so do runs of a grid, where that folder is a link to one
of theirs. What they tell is the class of a row, or each of its attributes. Their
dropout is off when they judge, while the code of published systems leaves it on. Their
hidden layer is a space of features.
"""

import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging
from etils import epath
from flax import serialization
from jax.experimental import multihost_utils

from repr_jax import files, optim
from repr_jax.models.classifier import ConvClassifier, SequenceClassifier
from repr_jax.models.mlp import MLP
from repr_jax.ops import checks
from repr_jax.ops.batch import masked_mean, present
from repr_jax.ops.numerics import argmax


def network(shape, num_classes: int, dropout: float = 0.0):
    """For arrays [batch, ...]: of images, of text and other sequences, or of vectors.

    That of images has the published widths up to 32 x 32 pixels, else more layers.
    """
    if len(shape) == 4:
        widths = (10, 20) if max(shape[1:3]) <= 32 else (32, 64, 64, 128)
        return ConvClassifier(num_classes, widths, dropout=dropout)
    if len(shape) == 3:
        return SequenceClassifier(num_classes)
    return MLP((256, num_classes))


def nll(logits, target):
    """[batch] cross-entropy of classes [batch]; or its mean over attributes, 0 or 1.

    Attributes are [batch, attribute], as logits are then.
    """
    if target.ndim == 1:
        return optax.softmax_cross_entropy_with_integer_labels(logits, target)
    return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, target), axis=-1)


def present_rows(batch, column):
    """[batch] bool: the rows that have modality number `column`."""
    where = jnp.asarray(batch["where"]) if "where" in batch else None
    if where is None:
        where = jnp.ones(len(next(iter(batch.values()))), bool)
    return where & batch["present"][:, column] if "present" in batch else where


def train_classifiers(
    prepare,
    dataset,
    modalities,
    *,
    num_classes,
    num_steps,
    batch_size,
    peak,
    dropout,
    seed,
    target="label",
):
    """One network per modality, all trained on the same training batches.

    Adam, learning rate from `peak` to 0 on a cosine, cross-entropy, see `nll`. dropout:
    of images' classifiers. target: entry of a prepared batch; num_classes is that of
    classes, or of attributes.

    Returns:
      dict of parameters by name of the modality.
    """
    optimizer = optax.adam(optax.cosine_decay_schedule(peak, num_steps))
    key = jax.random.key(seed)

    @jax.jit
    def init(batch):
        params = {}
        for m, name in enumerate(modalities):
            own_key = jax.random.fold_in(key, m)
            model = network(batch[name].shape, num_classes)
            params[name] = model.init(own_key, batch[name], train=False)["params"]
        return optim.start_descent(params, optimizer, num_steps=num_steps)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, batch):
        def loss(params, extras, step_key, index):
            total = 0.0
            for m, name in enumerate(modalities):
                where = present_rows(batch, m)
                own_key = jax.random.fold_in(step_key, m)
                x = present(batch[name], where)
                model = network(x.shape, num_classes, dropout)
                drop = {"key": own_key} if isinstance(model, ConvClassifier) else {}
                logits = model.apply({"params": params[name]}, x, train=True, **drop)
                total += masked_mean(nll(logits, batch[target]), where=where)
            return total, extras

        root = jax.random.fold_in(key, len(modalities))
        until = state.step + 1
        return optim.descend(loss, state, key=root, optimizer=optimizer, until=until)

    state = init(prepare(next(dataset.train(batch_size))))
    for _, batch in zip(range(num_steps), dataset.train(batch_size)):
        state = step(state, prepare(batch))
    return jax.tree.map(np.asarray, state.params)


def fingerprint(prepare, dataset, modalities, settings) -> str:
    """A name for classifiers: of what they are trained on, and how.

    The data speak through the first 64 training rows: as the dataset yields them, and
    by their mean and spread once prepared, to the four digits that every device count
    agrees on.
    """
    batch = next(iter(dataset.evaluate("train", 64)))
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(json.dumps(dict(dataset.num_examples), sort_keys=True).encode())
    for name in sorted(batch):
        value = np.ascontiguousarray(batch[name])
        digest.update(f"{name} {value.dtype} {value.shape}".encode() + value.tobytes())
    prepared = prepare(batch)
    for name in modalities:
        x = np.nan_to_num(np.asarray(prepared[name], np.float64))
        digest.update(f"{name} {x.shape} {x.mean():.4f} {x.std():.4f}".encode())
        digest.update(repr(network(x.shape, 1)).encode())
    return digest.hexdigest()[:16]


def kept(trained, dataset, **settings) -> dict:
    """As `train_classifiers`, kept in workdir/classifiers and trained only once.

    Raises:
      ValueError: a prepared batch has no `target`, or a class is not below num_classes
        in the first training rows.
    """
    _check_target(trained, dataset, settings.get("target", "label"), settings)
    settings = dict(modalities=trained.modalities, **settings)
    name = fingerprint(trained.prepare, dataset, trained.modalities, settings)
    folder = epath.Path(trained.workdir) / "classifiers"
    if os.path.islink(folder) and not folder.exists():  # a run that left its grid
        os.unlink(folder)
    path = folder / f"{name}.msgpack"
    params = None
    if not path.exists():
        logging.info("classifiers: training")
        params = train_classifiers(trained.prepare, dataset, **settings)
    if path.exists():  # or another run of the grid has written them in the meantime
        logging.info("classifiers: reading classifiers from %s", path)
        params = serialization.msgpack_restore(path.read_bytes())
    if jax.process_count() > 1:  # each has seen its own rows: all judge as the first
        params = multihost_utils.broadcast_one_to_all(params)
    if jax.process_index() == 0 and not path.exists():
        files.write(path, serialization.msgpack_serialize(params))
    return params


def _check_target(trained, dataset, target, settings):
    batch = trained.prepare(next(iter(dataset.evaluate("train", 64))))
    if target not in batch:
        raise ValueError(
            f"classifiers: expected an entry {target!r} of a batch, that they learn to "
            f"tell; got {', '.join(sorted(batch))}."
        )
    if batch[target].ndim == 1:
        checks.within("classifiers", settings["num_classes"], label=batch[target])


def make_scorer(params, modalities, num_classes):
    """dict of arrays by modality -> logits [modality, batch, num_classes] float32."""

    @jax.jit
    def score(params, arrays):
        logits = [
            network(arrays[name].shape, num_classes).apply(
                {"params": params[name]}, arrays[name], train=False
            )
            for name in modalities
        ]
        return jnp.stack(logits)

    return lambda arrays: score(params, {name: arrays[name] for name in modalities})


_shown = jax.jit(argmax)


def make_judge(params, modalities, num_classes):
    """dict of arrays by modality -> [modality, batch] int32, the classes they show.

    -1 for what is not finite.
    """
    score = make_scorer(params, modalities, num_classes)
    return lambda arrays: _shown(score(arrays))


def features(params: Mapping, num_classes: int) -> Callable:
    """(name of a modality, its arrays) -> [batch, hidden], the last hidden layer."""

    @jax.jit
    def hidden(params, x):
        _, state = network(x.shape, num_classes).apply(
            {"params": params},
            x,
            train=False,
            capture_intermediates=lambda module, _: module.name == "Dense_0",
            mutable=["intermediates"],
        )
        (layer,) = state["intermediates"]["Dense_0"]["__call__"]
        return jax.nn.relu(layer)

    return lambda name, x: hidden(params[name], x)
