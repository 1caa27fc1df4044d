"""Data and networks that checks share: digits, Gaussian classes, dense networks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax import losses, metrics, optim
from repr_jax.data import augment, mnist, pretext
from repr_jax.evaluators import knn, linear_probe
from repr_jax.ops import uncertainty
from repr_jax.ops.dense import he_normal


@functools.cache
def digits(split: str, size: int = 14, data_dir: str = ""):
    """[rows, size, size] float32 in [0, 1], pooled and read-only; [rows] int labels.

    size: 14, means of 2 x 2 pixels, or 8, means of 4 x 4 after two of black are added
    on each side. data_dir: of all of MNIST, see `mnist.arrays`; "" for those embedded.
    """
    source = "tfds" if data_dir else "embedded"
    images, labels = mnist.arrays(split, source=source, data_dir=data_dir)
    images = images / np.float32(255)
    if size == 8:
        images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    images = pooled(images, size)
    images.flags.writeable = False
    return images, labels


def pooled(images, size: int):
    """[rows, side, side] -> [rows, size, size], means of squares of pixels."""
    n, side, _ = images.shape
    return images.reshape(n, size, side // size, size, side // size).mean((2, 4))


def some(x, y, classes, limit: int):
    """The first rows of these classes, flat, and their places in `classes`."""
    rows = np.flatnonzero(np.isin(y, list(classes)))[:limit]
    return x[rows].reshape(len(rows), -1), np.searchsorted(classes, y[rows])


def gaussians(rng, num: int, centers, spread: float = 1.0):
    """[num, dim] float32 rows in turn around each center, and their classes."""
    labels = np.arange(num) % len(centers)
    noise = spread * rng.normal(size=(num, np.shape(centers)[1]))
    return np.float32(np.asarray(centers)[labels] + noise), labels


def unit(x):
    """Rows of length 1."""
    return np.float32(x / np.linalg.norm(x, axis=-1, keepdims=True))


def dense(key, widths):
    """Kernels and biases of a network of relu layers, inputs first."""
    return [(kernel, jnp.zeros(kernel.shape[1])) for kernel in he_normal(key, widths)]


def hidden(params, x):
    """The layer before the last."""
    for kernel, bias in params[:-1]:
        x = jax.nn.relu(_affine(x, kernel, bias))
    return x


def apply(params, x):
    """The last layer, without a nonlinearity."""
    return _affine(hidden(params, x), *params[-1])


def _affine(x, kernel, bias):
    x = x @ kernel
    return x + jnp.broadcast_to(bias, x.shape)


def descend(loss, params, *, seed: int, num_steps: int, rate: float = 1e-3):
    """Adam on loss(params, key), its rate falling to 0; the parameters after it."""
    run = training(
        lambda params, extras, key, step: (loss(params, key), extras),
        num_steps=num_steps,
        rate=rate,
    )
    return run(params, (), seed)[0]


def training(loss, *, num_steps: int, rate: float = 1e-3, after_update=None):
    """(params, extras, seed) -> both after Adam on loss; compiled once for all calls.

    Loss and after_update are those of `optim.descend`; what is not learned but differs
    between calls, such as a weight, is an extra.
    """
    optimizer = optim.adam_cosine(peak=rate, num_steps=num_steps)

    @jax.jit
    def run(params, extras, key):
        state = optim.start_descent(
            params, optimizer, num_steps=num_steps, extras=extras
        )
        state = optim.descend(
            loss,
            state,
            key=key,
            optimizer=optimizer,
            until=num_steps,
            after_update=after_update,
        )
        return state.params, state.extras

    return lambda params, extras, seed: run(params, extras, jax.random.key(seed))


def batch(key, *arrays, size: int = 128):
    """The same random rows of each array."""
    rows = jax.random.randint(key, (size,), 0, len(arrays[0]))
    return tuple(jnp.asarray(x)[rows] for x in arrays)


def classifier(seed: int, x, y, *, widths=(64, 64), num_steps=600, rate=1e-3, size=128):
    """A dense network trained by cross-entropy on rows x of classes y."""
    start = dense(jax.random.key(seed), (x.shape[1], *widths, int(y.max()) + 1))

    def loss(params, key):
        some_x, some_y = batch(key, x, y, size=size)
        return losses.cross_entropy(apply(params, some_x), some_y)

    return descend(loss, start, seed=seed, num_steps=num_steps, rate=rate)


def moved(key, images, **views):
    """[rows, 14, 14] -> [rows, 196], each image moved and zoomed at random."""
    numbers = dict(shift=0.15, zoom=0.15, brightness=0.0, contrast=0.0) | views
    changed = augment.jitter(key, images[..., None], fill=0.0, **numbers)
    return changed.reshape(len(images), -1)


def simclr(seed, x, num_steps=300, **views):
    """A dense encoder of digits [rows, 14, 14], trained by NT-Xent on moved ones."""

    def loss(params, key):
        keys = jax.random.split(key, 3)
        (some,) = batch(keys[0], x)
        a, b = (apply(params, moved(k, some, **views)) for k in keys[1:])
        return losses.nt_xent(a, b, temperature=0.2)

    return descend(loss, encoder(seed), seed=seed, num_steps=num_steps)


def encoder(seed, out: int = 32):
    """A dense encoder of digits [rows, 196] that is not trained."""
    return dense(jax.random.key(seed), (196, 256, 128, out))


def probe(features_of, limit: int = 500) -> float:
    """Test accuracy of a linear classifier of what is made of digits [rows, 14, 14]."""
    (x, y), (t, label) = (digits(split) for split in ("train", "test"))
    rows = features_of(x[:limit]), features_of(t[:1_000])
    return linear_probe.score(rows[0], y[:limit], rows[1], label[:1_000]).accuracy


def nearest(bank, labels, queries, wanted, num_neighbors: int = 20) -> float:
    """Accuracy of the weighted vote of the nearest rows of a bank."""
    shares = knn.shares(
        jnp.asarray(bank),
        labels,
        jnp.asarray(queries),
        num_neighbors=num_neighbors,
        num_classes=int(np.max(labels)) + 1,
    )
    return float(np.mean(np.argmax(shares, axis=1) == wanted))


def rotating(seed, num_steps):
    """A dense encoder of digits that tells four rotations of 32 moved ones apart."""
    x, _ = digits("train")

    def loss(params, key):
        keys = jax.random.split(key)
        some = moved(keys[1], *batch(keys[0], x[:5_000], size=32)).reshape(
            -1, 14, 14, 1
        )
        images, turns = pretext.rotations(some)
        return losses.cross_entropy(apply(params, images.reshape(-1, 196)), turns)

    return descend(loss, encoder(seed, 4), seed=seed, num_steps=num_steps)


@functools.cache
def displaced(split: str, num: int):
    """The first digits, [num, 196], each moved once as views are, and their labels.

    Where a digit lies tells nothing of its class: what views teach is of use.
    """
    x, y = digits(split)
    return np.asarray(moved(jax.random.key(len(split)), x[:num])), y[:num]


def nearest_digits(params) -> float:
    """`nearest` of displaced digits by the hidden layer of an encoder of digits."""
    (x, y), (t, label) = (displaced(split, 2_000) for split in ("train", "test"))
    return nearest(hidden(params, x), y, hidden(params, t), label)


def probe_of(params) -> float:
    """Accuracy of a linear classifier of the hidden layer, for displaced digits."""
    (x, y), (t, label) = displaced("train", 1_000), displaced("test", 2_000)
    rows = (np.asarray(hidden(params, some)) for some in (x, t))
    return linear_probe.score(next(rows), y, next(rows), label).accuracy


def windows(x, size: int = 3):
    """[batch, height, width, channels] -> with all pixels around each as channels.

    A matrix product after it is a convolution, which is slow in loops on processors.
    """
    edge, (height, width) = size // 2, x.shape[1:3]
    padded = jnp.pad(x, [(0, 0), (edge, edge), (edge, edge), (0, 0)])
    places = [(i, j) for i in range(size) for j in range(size)]
    shifted = [padded[:, i : i + height, j : j + width] for i, j in places]
    return jnp.concatenate(shifted, axis=-1)


def separation(inliers, outliers) -> float:
    """AUROC of scores of rows that are known and of rows that are not."""
    scores = np.concatenate([inliers, outliers])
    return float(metrics.auroc(scores, np.arange(len(scores)) >= len(inliers)))


def msp(params, inliers, outliers) -> float:
    """`separation` by the largest softmax of a dense network."""
    scores = (uncertainty.max_softmax(apply(params, x)) for x in (inliers, outliers))
    return separation(*scores)


def embedding(seed, x, y, loss, *, widths=(128, 32), more=None, size=128, **descent):
    """A dense network, and more that it learns, by loss(rows, labels, more)."""
    start = dense(jax.random.key(seed), (x.shape[1], *widths)), more

    def objective(params, key):
        some_x, some_y = batch(key, x, y, size=size)
        return loss(apply(params[0], some_x), some_y, params[1])

    return descend(objective, start, seed=seed, **dict(num_steps=500) | descent)


def retrieval(z, labels) -> float:
    """Mean average precision, every row asking for the others of its label."""
    z, labels = unit(np.asarray(z)), np.asarray(labels)
    same, others = labels[:, None] == labels, ~np.eye(len(z), dtype=bool)
    return float(metrics.mean_average_precision(z @ z.T, same, where=others))


def right(logits, labels) -> float:
    """Share of rows whose largest logit is that of the label."""
    return float(np.mean(np.argmax(np.asarray(logits), axis=-1) == labels))


def balanced(logits, labels) -> float:
    """`right`, the mean over classes."""
    hits = np.argmax(np.asarray(logits), axis=-1) == labels
    return float(np.mean([hits[labels == c].mean() for c in np.unique(labels)]))


def flipped(rng, y, num_classes: int, rate: float):
    """Labels of which a share has been moved to another class; which ones."""
    wrong = rng.uniform(size=len(y)) < rate
    return np.where(
        wrong, (y + rng.integers(1, num_classes, len(y))) % num_classes, y
    ), wrong
