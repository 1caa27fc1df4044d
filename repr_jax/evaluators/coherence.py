"""Do generated modalities show what the given ones show? Classifiers are the judges.

Conditional: images of modality m generated from the modalities A of a test example, z
drawn from their posterior, show its label. Joint: all modalities generated from one z
of the prior show the same class. The classifiers, one a modality, are trained here and
kept in workdir/classifiers; their dropout is off when they judge, while the published
code leaves it on.

Source: Shi et al., "Variational Mixture-of-Experts Autoencoders", 2019,
  https://arxiv.org/abs/1911.03393; means by number of views as in Sutter, Daunhawer and
  Vogt, 2021, https://arxiv.org/abs/2105.02470.
"""

import functools
import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging
from etils import epath
from flax import serialization
from jax.experimental import multihost_utils

from repr_jax import files, metrics, optim
from repr_jax.evaluators.common import (
    Evaluation,
    Table,
    batches,
    by_size,
    mean_by_views,
    needs,
    rows_with,
    subsets,
    with_present,
)
from repr_jax.models.classifier import ConvClassifier
from repr_jax.ops.batch import masked_mean, present


def present_rows(batch, column):
    """[batch] bool: the rows that have modality number `column`."""
    where = jnp.asarray(batch["where"]) if "where" in batch else None
    if where is None:
        where = jnp.ones(batch["label"].shape, bool)
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
):
    """One ConvClassifier per modality, all trained on the same training batches.

    Adam, learning rate from `peak` to 0 on a cosine, cross-entropy.

    Returns:
      dict of parameters by name of the modality.
    """
    model = ConvClassifier(num_classes, dropout=dropout)
    optimizer = optax.adam(optax.cosine_decay_schedule(peak, num_steps))
    key = jax.random.key(seed)

    @jax.jit
    def init(batch):
        params = {}
        for m, name in enumerate(modalities):
            own_key = jax.random.fold_in(key, m)
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
                logits = model.apply(
                    {"params": params[name]}, x, train=True, key=own_key
                )
                nll = optax.softmax_cross_entropy_with_integer_labels(
                    logits, batch["label"]
                )
                total += masked_mean(nll, where=where)
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
    return digest.hexdigest()[:16]


def classifiers(trained, dataset, **settings):
    """As `train_classifiers`, kept in workdir/classifiers and trained only once."""
    settings = dict(modalities=trained.modalities, **settings)
    name = fingerprint(trained.prepare, dataset, trained.modalities, settings)
    folder = epath.Path(trained.workdir) / "classifiers"
    path = folder / f"{name}.msgpack"
    if path.exists():
        logging.info("coherence: reading classifiers from %s", path)
        params = serialization.msgpack_restore(path.read_bytes())
    else:
        logging.info("coherence: training classifiers")
        params = train_classifiers(trained.prepare, dataset, **settings)
    if jax.process_count() > 1:  # each has seen its own rows: all judge as the first
        params = multihost_utils.broadcast_one_to_all(params)
    if jax.process_index() == 0 and not path.exists():
        files.write(path, serialization.msgpack_serialize(params))
    return params


def make_judge(params, modalities, num_classes):
    """dict of images by modality -> [modality, batch] int32, the classes they show."""
    model = ConvClassifier(num_classes)

    @jax.jit
    def predict(params, images):
        logits = [
            model.apply({"params": params[name]}, images[name], train=False)
            for name in modalities
        ]
        return jnp.argmax(jnp.stack(logits), axis=-1).astype(jnp.int32)

    return lambda images: predict(params, {name: images[name] for name in modalities})


