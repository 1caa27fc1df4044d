"""The style and the script of `trees.page`."""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1f2933; background: #f6f7f9;
  margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1, h2 { margin: 0 0 .4rem; } p { margin: .3rem 0 1rem; color: #52606d; }
section { background: #fff; border: 1px solid #e4e7eb; border-radius: 10px;
  padding: 1.1rem 1.3rem; margin: 1rem 0; overflow-wrap: anywhere; overflow-x: auto; }
nav { display: flex; flex-wrap: wrap; gap: .3rem; align-items: center; }
button { font: inherit; color: #0b6e99; background: #eef5f8; border: 1px solid #cfe3ec;
  border-radius: 7px; padding: .15rem .6rem; cursor: pointer; text-align: left; }
svg { display: block; width: 100%; min-width: 640px; height: auto; font-size: 13px; }
svg path { fill: none; stroke: #7b8794; stroke-width: 1.5; }
svg .group path { fill: #cfe3ec; }
svg text { fill: #1f2933; dominant-baseline: central; }
svg circle { fill: #fff; stroke: #0b6e99; stroke-width: 1.5; }
svg [data-node] { cursor: pointer; outline: none; }
svg [data-node]:is(:hover, :focus) :is(text, circle) { fill: #0b6e99; }
svg .chosen text { font-weight: 700; }
svg .chosen circle { fill: #d9480f; stroke: #d9480f; }
img { width: 56px; height: 56px; object-fit: contain; image-rendering: pixelated; }
td, th { padding: .25rem .7rem; border-bottom: 1px solid #e4e7eb; text-align: left;
  font-weight: 400; }
"""

SCRIPT = """
const data = JSON.parse(document.getElementById("tree").textContent);
const nodes = data.nodes, root = nodes.length - 1;
const fewest = 8, mostRows = 40, mostImages = 48, mostNames = 80;
const isLeaf = n => !n.children.length;
nodes.forEach(n => {  // children come before their parents
  n.below = isLeaf(n) ? [n] : n.children.flatMap(c => nodes[c].below);
  n.below.sort((a, b) => (b.rows || 0) - (a.rows || 0) || a.node - b.node);
  n.lowest = Math.min(...n.below.map(leaf => leaf.node));
});
const make = (tag, text, parent) => {
  const element = document.createElement(tag);
  element.textContent = text;
  parent.append(element);
  return element;
};
const title = n => {
  const names = n.below.slice(0, 2).map(leaf => leaf.name), more = n.leaves - 2;
  return names.join(", ") + (more > 0 ? " and " + more + " more" : "");
};
const heading = n => n.node === root ? "All leaves" : title(n);
const number = x => Number.isInteger(x) ? x.toLocaleString("en") : x.toPrecision(4);
const size = n => (n.leaves === 1 ? "1 leaf" : number(n.leaves) + " leaves")
  + (n.rows === undefined ? "" : `, ${number(n.rows)} row${n.rows === 1 ? "" : "s"}`);
const choose = n => { location.hash = n.node; };
const link = (n, parent) => {
  const button = make("button", heading(n), parent);
  button.dataset.node = n.node;
  button.onclick = () => choose(n);
};
const partition = top => {  // the largest group is split until the rows are full
  let parts = [top];
  for (;;) {
    const largest = parts.reduce((a, b) => b.leaves > a.leaves ? b : a);
    if (isLeaf(largest) || (largest !== top
      && parts.length - 1 + largest.children.length > mostRows)) return new Set(parts);
    parts = parts.filter(n => n !== largest).concat(
      largest.children.map(c => nodes[c]));
  }
};
const svg = document.getElementById("dendrogram");
const shape = (tag, parent, attributes, text = "") => {
  const element = document.createElementNS(svg.namespaceURI, tag);
  Object.entries(attributes).forEach(([k, v]) => element.setAttribute(k, v));
  element.textContent = text;
  parent.append(element);
  return element;
};
const draw = (top, chosen) => {
  const right = 560, step = 22, parts = partition(top);
  const spot = new Map();  // [x, y] of the nodes that are shown
  let rows = 0;
  const place = n => {
    const depth = 1 - Math.log(n.leaves) / Math.log(Math.max(top.leaves, 2));
    let y = [step * (rows + 0.5)];
    if (parts.has(n)) rows++;
    else y = n.children.map(c => nodes[c]).sort((a, b) => a.lowest - b.lowest)
      .map(child => place(child)[1]);
    spot.set(n, [12 + (right - 12) * depth, (Math.min(...y) + Math.max(...y)) / 2]);
    return spot.get(n);
  };
  place(top);
  svg.replaceChildren();
  svg.setAttribute("viewBox", "0 0 1000 " + step * parts.size);
  spot.forEach(([x, y], n) => n.children.forEach(c => {
    if (parts.has(n)) return;
    const [to, at] = spot.get(nodes[c]);
    shape("path", svg, { d: `M${x} ${y}V${at}H${to}` });
  }));
  spot.forEach(([x, y], n) => {
    const kind = isLeaf(n) ? "leaf" : parts.has(n) ? "group" : "inner";
    const text = title(n), group = shape("g", svg, { "data-node": n.node, tabindex: 0,
      role: "button", class: kind + (n === chosen ? " chosen" : "") });
    shape("title", group, {}, text + ": " + size(n));
    if (kind === "group")
      shape("path", group, { d: `M${x} ${y}L${right} ${y - 7}V${y + 7}Z` });
    if (kind !== "inner") shape("text", group, { x: right + 8, y: y },
      text.length > 62 ? text.slice(0, 61) + "\\u2026" : text);
    if (kind !== "leaf") shape("circle", group, { cx: x, cy: y, r: 4.5 });
    group.onclick = () => choose(n);
    group.onkeydown = event => { if (event.key === "Enter") choose(n); };
  });
};
const describe = (n, box) => {
  make("h2", heading(n), box);
  make("p", size(n), box);
  const table = make("table", "", box);
  Object.entries(data.labels).forEach(([key, what]) => {
    if (n[key] === undefined) return;
    const line = make("tr", "", table);
    make("th", what, line);
    make("td", number(n[key]), line);
  });
  const names = n.below.slice(0, mostNames).map(leaf => leaf.name);
  make("p", names.join(", ") + (n.leaves > mostNames ? ", ..." : ""), box);
  const images = data.images ? n.below.flatMap(leaf => data.images[leaf.node].map(
    (source, turn) => ({ source, turn, name: leaf.name }))) : [];
  images.sort((a, b) => a.turn - b.turn).slice(0, mostImages).forEach(found => {
    const image = make("img", "", box);
    image.src = "data:image/png;base64," + found.source;
    image.alt = image.title = found.name;
  });
};
const show = () => {
  const asked = parseInt(location.hash.slice(1));
  const n = nodes[asked >= 0 && asked <= root ? asked : root];
  const path = [n];
  while (path[0].parent !== null) path.unshift(nodes[path[0].parent]);
  const [trail, here] = ["path", "here"].map(id => document.getElementById(id));
  trail.replaceChildren();
  here.replaceChildren();
  path.forEach(x => link(x, trail));
  draw(path.findLast(x => x.leaves >= fewest) || nodes[root], n);
  describe(n, here);
};
document.getElementById("search").oninput = event => {
  const box = document.getElementById("found"), text = event.target.value.toLowerCase();
  box.replaceChildren();
  if (text) nodes[root].below.filter(leaf => leaf.name.toLowerCase().includes(text))
    .slice(0, 20).forEach(leaf => link(leaf, box));
};
window.onhashchange = show;
show();
"""
