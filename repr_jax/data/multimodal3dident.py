"""Multimodal3DIdent: pictures of one object, and sentences that describe them.

Picture and sentence share the object's shape and its place on a grid of three by three;
the object's color is in both, but a name covers many hues and a hue has three names.
All else is in one of them alone. A batch holds after `prepare`:
  image: [batch, size, size, 3] float32 in [0, 1].
  text: [batch, length] int32 words, 1 at the end, 0 after it, see `captions`.
  object_shape int32 in 0..6; object_xpos, object_ypos int32 in 0..2, from the left and
    from the top; the shared factors.
  object_alpharot, object_betarot, object_gammarot, spotlight_pos: float32 in [0, 1], of
    the picture: an angle is pi (u - 1/2).
  object_color: float32 in [0, 1], a hue; spotlight_color, background_color: float32 in
    [0, 1], hue (u - 1/2) / 2, a half of the circle around red.
  object_color_index: int32, the rank of the color's name; text_phrasing: int32 in
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
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from repr_jax.data import captions, multimodal3dident_files, render3d
from repr_jax.data.dataset import Dataset, check_seed, of_draws, this_process
from repr_jax.data.multimodal3dident_factors import CONTENT as CONTENT
from repr_jax.data.multimodal3dident_factors import (
    CONTINUOUS,
    MODALITIES,
    sample,
    sentences,
)
from repr_jax.data.multimodal3dident_factors import NUM_CLASSES as NUM_CLASSES
from repr_jax.ops import checks

STREAMS = {"train": 1, "test": 2}  # of evaluation; 0 is training
HUE_GIVEN_XPOS = 8 / 9  # R2 of the hue if it depends on the place, else 0
HUE_GIVEN_NAME = 0.8245  # if it depends on nothing, of its spoken name
HUE_GIVEN_NAMES = 0.9552  # likewise, of its names in all three palettes


def scene(factors: Mapping) -> render3d.Scene:
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
    colors = (
        hsv_to_rgb(factors["object_color"], 1.0),
        hsv_to_rgb(around["spotlight_color"], 0.8),
        hsv_to_rgb(around["background_color"], 0.6),
    )
    return render3d.Scene(
        shape=factors["object_shape"],
        position=jnp.stack([x, y], axis=-1),
        angles=jnp.stack([angle[name] for name in CONTINUOUS[:3]], axis=-1),
        light=angle["spotlight_pos"],
        colors=jnp.stack(colors, axis=-2),
    )


def hsv_to_rgb(hue: Array | np.ndarray, saturation: float) -> Array:
    """[...] hues, of period 1 -> [..., 3] rgb of value 1."""
    hue = jnp.asarray(hue)
    channels = []
    for place in (0.0, 1 / 3, 2 / 3):
        away = jnp.abs((hue - place + 0.5) % 1.0 - 0.5)  # from the pure color
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

    def with_text(factors: Mapping) -> dict[str, np.ndarray]:
        vocabulary, length = captions.own()
        text = vocabulary.encode(sentences(factors), length)
        return {**factors, "text": text, "label": factors["object_shape"]}

    def draw(step: int, batch_size: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng((seed, 0, step))
        drawn = sample(rng, batch_size, causal=causal)
        return with_text({name: this_process(x) for name, x in drawn.items()})

    @functools.cache
    def evaluated(split: str) -> dict[str, np.ndarray]:
        rng = np.random.default_rng((seed, STREAMS[split]))
        return with_text(sample(rng, num_examples[split], causal=causal))

    def take(split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {name: x[rows] for name, x in evaluated(split).items()}

    def prepare(batch: Mapping) -> dict:
        render = functools.partial(render3d.render, size=size, samples=samples)
        return {**batch, "image": jax.vmap(render)(scene(batch))}

    return of_draws(
        who, draw, take, num_examples, prepare=prepare, modalities=MODALITIES
    )
