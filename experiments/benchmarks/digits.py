"""What small networks of digits give: features beside outliers, and logits.

`data_dir` is a folder that may have all of MNIST, prepared by tensorflow-datasets, and
emoji.npz of `experiments.make_emoji`; "" has neither, and digits are those embedded.
"""

import functools
import os

import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import scores_calibration, scores_post_hoc, toys
from repr_jax import metrics
from repr_jax.data import emoji, sprites

ROWS = 2_000  # of a set of outliers, at most
FEATURES = (
    "Networks: dense layers of 128 and 64 units on 14 x 14 pixels, trained on {source} "
    "0 to 7; the features are those of 64 units. Seeds choose start and order, data "
    "are the same. Outliers: near_digits, 8 and 9; far_emoji, if there, silhouettes; "
    "far_sprites, squares, ellipses and hearts; far_photographs, parts of five, in "
    "gray; far_noise, uniform. ODIN moves pixels by 0.01."
)
LOGITS = (
    "Networks: two dense layers of 64 units, trained for 1,500 steps on 400 digits of "
    "{source}, so that they are too sure. Seeds choose start, order and which half of "
    "the test digits is held out."
)
NAMES = {"mnist": "MNIST", "embedded": "embedded MNIST"}


def _mnist(data_dir: str) -> str:
    """The folder, if it has MNIST, or else ""."""
    data_dir = os.path.expanduser(data_dir)
    return data_dir if data_dir and os.path.isdir(f"{data_dir}/mnist") else ""


def _emoji(data_dir: str) -> str:
    """The file of emoji in a folder, or ""."""
    path = os.path.join(os.path.expanduser(data_dir), "emoji.npz")
    return path if data_dir and os.path.isfile(path) else ""


def source(data_dir: str) -> str:
    """What a folder gives, in a word that names files.

    Raises:
      FileNotFoundError: it has neither.
    """
    if data_dir and not _mnist(data_dir) and not _emoji(data_dir):
        raise FileNotFoundError(
            f"digits: expected mnist or emoji.npz in --data_dir; got {data_dir}."
        )
    name = "mnist" if _mnist(data_dir) else "embedded"
    return f"{name}_emoji" if _emoji(data_dir) else name


def about(text: str, data_dir: str) -> str:
    """FEATURES or LOGITS with the digits' name."""
    return text.format(source=NAMES[source(data_dir).partition("_")[0]])


def features(seed: int, data_dir: str = "") -> dict[str, np.ndarray]:
    """Arrays of `outliers`: a classifier of 0 to 7 and what it makes of other rows."""
    known, folder = range(8), _mnist(data_dir)
    x, y = toys.some(*toys.digits("train", data_dir=folder), known, 60_000)
    t, label = toys.some(*toys.digits("test", data_dir=folder), known, 10_000)
    new, _ = toys.some(*toys.digits("test", data_dir=folder), (8, 9), ROWS)
    params = toys.classifier(seed, x, y, widths=(128, 64), num_steps=3_000)
    rows = {"train": x, "test": t, "outliers_near_digits": new}
    if path := _emoji(data_dir):
        rows["outliers_far_emoji"] = silhouettes(path)
    rng = np.random.default_rng(0)
    rows["outliers_far_sprites"] = shapes(rng)
    rows["outliers_far_photographs"] = scores_post_hoc.photographs(0, ROWS)
    rows["outliers_far_noise"] = rng.uniform(size=(ROWS, 196)).astype(np.float32)
    found = {name: np.asarray(toys.hidden(params, x)) for name, x in rows.items()}
    logits_of = functools.partial(toys.apply, params)
    for name in rows.keys() - {"train"}:
        score = metrics.odin(logits_of, rows[name], epsilon=0.01)
        found[f"score_ODIN_of_{name.removeprefix('outliers_')}"] = np.asarray(score)
    kernel, bias = (np.asarray(a) for a in params[-1])
    labels = {"train_label": y, "test_label": label}
    return found | labels | {"weights": kernel.T, "bias": bias}


def silhouettes(path: str) -> np.ndarray:
    """[rows, 196] of emoji in their default tone: ink is what is not white."""
    data = emoji.read(path)
    images = data["noto"][data["tone"] <= 0][:ROWS, 2:-2, 2:-2]
    ink = 1 - images.min(axis=-1) / np.float32(255)
    return toys.pooled(ink, 14).reshape(len(ink), -1)


def shapes(rng: np.random.Generator) -> np.ndarray:
    """[ROWS, 196] random sprites in white."""
    factors = sprites.factors_of(rng.integers(sprites.NUM_IMAGES, size=ROWS))
    drawn = sprites.render(jnp.asarray(factors), jnp.zeros(ROWS, int), size=28)[..., 0]
    return toys.pooled(np.asarray(drawn), 14).reshape(ROWS, -1)


def logits(seed: int, data_dir: str = "") -> dict[str, np.ndarray]:
    """Arrays of `calibration`: half of the test digits held out, half to test."""
    names = ("held_out", "held_out_label", "test", "test_label")
    found = scores_calibration.overtrained(seed, _mnist(data_dir), 10_000)
    return dict(zip(names, found))
