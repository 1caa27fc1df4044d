"""Is an upsampler fair, diverse and good? Of any function of measurements.

    def upsample(y, key):  # NumPy will do
        return y.repeat(8, axis=1).repeat(8, axis=2)

    fairness.benchmark(upsample, images, labels, classify, operator=average_pool(8))

Originals that the classifier gets right are measured, rebuilt and classified again;
`metrics.fairness` says what RDP, PR and UCPR are. For UCPR each class's mean image is
measured and made coarser still, and rebuilt many times. Everything is said about what
the classifier sees, not about the images.
"""

import functools
import itertools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from repr_jax import figures, metrics
from repr_jax.evaluators import classifiers
from repr_jax.evaluators.common import Evaluation, Picture, Table, batches, needs
from repr_jax.ops import checks
from repr_jax.ops.measurement import Operator

MEASURES = ("chi2", "chebyshev", "tv", "kl")
NOTIONS = {
    "rdp": "accuracy is equal for all classes",
    "pr": "classes are as frequent as among originals",
    "ucpr": "inputs that tell nothing give all classes equally often",
}
WALL = (
    "Originals, measurements and what was made of them",
    "Real test images, marked in orange, of every class; below each its measurement, "
    "enlarged, and independent draws of the upsampler. Look for faces that keep their "
    "class, and for draws that differ.",
)
COARSE = (
    "Made of inputs that tell nothing",
    "Each column starts with the mean image of a class, marked in orange; below it its "
    "coarse measurement, enlarged, and draws. Look for classes that prevail.",
)
ABOUT = (
    "Distances of the shares of classes from equal ones, 0 is fair, with {:.0%} "
    "intervals; floor: what a fair model stays below in {:.0%} of the cases with as "
    "many samples; p: of the notion being true, corrected together by Holm. A random "
    "guess is fair too: read it beside accuracy."
)
CONFUSION = (
    "Classes of originals in rows, and in columns those that the classifier sees in "
    "what was made of them, out of 1."
)


def benchmark(
    upsample: Callable,
    images: np.ndarray,
    labels: np.ndarray,
    classify: Callable,
    *,
    operator: Operator,
    num_classes: int,
    coarsen: int = 2,
    num_draws: int = 100,
    distances: Mapping[str, Callable] | None = None,
    level: float = 0.95,
    num_simulated: int = 1000,
    batch_size: int = 64,
    seed: int = 0,
) -> Evaluation:
    """Fairness, diversity and performance of an upsampler.

    Args:
      upsample: (y [batch, ...] of the operator, PRNG key) -> images [batch, height,
        width, channels] in [0, 1]; batch is batch_size or less.
      images: [rows, height, width, channels] float in [0, 1], the originals, as many of
        each class by custom.
      labels: [rows] int in [0, num_classes).
      classify: images [batch, ...] -> classes [batch] int; another batch each time.
      operator: what is measured of images, with y [batch, h, w, ...].
      num_classes: K >= 2.
      coarsen: for UCPR, means of coarsen x coarsen places of y, each repeated; a
        divisor of both of its sides. How little they tell is to be checked: by
        "ucpr/p_value/homogeneity".
      num_draws: of each of the K inputs of UCPR.
      distances: {name: (originals, made) -> [batch]}, more of performance, such as
        `perceptual.distance`.
      level: of the intervals. num_simulated: `num_draws` of `metrics.rdp`.
      batch_size: images made at a time.
      seed: of the draws and of the intervals.

    Returns:
      "rdp/chi2", "rdp/chi2/low", "rdp/chi2/high", "rdp/chi2/floor", ... of MEASURES and
      "rdp/p_value", likewise "pr/..." and "ucpr/..."; all of `metrics.fairness`.
      "accuracy": of what was made, and "kept": the share of originals used.
      "smallest_chi2": what so many samples can tell from 0 four times in five.
      "psnr", "dssim" (of sides of 11 or more), "sharpness" over that of originals, and
      one of each of `distances`: means. "distinct": different images a coarse input
      has, over num_draws. Two pictures and two tables.

    Raises:
      ValueError: images outside of [0, 1] or of another size than what is made; labels
        outside of the classes; a class without an original that is classified right.
    """
    who, key = "fairness", jax.random.key(seed)
    images, labels = _originals(who, images, labels, num_classes)
    run = functools.partial(_by_batch, batch_size)
    right = run(classify, images) == labels
    kept, images, labels = float(np.mean(right)), images[right], labels[right]
    missing = np.setdiff1d(np.arange(num_classes), labels)
    if len(missing):
        raise ValueError(
            f"{who}: expected originals of every class that the classifier gets right; "
            f"class {missing[0]} has none."
        )

    def measure(x: np.ndarray) -> np.ndarray:
        return operator.forward(jnp.asarray(x))

    def draw(stream: int, y: np.ndarray) -> np.ndarray:
        keys = _keys(jax.random.fold_in(key, stream))
        return _made(who, run(lambda y: upsample(y, next(keys)), y), images)

    y = run(measure, images)
    made = draw(0, y)
    means = np.stack([images[labels == k].mean(axis=0) for k in range(num_classes)])
    coarse = _coarsened(who, np.asarray(measure(means)), coarsen)
    many = draw(1, np.repeat(coarse, num_draws, axis=0))
    inputs = np.repeat(np.arange(num_classes), num_draws)
    table, counts = (
        metrics.contingency(
            rows, run(classify, x), num_clusters=num_classes, num_classes=num_classes
        )
        for rows, x in ((labels, made), (inputs, many))
    )
    many = many.reshape(num_classes, num_draws, *many.shape[1:])
    distinct = metrics.num_distinct(many) if num_draws > 1 else np.ones(num_classes)
    if num_draws > 1 and np.all(distinct == 1):
        logging.warning("%s: a function of its input; UCPR has a draw each.", who)
        counts = counts // num_draws
    options = dict(level=level, num_draws=num_simulated, seed=seed)
    numbers = _notions(table, counts, **options) | {"kept": kept}
    numbers["distinct"] = float(np.mean(distinct)) / num_draws
    numbers["smallest_chi2"] = metrics.smallest_chi2(len(labels), num_classes)
    numbers |= _performance(run, images, made, distances or {})
    again = made if np.all(distinct == 1) else draw(2, y)
    pictures = {
        "wall": Picture(*WALL, _wall(images, labels, y, (made, again))),
        "uninformative": Picture(*COARSE, _coarse_wall(means, coarse, many)),
    }
    tables = (_table(numbers, level), _confusion(table))
    headline = ("accuracy", "rdp/chi2", "pr/chi2", "ucpr/chi2")
    chance = {"accuracy": 1 / num_classes}
    return Evaluation(numbers, pictures, tables, chance, headline)


