"""What a result file holds, and how commands write one.

    store.write(
        f"{workdir}/simclr_mnist.json",
        title="SimCLR on digits",
        command="python -m ...",
        seeds=[0, 1, 2],
        content=["How it was made.", Table(...), Picture("simclr_mnist.png", "...")],
    )

writes the JSON, with the date, the revision, the hardware and the versions of now, and
beside it the same as markdown. A command writes into its workdir; figures that the
project claims are then taken into this folder, a file a method or command, by

    python -m experiments.results.render DIR/simclr_mnist.json
"""

import datetime
import functools
import importlib.metadata
import json
import pathlib
import platform
import shlex
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from experiments.results import tables
from experiments.results.tables import Table
from repr_jax import files
from repr_jax.workdir import records

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
FIELDS = {  # of a file: what it must have, and of which type
    "title": str,
    "command": str,
    "revision": str,  # of the code that the figures were made with
    "date": str,
    "seeds": list,
    "hardware": str,
    "versions": dict,
    "content": list,
}


class Picture(NamedTuple):
    """A file beside the JSON, or in a folder there."""

    file: str
    caption: str


class Result(NamedTuple):
    """A file of results."""

    title: str
    command: str
    revision: str
    date: str
    seeds: list[int]
    hardware: str
    versions: dict[str, str]
    content: list[str | Table | Picture]  # text is markdown


def write(
    path,
    *,
    title: str,
    command: str,
    seeds: Sequence[int],
    content: Sequence[str | Table | Picture],
    workdirs: Iterable = (),
) -> str:
    """Writes the file and its rendering beside it; returns the rendering.

    Args:
      path: ends in .json.
      title: of the method and the data.
      command: as a shell would be told it.
      seeds: of the runs.
      content: paragraphs, tables and pictures in the order to be read. Published
        figures go beside ours: as a row, as a column or in `Number.beside`.
      workdirs: of the runs that the figures are of, whose revision and hardware the
        file names; without any, those of now.
    """
    result = Result(
        title=title,
        command=command,
        date=datetime.date.today().isoformat(),
        seeds=list(seeds),
        versions=versions(),
        content=list(content),
        **records.origin(workdirs),
    )
    path = pathlib.Path(path)
    files.write(path, to_json(result))
    text = markdown(read(path), path.name)
    files.write(path.with_suffix(".md"), text)
    return text


def picture(folder, file: str, caption: str, png: bytes) -> Picture:
    """Writes a picture below the folder of a result; its place in the content."""
    files.write(pathlib.Path(folder) / file, png)
    return Picture(file, caption)


