"""Checks of scores of inputs that networks of their own do not know."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from experiments.papers.checks import toys
from experiments.papers.checks.table import Check, checks_in
from experiments.papers.checks.toys import apply, batch, descend, msp, separation
from repr_jax import losses, metrics
from repr_jax.estimators import class_boundary
from repr_jax.models.bottom_up_vae import BottomUpVAE
from repr_jax.models.sphere_encoder import SphereEncoder
from repr_jax.models.vae_layers import DenseDecoder, DenseEncoder
from repr_jax.ops import diffusion, likelihood, von_mises_fisher
from repr_jax.ops.inpainting import checkerboards

CHECKS: list[Check] = []
check = checks_in(CHECKS)


def _described(rng):
    """Features [4000, 32] of 20 classes, [20, 24] binary attributes, and labels."""
    attributes = np.float32(rng.uniform(size=(20, 24)) < 0.5)
    kernel = rng.normal(size=(24, 32)) / 24**0.5
    labels = np.arange(4_000) % 20
    clean = np.tanh(2 * (2 * attributes - 1) @ kernel)
    noise = rng.normal(size=(4_000, 32))
    return np.float32(clean[labels] + noise), attributes, labels


@check(
    "encoders to one sphere",
    "losses.aligned_spheres",
    "AUROC, 5 classes held out of 20",
    beats="largest softmax of a classifier",
)
def one_sphere(seed):
    rng = np.random.default_rng(seed)
    x, attributes, y = _described(rng)
    train, seen = np.arange(4_000) < 3_000, y < 15
    known, labels = x[train & seen], y[train & seen]
    encoder, key = SphereEncoder(latent_dim=16, hidden=128), jax.random.key(seed)
    keys = jax.random.split(key, 5)
    start = {
        "features": encoder.init(keys[0], x[:2], train=False),
        "attributes": encoder.init(keys[1], attributes[:2], train=False),
        "to_features": toys.dense(keys[2], (16, 128, 32)),
        "to_attributes": toys.dense(keys[3], (16, 128, 24)),
        "classes": toys.dense(keys[4], (16, 15)),
    }

    def encode(params, x):
        return encoder.apply(params, x, train=False)

    def loss(params, key):
        keys = jax.random.split(key, 3)
        some, some_y = batch(keys[0], known, labels)
        described = jnp.asarray(attributes)[some_y]
        z = [
            von_mises_fisher.sample(jax.random.split(k, len(some)), *posterior, 5)
            for k, posterior in zip(
                keys[1:],
                (
                    encode(params["features"], some),
                    encode(params["attributes"], described),
                ),
            )
        ]
        both = jnp.stack([each[0] for each in z], axis=1)
        of_features, of_attributes = (jnp.moveaxis(each, 0, 1) for each in z)
        return losses.aligned_spheres(
            some,
            described,
            apply(params["to_features"], both),
            apply(params["to_attributes"], both),
            apply(params["classes"], both),
            some_y,
            of_features,
            of_attributes,
            num_steps=20,
        )

    params = descend(loss, start, seed=seed, num_steps=1_500)
    centers = encode(params["attributes"], attributes[:15]).mean
    gate = class_boundary.fit(centers, encode(params["features"], known).mean, labels)
    tests = x[~train & seen], x[~train & ~seen]
    ours = (
        class_boundary.score(gate, encode(params["features"], t).mean) for t in tests
    )
    return separation(*ours), msp(toys.classifier(seed, known, labels), *tests)


def _textured_digits(rng, split, num):
    """[num, 14, 14]: digits, each pixel a mean of 3 x 3, with noise of 0.1."""
    images = toys.digits(split)[0][:num, ..., None]
    blurred = np.asarray(toys.windows(images)).mean(-1)
    return np.float32(blurred + 0.1 * rng.normal(size=blurred.shape))


def _smooth_turned_digits(num):
    """[num, 14, 14]: other digits on their side, blurred twice, without noise."""
    images = toys.digits("test")[0][-num:, ..., None]
    for _ in range(2):
        images = np.asarray(toys.windows(images)).mean(-1, keepdims=True)
    return np.float32(np.rot90(images[..., 0], axes=(1, 2)))


@check(
    "likelihood ratio of latents",
    "metrics.likelihood_ratio",
    "AUROC, smooth digits on their side among upright ones with noise",
    beats="minus the bound of all latents",
)
def ratio_of_latents(seed):
    rng = np.random.default_rng(seed)
    x, t = (_textured_digits(rng, *s) for s in (("train", 20_000), ("test", 400)))
    shape, key = (14, 14), jax.random.key(seed)
    model = BottomUpVAE(
        encoders=(DenseEncoder(8, (128,), shape), DenseEncoder(4, (64,), (8,))),
        priors=(DenseEncoder(8, (64,), (4,)),),
        decoder=DenseDecoder((128,), shape),
    )

    def parts(params, x):
        def part(method, *level):
            return lambda z: model.apply(params, z, *level, train=False, method=method)

        levels = dict(encoders=(part("encode_above", 0),), priors=(part("prior", 0),))
        levels["log_likelihood"] = functools.partial(likelihood.gaussian, scale=0.1)
        return (x, *part("encode")(x), part("decode")), levels

    def loss(params, key, beta):
        keys = jax.random.split(key)
        arrays, levels = parts(params, batch(keys[0], x)[0])
        return losses.hierarchical_elbo(
            keys[1], *arrays, **levels, beta=beta, free_nats=2.0
        )

    params = model.init(key, x[:2], train=False)
    for beta in (0.1, 1.0):  # a warm-up in two steps
        params = descend(
            functools.partial(loss, beta=beta), params, seed=seed, num_steps=1_500
        )

    def bounds(x):
        arrays, levels = parts(params, x)
        return [
            metrics.bound_above(
                key, *arrays, **levels, num_from_prior=k, num_samples=64
            )
            for k in (0, 1)
        ]

    known, new = (jax.jit(bounds)(images) for images in (t, _smooth_turned_digits(400)))
    score = (metrics.likelihood_ratio(*each) for each in (known, new))
    minus = (-each[0].mean(0) for each in (known, new))
    return separation(*score), separation(*minus)


def _letters():
    """[letters, 64] in [0, 1]: capitals in a dozen typefaces, about as large as digits.

    Without I, O and Z, which are digits to a network.
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    fonts = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf")
    found = []
    for path in sorted(fonts.glob("DejaVuS*[!y].ttf")):  # not Display, of few letters
        font = ImageFont.truetype(str(path), 24)
        for letter in "ABCDEFGHJKLMNPQRSTUVWXY":
            page = Image.new("L", (32, 32))
            ImageDraw.Draw(page).text((16, 16), letter, 255, font, anchor="mm")
            found.append(np.asarray(page, np.float32) / 255)
    images = np.stack(found).reshape(-1, 8, 4, 8, 4)
    return images.mean((2, 4)).reshape(len(found), 64)


