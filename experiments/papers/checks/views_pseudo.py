"""Checks of labels that networks give: of clients, and of pixels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.federated import average_clients
from experiments.papers.checks import toys
from experiments.papers.checks.table import Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend
from repr_jax import losses, optim
from repr_jax.data import augment
from repr_jax.ops import ema

CHECKS: list[Check] = []
check = checks_in(CHECKS)


CLIENTS, OWN, FREE = 5, 40, 360  # rows of a client with labels and without


def _clients(seed):
    """[clients, rows, 196] digits of Dirichlet(0.3) shares of the classes; labels."""
    x, y = toys.some(*toys.digits("train"), range(10), 18_000)
    rng = np.random.default_rng(seed)
    places = []
    for share in rng.dirichlet(np.full(10, 0.3), size=CLIENTS):
        classes = rng.choice(10, size=OWN + FREE, p=share)
        places.append([rng.choice(np.flatnonzero(y == c)) for c in classes])
    places = np.array(places)
    return jnp.asarray(x[places]), jnp.asarray(y[places])


def _moved(key, x, size):
    images = x.reshape(-1, 14, 14, 1)
    numbers = dict(brightness=0.0, contrast=0.0, fill=0.0)
    return augment.jitter(key, images, shift=size, zoom=size, **numbers).reshape(
        x.shape
    )


def _federated(seed, num_rounds=12, num_steps=25):
    """Test accuracies of federated networks, labeled by: both, clients, the global."""
    x, y = _clients(seed)
    t, label = toys.some(*toys.digits("test"), range(10), 1_000)
    start = toys.dense(jax.random.key(seed), (196, 64, 10))
    optimizer = optim.adam_cosine(peak=3e-3, num_steps=num_steps)

    def of_round(shared, key, mode):
        def loss(params, extras, data, key, step):
            keys, (x, y) = jax.random.split(key, 4), data
            some, labels = batch(keys[0], x[:OWN], y[:OWN], size=32)
            free = batch(keys[1], x[OWN:], size=64)[0]
            weak, strong = _moved(keys[2], free, 0.05), _moved(keys[3], free, 0.15)
            own, other = apply(params, weak), apply(shared, weak)
            first = jnp.where(mode == 2, other, own)  # 0: the surer of the two
            second = jnp.where(mode == 1, own, other)
            found = losses.selective_pseudo_label(
                first, second, apply(params, strong), threshold=0.9
            )
            agree = jnp.where(mode == 0, losses.agreeing_kl(own, other), 0.0)
            return losses.cross_entropy(apply(params, some), labels) + found + agree, ()

        sizes = jnp.ones(CLIENTS)
        options = dict(sizes=sizes, optimizer=optimizer, num_steps=num_steps)
        return average_clients(loss, shared, (), (x, y), key, **options)[0], None

    @jax.jit
    def run(mode):
        keys = jax.random.split(jax.random.key(seed), num_rounds)
        return jax.lax.scan(lambda s, k: of_round(s, k, mode), start, keys)[0]

    return [toys.right(apply(run(jnp.int32(mode)), t), label) for mode in range(3)]


@check(
    "FedLabel",
    "losses.selective_pseudo_label",
    "accuracy on digits, 5 clients, 40 labels each",
    beats="labels of the client or of the global network, the better one",
)
def fed_label(seed):
    both, *others = _federated(seed)
    return both, max(others)


def _scenes(rng, num, size=24):
    """Noisy images with a disk and a square, and which pixels are of these."""
    images = 0.3 * rng.normal(size=(num, size, size))
    masks = np.zeros((num, size, size), int)
    i, j = np.indices((size, size))
    for image, mask in zip(images, masks):
        (a, b, c, d), r = rng.integers(5, size - 5, size=4), rng.integers(3, 5)
        disk = (i - a) ** 2 + (j - b) ** 2 <= r**2
        square = (abs(i - c) < r) & (abs(j - d) < r) & ~disk
        mask[disk], mask[square] = 1, 2
        image += rng.uniform(0.5, 1) * (disk | square) + rng.uniform(-0.3, 0.3)
    return np.float32(images)[..., None], masks


def _segmented(params, x):
    """[batch, size, size, 3] logits; pixels around each at three distances."""
    for (kernel, bias), reach in zip(params[:-1], (3, 5, 5)):
        x = jax.nn.relu(toys.windows(x, reach) @ kernel + bias)
    return apply(params[-1:], x)


def _dice(params, x, masks) -> float:
    found = np.asarray(jnp.argmax(_segmented(params, x), axis=-1))
    both = [
        2
        * np.sum((found == c) & (masks == c))
        / np.sum((found == c) * 1 + (masks == c))
        for c in (1, 2)
    ]
    return float(np.mean(both))


@check(
    "bidirectional copy-paste",
    "losses.copy_paste",
    "Dice on 100 scenes, 8 of 160 with masks",
    beats="a mean teacher of whole images",
)
def copy_paste(seed):
    rng = np.random.default_rng(seed)
    (x, masks), (t, truth) = _scenes(rng, 160), _scenes(rng, 100)
    own, y, free = x[:8], masks[:8], x[8:]
    keys = jax.random.split(jax.random.key(seed), 4)
    widths = ((9, 12), (300, 12), (300, 16), (16, 3))
    start = [toys.dense(k, w)[0] for k, w in zip(keys, widths)]

    def box(key):  # two thirds of each side
        i, j = jax.random.randint(key, (2,), 0, 9)
        rows = jnp.arange(24)
        inside = [(rows >= a) & (rows < a + 16) for a in (i, j)]
        return ~(inside[0][:, None] & inside[1])

    def labeled(params, key):  # both start from pasted pairs of labeled images
        a, b = jax.random.split(key)
        (one, first), (two, second) = batch(a, own, y, size=8), batch(b, own, y, size=8)
        outside = box(key)
        images = jnp.where(outside[None, :, :, None], one, two)
        return losses.copy_paste(
            _segmented(params, images), first, second, outside, inner_weight=1.0
        )

    def pasted(params, teacher, key):
        keys = jax.random.split(key, 3)
        (some, known), (other,) = (
            batch(keys[0], own, y, size=8),
            batch(keys[1], free, size=8),
        )
        guess = jnp.argmax(_segmented(teacher, other), axis=-1)
        outside = box(keys[2])
        out = jnp.where(outside[None, :, :, None], some, other)
        into = jnp.where(outside[None, :, :, None], other, some)
        return losses.copy_paste(
            _segmented(params, out), known, guess, outside
        ) + losses.copy_paste(
            _segmented(params, into), guess, known, outside,
            outer_weight=0.5, inner_weight=1.0,
        )  # fmt: skip

    def whole(params, teacher, key):
        keys = jax.random.split(key)
        (some, known), (other,) = (
            batch(keys[0], own, y, size=8),
            batch(keys[1], free, size=8),
        )
        guess = jnp.argmax(_segmented(teacher, other), axis=-1)
        everywhere = jnp.ones((24, 24), bool)
        return losses.copy_paste(
            _segmented(params, some), known, known, everywhere
        ) + losses.copy_paste(
            _segmented(params, other), guess, guess, everywhere, outer_weight=0.5
        )

    optimizer = optim.adam_cosine(peak=3e-3, num_steps=150)

    @functools.partial(jax.jit, static_argnames="loss")
    def taught(params, key, loss):  # by a moving average of the network
        state = optim.start_descent(params, optimizer, num_steps=150, extras=params)
        return optim.descend(
            lambda params, teacher, key, step: (loss(params, teacher, key), teacher),
            state,
            key=key,
            optimizer=optimizer,
            until=150,
            after_update=lambda params, teacher, step: (
                params,
                ema.update(teacher, params, decay=0.99),
            ),
        ).params

    params = descend(labeled, start, seed=seed, num_steps=150, rate=3e-3)
    return tuple(
        _dice(taught(params, keys[0], loss), t, truth) for loss in (pasted, whole)
    )
