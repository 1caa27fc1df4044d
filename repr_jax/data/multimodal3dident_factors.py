"""What a pair of Multimodal3DIdent varies in: names, ranges, draws and sentences.

The names and ranges are those that `multimodal3dident` describes.
"""

from collections.abc import Mapping

import numpy as np

from repr_jax.data import captions, shapes3d

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


def sentences(factors: Mapping) -> list[str]:
    """Our sentence for each row of the factors."""
    columns = ("text_phrasing", "object_shape", "object_ypos", "object_xpos")
    rows = zip(*(factors[name].tolist() for name in columns))
    return [
        captions.sentence(pattern=pattern, shape=shape, row=y, column=x, color=color)
        for (pattern, shape, y, x), color in zip(
            rows, factors["object_color_index"].tolist()
        )
    ]
