"""One HTML file to walk a tree in a browser; it needs no network and no other file."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence

import numpy as np

from repr_jax.trees.formats import node_table
from repr_jax.trees.page_script import SCRIPT, STYLE

SIDE = 56  # pixels of an embedded image
PAGE = """<!doctype html><html lang=en><head><meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head><body><main>
<h1>{title}</h1><p>{note}</p><nav id=path aria-label=Ancestors></nav>
<section><svg id=dendrogram role=group aria-label=Dendrogram></svg></section>
<section id=here></section>
<section><h2>Find a leaf</h2><p><input id=search type=search aria-label="part of a name"
placeholder="part of a name"></p><nav id=found></nav></section></main>
<script type=application/json id=tree>{content}</script><script>{script}</script>
</body></html>
"""


def _png(image) -> str:
    """[height, width, 1 or 3] uint8 or floats in [0, 1] -> PNG in base64."""
    from PIL import Image

    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = np.rint(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.thumbnail((SIDE, SIDE))  # smaller ones stay as they are
    file = io.BytesIO()
    picture.save(file, format="png")
    return base64.b64encode(file.getvalue()).decode()


def page(
    parents,
    heights=None,
    names=None,
    *,
    title: str = "Tree",
    note: str = "",
    details: Mapping | None = None,
    labels: Mapping[str, str] | None = None,
    images: Sequence | None = None,
) -> str:
    """HTML: a dendrogram to click in, and below it what is known of the node chosen.

    The dendrogram is of the chosen node, or of the lowest of its ancestors with enough
    leaves. A node is at log(leaves below) from the right; groups that do not fit are
    triangles. Leaves are found by name.

    Args:
      parents, heights, names, details: as of `node_table`, and errors. Of the detail
        "rows", if there is one, leaves with the most stand for a group.
      title, note: the heading and a line below it.
      labels: {key of a detail: what the page calls it}; others are not shown.
      images: [L] lists of [height, width, 1 or 3] uint8, or floats in [0, 1].
    """
    nodes = node_table(parents, heights, names, details)
    content = dict(nodes=nodes, labels=dict(height="height") | dict(labels or {}))
    if images is not None:
        num, got = sum("name" in node for node in nodes), len(images)
        if got != num:
            raise ValueError(f"page: expected images of {num} leaves; got {got}.")
        content["images"] = [[_png(image) for image in some] for some in images]
    embedded = json.dumps(content, allow_nan=False).replace("<", "\\u003c")
    text = dict(title=html.escape(title), note=html.escape(note))
    return PAGE.format(**text, style=STYLE, script=SCRIPT, content=embedded)