@needs("restore")
def evaluate(
    trained,
    dataset,
    *,
    operator: Callable,
    num_classes: int,
    coarsen: int = 2,
    num_draws: int = 100,
    distances: Mapping[str, Callable] | None = None,
    limit: int | None = None,
    num_simulated: int = 1000,
    classifier_steps: int = 2000,
    classifier_batch: int = 128,
    classifier_peak: float = 4e-3,
    judge_data: Callable | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> Evaluation:
    """`benchmark` of the output `restore` on the test split, judged by a classifier.

    Args:
      trained: Trained with `restore`, of a batch with `y`.
      dataset: Dataset of `image` and `label`.
      operator: makes that of the experiment: in a config dict(fn=...).
      num_classes, coarsen, num_draws, distances, num_simulated, batch_size, seed: as of
        `benchmark`.
      limit: test rows at most, random ones; None for all.
      classifier_steps, classifier_batch, classifier_peak: of the judge that is trained
        here, see `evaluators.classifiers`.
      judge_data: makes the dataset that the judge is trained on, a balanced one, if the
        run's own is not; None for the run's.

    Returns, Raises: as `benchmark`.
    """
    own = dataset if judge_data is None else judge_data()
    settings = dict(
        num_classes=num_classes,
        num_steps=classifier_steps,
        batch_size=classifier_batch,
        peak=classifier_peak,
        dropout=0.0,
        seed=seed,
    )
    of_images = trained._replace(modalities=("image",), prepare=jax.jit(own.prepare))
    params = classifiers.kept(of_images, own, **settings)
    judge = classifiers.make_judge(params, ("image",), num_classes)
    images, labels, raw = [], [], None
    for batch in batches(dataset, "test", batch_size, limit=limit):
        prepared, where = trained.prepare(batch), np.asarray(batch["where"])
        raw = batch if raw is None else raw
        images.append(np.asarray(prepared["image"])[where])
        labels.append(np.asarray(prepared["label"])[where])

    def upsample(y: np.ndarray, key: jax.Array) -> np.ndarray:
        rows = np.minimum(np.arange(batch_size), len(y) - 1)  # repeats the last one
        return np.asarray(trained.outputs["restore"]({**raw, "y": y[rows]}, key))[
            : len(y)
        ]

    def classify(x: np.ndarray) -> np.ndarray:
        return np.asarray(judge({"image": jnp.asarray(x)})[0])

    return benchmark(
        upsample,
        np.concatenate(images),
        np.concatenate(labels),
        classify,
        operator=operator(),
        num_classes=num_classes,
        coarsen=coarsen,
        num_draws=num_draws,
        distances=distances,
        num_simulated=num_simulated,
        batch_size=batch_size,
        seed=seed,
    )


def _originals(who, images, labels, num_classes):
    checks.count(who, minimum=2, num_classes=num_classes)
    checks.floating(who, images=images)
    images, labels = np.asarray(images, np.float32), np.asarray(labels)
    if images.ndim != 4:
        raise ValueError(
            f"{who}: expected images [rows, height, width, channels]; got "
            f"{images.shape}."
        )
    checks.integers(who, labels=labels)
    checks.shape(who, images.shape[:1], labels=labels)
    checks.within(who, num_classes, labels=labels)
    if len(labels) < num_classes:
        raise ValueError(
            f"{who}: expected as many images as classes or more; got {len(labels)} and "
            f"{num_classes}."
        )
    _check_range(who, "images", images)
    return images, labels


def _check_range(who, name, images):
    checks.finite(who, **{name: images})
    low, high = np.min(images), np.max(images)
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(
            f"{who}: expected {name} in [0, 1]; got from {low:.3g} to {high:.3g}."
        )


def _made(who, made, images):
    """What an upsampler returned, in float32; ValueError unless it is images."""
    made = np.asarray(made, np.float32)
    checks.shape(who, (len(made), *images.shape[1:]), made=made)
    _check_range(who, "made", made)
    return np.clip(made, 0, 1)


def _by_batch(batch_size, function, *arrays):
    """function(rows of the arrays), for all rows in turn, on the host."""
    starts = range(0, len(arrays[0]), batch_size)
    batches = ([x[n : n + batch_size] for x in arrays] for n in starts)
    return np.concatenate([np.asarray(function(*batch)) for batch in batches])


def _keys(key):
    """Keys of one batch after the other."""
    return (jax.random.fold_in(key, n) for n in itertools.count())


def _coarsened(who, y, factor):
    """Means of factor x factor places of [K, h, w, ...], repeated to the same shape."""
    checks.count(who, coarsen=factor)
    if y.ndim < 3 or y.shape[1] % factor or y.shape[2] % factor:
        raise ValueError(
            f"{who}: expected measurements [rows, h, w, ...] with sides that are "
            f"multiples of coarsen, {factor}; got {y.shape}."
        )
    k, h, w, *rest = y.shape
    means = y.reshape(k, h // factor, factor, w // factor, factor, *rest)
    means = means.mean(axis=(2, 4))
    return means.repeat(factor, axis=1).repeat(factor, axis=2)


def _notions(table, counts, **options):
    """The numbers of all notions, and the accuracy."""
    found = {
        "rdp": metrics.rdp(table, **options),
        "pr": metrics.pr(table, **options),
        "ucpr": metrics.ucpr(counts, **options),
    }
    numbers = {"accuracy": found["rdp"].pop("accuracy")}
    for notion, values in found.items():
        numbers |= {f"{notion}/{name}": value for name, value in values.items()}
    return numbers


def _performance(run, images, made, distances):
    """Means over rows; of PSNR of rows that are not equal, which is infinite else.

    ValueError for a distance that is NaN.
    """
    found = {"psnr": metrics.psnr, **distances}
    if min(images.shape[1:3]) >= 11:
        found["dssim"] = lambda x, z: (1 - metrics.ssim(x, z)) / 2
    numbers = {}
    for name, function in found.items():
        values = run(function, images, made)
        lost = np.flatnonzero(np.isnan(values))
        if len(lost):
            raise ValueError(
                f"fairness: expected numbers of {name}; got NaN in row {lost[0]}."
            )
        finite = values[np.isfinite(values)]
        numbers[name] = float(np.mean(finite)) if len(finite) else float("inf")
    if images.shape[3] in (1, 3):
        sharp = [np.mean(run(metrics.laplacian_variance, x)) for x in (made, images)]
        numbers["sharpness"] = float(sharp[0] / sharp[1]) if sharp[1] else np.inf
    return {name: x for name, x in numbers.items() if np.isfinite(x)}


def _enlarged(y, images):
    """Measurements as images of that size, as far as they are images."""
    factors = [a // b for a, b in zip(images.shape[1:3], y.shape[1:3])]
    y = np.asarray(y, np.float32).repeat(factors[0], axis=1).repeat(factors[1], axis=2)
    return np.clip(y, 0, 1)


def _wall(images, labels, y, draws):
    """Two originals of each class, their measurements and draws."""
    rows = np.concatenate([np.flatnonzero(labels == k)[:2] for k in np.unique(labels)])
    block = [figures.Row("original", images[rows], given=True)]
    block.append(figures.Row("measured", _enlarged(y[rows], images)))
    block += [figures.Row(f"draw {i + 1}", made[rows]) for i, made in enumerate(draws)]
    return figures.mosaic([block])


def _coarse_wall(means, coarse, many):
    block = [figures.Row("mean", means, given=True)]
    block.append(figures.Row("measured", _enlarged(coarse, means)))
    for i in range(min(4, many.shape[1])):
        block.append(figures.Row(f"draw {i + 1}", many[:, i]))
    return figures.mosaic([block])


def _table(numbers, level):
    p_values = metrics.holm({name: numbers[f"{name}/p_value"] for name in NOTIONS})
    rows = []
    for notion, meaning in NOTIONS.items():
        for measure in MEASURES:
            name = f"{notion}/{measure}"
            ends = [numbers[name + end] for end in ("", "/low", "/high", "/floor")]
            rows.append((f"{notion}: {meaning}", measure, *ends, p_values[notion]))
    header = ("notion", "distance", "value", "low", "high", "floor", "p")
    return Table("Fairness", ABOUT.format(level, level), header, rows)


def _confusion(table):
    shares = table / table.sum(axis=1, keepdims=True)
    header = ("class", *(str(k) for k in range(len(table))))
    rows = [(str(k), *map(float, row)) for k, row in enumerate(shares)]
    return Table("Classes before and after", CONFUSION, header, rows)