@check(
    "lift-map-detect",
    "ops.diffusion.inpaint",
    "AUROC, letters among digits 0 to 4",
    beats="error of an autoencoder",
)
def lift(seed):
    (x, y), (t, label) = (toys.digits(split, 8) for split in ("train", "test"))
    x, t = x[y < 5].reshape(-1, 64), t[label < 5][:300].reshape(-1, 64)
    levels = diffusion.linear_alpha_bars(num_times=100, start=1e-3, end=0.2)
    keys = jax.random.split(jax.random.key(seed), 4)

    def predict(params, x, time):  # noise by x and what the network adds to it
        angles = jnp.asarray(time)[:, None] / 100 * 2.0 ** jnp.arange(8)
        added = apply(params, jnp.c_[x, jnp.sin(angles), jnp.cos(angles)])
        level = jnp.asarray(levels, jnp.float32)[time][:, None]
        return jnp.sqrt(1 - level) * x + jnp.sqrt(level) * added

    def denoising(params, key):
        keys = jax.random.split(key, 3)
        some = 2 * batch(keys[0], x)[0] - 1
        time = jax.random.randint(keys[1], (len(some),), 0, 100)
        noise = jax.random.normal(keys[2], some.shape)
        level = jnp.asarray(levels, jnp.float32)[time]
        noisy = diffusion.add_noise(some, noise, level)
        return losses.noise_prediction(predict(params, noisy, time), noise)

    start = toys.dense(keys[0], (80, 256, 256, 64))
    network = descend(denoising, start, seed=seed, num_steps=5_000)
    boards = jnp.asarray(checkerboards(4, 8, 8, block=2)).reshape(4, 64)

    @jax.jit
    def score(images):
        def repeat(of_repeat):
            key, board = of_repeat
            made = diffusion.inpaint(
                jax.random.split(key, len(images)),
                lambda x, t: predict(network, x, jnp.broadcast_to(t, len(x))),
                2 * images - 1,
                jnp.broadcast_to(board, images.shape),
                alpha_bars=levels,
                num_steps=100,
            )
            return (made + 1) / 2

        made = jax.lax.map(repeat, (jax.random.split(keys[1], 4), boards))
        return metrics.inpainting_distance(images, made)

    def error(params, x):
        rebuilt = apply(params[1], jax.nn.relu(apply(params[0], x)))
        return jnp.mean((rebuilt - x) ** 2, axis=1)

    start = toys.dense(keys[2], (64, 128, 16)), toys.dense(keys[3], (16, 128, 64))
    rebuilder = descend(
        lambda params, key: jnp.mean(error(params, batch(key, x)[0])),
        start,
        seed=seed,
        num_steps=3_000,
    )
    letters = _letters()
    ours = separation(score(t), score(letters))
    return ours, separation(*(error(rebuilder, each) for each in (t, letters)))
