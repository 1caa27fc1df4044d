"""Is an upsampler fair, diverse and good? Of any function of measurements.

    def upsample(y, key):  # NumPy will do
        return y.repeat(8, axis=1).repeat(8, axis=2)

    pool = average_pool(8)
    fairness.benchmark(upsample, images, labels, classify, operator=pool, num_classes=7)

Originals that the classifier gets right are measured, rebuilt and classified again;
`metrics.fairness` says what RDP, PR and UCPR are. For UCPR each class's mean image is
measured and made coarser still, and rebuilt many times; and again with noise of its own
each time, since a function of its input makes one image of it. Everything is said about
what the classifier sees, not about the images. The numbers:

  rdp/chi2, rdp/chi2/low, rdp/chi2/high, rdp/chi2/floor, ... of four measures,
  rdp/p_value, and likewise pr/..., ucpr/... and ucpr_noisy/...: all of
  `metrics.fairness`;
  pr/share/0, ..., ucpr/share/0, ...: of the classes, in what was made;
  accuracy: of what was made; kept: the share of originals used;
  smallest_chi2: what so many samples can tell from 0 four times in five;
  psnr, dssim (of sides of 11 or more), sharpness over that of originals, niqe against
  the originals (of sides of 16 or more), and one of each of `distances`: means;
  distinct: different images that a coarse input has, over the draws of it;
  seconds: of an image, in batches.
"""

import functools
import itertools
import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from repr_jax import metrics
from repr_jax.evaluators import classifiers
from repr_jax.evaluators import fairness_pictures as pictures
from repr_jax.evaluators.common import Evaluation, batches, needs
from repr_jax.ops import checks
from repr_jax.ops.measurement import Operator

WHO = "fairness"
HEADLINE = ("accuracy", "rdp/chi2", "pr/chi2", "ucpr/chi2")
BLOCK = 16  # pixels a side that NIQE looks at together

psnr = jax.jit(metrics.psnr)
cosine_distance = jax.jit(metrics.cosine_distance)
laplacian_variance = jax.jit(metrics.laplacian_variance)


@jax.jit
def dissimilarity(x, z):
    return (1 - metrics.ssim(x, z)) / 2


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
    noise: float = 0.05,
    distances: Mapping[str, Callable] | None = None,
    level: float = 0.95,
    num_simulated: int = 1000,
    batch_size: int = 64,
    seed: int = 0,
) -> Evaluation:
    """Fairness, diversity and performance of an upsampler: the module has the numbers.

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
      num_draws: of each of the K inputs of UCPR. noise: of "ucpr_noisy", its standard
        deviation in y, whose range is kept.
      distances: {name: (originals, made) -> [batch]}, more of performance, such as
        `perceptual.distance`.
      level, num_simulated, seed: of the intervals; num_simulated: `metrics.rdp`'s
        num_draws. batch_size: images made at a time. seed: of the draws too.

    Raises:
      ValueError: images outside of [0, 1] or of another size than what is made; labels
        outside of the classes; a class without an original that is classified right.
    """
    run = functools.partial(_by_batch, batch_size)
    classify = functools.partial(run, classify)
    measure = functools.partial(run, lambda x: operator.forward(jnp.asarray(x)))
    images, labels, kept = _kept(classify, images, labels, num_classes)
    draw = _drawing(functools.partial(run, upsample), seed, images.shape[1:])
    y = measure(images)
    made = draw(0, y)
    means = np.stack([images[labels == k].mean(axis=0) for k in range(num_classes)])
    coarse = _coarsened(measure(means), coarsen)
    inputs = np.repeat(coarse, num_draws, axis=0)
    many, seconds = _timed(draw, 1, inputs)
    noisy = draw(3, _perturbed(inputs, noise, seed, y))
    table = _table(labels, classify(made), num_classes)
    counts, distinct = _of_inputs(classify(many), many, num_classes)
    noisy_counts, _ = _of_inputs(classify(noisy), noisy, num_classes)
    numbers = {"kept": kept, "distinct": distinct, "seconds": seconds} | _notions(
        table, counts, noisy_counts, level=level, num_draws=num_simulated, seed=seed
    )
    numbers |= _performance(run, images, made, distances or {})
    rows = np.concatenate([np.flatnonzero(labels == k)[:2] for k in np.unique(labels)])
    walls = {
        "wall": pictures.wall(images[rows], y[rows], (made[rows], draw(2, y[rows]))),
        "uninformative": pictures.coarse_wall(means, coarse, many),
    }
    shown = (pictures.table(numbers, level), pictures.confusion(table))
    return Evaluation(numbers, walls, shown, {"accuracy": 1 / num_classes}, HEADLINE)