def unconditional(trained, dataset, judge, key, *, num_random, batch_size):
    """[modality, num_random] int32: what the judges see in samples from the prior."""
    template = next(iter(dataset.evaluate("test", batch_size)))
    template = {**template, "where": np.ones(len(template["where"]), bool)}
    nothing = with_present(template, np.zeros(len(trained.modalities), bool))
    seen = []
    for n in range(-(-num_random // len(template["where"]))):
        images = trained.outputs["generate"](nothing, jax.random.fold_in(key, n))
        seen.append(np.asarray(judge(images)))
    return np.concatenate(seen, axis=1)[:, :num_random]


def conditional(trained, dataset, judge, key, *, batch_size, limit):
    """What the judges see in the test images, and in those generated from subsets.

    Returns:
      originals: (classes seen [modality, rows], labels [rows], where [modality, rows]),
        False where the test set lacks the image.
      generated: dict by name of the subset -> (classes seen [modality, rows], labels
        [rows]) of the rows that have all of it.
    """
    names = trained.modalities
    chosen = subsets(names)
    originals, generated = [], {name: [] for name in chosen}
    for n, batch in enumerate(batches(dataset, "test", batch_size, limit=limit)):
        there = np.stack([rows_with(batch, row) for row in np.eye(len(names))])
        labels = np.asarray(batch["label"], np.int32)
        originals.append((judge(trained.prepare(batch)), labels, there))
        for s, (name, subset) in enumerate(chosen.items()):
            rows = rows_with(batch, subset)
            if not np.any(rows):
                continue
            own_key = jax.random.fold_in(jax.random.fold_in(key, s), n)
            images = trained.outputs["generate"](with_present(batch, subset), own_key)
            seen = np.asarray(judge(images))[:, rows]
            generated[name].append((seen, labels[rows]))

    def joined(parts):
        return tuple(np.concatenate(arrays, axis=-1) for arrays in zip(*parts))

    return joined(originals), {n: joined(x) for n, x in generated.items() if x}


def by_target(names, generated, *, inside: bool) -> dict[str, float]:
    """{"m0+m1->m2": share of right classes}; targets inside the subset, or outside.

    Means over the subsets of a size come last.
    """
    scores = {}
    for name, (seen, labels) in generated.items():
        for target, classes in zip(names, seen):
            if (target in name.split("+")) == inside:
                right = metrics.accuracy(classes, labels)
                scores[f"{name}->{target}"] = float(right)
    return scores | mean_by_views(scores)


ABOUT = (
    "How often a generated view shows the class that it should, as a classifier sees "
    "it; self: of views that were among the given ones. The classifiers are right on "
    "{} of real test images. Chance: {:.3f}."
)


def tabulate(names, num_classes, judged, outside, inside) -> tuple[Table, ...]:
    """By number of views, and by subset and target."""
    ceiling = ", ".join(f"{judged[name]:.3f} ({name})" for name in judged)
    columns = {"coherence": outside, "self": inside}
    sizes = Table(
        "Coherence by number of views",
        ABOUT.format(ceiling, 1 / num_classes),
        ("given", *columns),
        by_size(columns, names),
    )
    rows = [
        (given, *(scores.get(f"{given}->{target}") for target in names))
        for scores in [outside | inside]
        for given in subsets(names)
    ]
    header = ("given", *(f"\u2192 {target}" for target in names))
    note = "A target that is among the given views is a reconstruction."
    return sizes, Table("Coherence by subset and target", note, header, rows)


@needs("generate")
def evaluate(
    trained,
    dataset,
    *,
    classifier_steps: int = 800,
    classifier_batch: int = 128,
    classifier_peak: float = 4e-3,
    classifier_dropout: float = 0.0,
    num_classes: int = 10,
    num_random: int = 10_000,
    batch_size: int = 256,
    limit: int | None = None,
    seed: int = 0,
) -> Evaluation:
    """How often generated images show the class that they should, by classifiers.

    Args:
      trained: Trained with a `generate`, of image modalities.
      dataset: Dataset with a `label` in [0, num_classes).
      classifier_steps, classifier_batch: how long the judges are trained.
      classifier_peak: their largest learning rate.
      classifier_dropout: theirs; 0.5 as published suits a fixed training set, and 0 one
        that is composed anew at each step.
      num_classes: classes that the judges tell apart.
      num_random: samples from the prior.
      batch_size: rows generated at a time.
      limit: number of random test rows to use; None for all.
      seed: of the judges and of what is generated.

    Returns:
      Fractions in [0, 1], see `summary`.
    """
    names = trained.modalities
    if not names:
        raise ValueError("coherence: expected a model of named modalities; got none.")
    params = classifiers(
        trained,
        dataset,
        num_classes=num_classes,
        num_steps=classifier_steps,
        batch_size=classifier_batch,
        peak=classifier_peak,
        dropout=classifier_dropout,
        seed=seed,
    )
    judge = make_judge(params, names, num_classes)
    keys, sizes = jax.random.split(jax.random.key(seed)), dict(batch_size=batch_size)
    seen = conditional(trained, dataset, judge, keys[0], limit=limit, **sizes)
    if len(names) == 1:
        return summary(names, num_classes, *seen, None)
    free = unconditional(
        trained, dataset, judge, keys[1], num_random=num_random, **sizes
    )
    return summary(names, num_classes, *seen, free)


def summary(names, num_classes, originals, generated, free) -> Evaluation:
    """The numbers and tables of what the judges saw; free: in samples, or None.

    1 is best and 1 / num_classes is chance, except of the last.
      "classifier/m0": accuracy of a judge on test images, the ceiling of the others.
      "m0+m1->m2": for every proper subset and target outside it, of the rows that have
        all of the subset.
      "1_view", "2_views", ...: means of those, by size of subset.
      "self/m0+m1->m0": targets inside the subset, reconstructions; and their
        means "self/1_view", ....
      "joint": all judges agree; chance is num_classes^-(M - 1). Absent if
        there is one modality.
    """
    seen, labels, where = originals
    judged = {
        name: float(metrics.accuracy(seen[m], labels, where=where[m]))
        for m, name in enumerate(names)
        if np.any(where[m])
    }
    outside, inside = (
        by_target(names, generated, inside=inside) for inside in (False, True)
    )
    found = {f"classifier/{name}": value for name, value in judged.items()} | outside
    found |= {f"self/{name}": value for name, value in inside.items()}
    chance = dict.fromkeys(found, 1 / num_classes)
    if free is not None:
        found["joint"] = float(metrics.agreement(free))
        chance["joint"] = float(num_classes) ** -(len(names) - 1)
    tables = tabulate(names, num_classes, judged, outside, inside)
    return Evaluation(found, {}, tables, chance, ("1_view", "2_views", "joint"))
