"""Images that nobody took: dead leaves, noise with a spectrum, an untrained generator.

Something to learn representations from without data, measured on real images. Image n
of a split depends on (seed, split, n) alone. A batch has "image" float32 [batch, size,
size, 3] in [0, 1], and in evaluation "where" bool [batch]; there are no labels.

Common to all datasets:
  num_examples: >= 1, images of each split. size: >= 1, pixels of a side.
  seed: a whole number >= 0.
  ValueError, TypeError: a number out of range, or one that is not whole.

Images are drawn on the host when they are first asked for, dead leaves in about 50 ms
each, the others in 2, and kept, so that later epochs cost nothing.

Source: Baradad et al., "Learning to See by Looking at Noise", 2021,
  https://arxiv.org/abs/2106.05963, whose loss is `losses.alignment_uniformity`.
"""

import functools
from collections.abc import Callable

import numpy as np

from repr_jax.data.dataset import SPLITS, Dataset, check_seed, of_rows, read_only
from repr_jax.ops import checks

MOST_LEAVES = 5000  # of an image
SLOPES, SPREAD = (0.5, 3.5), 3 / 60  # of spectra, and between their two axes
SHAPES = ("circle", "square", "turned", "rectangle", "triangle", "quadrilateral")
START, WIDTH, LATENT = 4, 32, 64  # pixels, channels, numbers: of the generator


def dead_leaves(
    *, num_examples: int = 10_000, size: int = 32, exponent: float = 3.0, seed: int = 0
) -> Dataset:
    """Shapes of one color each that fall on one another until they cover the image.

    Radii are of the law `leaf_radii`, at least a pixel; centers, colors, kinds and
    angles uniform. All shapes but circles have their corners on a circle of the radius.
    After 5000 shapes what is not covered stays black.

    exponent: > 0, of the law of radii.

    Source: as the module, the mixed shapes of the authors' code, which rounds radii and
      places to whole pixels.
    """
    checks.positive("dead_leaves", exponent=exponent)
    radii, shares = leaf_radii(exponent=exponent)

    def draw(rng: np.random.Generator) -> np.ndarray:
        return leaves(rng, size, radii, shares)

    return _images("dead_leaves", draw, num_examples, size, seed)


def spectrum(*, num_examples: int = 10_000, size: int = 32, seed: int = 0) -> Dataset:
    """Noise whose amplitude falls with frequency, as in photographs.

    Amplitudes are exactly 1 / (|f_x|^a + |f_y|^b), phases those of white noise; a and
    b, of each image, are s + d and s - d with s uniform in 0.5 to 3.5 and d of standard
    deviation 0.05. Each image is then moved and scaled to [0, 1].

    Source: as the module, of the authors' code, which also correlates the channels by
      a random choice of colors; here they are independent.
    """
    return _images("spectrum", lambda rng: colored(rng, size), num_examples, size, seed)


def untrained(*, num_examples: int = 10_000, size: int = 32, seed: int = 0) -> Dataset:
    """What a convolutional generator of random weights makes of random latents.

    One generator for both splits, of the seed: a linear map of 64 latents to 4 x 4
    pixels of 32 channels, then as often as the size asks for: doubled, a 3 x 3
    convolution, its channels standardized, a leaky ReLU; at last a sigmoid of three
    mixed channels. Weights are normal. The authors take StyleGAN2;
    this smaller one is our choice.

    size: 4, 8, 16, ...
    """
    who = "untrained"
    checks.count(who, size=size)
    check_seed(who, seed)
    if size < START or size & (size - 1):
        raise ValueError(f"{who}: expected size among 4, 8, 16, ...; got {size}.")
    weights = generator_weights(np.random.default_rng((seed, len(SPLITS))), size)

    def draw(rng: np.random.Generator) -> np.ndarray:
        return generated(weights, rng.normal(size=LATENT))

    return _images(who, draw, num_examples, size, seed)


def _images(
    who: str, draw: Callable, num_examples: int, size: int, seed: int
) -> Dataset:
    """draw: rng -> [size, size, 3] in [0, 1]."""
    checks.count(who, num_examples=num_examples, size=size)
    check_seed(who, seed)

    @functools.cache
    def one(part: int, row: int) -> np.ndarray:
        image = draw(np.random.default_rng((seed, part, row))).astype(np.float32)
        return read_only(image)[0]

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        images = [one(SPLITS.index(split), int(row)) for row in rows]
        return {"image": np.stack(images)}

    return of_rows(who, take, dict.fromkeys(SPLITS, num_examples), seed=seed)


