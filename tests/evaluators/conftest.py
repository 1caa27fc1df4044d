"""A dataset of three views that spell out the label, and models with known scores."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.data.dataset import Dataset, batch_indices, padded_rows
from repr_jax.evaluators.common import Trained

MODALITIES = ("m0", "m1", "m2")
NUM_CLASSES = 4


def paint(labels, column):
    """[...] labels -> [..., 28, 28, 3]: a bright bar, at the place of the label."""
    bars = jnp.repeat(jnp.eye(NUM_CLASSES), 7, axis=1)[labels]  # [..., 28]
    shape = (*labels.shape, 28, 28, 3)
    brightness = (1.0, 0.7, 0.4)[column]
    return brightness * jnp.broadcast_to(bars[..., :, None, None], shape)


@pytest.fixture
def dataset():
    """40 training and 21 test rows, sorted by label, composed on the device."""
    labels = {"train": np.arange(40) // 10, "test": np.arange(21) // 6}

    def take(split, rows):
        return {"label": labels[split][rows].astype(np.int32), "row": rows}

    def train(batch_size, start_step=0):
        step = start_step
        while True:
            yield take("train", batch_indices(0, step, 40, batch_size))
            step += 1

    def evaluate(split, batch_size):
        for rows, where in padded_rows(len(labels[split]), batch_size):
            yield {**take(split, rows), "where": where}

    def prepare(batch):
        noise_key = jax.random.key(0)
        views = {}
        for m, name in enumerate(MODALITIES):
            noise = jax.random.uniform(noise_key, (len(batch["row"]), 28, 28, 3))
            views[name] = paint(batch["label"], m) + 0.1 * noise
        return {**batch, **views}

    num_examples = {split: len(rows) for split, rows in labels.items()}
    return Dataset(train, evaluate, prepare, num_examples, MODALITIES)


def has(row):
    """[...] rows -> [..., 3] bool: of every third row m0 is absent, of the 8th all."""
    row = np.asarray(row)[..., None]
    absent = np.concatenate([row % 3 == 0, row % 4 == 1, row < 0], axis=-1)
    return ~absent & (row != 7)


@pytest.fixture
def gaps(dataset):
    """The dataset with absent modalities, and one row that has none."""

    def evaluate(split, batch_size):
        for batch in dataset.evaluate(split, batch_size):
            yield {**batch, "present": has(batch["row"])}

    def train(batch_size, start_step=0):
        for batch in dataset.train(batch_size, start_step):
            yield {**batch, "present": has(batch["row"])}

    def prepare(batch):
        views = dataset.prepare(batch)
        for m, name in enumerate(MODALITIES):
            here = batch["present"][:, m, None, None, None]
            views[name] = jnp.where(here, views[name], jnp.nan)
        return views

    return dataset._replace(train=train, evaluate=evaluate, prepare=prepare)


@pytest.fixture
def answering():
    """(model, name=output) -> the model with these outputs in place of its own."""

    def replaced(model, **outputs):
        return model._replace(outputs={**model.outputs, **outputs})

    return replaced


@pytest.fixture
def here():
    """[21, 3] bool: which views the rows of `gaps`' test split have."""
    return has(np.arange(21))


@pytest.fixture
def perfect(dataset, tmp_path):
    """Knows every label; without any view it draws one, the same for all views."""

    def generate(batch, key=None):
        drawn = jax.random.randint(key, batch["label"].shape, 0, NUM_CLASSES)
        given = jnp.any(batch["present"], axis=1)
        labels = jnp.where(given, batch["label"], drawn)
        return {name: paint(labels, m) for m, name in enumerate(MODALITIES)}

    def represent(batch, key=None):
        return jax.nn.one_hot(batch["label"], NUM_CLASSES)

    def bound(batch, key=None):
        """-(number of views) for each row, plus the row number."""
        rows = jnp.ones((len(batch["row"]), 3), bool)
        views = jnp.sum(batch.get("present", rows), axis=1)
        value = jnp.where(batch["where"], batch["row"] - views, 0)
        return jnp.sum(value) / jnp.sum(batch["where"])

    def latents(batch, key=None):
        noise = jax.random.normal(key, (len(batch["label"]), NUM_CLASSES))
        return represent(batch) + 0.1 * noise

    def decode(batch, key=None):
        """What shows the nearest class to z."""
        labels = jnp.argmax(batch["z"], axis=1)
        return {name: paint(labels, m) for m, name in enumerate(MODALITIES)}

    outputs = {"represent": represent, "generate": generate, "bound": bound}
    outputs |= {"latents": latents, "decode": decode}
    return Trained(
        outputs={name: jax.jit(output) for name, output in outputs.items()},
        prepare=jax.jit(dataset.prepare),
        modalities=MODALITIES,
        workdir=str(tmp_path),
    )


@pytest.fixture
def thinned():
    """Of a dataset of two modalities, one without every third first, fourth second."""

    def thinned(dataset):
        def evaluate(split, batch_size):
            for batch in dataset.evaluate(split, batch_size):
                row = np.arange(len(batch["where"]))
                here = np.stack([row % 3 > 0, row % 4 > 0], axis=1)
                yield {**batch, "present": here}

        return dataset._replace(evaluate=evaluate)

    return thinned
