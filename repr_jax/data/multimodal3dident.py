"""Multimodal3DIdent: pictures of one object, and sentences that describe them.

Picture and sentence share the object's shape and its place on a grid of three by three;
the object's colour is in both, but a name covers many hues and a hue has three names.
All else is in one of them alone. A batch holds after `prepare`:
  image: [batch, size, size, 3] float32 in [0, 1].
  text: [batch, length] int32 words, 1 at the end, 0 after it, see `captions`.
  object_shape int32 in 0..6; object_xpos, object_ypos int32 in 0..2, from the left and
    from the top; the shared factors.
  object_alpharot, object_betarot, object_gammarot, spotlight_pos: float32 in [0, 1], of
    the picture: an angle is pi (u - 1/2).
  object_color: float32 in [0, 1], a hue; spotlight_color, background_color: float32 in
    [0, 1], hue (u - 1/2) / 2, a half of the circle around red.
  object_color_index: int32, the rank of the colour's name; text_phrasing: int32 in
    0..4, the sentence's pattern.
  label: int32, object_shape again.
  where: bool [batch], in evaluation.

`rendered` makes endless pictures on the device; `multimodal3dident_files` reads the
released files, and writes such files.

Source: Daunhawer et al., "Identifiability Results for Multimodal Contrastive Learning",
  2023, https://arxiv.org/abs/2303.09166, its code, and the released files,
  https://zenodo.org/records/7678231. Those were rendered with Blender, 224 pixels a
  side, from scanned objects; our objects, floor, camera and sentences are others.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from repr_jax.data import captions, render3d, shapes3d
from repr_jax.data.dataset import (
    Dataset,
    check_evaluate,
    check_seed,
    check_train,
    padded_rows,
    this_process,
)
from repr_jax.ops import checks

MODALITIES = ("image", "text")
CONTENT = ("object_shape", "object_xpos", "object_ypos")  # in both
NUM_CLASSES = {
    "object_shape": len(shapes3d.NAMES),
    "object_xpos": 3,
    "object_ypos": 3,
    "text_phrasing": len(captions.PATTERNS),
}
CONTINUOUS = (
    "object_alpharot",
    "object_betarot",
    "object_gammarot",
    "spotlight_pos",
    "object_color",
    "spotlight_color",
    "background_color",
)
STREAMS = {"train": 1, "test": 2}  # of evaluation; 0 is training
HUE_GIVEN_XPOS = 8 / 9  # R2 of the hue if it depends on the place, else 0
HUE_GIVEN_NAME = 0.8245  # if it depends on nothing, of its spoken name
HUE_GIVEN_NAMES = 0.9552  # likewise, of its names in all three palettes


def sample(rng: np.random.Generator, count: int, *, causal: bool = False) -> dict:
    """`count` independent draws of all factors, by the names above; no `label`.

    Args:
      rng: of NumPy.
      causal: the place on the x axis picks a third of the circle of hues,
        object_color = (object_xpos + u) / 3. All margins stay uniform; a third of the
        hue's standard deviation remains, so R2 of the hue given the place is 8/9.
    """
    whole = {name: rng.integers(n, size=count) for name, n in NUM_CLASSES.items()}
    parts = {name: rng.random(count) for name in CONTINUOUS}
    if causal:
        parts["object_color"] = (whole["object_xpos"] + parts["object_color"]) / 3
    palette = rng.integers(3, size=count)
    whole["object_color_index"] = captions.color_index(parts["object_color"], palette)
    whole = {name: value.astype(np.int32) for name, value in whole.items()}
    return whole | {name: value.astype(np.float32) for name, value in parts.items()}


def sentences(factors) -> list[str]:
    """Our sentence for each row of the factors."""
    columns = ("text_phrasing", "object_shape", "object_ypos", "object_xpos")
    rows = zip(*(factors[name].tolist() for name in columns))
    return [
        captions.sentence(pattern=pattern, shape=shape, row=y, column=x, color=color)
        for (pattern, shape, y, x), color in zip(
            rows, factors["object_color_index"].tolist()
        )
    ]


def scene(factors) -> render3d.Scene:
    """What to render; factors are numbers, or [batch] arrays of them."""
    angle = {
        name: (factors[name] - 0.5) * np.pi
        for name in (*CONTINUOUS[:3], "spotlight_pos")
    }
    around = {
        name: (factors[name] - 0.5) / 2
        for name in ("spotlight_color", "background_color")
    }
    x, y = 3.0 * factors["object_xpos"] - 3.0, 3.0 - 3.0 * factors["object_ypos"]
    colours = (
        hsv_to_rgb(factors["object_color"], 1.0),
        hsv_to_rgb(around["spotlight_color"], 0.8),
        hsv_to_rgb(around["background_color"], 0.6),
    )
    return render3d.Scene(
        shape=factors["object_shape"],
        position=jnp.stack([x, y], axis=-1),
        angles=jnp.stack([angle[name] for name in CONTINUOUS[:3]], axis=-1),
        light=angle["spotlight_pos"],
        colours=jnp.stack(colours, axis=-2),
    )


def hsv_to_rgb(hue, saturation: float):
    """[...] hues, of period 1 -> [..., 3] rgb of value 1."""
    hue = jnp.asarray(hue)
    channels = []
    for place in (0.0, 1 / 3, 2 / 3):
        away = jnp.abs((hue - place + 0.5) % 1.0 - 0.5)  # from the pure colour
        full = jnp.clip(2.0 - 6.0 * away, 0.0, 1.0)
        channels.append(1.0 - saturation * (1.0 - full))
    return jnp.stack(channels, axis=-1)


def load(
    *,
    source: str = "rendered",
    data_dir: str | None = None,
    size: int | None = 64,
    samples: int = 1,
    causal: bool = False,
    num_fit: int = 10_000,
    num_test: int = 10_000,
    seed: int = 0,
) -> Dataset:
    """Multimodal3DIdent from any source: `rendered`, or files.

    Args:
      source: "rendered", or "folder", see `multimodal3dident_files.folder`: its path is
        `data_dir`, and it has no use for samples, causal, num_fit and num_test.
      size, samples, causal, num_fit, num_test, seed: as there.

    Raises:
      ValueError: an unknown source; and as there.
    """
    from repr_jax.data import multimodal3dident_files  # it imports this file

    checks.one_of("multimodal3dident.load", ("rendered", "folder"), source=source)
    if source == "folder":
        return multimodal3dident_files.folder(path=data_dir, size=size, seed=seed)
    return rendered(
        size=size,
        samples=samples,
        causal=causal,
        num_fit=num_fit,
        num_test=num_test,
        seed=seed,
    )


def rendered(
    *,
    size: int = 64,
    samples: int = 1,
    causal: bool = False,
    num_fit: int = 10_000,
    num_test: int = 10_000,
    seed: int = 0,
) -> Dataset:
    """Endless pairs: factors and words from the host, pictures made in `prepare`.

    Args:
      size: pixels a side.
      samples: rays a side in each pixel, see `render3d.render`.
      causal: the hue depends on the place, see `sample`.
      num_fit, num_test: rows of the evaluated splits "train", to which probes are
        fitted and which is never trained on, and "test"; as many as the released files
        have for validation and test.
      seed: of all factors.

    Raises:
      ValueError, TypeError: a number that is not a count, or a seed out of range.
    """
    who = "multimodal3dident.rendered"
    checks.count(who, size=size, samples=samples, num_fit=num_fit, num_test=num_test)
    check_seed(who, seed)
    num_examples = {"train": num_fit, "test": num_test}

    def with_text(factors):
        vocabulary, length = captions.own()
        text = vocabulary.encode(sentences(factors), length)
        return {**factors, "text": text, "label": factors["object_shape"]}

    def train(batch_size, start_step=0):
        check_train(who, batch_size, start_step)

        def batch(step):
            rng = np.random.default_rng((seed, 0, step))
            drawn = sample(rng, batch_size, causal=causal)
            return with_text({name: this_process(x) for name, x in drawn.items()})

        return map(batch, itertools.count(start_step))

    @functools.cache
    def fixed(split):
        rng = np.random.default_rng((seed, STREAMS[split]))
        return with_text(sample(rng, num_examples[split], causal=causal))

    def evaluate(split, batch_size):
        check_evaluate(who, split, batch_size)
        return (
            {**{name: x[rows] for name, x in fixed(split).items()}, "where": where}
            for rows, where in padded_rows(num_examples[split], batch_size)
        )

    def prepare(batch):
        draw = functools.partial(render3d.render, size=size, samples=samples)
        return {**batch, "image": jax.vmap(draw)(scene(batch))}

    return Dataset(train, evaluate, prepare, num_examples, MODALITIES)
