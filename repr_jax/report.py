"""From a trained model and its metrics to a folder that a browser shows.

workdir/report/ holds metrics.json, coherence.csv, the pictures, and index.html, which
shows them all and needs no network. The table is printed to the terminal as well.
"""

import csv
import html
import io
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from etils import epath

from repr_jax import figures, pictures
from repr_jax.evaluators.common import subsets, views

CAPTIONS = {
    "conditional": (
        "Generated from one view",
        "Each block starts with the one view that the model was given, real test "
        "images marked in orange; below it are the other views that the model drew "
        "from it. Look down a column: the class should stay the same, while style and "
        "background are free. Coherence is how often it does.",
    ),
    "reconstructions": (
        "Originals and reconstructions",
        "Real test images, marked in orange, each above what the model makes of it "
        "when it is given everything. Look for what gets lost: backgrounds that "
        "average out, strokes that move towards a typical shape.",
    ),
    "unconditional": (
        "Samples from the prior",
        "Nothing was given; one random latent a column, decoded into every view. Look "
        "for images that could be real, and for views of a column that agree.",
    ),
    "retrieval": (
        "Nearest in another modality",
        "Each line starts with what was asked, a test example marked in orange, or its "
        "text; then come the test examples whose other modality is nearest, the "
        "nearest first, the right one framed in green. Look at what the wrong ones "
        "have in common with it. Recall at k counts the lines with the right one among "
        "the first k.",
    ),
    "latents": (
        "The latent space",
        "Representations of test examples, all views given, on the two directions of "
        "largest variance; a colour a class, its name at the median. Classes that "
        "overlap here may still be apart in the other dimensions, which the linear "
        "probe sees and the picture does not.",
    ),
    "losses": (
        "Training",
        "Means between two log points. The vertical axis is fitted to the run without "
        "its first twentieth, so the first steps may lie outside. A curve that still "
        "falls at the right edge asks for more steps.",
    ),
}


class Table(NamedTuple):
    """Cells of text; the first column names the row."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: list[tuple]  # of str, float or None


def write(
    trained,
    dataset,
    metrics: Mapping[str, float],
    history: Sequence[dict],
    workdir,
    *,
    title: str | None = None,
    batch_size: int = 256,
) -> epath.Path:
    """Writes workdir/report/ and prints the table.

    Every process must call it, since it runs the model; the first one writes.

    Args:
      trained: Trained. Without `generate` there are no pictures of images.
      dataset: Dataset.
      metrics: of the evaluators.
      history: rows of metrics.jsonl, {"step": ..., "loss": ..., "kl/m0": ...}.
      workdir: the run's folder.
      title: heading; the folder's name by default.
      batch_size: of the evaluators, so that nothing is compiled again.

    Returns:
      The path of index.html.
    """
    folder = epath.Path(workdir) / "report"
    drawn = pictures.draw(trained, dataset, batch_size)
    losses = figures.curves(history)
    if losses is not None:
        drawn["losses"] = losses
    if jax.process_index() != 0:
        return folder / "index.html"
    folder.mkdir(parents=True, exist_ok=True)
    tables = tabulate(metrics, trained.modalities)
    files = {"metrics.json": json.dumps(dict(metrics), indent=2).encode() + b"\n"}
    coherence = coherence_csv(metrics, trained.modalities)
    if coherence:
        files["coherence.csv"] = coherence.encode()
    files |= {f"{name}.png": picture for name, picture in drawn.items()}
    title = title or epath.Path(workdir).name or "repr_jax"
    files["index.html"] = page(
        title, metrics, trained.modalities, tables, files
    ).encode()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    print("\n".join(as_text(table) for table in tables), flush=True)
    return folder / "index.html"


def column_names(metrics) -> dict[str, str]:
    """Prefixes of what is known of every subset, and how a column calls them."""
    found = {}
    for prefix in dict.fromkeys(name.split("/")[0] for name in metrics):
        if prefix.startswith("linear_probe"):
            rows = prefix.removeprefix("linear_probe").removeprefix("_")
            found[prefix] = f"probe, {rows} rows" if rows else "linear probe"
    return found | {"coherence": "coherence", "self_coherence": "self-coherence"}


def by_views(metrics, modalities) -> Table:
    """Means over the subsets of a size."""
    columns = column_names(metrics)
    rows = []
    for size in (views(n + 1) for n in range(len(modalities))):
        scores = [metrics.get(f"{prefix}/{size}") for prefix in columns]
        rows.append((size.replace("_", " "), *scores))
    note = (
        "Means over the subsets of so many views. Linear probe: accuracy of a linear "
        "classifier of the latent mean, fitted to the training split or to so many "
        "rows of it. Coherence: how often a view generated from others shows their "
        "class, as a classifier sees it; chance is one over the number of classes. "
        "Self-coherence: the same for views that were among the given ones."
    )
    return without_empty(
        Table("By number of views", note, ("given", *columns.values()), rows)
    )


def by_subset(metrics, modalities) -> Table:
    """Every subset: its probes, and the coherence of each target."""
    columns = column_names(metrics)
    del columns["coherence"], columns["self_coherence"]
    rows = []
    for name, subset in subsets(modalities).items():
        scores = [metrics.get(f"{prefix}/{name}") for prefix in columns]
        for target, inside in zip(modalities, subset):
            prefix = "self_coherence" if inside else "coherence"
            scores.append(metrics.get(f"{prefix}/{name}->{target}"))
        rows.append((name, *scores))
    note = (
        "The columns with an arrow are coherence by target; where the target is among "
        "the given views, it is a reconstruction."
    )
    arrows = (f"\u2192 {target}" for target in modalities)
    header = ("given", *columns.values(), *arrows)
    return without_empty(Table("By subset of the views", note, header, rows))


def without_empty(table: Table) -> Table:
    """The table without columns that have no value, and without rows if none has."""
    keep = [
        i
        for i in range(len(table.header))
        if i == 0 or any(row[i] is not None for row in table.rows)
    ]
    rows = [tuple(row[i] for i in keep) for row in table.rows] if len(keep) > 1 else []
    return table._replace(header=tuple(table.header[i] for i in keep), rows=rows)


def tabulate(metrics, modalities) -> list[Table]:
    """The metrics as tables: by number of views, by subset, and the rest."""
    columns = column_names(metrics)
    rest = [
        (name, value)
        for name, value in metrics.items()
        if name.split("/")[0] not in columns or name == "coherence/joint"
    ]
    note = (
        "classifier: accuracy of the judges on real test images, the ceiling of "
        "coherence. coherence/joint: samples from the prior on which all views agree. "
        "bound: held-out evidence bound in nats an example, higher is better."
    )
    tables = [
        by_views(metrics, modalities),
        by_subset(metrics, modalities),
        Table("Other numbers", note, ("name", "value"), rest),
    ]
    return [table for table in tables if table.rows]


def number(value) -> str:
    """Three decimals for small numbers, fewer for large ones, a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer):
        return str(value)
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


