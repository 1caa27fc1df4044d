"""Checks of anomaly detection in images and maps of features."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import Check, checks_in
from experiments.papers.checks.toys import (
    apply,
    batch,
    descend,
    separation,
    unit,
)
from repr_jax import losses, metrics
from repr_jax.estimators import (
    kmeans,
    padim,
    patch_classifier,
    patch_memory,
)
from repr_jax.models.cascade_vae import CascadeVAE
from repr_jax.ops import planar
from repr_jax.ops.inpainting import inpaint_iterations
from repr_jax.ops.patches import window_differences

CHECKS: list[Check] = []
check = checks_in(CHECKS)


def _boards(seed, num=60):
    """Smooth images [num, 24, 24], the same with a bright square, and its mask."""
    rng = np.random.default_rng(seed)
    grid = np.indices((24, 24)) / 24
    waves = rng.uniform(2, 4, size=(num, 2)) @ grid.reshape(2, -1)
    images = 0.5 + 0.3 * np.sin(waves + rng.uniform(0, 6, (num, 1)))
    images = images.reshape(num, 24, 24) + 0.03 * rng.normal(size=(num, 24, 24))
    masks = np.zeros((num, 24, 24), bool)
    for mask, (i, j) in zip(masks, rng.integers(2, 16, size=(num, 2))):
        mask[i : i + 6, j : j + 6] = True
    return np.float32(images), np.float32(images + 0.35 * masks), masks


def _overlap(found, masks):
    """Dice coefficient of all pixels."""
    return 2 * float(np.sum(found & masks)) / float(np.sum(found) + np.sum(masks))


@check(
    "AutoPaint",
    "ops.inpainting.inpaint_iterations",
    "Dice of the anomaly after 5 rounds",
    beats="after 1 round, an autoencoder",
)
def autopaint(seed):
    clean, images, masks = (x.reshape(len(x), -1) for x in _boards(seed, 400))
    train, clean = clean[:340], clean[340:]
    mean = train.mean(0)
    axes = np.linalg.svd(train - mean, full_matrices=False)[2][:12]

    @jax.jit
    def inpaint(x, mask):  # the least squares of what is known, on principal axes
        known = ~mask
        gram = jnp.einsum("bp,kp,lp->bkl", known, axes, axes) + 1e-2 * jnp.eye(12)
        right = jnp.einsum("bp,kp->bk", jnp.where(known, x - mean, 0), axes)
        return jnp.linalg.solve(gram, right[..., None])[..., 0] @ axes + mean

    residual = jnp.abs(clean - inpaint(clean, jnp.zeros(clean.shape, bool)))
    numbers = dict(threshold=float(jnp.quantile(residual, 0.975)))
    found = (
        inpaint_iterations(inpaint, images[340:], num_rounds=n, **numbers)[0]
        for n in (5, 1)
    )
    return tuple(_overlap(np.asarray(mask), masks[340:]) for mask in found)


@check(
    "planar flow of prompts",
    "ops.planar",
    "AUROC of the mean map of 20 prompts",
    beats="mean AUROC of 1 prompt",
)
def prompts(seed):
    rng = np.random.default_rng(seed)
    normal, abnormal = unit(rng.normal(size=(2, 16)))
    labels = rng.uniform(size=2_000) < 0.1
    means = np.where(labels[:, None], abnormal, normal)
    patches = np.float32(means + 0.8 * rng.normal(size=(2_000, 16)))
    start = abnormal + 0.5 * rng.normal(size=(20, 16))
    u, w = 0.3 * rng.normal(size=(2, 16))
    u, w = (jnp.broadcast_to(a, start.shape) for a in (u, w))
    moved, _ = planar.planar(start, planar.invertible(u, w), w, jnp.zeros(20))
    maps = patches @ np.asarray(moved).T - (patches @ normal)[:, None]
    single = np.mean([float(metrics.auroc(column, labels)) for column in maps.T])
    return metrics.auroc(maps.mean(1), labels), single


@check(
    "focal and Dice losses",
    "losses.dice",
    "Dice of rare anomalous pixels",
    beats="binary cross-entropy",
)
def segmentation(seed):
    rng = np.random.default_rng(seed)
    _, images, masks = _boards(seed, 200)
    images = images + 0.25 * rng.normal(size=images.shape).astype(np.float32)
    masks = masks & (rng.uniform(size=(200, 1, 1)) < 0.3)
    start = toys.dense(jax.random.key(seed), (25, 16, 1))

    def logits(params, x):
        return apply(params, toys.windows(x[..., None] - 0.5, 5))[..., 0] - 2

    def trained(loss_of):
        def loss(params, key):
            some, wanted = batch(key, images[:150], masks[:150], size=16)
            return loss_of(logits(params, some), wanted)

        params = descend(loss, start, seed=seed, num_steps=300, rate=1e-2)
        return _overlap(np.asarray(logits(params, images[150:]) > 0), masks[150:])

    def both(z, y):
        return losses.focal_balanced(z, y) + losses.dice(z, y)

    def plain(z, y):
        return jnp.mean(jax.nn.softplus(z) - z * y)

    return trained(both), trained(plain)


@check(
    "U3HS embeddings",
    "losses.discriminative",
    "adjusted Rand index of touching objects, 3 clusters",
    beats="clusters of the inputs",
)
def objects(seed):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, size=900)
    which = np.arange(900) % 3
    radius = 1 + which + 0.15 * rng.normal(size=900)  # rings, which k-means cuts
    x = np.float32(radius[:, None] * np.c_[np.cos(angle), np.sin(angle)])

    def loss(params, key):
        some, labels = batch(key, x[:600], which[:600])
        return losses.discriminative(apply(params, some), labels, num_classes=3)

    start = toys.dense(jax.random.key(seed), (2, 64, 64, 4))
    params = descend(loss, start, seed=seed, num_steps=500)

    def index(z):
        fitted = kmeans.fit(jax.random.key(seed), z, num_clusters=3, num_restarts=5)
        table = metrics.contingency(
            np.asarray(kmeans.assign(fitted, z)), which[600:], num_clusters=3
        )
        return metrics.adjusted_rand_index(table)

    return index(apply(params, x[600:])), index(x[600:])


@check(
    "ChangeChip",
    "metrics.changed_clusters",
    "overlap (IoU) with the change, other light and noise",
    beats="largest threshold of the difference, chosen by Otsu's rule",
)
def changed(seed):
    before, after, masks = _boards(seed, 4)
    rng = np.random.default_rng(seed)
    specks = 0.12 * rng.normal(size=after.shape)
    before, after = before[..., None], np.float32(after + specks + 0.1)[..., None]
    windows = np.asarray(window_differences(before, after)).reshape(-1, 25)
    centered = windows - windows.mean(0)
    axes = np.linalg.svd(centered, full_matrices=False)[2][:3]
    z = centered @ axes.T
    fitted = kmeans.fit(jax.random.key(seed), z, num_clusters=16)
    place = np.asarray(kmeans.assign(fitted, z))
    squares = ((before - after) ** 2).ravel()
    errors = np.array([squares[place == k].mean() for k in range(16)])
    found = np.isin(place, np.flatnonzero(metrics.changed_clusters(errors)))
    away = np.abs(before - after).ravel()
    cuts = np.linspace(away.min(), away.max(), 66)[1:-1]
    between = [
        np.mean(away > c)
        * np.mean(away <= c)
        * (away[away > c].mean() - away[away <= c].mean()) ** 2
        for c in cuts
    ]
    simple = away > cuts[int(np.argmax(between))]

    def iou(x):
        return np.sum(x & masks.ravel()) / np.sum(x | masks.ravel())

    return iou(found), iou(simple)


def _textures(seed):
    """(normal images, defective ones, masks) of 4 textures, 20 images each.

    Images are [20, patches, dim], masks of the defective ones [20, patches].
    """
    rng = np.random.default_rng(seed)
    centers = 0.5 * rng.normal(size=(4, 6, 16))
    defects = unit(rng.normal(size=(3, 16))) * 3  # shared by the textures

    def images(kinds):
        which = rng.integers(6, size=(20, 49))
        return np.float32(kinds[which] + 0.6 * rng.normal(size=(20, 49, 16)))

    found = []
    for kinds in centers:
        normal, defective = images(kinds), images(kinds)
        masks = np.zeros((20, 49), bool)
        for image, mask in zip(defective, masks):
            places = rng.permutation(49)[:3]
            image[places] += defects[rng.integers(3)]
            mask[places] = True
        found.append((normal, defective, masks))
    return found, defects


@check(
    "PatchCore",
    "estimators.patch_memory",
    "AUROC of images, a coreset of 10 %",
    beats="as many random patches",
)
def memory(seed):
    found, _ = _textures(seed)
    normal, defective, _ = found[0]
    train, held = normal[:10].reshape(-1, 16), normal[10:]
    key = jax.random.key(seed)
    rows = jax.random.permutation(key, len(train))[:49]
    banks = (
        patch_memory.fit(key, train, num_rows=49),
        patch_memory.PatchMemory(jnp.asarray(train)[rows]),
    )
    return tuple(
        separation(*(patch_memory.score(bank, x) for x in (held, defective)))
        for bank in banks
    )


@check(
    "labeled PatchCore",
    "estimators.patch_memory.labeled_score",
    "AUROC of images, a texture without labels of its own",
    beats="PatchCore",
)
def labeled_memory(seed):
    found, _ = _textures(seed)
    key, (normal, defective, _) = jax.random.key(seed), found[0]
    own = patch_memory.fit(key, normal[:10].reshape(-1, 16), num_rows=200)
    marked = []
    for other, bad, _ in found[1:]:  # patches that the other textures lack
        bank = patch_memory.fit(key, other.reshape(-1, 16), num_rows=400)
        far = np.asarray(patch_memory.patch_scores(bank, bad))
        marked.append(bad[far >= np.sort(far, axis=1)[:, -3:-2]])
    marked = np.concatenate(marked)
    bank = patch_memory.fit(key, marked, num_rows=len(marked))
    held = normal[10:]
    labeled = (patch_memory.labeled_score(own, bank, x) for x in (held, defective))
    plain = (patch_memory.score(own, x) for x in (held, defective))
    return separation(*labeled), separation(*plain)


def _against_memories(seed, *, known: bool):
    """AUROC on texture 0 of a network of the others, and the better of two memories.

    known: do the memories hold normal images of texture 0, or of the others as it does?
    """
    found, _ = _textures(seed)
    key, (normal, defective, _) = jax.random.key(seed), found[0]
    held = normal[10:]
    others = np.concatenate([images for images, *_ in found[1:]])
    remembered = (normal[:10] if known else others).reshape(-1, 16)
    own = patch_memory.fit(key, remembered, num_rows=200)
    marked = np.concatenate([bad[masks] for _, bad, masks in found[1:]])
    bank = patch_memory.fit(key, marked, num_rows=len(marked))
    x = np.concatenate([np.concatenate([a, b]) for a, b, _ in found[1:]])
    masks = np.concatenate([np.concatenate([0 * m > 0, m]) for *_, m in found[1:]])
    network = patch_classifier.fit(key, x.reshape(-1, 16), masks.ravel())

    def auroc(score):
        return separation(score(held), score(defective))

    return auroc(lambda x: patch_classifier.score(network, x)), max(
        auroc(lambda x: patch_memory.score(own, x)),
        auroc(lambda x: patch_memory.labeled_score(own, bank, x)),
    )


@check(
    "SEMLP",
    "estimators.patch_classifier",
    "AUROC of images, a texture that it has not seen",
    beats="better of plain and labeled PatchCore, which know it",
)
def patch_network(seed):
    return _against_memories(seed, known=True)


@check(
    "SEMLP where none knows the texture",
    "estimators.patch_classifier",
    "AUROC of images, a texture left out",
    beats="better of plain and labeled PatchCore of the others",
)
def patch_network_alone(seed):
    return _against_memories(seed, known=False)


@check(
    "PaDiM",
    "estimators.padim",
    "AUROC of images whose places differ",
    beats="one Gaussian for all places",
)
def positions(seed):
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(5, 5, 8))
    maps = np.float32(places + 0.5 * rng.normal(size=(300, 5, 5, 8)))
    moved = maps[250:].copy()
    moved[:, 2, 2] = maps[200:250, 0, 0]  # familiar, in another place
    test = maps[200:250]
    fitted = padim.fit(maps[:200])
    flat = padim.fit(maps[:200].reshape(-1, 1, 1, 8))

    def together(x):
        scores = padim.score(flat, x.reshape(-1, 1, 1, 8))
        return np.asarray(scores).reshape(len(x), 25).max(1)

    ours = (np.asarray(padim.score(fitted, x)).max((1, 2)) for x in (test, moved))
    return separation(*ours), separation(*(together(x) for x in (test, moved)))


def _discs(rng, num, *, smaller=3.0, larger=4.0, crosses=0.0):
    """[num, 16, 16, 1] in [0, 1]: a soft disc somewhere, or a cross of its area."""
    y, x = np.indices((16, 16))[:, None] - rng.uniform(6, 9, size=(2, num, 1, 1))
    radius = rng.uniform(smaller, larger, size=(num, 1, 1))
    disc = radius - np.hypot(x, y)
    arm, thin = 1.3 * radius, 0.4 * radius
    bars = [np.minimum(thin - abs(a), arm - abs(b)) for a, b in ((x, y), (y, x))]
    cross = np.maximum(*bars)
    shape = np.where(rng.uniform(size=(num, 1, 1)) < crosses, cross, disc)
    images = 0.8 / (1 + np.exp(-3 * shape)) + 0.05 * rng.normal(size=(num, 16, 16))
    return np.float32(np.clip(images, 0, 1))[..., None]


@check(
    "CVAD",
    "losses.cvad",
    "AUROC, discs of other sizes and crosses among discs",
    beats="the score of reconstruction alone",
)
def cascade(seed):
    rng, keys = np.random.default_rng(seed), jax.random.split(jax.random.key(seed), 2)
    train, held, known = (_discs(rng, num) for num in (2_000, 400, 300))
    new = [_discs(rng, 100, smaller=a, larger=a + 0.5) for a in (1.5, 5.0)]
    new = np.concatenate([*new, _discs(rng, 100, crosses=1.0)])
    model = CascadeVAE((16, 16, 1), (4, 16), widths=(8, 16, 16, 32))

    def rebuilding(params, key):
        row_key, key = jax.random.split(key)
        x = batch(row_key, train, size=64)[0]
        found = model.apply(params, x, jax.random.split(key, len(x)), train=True)
        return losses.cvad(x, found.reconstruction, *found.first, *found.second)

    params = model.init(keys[0], train[:2], train=False)
    params = descend(rebuilding, params, seed=seed, num_steps=1_000, rate=3e-3)

    @jax.jit
    def rebuilt(x):
        return model.apply(params, x, train=False)

    made = rebuilt(train).reconstruction

    def logits(params, x):
        return apply(params, x.reshape(len(x), -1))[:, 0]

    def telling(params, key):  # above 0 is taken for a reconstruction
        real, fake = (logits(params, x) for x in batch(key, train, made))
        return losses.gan_discriminator(-real, -fake)

    start = toys.dense(keys[1], (256, 64, 1))
    discriminator = descend(telling, start, seed=seed, num_steps=500)

    def scores(x):
        found = rebuilt(x)
        rows = (x, found.reconstruction, *found.first, *found.second)
        error = jax.vmap(lambda *row: losses.cvad(*(a[None] for a in row)))(*rows)
        return jnp.stack([error, jax.nn.sigmoid(logits(discriminator, x))])

    lows, highs = jnp.quantile(scores(held), jnp.array([0.0, 1.0]), axis=1)
    both = (metrics.minmax_combine(scores(x), lows, highs) for x in (known, new))
    return separation(*both), separation(*(scores(x)[0] for x in (known, new)))
