"""From what evaluators found to a folder that a browser shows.

workdir/report/ holds metrics.json (with a checksum, "crc32"), numbers.csv, the
pictures, and index.html, which shows them all and needs no network. The tables are
printed to the terminal as well. What a number means is known to the evaluator that
returned it, and not here.
"""

import csv
import html
import io
import os
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from repr_jax import figures, files, logs
from repr_jax.evaluators.common import Evaluation, Table

TRAINING = (
    "Training",
    "Means between two log points, and what was evaluated on the way. The vertical "
    "axis is fitted to the run without its first twentieth, so the first steps may lie "
    "outside. A curve that still falls at the right edge asks for more steps.",
)


def write(
    found: Mapping[str, Evaluation], history: Sequence[dict], workdir, facts: Mapping
) -> None:
    """Prints the tables, writes workdir/report/, and says where index.html is.

    A folder that this user may not write to gets no report, and a line says so.

    Args:
      found: by the evaluator's name in the config.
      history: rows of metrics.jsonl, {"step": ..., "loss": ..., "kl/m0": ...}.
      workdir: the run's folder.
      facts: of the run, by what they are called, such as method, data, config, seed,
        step and revision; those that are empty are left out. The method, the data and
        the step make the title.
    """
    for name, evaluation in found.items():
        for table in tabulated(name, evaluation):
            logs.say(as_text(table), "stdout")
    if "://" not in os.fspath(workdir) and not os.access(workdir, os.W_OK):
        logs.say(f"no report: {workdir} cannot be written to.", "stdout")
        return
    folder = epath.Path(workdir) / "report"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for name, one in found.items() for row in numbers(name, one)]
    metrics = {name: value for name, value, _ in rows} | {"step": facts["step"]}
    contents = {
        "metrics.json": files.checked_text(metrics, indent=2),
        "numbers.csv": as_csv(rows),
    }
    for name, evaluation in found.items():
        contents |= {
            f"{name}_{key}.png": p.png for key, p in evaluation.pictures.items()
        }
    curves = figures.curves(shown(history, found))
    if curves is not None:
        contents["training.png"] = curves
    contents["index.html"] = page(
        found, rows, facts, curves is not None
    )  # the last one
    for name, content in contents.items():
        files.write(folder / name, content)
    logs.say(f"report: {folder / 'index.html'}", "stdout")


def numbers(name: str, evaluation: Evaluation) -> list[tuple]:
    """[("evaluator/key", value, chance level or None)]."""
    return [
        (f"{name}/{key}", float(value), evaluation.chance.get(key))
        for key, value in evaluation.numbers.items()
    ]


def shown(history: Sequence[dict], found: Mapping[str, Evaluation]) -> list[dict]:
    """The history with an evaluator's headline alone, where it has one."""
    hidden = {
        f"{name}/{key}"
        for name, evaluation in found.items()
        for key in evaluation.numbers
        if evaluation.headline and key not in evaluation.headline
    }
    return [{k: v for k, v in row.items() if k not in hidden} for row in history]


def tabulated(name: str, evaluation: Evaluation) -> list[Table]:
    """The evaluator's tables; its numbers as one if it has made none."""
    if evaluation.tables or not evaluation.numbers:
        return [without_empty(table) for table in evaluation.tables]
    rows = [
        (key, value, evaluation.chance.get(key))
        for key, value in evaluation.numbers.items()
    ]
    return [without_empty(Table(name, "", ("number", "value", "chance"), rows))]


def without_empty(table: Table) -> Table:
    """The table without columns that have no value; its first one stays."""
    keep = [
        i
        for i in range(len(table.header))
        if i == 0 or any(row[i] is not None for row in table.rows)
    ]
    rows = [tuple(row[i] for i in keep) for row in table.rows]
    return table._replace(header=tuple(table.header[i] for i in keep), rows=rows)


# As text


def number(value) -> str:
    """Three decimals for small numbers, fewer for large ones, a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if value and abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def as_text(table: Table) -> str:
    """The table in aligned columns, for a terminal."""
    cells = [table.header, *([number(c) for c in row] for row in table.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.header))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in cells
    ]
    rule = "-" * len(lines[0])
    return "\n".join([f"\n{table.title}", rule, lines[0], rule, *lines[1:], rule])


def as_csv(rows: Sequence[tuple]) -> str:
    """name, value and chance of every number; as many digits as there are."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(("name", "value", "chance"))
    table.writerows((name, value, chance) for name, value, chance in rows)
    return file.getvalue()


