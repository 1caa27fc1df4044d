"""Which module imports which, read from the files, and a page that draws it.

Imports go from a layer to itself or to a lower one, and in no circle.
"""

import ast
import html
import pathlib

# Modules that are not listed, such as train, and experiments and configs are the
# highest layer.
LAYERS = {"ops": 0, "files": 0, "last_words": 0, "trees": 1}
LAYERS |= dict.fromkeys(("losses", "metrics", "estimators"), 2)
LAYERS |= dict.fromkeys(("config", "figures", "optim", "sharding"), 1)
LAYERS |= dict.fromkeys(("models", "data", "evaluators"), 3)
HIGHEST = 4
FOLDERS = ("repr_jax", "experiments", "configs")
BOX, ROW, ACROSS = (112, 26), 64, 9  # pixels; boxes in a row

STYLE = """body{font:15px/1.5 sans-serif;margin:2em;max-width:80em;color:#222}
svg{display:block;max-width:100%}text{font-size:12px;text-anchor:middle}
rect{fill:#eef3f8;stroke:#7a8ca0}line{stroke:#7a8ca0;stroke-opacity:.55}
.band{fill:#f7f7f7;stroke:none}.side{text-anchor:start;fill:#777}
td,th{text-align:left;vertical-align:top;padding:.15em 1em .15em 0}"""


def names_of(root: pathlib.Path, *folders: str) -> dict[str, pathlib.Path]:
    """{name of a module: its path} of all that are below the folders."""
    found = {}
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def layer(name: str) -> int:
    """Of a module or package, by the table above."""
    top, _, rest = name.partition(".")
    return LAYERS.get(rest.partition(".")[0], HIGHEST) if top == "repr_jax" else HIGHEST


def imported(path: pathlib.Path, modules) -> set[str]:
    """Modules of ours that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}:{node.lineno}: a relative import")
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in names}
    return found & set(modules)


def graph_of(root: pathlib.Path) -> dict[str, set[str]]:
    """{module: modules of ours that it imports}."""
    modules = names_of(root, *FOLDERS)
    return {name: imported(path, modules) for name, path in modules.items()}


def part(name: str) -> str:
    """What is drawn as one box: a package, or a module beside packages."""
    names = name.split(".")
    return ".".join(names[: 2 if names[0] == "repr_jax" else 1])


def parts_of(graph) -> dict[str, set[str]]:
    """The same graph of parts: {part: other parts that it imports}."""
    found = {part(name): set() for name in graph}
    for name, targets in graph.items():
        found[part(name)] |= {part(target) for target in targets}
    return {name: targets - {name} for name, targets in found.items()}


def reached(graph) -> dict[str, set[str]]:
    """{part: all that it imports, itself or by others}."""
    found = {}
    for name in graph:
        found[name], left = set(), list(graph[name])
        while left:
            target = left.pop()
            if target not in found[name]:
                found[name].add(target)
                left += graph[target]
    return found


def without_implied(graph) -> dict[str, set[str]]:
    """The graph less imports that follow from others, so that it can be drawn."""
    below = reached(graph)

    def follows(name, target):
        return any(
            target in below[x] and x not in below[target]
            for x in graph[name] - {target}
            if name not in below[x]
        )

    return {
        name: {target for target in targets if not follows(name, target)}
        for name, targets in graph.items()
    }


def rows_of(parts) -> list[tuple[int, list[str]]]:
    """(layer, parts) of each line of the picture, from the top.

    Parts that import one another, by different modules, are on the same line.
    """
    below = reached(parts)

    def height(name):  # of chains of imports within the layer
        lower = [t for t in below[name] if layer(t) == layer(name)]
        lower = [t for t in lower if name not in below[t]]
        return 1 + max(map(height, lower), default=0)

    lines = {}
    for name in sorted(parts):
        lines.setdefault((layer(name), height(name)), []).append(name)
    return [
        (number, names[start : start + ACROSS])
        for (number, _), names in sorted(lines.items(), reverse=True)
        for start in range(0, len(names), ACROSS)
    ]


def draw(graph) -> str:
    """SVG: a box for each part, a band for each layer, a line for each import."""
    parts = parts_of(graph)
    rows = rows_of(parts)
    width, (box, tall) = 90 + ACROSS * (BOX[0] + 14), BOX
    place, shapes, last = {}, [], None
    for number, (level, names) in enumerate(rows):
        top, gap = number * ROW, (width - 90) / len(names)
        shapes.append(f'<rect class="band" y="{top}" width="{width}" height="{ROW}"/>')
        if level != last:
            text = f'<text class="side" x="8" y="{top + 30}">layer {level}</text>'
            shapes += [f'<line x2="{width}" y1="{top}" y2="{top}"/>', text]
            last = level
        for i, name in enumerate(names):
            place[name] = (90 + (i + 0.5) * gap, top + ROW / 2)
    for name, targets in without_implied(parts).items():
        for target in sorted(targets):
            (x, y), (u, v) = place[name], place[target]
            shapes.append(f'<line x1="{x:.0f}" y1="{y}" x2="{u:.0f}" y2="{v}"/>')
    for name, (x, y) in place.items():
        uses = ", ".join(sorted(parts[name])) or "no other part"
        label = name.removeprefix("repr_jax.")
        shapes.append(
            f"<g><title>{name} imports {uses}</title>"
            f'<rect x="{x - box / 2:.0f}" y="{y - tall / 2}" width="{box}" '
            f'height="{tall}" rx="5"/><text x="{x:.0f}" y="{y + 4}">{label}</text></g>'
        )
    size = f'viewBox="0 0 {width} {len(rows) * ROW}" width="{width}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(shapes)}</svg>'


def page(graph) -> str:
    """HTML: the picture of parts, and what each module imports."""

    def cells(name):
        others = ", ".join(sorted(graph[name])) or "-"
        return f"<tr><td>{html.escape(name)}</td><td>{html.escape(others)}</td></tr>"

    return (
        f'<!doctype html><meta charset="utf-8"><title>Imports</title>'
        f"<style>{STYLE}</style><h1>Imports</h1><p>A line leads from a part down to "
        "what it imports, of its own layer or a lower one; lines that follow from "
        "others are left out. A box that is pointed at says all. Parts side by side "
        "may import one another, by different modules; no module imports itself, by "
        f"whatever way.</p>{draw(graph)}<h2>Modules</h2>"
        f"<table><tr><th>module</th><th>imports</th></tr>"
        f"{''.join(map(cells, sorted(graph)))}</table>\n"
    )
