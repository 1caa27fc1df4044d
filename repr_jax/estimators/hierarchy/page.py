"""One HTML file to walk a tree in a browser; it needs no network and no other file."""

import base64
import html
import io
import json

import numpy as np

from repr_jax.estimators.hierarchy import nodes
from repr_jax.estimators.hierarchy.merging import Hierarchy

PER_CLASS, SIDE = 4, 56  # example images embedded for each class; pixels

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  color: #1f2933; background: #f6f7f9; margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.8rem; margin: 0; } h2 { font-size: 1.15rem; margin: 0 0 .4rem; }
p { margin: .3rem 0 1rem; color: #52606d; max-width: 80ch; }
section, .side { background: #fff; border: 1px solid #e4e7eb; border-radius: 10px;
  padding: 1.1rem 1.3rem; margin: 1rem 0; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .3rem; align-items: center; }
button { font: inherit; color: #0b6e99; background: #eef5f8; border: 1px solid #cfe3ec;
  border-radius: 7px; padding: .15rem .6rem; cursor: pointer; text-align: left; }
button:hover, button:focus-visible { background: #d9ecf4; }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
@media (max-width: 680px) { .sides { grid-template-columns: 1fr; } }
.side { margin: 0; } .side button { font-weight: 600; }
.images { display: flex; flex-wrap: wrap; gap: 3px; margin: .6rem 0; }
.images img { width: 56px; height: 56px; object-fit: contain; background: #eee;
  image-rendering: pixelated; border-radius: 3px; }
.names { font-size: .92rem; color: #52606d; } input { font: inherit; padding: .3rem;
  width: 22rem; max-width: 100%; border: 1px solid #cbd2d9; border-radius: 7px; }
table { border-collapse: collapse; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
td, th { padding: .25rem .7rem; border-bottom: 1px solid #e4e7eb; text-align: left; }
"""

SCRIPT = """
const data = JSON.parse(document.getElementById("tree").textContent);
const nodes = data.nodes, root = nodes.length - 1, most = 24;
const byClass = {};
nodes.forEach(n => { if (!n.children.length) byClass[n.classes[0]] = n; });
const make = (tag, text, parent, name) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  if (parent) parent.append(element);
  return element;
};
const byRows = n => n.classes.map(c => byClass[c]).sort((a, b) => b.rows - a.rows);
const title = n => {
  if (!n.children.length) return n.name;
  const names = byRows(n).slice(0, 2).map(leaf => leaf.name);
  const more = n.classes.length - names.length;
  return names.join(", ") + (more > 0 ? " and " + more + " more" : "");
};
const number = x => x === null || x === undefined ? "unknown"
  : Math.abs(x) >= 1e6 || Number.isInteger(x) ? x.toLocaleString("en")
  : x.toPrecision(4);
const classes = n => n === 1 ? "1 class" : n.toLocaleString("en") + " classes";
const rows = n => n === 1 ? "1 row" : n.toLocaleString("en") + " rows";
const link = (n, parent, text) => {
  const button = make("button", text || title(n), parent);
  button.dataset.node = n.node;
  button.onclick = () => { location.hash = n.node; };
  return button;
};
const pictures = (n, parent) => {
  if (!data.images) return;
  const box = make("div", undefined, parent, "images"), leaves = byRows(n);
  let count = 0;
  for (let turn = 0; turn < data.per_class; turn++)
    for (const leaf of leaves) {
      const source = (data.images[leaf.node] || [])[turn];
      if (!source || count++ >= most) continue;
      const image = make("img", undefined, box);
      image.src = "data:image/png;base64," + source;
      image.alt = image.title = leaf.name;
    }
};
const side = (n, parent, what) => {
  const box = make("div", undefined, parent, "side");
  make("div", what, box, "names");
  link(n, box);
  make("p", classes(n.classes.length) + ", " + rows(n.rows), box);
  pictures(n, box);
  const names = byRows(n).map(leaf => leaf.name), shown = names.slice(0, 40);
  make("div", shown.join(", ") + (names.length > 40 ? ", ..." : ""), box, "names");
};
const show = () => {
  const asked = parseInt(location.hash.slice(1));
  const n = nodes[asked >= 0 && asked <= root ? asked : root];
  const path = [];
  for (let x = n; x; x = x.parent === null ? null : nodes[x.parent]) path.unshift(x);
  const trail = document.getElementById("path");
  trail.replaceChildren();
  path.forEach((x, i) => {
    if (i > 2 && i < path.length - 9) {  // the middle of a long way
      if (i === 3) make("span", "\\u203a ...", trail);
      return;
    }
    if (i) make("span", "\\u203a", trail);
    link(x, trail, i ? title(x) : "all classes");
  });
  const here = document.getElementById("here");
  here.replaceChildren();
  make("h2", n.node === root ? "All classes" : title(n), here);
  if (n.children.length) {
    const sides = make("div", undefined, here, "sides");
    side(nodes[n.children[0]], sides, "was absorbed, being the less certain group, by");
    side(nodes[n.children[1]], sides, "its refuge");
    const table = make("table", undefined, here);
    const row = (what, value) => {
      const line = make("tr", undefined, table);
      make("th", what, line); make("td", value, line);
    };
    row("merge number", number(n.step + 1) + " of " + number(data.merges));
    row("height", number(n.height));
    row("rows of the absorbed side that prefer the refuge",
      n.support === null ? "unknown" : (100 * n.support).toFixed(1) + " %");
    if (n.bootstrap !== undefined)
      row("trees of resampled rows that have this node",
        (100 * n.bootstrap).toFixed(0) + " %");
    row("affinity, and its lead on the next best refuge",
      number(n.affinity) + ", " + number(n.margin));
    if (n.runner_up !== null) {
      const line = make("tr", undefined, table);
      make("th", "next best refuge", line);
      link(nodes[n.runner_up], make("td", undefined, line));
    }
  } else {
    make("p", rows(n.rows) + ", mean confidence " + number(n.confidence) + ".", here);
    pictures(n, here);
  }
};
const search = document.getElementById("search");
search.oninput = () => {
  const box = document.getElementById("found"), text = search.value.toLowerCase();
  box.replaceChildren();
  if (text) Object.values(byClass)
    .filter(leaf => leaf.name.toLowerCase().includes(text))
    .slice(0, 20).forEach(leaf => link(leaf, box));
};
const unsure = nodes.filter(n => n.children.length && n.affinity)
  .filter(n => n.runner_up !== null)
  .sort((a, b) => a.margin / a.affinity - b.margin / b.affinity).slice(0, 12);
unsure.forEach(n => link(n, document.getElementById("unsure")));
window.onhashchange = show;
show();
"""


def _png(image) -> str:
    """[height, width, 1 or 3] uint8 or floats in [0, 1] -> PNG in base64."""
    from PIL import Image

    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = np.rint(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    if max(picture.size) > SIDE:
        picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, format="png")
    return base64.b64encode(file.getvalue()).decode()


def page(
    tree: Hierarchy,
    names=None,
    *,
    title: str = "Hierarchy",
    note: str = "",
    support: np.ndarray | None = None,
    images=None,
    logits=None,
) -> str:
    """HTML that shows a node with both its sides, and leads up, down and to any class.

    Args:
      tree: Hierarchy.
      names: of all K classes; their numbers if None.
      title, note: the heading and a line below it.
      support: [T] share of bootstrap trees that have each merge's node; None: not told.
      images: [rows, height, width, 1 or 3] uint8, or floats in [0, 1], that belong to
        the rows; a few of each class are embedded. None for no pictures.
      logits: [rows, K], to show the images that are surest of their class; None shows
        the first ones.

    Raises:
      ValueError: names or images that do not fit the tree.
    """
    table = nodes.node_table(tree, names)
    num = len(tree.leaves)
    if support is not None:
        for entry, share in zip(table[num:], support):
            entry["bootstrap"] = float(share)
    content = dict(nodes=table, merges=num - 1, per_class=PER_CLASS)
    if images is not None:
        if len(images) != len(tree.assignments):
            raise ValueError(
                f"images: expected {len(tree.assignments)}, one a row; "
                f"got {len(images)}."
            )
        content["images"] = {}
        for leaf, name in enumerate(tree.leaves):
            if logits is None:
                rows = np.flatnonzero(tree.assignments == name)[:PER_CLASS]
            else:
                rows = nodes.examples(tree, logits, leaf, PER_CLASS)
            content["images"][leaf] = [_png(images[row]) for row in rows]
    embedded = json.dumps(content, allow_nan=False).replace("<", "\\u003c")
    title = html.escape(title)
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{title}</h1><p>{html.escape(note)}</p>"
        "<nav id=path></nav><section id=here></section>"
        "<section><h2>Find a class</h2><p><input id=search type=search "
        'aria-label="part of a name" placeholder="part of a name"></p>'
        "<nav id=found></nav></section>"
        "<section><h2>Merges that were hardly decided</h2><p>Their refuge had the "
        "least lead on the next best one, measured by its own affinity.</p>"
        "<nav id=unsure></nav></section></main>"
        f"<script type=application/json id=tree>{embedded}</script>"
        f"<script>{SCRIPT}</script></body></html>\n"
    )