def write_csv(path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Every number behind a result, as `tables.as_csv` has it."""
    files.write(path, tables.as_csv(header, rows))


def command_line(module: str, arguments: Sequence[str]) -> str:
    """A command as a result names it: without --out, and --workdir=DIR."""
    words, left = ["python", "-m", module], iter(arguments)
    for word in left:
        name, equals, _ = word.partition("=")
        if name in ("--out", "--workdir") and not equals:
            next(left, None)  # its value
        if name != "--out":
            words.append("--workdir=DIR" if name == "--workdir" else word)
    return shlex.join(words)


def read(path) -> Result:
    """A file of `write`.

    Raises:
      FileNotFoundError: there is none. ValueError: it is not of this form.
    """
    text = files.read_text("results", path)
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON; got {error}.") from None
    if not isinstance(fields, dict) or set(fields) != set(FIELDS):
        found = ", ".join(fields) if isinstance(fields, dict) else type(fields).__name__
        raise ValueError(f"{path}: expected {', '.join(FIELDS)}; got {found}.")
    for name, kind in FIELDS.items():
        if not isinstance(fields[name], kind):
            raise ValueError(
                f"{path}: expected {name} as {kind.__name__}; got {fields[name]!r}."
            )
    for block in fields["content"]:
        if not _is_block(block):
            raise ValueError(
                f"{path}: expected content of texts, pictures (file, caption; below "
                "the folder) and "
                f"tables (header, rows, formats, title); got {str(block)[:200]}."
            )
    return Result(**{**fields, "content": [_decode(x) for x in fields["content"]]})


def _is_block(block) -> bool:
    """Has it the form of a text, a picture or a table?"""
    if not isinstance(block, dict):
        return isinstance(block, str)
    if set(block) == set(Picture._fields):
        return all(isinstance(value, str) for value in block.values()) and _is_below(
            block["file"]
        )
    lists = [block.get(name, []) for name in ("header", "rows", "formats")]
    if not {"header", "rows"} <= set(block) <= set(Table._fields) or not all(
        isinstance(value, list) for value in lists
    ):
        return False
    header, rows, formats = lists
    texts = [*header, *formats, block.get("title", "")]
    return (
        all(isinstance(text, str) for text in texts)
        and all(map(tables.FORMAT.fullmatch, formats))
        and len(formats) in (0, 1, len(header))
        and all(_is_row(row) and len(row) == len(header) for row in rows)
    )


def _is_below(file: str) -> bool:
    """Does it name a file in the folder of a result, or in a folder there?"""
    path = pathlib.PurePath(file)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts


def _is_row(row) -> bool:
    """Is it a list of texts, numbers, lists of numbers, and objects of `Number`?"""

    def is_number(value):  # NaN is null
        return value is None or files.is_number(value)

    def is_cell(value):
        if isinstance(value, dict):
            return {"mean"} <= set(value) <= set(tables.Number._fields) and all(
                isinstance(x, str) and tables.FORMAT.fullmatch(x)
                if name == "format"
                else is_number(x)
                for name, x in value.items()
            )
        if isinstance(value, list):
            return all(map(is_number, value))
        return isinstance(value, str) or is_number(value)

    return isinstance(row, list) and all(map(is_cell, row))


def _decode(block):
    if isinstance(block, str):
        return block
    return Picture(**block) if "file" in block else tables.from_json(block)


def to_json(result: Result) -> str:
    """The text of a file: a line for each field, each block and each row."""
    dumps = functools.partial(json.dumps, ensure_ascii=False)

    def encode(block):
        if not isinstance(block, Table):
            return dumps(block._asdict() if isinstance(block, Picture) else block)
        fields = tables.to_json(block)
        rows = ",\n   ".join(dumps(row) for row in fields.pop("rows"))
        return f'{dumps(fields)[:-1]}, "rows": [\n   {rows}\n  ]}}'

    fields = result._asdict()
    content = ",\n  ".join(encode(block) for block in fields.pop("content"))
    lines = [f" {dumps(name)}: {dumps(value)}" for name, value in fields.items()]
    lines.append(f' "content": [\n  {content}\n ]')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def markdown(result: Result, source: str) -> str:
    """What is read: the facts of the run as a list, then the content.

    source: name of the JSON file.
    """
    seeds = ", ".join(str(seed) for seed in result.seeds)
    kinds = ", ".join(f"{name} {v}" for name, v in result.versions.items())
    parts = [
        f"# {result.title}",
        f"<!-- Rendered from {source} by python -m experiments.results.render. -->",
        f"- Command: `{result.command}`\n"
        f"- Revision {result.revision or 'unknown'}, {result.date}, "
        f"{'seeds' if len(result.seeds) > 1 else 'seed'} {seeds}\n"
        f"- {result.hardware}; {kinds}",
    ]
    for block in result.content:
        if isinstance(block, Table):
            parts.append(tables.markdown(block).rstrip("\n"))
        elif isinstance(block, Picture):
            parts.append(f"![{block.caption}]({block.file})")
        else:
            parts.append(block)
    return "\n\n".join(parts) + "\n"


def versions() -> dict[str, str]:
    """Of Python and of the packages that figures depend on."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **found}
