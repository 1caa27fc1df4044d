"""The style and the script of `trees.page`."""

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1f2933; background: #f6f7f9;
  margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.8rem; margin: 0; } h2 { font-size: 1.15rem; margin: 0 0 .4rem; }
p { margin: .3rem 0 1rem; color: #52606d; max-width: 80ch; }
section, .side { background: #fff; border: 1px solid #e4e7eb; border-radius: 10px;
  padding: 1.1rem 1.3rem; margin: 1rem 0; overflow-wrap: anywhere; overflow-x: auto; }
nav { display: flex; flex-wrap: wrap; gap: .3rem; align-items: center; }
button { font: inherit; color: #0b6e99; background: #eef5f8; border: 1px solid #cfe3ec;
  border-radius: 7px; padding: .15rem .6rem; cursor: pointer; text-align: left; }
button:hover, button:focus-visible { background: #d9ecf4; }
svg { display: block; width: 100%; min-width: 640px; height: auto; font-size: 13px; }
svg path { fill: none; stroke: #7b8794; stroke-width: 1.5; }
svg .group path { fill: #cfe3ec; }
svg text { fill: #1f2933; dominant-baseline: central; }
svg circle { fill: #fff; stroke: #0b6e99; stroke-width: 1.5; }
svg [data-node] { cursor: pointer; outline: none; }
svg [data-node]:is(:hover, :focus) :is(text, circle) { fill: #0b6e99; }
svg .chosen text { font-weight: 700; }
svg .chosen circle { fill: #d9480f; stroke: #d9480f; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr));
  gap: 1rem; }
.side { margin: 0; } .side button { font-weight: 600; }
.images { display: flex; flex-wrap: wrap; gap: 3px; margin: .6rem 0; }
.images img { width: 56px; height: 56px; object-fit: contain; background: #eee;
  image-rendering: pixelated; }
.names, table { font-size: .92rem; } input { font: inherit; width: 22rem; }
td, th { padding: .25rem .7rem; border-bottom: 1px solid #e4e7eb; text-align: left;
  font-weight: 400; }
"""

SCRIPT = """
const data = JSON.parse(document.getElementById("tree").textContent);
const nodes = data.nodes, root = nodes.length - 1;
const fewest = 8, mostRows = 40, mostImages = 24, mostNames = 40;
const isLeaf = n => !n.children.length;
nodes.forEach(n => {  // children come before their parents
  n.below = isLeaf(n) ? [n.node] : [].concat(...n.children.map(c => nodes[c].below));
  n.lowest = isLeaf(n) ? n.node : Math.min(...n.children.map(c => nodes[c].lowest));
});
const make = (tag, text, parent, name) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  if (parent) parent.append(element);
  return element;
};
const leavesOf = n => n.below.map(i => nodes[i])
  .sort((a, b) => (b.rows || 0) - (a.rows || 0) || a.node - b.node);
const title = n => {
  if (isLeaf(n)) return n.name;
  const names = leavesOf(n).slice(0, 2).map(leaf => leaf.name);
  const more = n.leaves - names.length;
  return names.join(", ") + (more > 0 ? " and " + more + " more" : "");
};
const number = x => Math.abs(x) >= 1e6 || Number.isInteger(x)
  ? x.toLocaleString("en") : x.toPrecision(4);
const size = n => (n.leaves === 1 ? "1 leaf" : number(n.leaves) + " leaves")
  + (n.rows === undefined ? "" : `, ${number(n.rows)} row${n.rows === 1 ? "" : "s"}`);
const choose = n => { location.hash = n.node; };
const link = (n, parent, text) => {
  const button = make("button", text || title(n), parent);
  button.dataset.node = n.node;
  button.onclick = () => choose(n);
  return button;
};
const pictures = (n, parent) => {
  if (!data.images) return;
  const box = make("div", undefined, parent, "images");
  const all = leavesOf(n).flatMap(leaf => data.images[leaf.node].map(
    (source, turn) => ({ source, turn, name: leaf.name })));
  all.sort((a, b) => a.turn - b.turn).slice(0, mostImages).forEach(found => {
    const image = make("img", undefined, box);
    image.src = "data:image/png;base64," + found.source;
    image.alt = image.title = found.name;
  });
};
const partition = top => {  // the largest group is split until the rows are full
  let parts = [top];
  for (;;) {
    const largest = parts.reduce((a, b) => b.leaves > a.leaves ? b : a);
    if (isLeaf(largest) || (largest !== top
      && parts.length - 1 + largest.children.length > mostRows)) return parts;
    parts = parts.filter(n => n !== largest).concat(
      largest.children.map(c => nodes[c]));
  }
};
const draw = (top, chosen) => {
  const svg = document.getElementById("dendrogram"), right = 560, step = 22;
  const parts = new Set(partition(top));
  const spot = new Map();  // [x, y] of the nodes that are shown
  let rows = 0;
  const place = n => {
    const depth = 1 - Math.log(n.leaves) / Math.log(Math.max(top.leaves, 2));
    const x = 12 + (right - 12) * depth;
    if (parts.has(n)) spot.set(n, [isLeaf(n) ? right : x, step * (rows++ + 0.5)]);
    else {
      const y = n.children.map(c => nodes[c]).sort((a, b) => a.lowest - b.lowest)
        .map(child => place(child)[1]);
      spot.set(n, [x, (Math.min(...y) + Math.max(...y)) / 2]);
    }
    return spot.get(n);
  };
  place(top);
  svg.replaceChildren();
  svg.setAttribute("viewBox", "0 0 1000 " + step * parts.size);
  const shape = (tag, parent, attributes, text) => {
    const element = document.createElementNS(svg.namespaceURI, tag);
    Object.entries(attributes).forEach(([k, v]) => element.setAttribute(k, v));
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  };
  spot.forEach(([x, y], n) => n.children.forEach(c => {
    if (parts.has(n)) return;
    const [to, at] = spot.get(nodes[c]);
    shape("path", svg, { d: `M${x} ${y}V${at}H${to}` });
  }));
  spot.forEach(([x, y], n) => {
    const kind = isLeaf(n) ? "leaf" : parts.has(n) ? "group" : "inner";
    const group = shape("g", svg, { "data-node": n.node, tabindex: 0, role: "button",
      class: kind + (n === chosen ? " chosen" : ""), "aria-label": title(n) });
    shape("title", group, {}, title(n) + ": " + size(n));
    if (kind === "group")
      shape("path", group, { d: `M${x} ${y}L${right} ${y - 7}V${y + 7}Z` });
    if (kind !== "inner") {
      const text = title(n);
      shape("text", group, { x: right + 8, y: y },
        text.length > 62 ? text.slice(0, 61) + "\\u2026" : text);
    }
    if (kind !== "leaf") shape("circle", group, { cx: x, cy: y, r: 4.5 });
    group.onclick = () => choose(n);
    group.onkeydown = event => { if (event.key === "Enter") choose(n); };
  });
};
const side = (n, parent) => {
  const box = make("div", undefined, parent, "side");
  link(n, box);
  make("p", size(n), box);
  pictures(n, box);
  const names = leavesOf(n).map(leaf => leaf.name);
  make("div", names.slice(0, mostNames).join(", ")
    + (names.length > mostNames ? ", ..." : ""), box, "names");
};
const facts = (n, parent) => {
  const table = make("table", undefined, parent);
  const fact = what => {
    const line = make("tr", undefined, table);
    make("th", what, line);
    return make("td", undefined, line);
  };
  Object.entries(data.labels).forEach(([key, what]) => {
    if (n[key] !== undefined) fact(what).textContent = number(n[key]);
  });
  Object.entries(data.links).forEach(([key, what]) => {
    if (n[key] !== undefined) link(nodes[n[key]], fact(what));
  });
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
    link(x, trail, i ? title(x) : "All leaves");
  });
  let top = n;
  while (top.leaves < fewest && top.parent !== null) top = nodes[top.parent];
  draw(top, n);
  const here = document.getElementById("here");
  here.replaceChildren();
  make("h2", n.node === root ? "All leaves" : title(n), here);
  make("p", size(n), here);
  facts(n, here);
  if (isLeaf(n)) pictures(n, here);
  else {
    const sides = make("div", undefined, here, "sides");
    n.children.forEach(c => side(nodes[c], sides));
  }
};
const search = document.getElementById("search");
search.oninput = () => {
  const box = document.getElementById("found"), text = search.value.toLowerCase();
  box.replaceChildren();
  if (text) nodes.filter(n => isLeaf(n) && n.name.toLowerCase().includes(text))
    .slice(0, 20).forEach(leaf => link(leaf, box));
};
Object.entries(data.lists).forEach(([heading, members]) => {
  const box = make("section", undefined, document.getElementById("lists"), "list");
  make("h2", heading, box);
  const nav = make("nav", undefined, box);
  members.forEach(i => link(nodes[i], nav));
});
window.onhashchange = show;
show();
"""