@needs("restore")
def evaluate(
    trained,
    dataset,
    *,
    operator: Callable,
    num_classes: int,
    limit: int | None = None,
    classifier_steps: int = 2000,
    classifier_batch: int = 128,
    classifier_peak: float = 4e-3,
    judge_data: Callable | None = None,
    distances: Mapping[str, Callable] | None = None,
    coarsen: int = 2,
    num_draws: int = 100,
    noise: float = 0.05,
    num_simulated: int = 1000,
    batch_size: int = 64,
    seed: int = 0,
) -> Evaluation:
    """`benchmark` of the output `restore` on the test split, judged by a classifier.

    With the number "cosine" too: 1 - cosine of the judge's features of originals and of
    what was made.

    Args:
      trained: Trained with `restore`, of a batch with `y`.
      dataset: Dataset of `image` and `label`.
      operator: makes that of the experiment: in a config dict(fn=...).
      limit: test rows at most, random ones; None for all.
      classifier_steps, classifier_batch, classifier_peak: of the judge that is trained
        here, see `evaluators.classifiers`.
      judge_data: makes the dataset that the judge is trained on, a balanced one, if the
        run's own is not; None for the run's.
      others: as of `benchmark`, whose errors it raises.
    """
    own = dataset if judge_data is None else judge_data()
    settings = dict(
        num_steps=classifier_steps, batch_size=classifier_batch, peak=classifier_peak
    )
    classify, cosine = _judge(trained, own, num_classes, seed=seed, **settings)
    images, labels, raw = _test_rows(trained, dataset, batch_size, limit)
    return benchmark(
        upsampler(trained, raw),
        images,
        labels,
        classify,
        operator=operator(),
        num_classes=num_classes,
        distances={"cosine": cosine, **(distances or {})},
        coarsen=coarsen,
        num_draws=num_draws,
        noise=noise,
        num_simulated=num_simulated,
        batch_size=min(batch_size, len(raw["where"])),  # smaller than it by a limit
        seed=seed,
    )


def upsampler(trained, batch: Mapping) -> Callable:
    """(y, key) -> images: the output `restore`, compiled for one size of batches.

    batch: one as the dataset yields it; fewer y are filled up to its size, and more are
    a ValueError.
    """
    size = len(jax.tree.leaves(dict(batch))[0])

    def upsample(y: np.ndarray, key: jax.Array) -> np.ndarray:
        if len(y) > size:
            raise ValueError(
                f"{WHO}: expected {size} measurements or fewer, the rows of the batch; "
                f"got {len(y)}."
            )
        rows = np.minimum(np.arange(size), len(y) - 1)  # repeats the last one
        full = {**batch, "y": np.asarray(y)[rows]}
        return np.asarray(trained.outputs["restore"](full, key))[: len(y)]

    return upsample


def _judge(trained, dataset, num_classes, **settings):
    """images -> classes; (images, images) -> cosine distances of features."""
    settings |= dict(num_classes=num_classes, dropout=0.0)
    prepare = jax.jit(dataset.prepare)
    of_images = trained._replace(modalities=("image",), prepare=prepare)
    params = classifiers.kept(of_images, dataset, **settings)
    judge = classifiers.make_judge(params, ("image",), num_classes)
    features = classifiers.features(params, num_classes)

    def classify(x: np.ndarray) -> np.ndarray:
        return np.asarray(judge({"image": jnp.asarray(x)})[0])

    def cosine(x: np.ndarray, made: np.ndarray) -> jax.Array:
        both = (features("image", jnp.asarray(a)) for a in (x, made))
        return cosine_distance(*both)

    return classify, cosine


def _test_rows(trained, dataset, batch_size, limit):
    """Images and labels of the test split, and its first batch as it was yielded."""
    images, labels, raw = [], [], None
    for batch in batches(dataset, "test", batch_size, limit=limit):
        prepared, where = trained.prepare(batch), np.asarray(batch["where"])
        raw = batch if raw is None else raw
        images.append(np.asarray(prepared["image"])[where])
        labels.append(np.asarray(prepared["label"])[where])
    return np.concatenate(images), np.concatenate(labels), raw


def _kept(classify, images, labels, num_classes):
    """The originals that are classified right, their labels, and their share."""
    images, labels = _originals(images, labels, num_classes)
    right = classify(images) == labels
    missing = np.setdiff1d(np.arange(num_classes), labels[right])
    if len(missing):
        raise ValueError(
            f"{WHO}: expected originals of every class that the classifier gets right; "
            f"class {missing[0]} has none."
        )
    return images[right], labels[right], float(np.mean(right))


def _originals(images, labels, num_classes):
    checks.count(WHO, minimum=2, num_classes=num_classes)
    checks.floating(WHO, images=images)
    images, labels = np.asarray(images, np.float32), np.asarray(labels)
    if images.ndim != 4:
        raise ValueError(
            f"{WHO}: expected images [rows, height, width, channels]; got "
            f"{images.shape}."
        )
    checks.integers(WHO, labels=labels)
    checks.shape(WHO, images.shape[:1], labels=labels)
    checks.within(WHO, num_classes, labels=labels)
    if len(labels) < num_classes:
        raise ValueError(
            f"{WHO}: expected as many images as classes or more; got {len(labels)} and "
            f"{num_classes}."
        )
    _check_range("images", images)
    return images, labels


