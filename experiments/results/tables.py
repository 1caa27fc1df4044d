"""Tables of results: numbers over seeds, as markdown, as CSV and as JSON."""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

MISSING = "–"
FORMAT = re.compile(r",?(\.\d\d?)?[efg%]?")  # of a float


class Number(NamedTuple):
    """A number of several runs that differ by their seed alone."""

    mean: float
    sd: float | None = None  # over the runs, n in the denominator; None of one run
    n: int = 1  # runs
    beside: float | None = None  # a value known otherwise, shown in brackets
    best: bool = False  # shown in bold
    format: str = ""  # where it is not the column's


class Table(NamedTuple):
    """Rows of cells: text, int, float, None, a Number, or a list of floats."""

    header: Sequence[str]
    rows: Sequence[Sequence]
    formats: Sequence[str] = ()  # of floats: one for all columns or one each; or .3f
    title: str = ""


def over_seeds(
    values: Iterable[float], *, beside: float | None = None, best: bool = False
) -> Number:
    """Mean and standard deviation of one number of several runs; NaN of none."""
    values = np.asarray(list(values), np.float64)
    if not len(values):
        return Number(math.nan, n=0, beside=beside, best=best)
    sd = float(values.std()) if len(values) > 1 else None
    return Number(float(values.mean()), sd, len(values), beside, best)


def markdown(table: Table) -> str:
    """The lines of a markdown table, with a line end each."""
    lines = [row_of(table.header), "|" + "---|" * len(table.header)]
    lines += [row_of(cells) for cells in shown(table)]
    text = "\n".join(lines) + "\n"
    return f"**{table.title}**\n\n{text}" if table.title else text


def row_of(cells: Iterable[str]) -> str:
    """One line of a markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def shown(table: Table) -> list[list[str]]:
    """The cells as text, every number by the format of its column.

    Raises:
      ValueError: a row is not as long as the header.
    """
    width, formats = len(table.header), list(table.formats) or [".3f"]
    formats = formats * width if len(formats) == 1 else formats
    if len(formats) != width or any(len(row) != width for row in table.rows):
        raise ValueError(
            f"table: expected {width} cells a row and {width} formats, as the header "
            f"has; got rows of {sorted({len(row) for row in table.rows})} and "
            f"{len(formats)} formats."
        )
    return [[cell(x, form) for x, form in zip(row, formats)] for row in table.rows]


def cell(value, form: str = ".3f") -> str:
    """A cell as text: "0.97 ± 0.01 (0.98)" of a Number; MISSING of None and NaN."""
    if value is None or isinstance(value, str):
        return MISSING if value is None else value
    if isinstance(value, Number):
        if math.isnan(value.mean):
            return MISSING
        form = value.format or form
        text = cell(value.mean, form)
        text = f"**{text}**" if value.best else text
        text += "" if value.sd is None else f" ± {cell(value.sd, form)}"
        return text if value.beside is None else f"{text} ({cell(value.beside, form)})"
    if isinstance(value, list | tuple):
        return ", ".join(cell(x, form) for x in value)
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if math.isnan(value):
        return MISSING
    if value == 0 and form.endswith("e"):
        return "0"
    return re.sub(r"e([-+])0*(\d)", r"e\1\2", f"{value:{form}}")


def as_csv(header: Sequence[str], rows: Iterable[Sequence]) -> str:
    """Rows of text and numbers, a line each; floats have six significant digits."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([f"{x:.6g}" if isinstance(x, float) else x for x in row])
    return file.getvalue()


def to_json(table: Table) -> dict:
    """What `from_json` reads: Numbers are objects without the fields left as they are.

    Means and spreads are rounded to seven significant digits; NaN becomes null.
    """

    def encode(value):
        if isinstance(value, Number):
            fields = value._asdict()
            plain = Number(0.0)._asdict()
            kept = {k: encode(v) for k, v in fields.items() if v != plain.get(k)}
            return {"mean": encode(value.mean), **kept}
        if isinstance(value, list | tuple):
            return [encode(x) for x in value]
        if isinstance(value, float | np.floating):
            return None if math.isnan(value) else float(f"{value:.7g}")
        return int(value) if isinstance(value, np.integer) else value

    found = table._asdict() | {"rows": encode(table.rows)}
    found |= {"header": list(table.header), "formats": list(table.formats)}
    return {name: value for name, value in found.items() if value}


def from_json(value: dict) -> Table:
    """The inverse of `to_json`."""

    def decode(x):
        if isinstance(x, dict):
            known = {k: v for k, v in x.items() if v is not None}
            return Number(**{"mean": math.nan, **known})
        return x

    rows = [[decode(x) for x in row] for row in value["rows"]]
    return Table(**{**value, "rows": rows})