# As a page

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  color: #1f2933; background: #f6f7f9; margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.05rem; margin: 2.2rem 0 0; color: #52606d; font-weight: 600; }
h3 { font-size: 1.2rem; margin: 0 0 .4rem; }
p { margin: 0 0 1rem; color: #52606d; max-width: 78ch; }
dl { display: flex; flex-wrap: wrap; gap: .2rem 1.6rem; margin: 0; font-size: .92rem; }
dl div { display: flex; gap: .5rem; }
dt { color: #52606d; }
dd { margin: 0; overflow-wrap: anywhere; }
section { background: #fff; border: 1px solid #e4e7eb; border-radius: 10px;
  padding: 1.3rem 1.5rem; margin: .8rem 0 1.25rem; overflow-x: auto; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0 0; }
.card { background: #fff; border: 1px solid #e4e7eb; border-radius: 10px;
  padding: .8rem 1.1rem; min-width: 8.5rem; }
.card b { display: block; font-size: 1.6rem; line-height: 1.2;
  font-variant-numeric: tabular-nums; }
.card span { display: block; font-size: .85rem; color: #52606d; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums;
  font-size: .92rem; }
th, td { padding: .36rem .8rem; text-align: right;
  border-bottom: 1px solid #e4e7eb; }
th:first-child, td:first-child { text-align: left; }
th { color: #52606d; font-weight: 600; white-space: nowrap; }
summary { cursor: pointer; font-weight: 600; }
img { display: block; max-width: 100%; height: auto; }
a { color: #0b6e99; }
"""


def title_of(facts: Mapping) -> str:
    """The method and the data, by the last parts of their names, and the step.

    A function that only says what it does to its module, such as `kmeans.fit`, is
    called by the module.
    """

    def last(name, count):
        *before, function = name.split(".")
        generic = function in ("fit", "make", "load")
        return ".".join(before[-1:] if generic else [*before, function][-count:])

    method, data = last(facts.get("method", ""), 1), last(facts.get("data", ""), 2)
    of = " on ".join(name for name in (method, data) if name)
    step = f", step {facts['step']:,}" if facts["step"] else ""  # 0 of an estimator
    return (of or "repr_jax") + step


def page(found, rows, facts, curves: bool) -> str:
    """index.html: key numbers first, then a part for every evaluator."""
    title = html.escape(title_of(facts))
    named = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd></div>"
        for name, value in facts.items()
        if value not in ("", None)
    )
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>",
        f"<h1>{title}</h1><dl>{named}</dl>",
        cards(found),
    ]
    for name, evaluation in found.items():
        parts.append(f"<h2>{html.escape(name)}</h2>")
        parts += of_evaluator(name, evaluation)
    if curves:
        parts.append(picture("training.png", *TRAINING))
    if rows:
        table = without_empty(Table("", "", ("number", "value", "chance"), rows))
        parts.append(
            f"<section><details><summary>All {len(rows)} numbers</summary>"
            f"{as_html(table)}</details></section>"
        )
    parts.append(
        '<p>The numbers as files: <a href="metrics.json">metrics.json</a>, '
        '<a href="numbers.csv">numbers.csv</a>.</p></main></body></html>\n'
    )
    return "".join(parts)


def cards(found: Mapping[str, Evaluation]) -> str:
    """The few numbers to see first."""
    cells = []
    for name, evaluation in found.items():
        for key in evaluation.headline:
            if key not in evaluation.numbers:
                continue
            text = html.escape(f"{name}: {key.replace('_', ' ')}")
            cell = f"<b>{number(float(evaluation.numbers[key]))}</b><span>{text}</span>"
            if key in evaluation.chance:
                cell += f"<span>chance {number(evaluation.chance[key])}</span>"
            cells.append(f"<div class=card>{cell}</div>")
    return f"<div class=cards>{''.join(cells)}</div>" if cells else ""


def of_evaluator(name: str, evaluation: Evaluation) -> list[str]:
    """Its tables, then its pictures."""
    parts = [section(t.title, t.note, as_html(t)) for t in tabulated(name, evaluation)]
    for key, one in evaluation.pictures.items():
        parts.append(picture(f"{name}_{key}.png", one.title, one.caption))
    return parts or [section("", "Nothing to show.", "")]


def section(heading: str, note: str, body: str) -> str:
    """A box of the page."""
    heading = f"<h3>{html.escape(heading)}</h3>" if heading else ""
    note = f"<p>{html.escape(note)}</p>" if note else ""
    return f"<section>{heading}{note}{body}</section>"


def picture(file: str, heading: str, note: str) -> str:
    """A box with a picture, which a click shows in full size."""
    file, alt = html.escape(file), html.escape(heading)
    image = f'<a href="{file}"><img src="{file}" alt="{alt}"></a>'
    return section(heading, note, image)


def as_html(table: Table) -> str:
    """The table with fractions shaded: the greener, the closer to 1."""
    lines = ["<table><thead><tr>"]
    lines += [f"<th>{html.escape(name)}</th>" for name in table.header]
    lines.append("</tr></thead><tbody>")
    for row in table.rows:
        lines.append("<tr>")
        for value in row:
            shade = ""
            if isinstance(value, float) and 0 <= value <= 1:
                shade = f' style="background: rgba(47, 158, 68, {0.45 * value:.3f})"'
            lines.append(f"<td{shade}>{html.escape(number(value))}</td>")
        lines.append("</tr>")
    return "".join([*lines, "</tbody></table>"])