def leaf_radii(
    *, exponent: float = 3.0, low: float = 0.03, high: float = 1.0, num: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """[num] radii from low to high, in sides of the image, and their shares [num].

    In proportion to r^-exponent - high^-exponent: small ones are common, and one of
    `high` does not occur.
    """
    radii = np.linspace(low, high, num)
    shares = radii**-exponent - high**-exponent
    return radii, shares / shares.sum()


def leaves(
    rng: np.random.Generator, size: int, radii: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """[size, size, 3] in [0, 1], each shape over those before it."""
    image, bare = np.zeros((size, size, 3)), np.ones((size, size), bool)
    reach = size * np.maximum(rng.choice(radii, MOST_LEAVES, p=shares), 1 / size)
    centers = size * rng.uniform(size=(MOST_LEAVES, 2))
    colors = rng.uniform(size=(MOST_LEAVES, 3))
    kinds = rng.integers(len(SHAPES), size=MOST_LEAVES)
    low = np.maximum(np.floor(centers - reach[:, None]), 0).astype(int)
    high = np.minimum(np.ceil(centers + reach[:, None]), size).astype(int)
    pixels = np.arange(size) + 0.5
    for leaf in range(MOST_LEAVES):
        (top, left), (bottom, right) = low[leaf], high[leaf]
        y = (pixels[top:bottom, None] - centers[leaf, 0]) / reach[leaf]
        x = (pixels[None, left:right] - centers[leaf, 1]) / reach[leaf]
        inside = covers(x, y, corners(rng, SHAPES[kinds[leaf]]))
        image[top:bottom, left:right][inside] = colors[leaf]
        bare[top:bottom, left:right][inside] = False
        if not bare.any():
            break
    return image


def corners(rng: np.random.Generator, shape: str) -> np.ndarray | None:
    """[num] ascending angles of the corners on a circle; None for the circle."""
    if shape == "circle":
        return None
    if shape == "rectangle":
        angle = rng.uniform(0, np.pi / 2)
        return np.array([angle, np.pi - angle, np.pi + angle, 2 * np.pi - angle])
    if shape in ("triangle", "quadrilateral"):
        num = 3 if shape == "triangle" else 4
        return np.sort(rng.uniform(0, 2 * np.pi, num))
    first = rng.uniform(0, np.pi / 2) if shape == "turned" else np.pi / 4
    return first + np.arange(4) * np.pi / 2


def covers(x: np.ndarray, y: np.ndarray, angles: np.ndarray | None) -> np.ndarray:
    """Which points lie in the unit circle, or the polygon of these corners on it."""
    if angles is None:
        return x**2 + y**2 <= 1
    corner_x, corner_y = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    after = np.arange(1, len(angles) + 1) % len(angles)
    edge_x, edge_y = corner_x[after] - corner_x, corner_y[after] - corner_y
    left_of = edge_x * (y - corner_y) >= edge_y * (x - corner_x)  # of each edge
    return np.all(left_of, axis=0)


def colored(rng: np.random.Generator, size: int) -> np.ndarray:
    """[size, size, 3] in [0, 1], noise of one spectrum."""
    slope, gap = rng.uniform(*SLOPES), rng.normal(scale=SPREAD)
    noise = np.fft.fft2(rng.uniform(size=(size, size, 3)), axes=(0, 1))
    phases = noise / np.maximum(np.abs(noise), np.finfo(float).tiny)
    filtered = phases * amplitudes(size, slope + gap, slope - gap)[..., None]
    image = np.fft.ifft2(filtered, axes=(0, 1)).real
    image -= image.min()
    return image / max(image.max(), np.finfo(float).tiny)


def amplitudes(size: int, a: float, b: float) -> np.ndarray:
    """[size, size] 1 / (|f_x|^a + |f_y|^b), f in cycles a pixel, x along axis 1.

    In the order of np.fft; 0 at frequency 0, so that noise has no mean.
    """
    f = np.abs(np.fft.fftfreq(size))
    total = f[None] ** a + f[:, None] ** b
    return np.where(total > 0, 1 / np.where(total > 0, total, 1), 0)


def generator_weights(rng: np.random.Generator, size: int) -> tuple[np.ndarray, ...]:
    """Random ones: of the first map, of each convolution, of the colors."""
    doublings = (size // START).bit_length() - 1
    first = rng.normal(size=(LATENT, START * START * WIDTH)) / LATENT**0.5
    shape = (doublings, 9 * WIDTH, WIDTH)
    return first, rng.normal(size=shape), rng.normal(size=(WIDTH, 3)) / WIDTH**0.5


def generated(weights: tuple[np.ndarray, ...], latent: np.ndarray) -> np.ndarray:
    """[LATENT] -> [size, size, 3] in (0, 1)."""
    first, convolutions, colors = weights
    x = (latent @ first).reshape(START, START, WIDTH)
    for kernel in convolutions:
        x = x.repeat(2, axis=0).repeat(2, axis=1)
        side, padded = len(x), np.pad(x, [(1, 1), (1, 1), (0, 0)])
        taps = [padded[i : i + side, j : j + side] for i, j in np.ndindex(3, 3)]
        x = np.concatenate(taps, axis=-1) @ kernel
        x = (x - x.mean(axis=(0, 1))) / x.std(axis=(0, 1))
        x = np.where(x > 0, x, 0.2 * x)
    return 1 / (1 + np.exp(-2 * x @ colors))
