"""How `evaluators.fairness` shows what it found: walls of images, and tables."""

import numpy as np

from repr_jax import figures, metrics
from repr_jax.evaluators.common import Picture, Table

MEASURES = ("chi2", "chebyshev", "tv", "kl")
NOTIONS = {
    "rdp": "accuracy is equal for all classes",
    "pr": "classes are as frequent as among originals",
    "ucpr": "inputs that tell nothing give all classes equally often",
    "ucpr_noisy": "the same, noise added to each input of its own",
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


def _enlarged(y, images):
    """Measurements as images of that size, as far as they are images."""
    factors = [a // b for a, b in zip(images.shape[1:3], y.shape[1:3])]
    y = np.asarray(y, np.float32).repeat(factors[0], axis=1).repeat(factors[1], axis=2)
    return np.clip(y, 0, 1)


def wall(images, y, draws) -> Picture:
    """Originals, their measurements and a few draws of each."""
    block = [figures.Row("original", images, given=True)]
    block.append(figures.Row("measured", _enlarged(y, images)))
    block += [figures.Row(f"draw {i + 1}", made) for i, made in enumerate(draws)]
    return Picture(*WALL, figures.mosaic([block]))


def coarse_wall(means, coarse, many) -> Picture:
    """Means of K classes, their coarse measurements, [K * draws, ...] made of these."""
    many = many.reshape(len(means), -1, *means.shape[1:])
    block = [figures.Row("mean", means, given=True)]
    block.append(figures.Row("measured", _enlarged(coarse, means)))
    for i in range(min(4, many.shape[1])):
        block.append(figures.Row(f"draw {i + 1}", many[:, i]))
    return Picture(*COARSE, figures.mosaic([block]))


def table(numbers, level) -> Table:
    """Distances from fairness, with their intervals."""
    p_values = metrics.holm({name: numbers[f"{name}/p_value"] for name in NOTIONS})
    rows = []
    for notion, meaning in NOTIONS.items():
        for measure in MEASURES:
            name = f"{notion}/{measure}"
            ends = [numbers[name + end] for end in ("", "/low", "/high", "/floor")]
            rows.append((f"{notion}: {meaning}", measure, *ends, p_values[notion]))
    header = ("notion", "distance", "value", "low", "high", "floor", "p")
    return Table("Fairness", ABOUT.format(level, level), header, rows)


def confusion(table) -> Table:
    """Shares of the classes of a [K, K] table of counts, by row."""
    shares = table / table.sum(axis=1, keepdims=True)
    header = ("class", *(str(k) for k in range(len(table))))
    rows = [(str(k), *map(float, row)) for k, row in enumerate(shares)]
    return Table("Classes before and after", CONFUSION, header, rows)
