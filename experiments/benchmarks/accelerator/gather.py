"""From the files of parts to one file of results, with shares of the ceilings."""

import json
import pathlib
from collections.abc import Mapping

from experiments.results import store
from experiments.results.tables import Table
from repr_jax import files
from repr_jax.workdir import records

NAME = "benchmark_accelerator"
FORMATS = {  # of columns with floats
    "ms": ",.3f",
    "spread": ".0%",
    "TFLOP/s": ",.1f",
    "GB/s": ",.0f",
    "compile, s": ".1f",
    "TFLOP": ".3f",
    "GB": ",.2f",
    "MiB": ",.0f",
    "peak, MiB": ",.0f",
    "of products": ".0%",
    "of bandwidth": ".0%",
    "examples a second": ",.0f",
    "seconds": ".2f",
    "seconds, again": ".2f",
    "pictures a second": ",.0f",
    "host, ms a batch": ".2f",
}
ERROR = ".1e"  # of columns whose name has this word
LAST = ("compile, s", "spread")


def write(out, parts: Mapping) -> str:
    """Writes DIR/benchmark_accelerator.json and .md; the latter's text, "" of nothing.

    parts: as `parts.PARTS`.
    """
    out = pathlib.Path(out)
    found = {name: _read(out / f"{name}.json") for name in parts}
    found = {name: part for name, part in found.items() if part}
    if not any(part["figures"] for part in found.values()):
        return ""
    first, *others = found.values()
    ceilings = _ceilings(found.get("ceilings"))
    content = [_differences(first, others), ROOFLINE] if ceilings else []
    for name, part in found.items():
        ours = found.get(name.removesuffix("_torch"), part)
        content += _section(parts[name], part, _operations(ours), ceilings)
    absent = [part.title for name, part in parts.items() if name not in found]
    if absent:
        content.append(f"Not run: {'; '.join(absent)}.")
    smoke = any(part["smoke"] for part in found.values())
    command = "python -m experiments.benchmarks.accelerator"
    result = store.Result(
        title="One GPU: losses, training steps, estimators and data",
        command=command + " --smoke" * smoke,
        revision=first["revision"] or records.revision(),
        date=first["date"],
        seeds=[0],
        hardware=first["hardware"],
        versions=first["versions"],
        content=[block for block in content if block],
    )
    path = out / f"{NAME}.json"
    files.write(path, store.to_json(result))
    text = store.markdown(store.read(path), path.name)
    files.write(path.with_suffix(".md"), text)
    return text


ROOFLINE = (
    "Operations (TFLOP) are XLA's count of the program as written, or by formula "
    "where it says so; of a card whose backend has no such count, the host's, whose "
    "form of a convolution may have a tenth more; bytes (GB) its count for the "
    "compiled program, also of those that a cache holds. *Of products*: the "
    "operations at the measured ceiling of their arithmetic, over the time; *of "
    "bandwidth*: the bytes at that of the copy, over the time. The larger of the two "
    "bounds the program; where both are small, it is latency, the host, or operations"
    " that neither counts. MiB: arguments, results and temporaries; peak: of the "
    "process so far. ms: the median of turns, spread: their range over it."
)


def _read(path) -> dict | None:
    """What a part has written; None if it has not run."""
    if not path.exists():
        return None
    text = files.read_text("gather", path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not _is_part(found):
        raise ValueError(
            f"{path}: expected what a part of the benchmark writes; got something "
            "else. Without the file the part counts as not run."
        )
    return found


def _is_part(found) -> bool:
    """Whether it has the fields that are read here, of their types."""
    kinds = dict(revision=str, date=str, hardware=str, versions=dict, smoke=bool)
    kinds |= dict(finished=bool, figures=list, problems=list)
    return (
        isinstance(found, dict)
        and all(isinstance(found.get(name), kind) for name, kind in kinds.items())
        and all(isinstance(text, str) for text in found["versions"].values())
        and all(isinstance(text, str) for text in found["problems"])
        and all(map(_is_figure, found["figures"]))
    )


def _is_figure(figure) -> bool:
    """Whether it has a name, numbers where there should be, and a time if it counts."""
    return (
        isinstance(figure, dict)
        and isinstance(figure.get(""), str)
        and all(isinstance(x, str) or files.is_number(x) for x in figure.values())
        and all(files.is_number(figure[name]) for name in FORMATS if name in figure)
        and ("TFLOP" not in figure or figure.get("ms", 0) > 0)
    )


def _differences(first: Mapping, others) -> str:
    """Names parts that another machine made."""
    kinds = {part["hardware"] for part in others} - {first["hardware"]}
    return f"Some parts ran on {', '.join(sorted(kinds))}." if kinds else ""


def _ceilings(part: Mapping | None) -> dict[str, float]:
    """Operations a second by arithmetic, and bytes a second as "copy"; the best."""
    best: dict[str, float] = {}
    for figure in part["figures"] if part else ():
        name = figure[""].split(",")[0]
        rate = figure.get("TFLOP/s", 0) * 1e12 or figure.get("GB/s", 0) * 1e9
        best[name] = max(best.get(name, 0), rate)
    return best


def _operations(part: Mapping) -> dict[str, float]:
    """Of our form of a step, for the peer's."""
    counts = [x["TFLOP"] for x in part["figures"] if "TFLOP" in x]
    return {"TFLOP": counts[0]} if counts else {}


def _section(part, found: Mapping, operations: Mapping, ceilings: Mapping) -> list:
    """A heading, a table, and what did not work."""
    rows = [_with_shares({**x, **operations, **x}, ceilings) for x in found["figures"]]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    columns = [c for c in columns if c not in LAST] + [c for c in LAST if c in columns]
    formats = [ERROR if "error" in c else FORMATS.get(c, ".3g") for c in columns]
    cells = [[row.get(column) for column in columns] for row in rows]
    problems = [f"Did not work: {problem}" for problem in found["problems"]]
    if not found["finished"]:
        problems.append("Stopped by its time limit; the rest is missing.")
    table = [Table(columns, cells, formats)] if rows else []
    return [f"## {part.title}", part.text, *table, *problems]


def _with_shares(figure: Mapping, ceilings: Mapping) -> dict:
    """The columns, and which part of its time the products and the bytes explain."""
    row, rate = dict(figure), ceilings.get(figure.get("arithmetic", ""))
    if "TFLOP" not in row:
        return row
    seconds = row["ms"] / 1e3
    row["TFLOP/s"] = row["TFLOP"] / seconds
    if not rate:
        return row
    row["of products"] = row["TFLOP"] * 1e12 / rate / seconds
    if "GB" in row and ceilings.get("copy"):
        row["of bandwidth"] = row["GB"] * 1e9 / ceilings["copy"] / seconds
        products = row["of products"] >= row["of bandwidth"]
        share = max(row["of products"], row["of bandwidth"])
        row["bound"] = ("products" if products else "memory") if share > 0.4 else "?"
    return row