def _check_range(name, images):
    checks.finite(WHO, **{name: images})
    low, high = np.min(images), np.max(images)
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(
            f"{WHO}: expected {name} in [0, 1]; got from {low:.3g} to {high:.3g}."
        )


def _drawing(upsample, seed, shape):
    """(stream, y) -> images of this shape, checked; other numbers for each stream."""

    def draw(stream: int, y: np.ndarray) -> np.ndarray:
        key = jax.random.fold_in(jax.random.key(seed), stream)
        keys = (jax.random.fold_in(key, n) for n in itertools.count())
        made = np.asarray(upsample(y, keys=keys), np.float32)
        checks.shape(WHO, (len(y), *shape), made=made)
        _check_range("made", made)
        return np.clip(made, 0, 1)

    return draw


def _timed(draw, stream, y):
    """What is drawn, by functions that are compiled, and the seconds of an image."""
    start = time.perf_counter()
    made = draw(stream, y)
    return made, (time.perf_counter() - start) / len(made)


def _by_batch(batch_size, function, *arrays, keys=None):
    """function(rows of the arrays), for all rows in turn, on the host.

    keys: an iterator, of a function that takes one after the arrays.
    """
    found = []
    for start in range(0, len(arrays[0]), batch_size):
        rows = [x[start : start + batch_size] for x in arrays]
        found.append(
            np.asarray(function(*rows, *(() if keys is None else [next(keys)])))
        )
    return np.concatenate(found)


def _coarsened(y, factor):
    """Means of factor x factor places of [K, h, w, ...], repeated to the same shape."""
    checks.count(WHO, coarsen=factor)
    if y.ndim < 3 or y.shape[1] % factor or y.shape[2] % factor:
        raise ValueError(
            f"{WHO}: expected measurements [rows, h, w, ...] with sides that are "
            f"multiples of coarsen, {factor}; got {y.shape}."
        )
    k, h, w, *rest = y.shape
    means = y.reshape(k, h // factor, factor, w // factor, factor, *rest)
    means = means.mean(axis=(2, 4))
    return means.repeat(factor, axis=1).repeat(factor, axis=2)


def _perturbed(y, noise, seed, seen):
    """y with normal noise, other noise for each row, within the range of `seen`."""
    checks.non_negative(WHO, noise=noise)
    fresh = np.random.default_rng(seed).normal(size=y.shape)
    return np.clip(y + noise * fresh, seen.min(), seen.max()).astype(y.dtype)


def _table(rows, classes, num_classes):
    """[K, K] counts."""
    sizes = dict(num_clusters=num_classes, num_classes=num_classes)
    return metrics.contingency(rows, classes, **sizes)


def _of_inputs(classes, images, num_classes):
    """Counts of classes by input, [K, K], as many draws of each input in turn.

    And the share of draws that differ; of a function of its input one draw counts.
    """
    num_draws = len(images) // num_classes
    inputs = np.repeat(np.arange(num_classes), num_draws)
    counts = _table(inputs, classes, num_classes)
    images = images.reshape(num_classes, num_draws, *images.shape[1:])
    distinct = metrics.num_distinct(images)
    if num_draws > 1 and np.all(distinct == 1):
        logging.warning("%s: a function of its input; UCPR has a draw each.", WHO)
        counts = counts // num_draws
    return counts, float(np.mean(distinct)) / num_draws


def _notions(table, counts, noisy, **options):
    """The numbers of all notions, and the accuracy."""
    found = {
        "rdp": metrics.rdp(table, **options),
        "pr": metrics.pr(table, **options),
        "ucpr": metrics.ucpr(counts, **options),
        "ucpr_noisy": metrics.ucpr(noisy, **options),
    }
    numbers = {"accuracy": found["rdp"].pop("accuracy")}
    numbers["smallest_chi2"] = metrics.smallest_chi2(int(np.sum(table)), len(table))
    for notion, values in found.items():
        numbers |= {f"{notion}/{name}": value for name, value in values.items()}
    for notion, rows in (("pr", table), ("ucpr", counts)):
        shares = metrics.pr_shares(rows)
        numbers |= {f"{notion}/share/{k}": float(x) for k, x in enumerate(shares)}
    return numbers


def _performance(run, images, made, distances):
    """Means over rows; of PSNR of rows that are not equal, which is infinite else.

    ValueError for a distance that is NaN.
    """
    found = {"psnr": psnr, **distances}
    if min(images.shape[1:3]) >= 11:
        found["dssim"] = dissimilarity
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
        sharp = [np.mean(run(laplacian_variance, x)) for x in (made, images)]
        numbers["sharpness"] = float(sharp[0] / sharp[1]) if sharp[1] else np.inf
        if min(images.shape[1:3]) >= BLOCK:
            blocks = (run(metrics.niqe_features, x) for x in (images, made))
            reference = metrics.niqe_reference(next(blocks))
            numbers["niqe"] = float(np.mean(metrics.niqe(next(blocks), reference)))
    return {name: x for name, x in numbers.items() if np.isfinite(x)}