def coherence_csv(metrics, modalities) -> str:
    """Rows are given subsets, columns are targets; "" without coherence."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(("given", *modalities))
    found = False
    for name, subset in subsets(modalities).items():
        prefixes = ["self_coherence" if here else "coherence" for here in subset]
        keys = [f"{p}/{name}->{target}" for p, target in zip(prefixes, modalities)]
        found |= any(key in metrics for key in keys)
        cells = (f"{metrics[key]:.4f}" if key in metrics else "" for key in keys)
        table.writerow((name, *cells))
    return file.getvalue() if found else ""


STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  color: #1f2933; background: #f6f7f9; margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 0 0 .4rem; }
p { margin: 0 0 1rem; color: #52606d; max-width: 78ch; }
section { background: #fff; border: 1px solid #e4e7eb; border-radius: 10px;
  padding: 1.3rem 1.5rem; margin: 1.25rem 0; overflow-x: auto; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0 0; }
.card { background: #fff; border: 1px solid #e4e7eb; border-radius: 10px;
  padding: .8rem 1.1rem; min-width: 8.5rem; }
.card b { display: block; font-size: 1.6rem; line-height: 1.2;
  font-variant-numeric: tabular-nums; }
.card span { font-size: .85rem; color: #52606d; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums;
  font-size: .92rem; }
th, td { padding: .36rem .8rem; text-align: right;
  border-bottom: 1px solid #e4e7eb; }
th:first-child, td:first-child { text-align: left; }
th { color: #52606d; font-weight: 600; white-space: nowrap; }
img { display: block; max-width: 100%; height: auto; }
a { color: #0b6e99; }
"""


def cards(metrics, modalities) -> list[tuple[str, float]]:
    """The few numbers to see first: (what, value)."""
    last = len(modalities)
    wanted = {
        f"linear_probe/{views(last)}": "linear probe, all views",
        "linear_probe/1_view": "linear probe, one view",
        "accuracy": "linear probe",
        "coherence/1_view": "coherence from one view",
        "coherence/2_views": "coherence from two views",
        "coherence/joint": "agreement of prior samples",
        "bound/joint": "evidence bound, nats",
    }
    return [(text, metrics[name]) for name, text in wanted.items() if name in metrics]


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


def page(title, metrics, modalities, tables, files) -> str:
    """index.html: key numbers first, then pictures in the order of CAPTIONS."""
    title = html.escape(title)
    step = f"After {metrics['step']:,} training steps. " if "step" in metrics else ""
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>",
        f"<h1>{title}</h1><p>{step}All numbers are of held-out test examples.</p>",
        "<div class=cards>",
    ]
    for text, value in cards(metrics, modalities):
        parts.append(f"<div class=card><b>{number(value)}</b><span>{text}</span></div>")
    parts.append("</div>")

    def section(heading, note, body):
        heading, note = html.escape(heading), html.escape(note)
        parts.append(f"<section><h2>{heading}</h2><p>{note}</p>{body}</section>")

    for table in tables[:1]:
        section(table.title, table.note, as_html(table))
    for name, (heading, note) in CAPTIONS.items():
        if f"{name}.png" in files:
            section(heading, note, f'<img src="{name}.png" alt="{heading}">')
    for table in tables[1:]:
        section(table.title, table.note, as_html(table))
    links = [n for n in ("metrics.json", "coherence.csv") if n in files]
    links = ", ".join(f'<a href="{name}">{name}</a>' for name in links)
    parts.append(f"<p>The numbers as files: {links}.</p></main></body></html>\n")
    return "".join(parts)
