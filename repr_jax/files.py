"""Files that are whole or absent, and files of others read with errors that name them.

A path may be a string or an os.PathLike, may begin with "~", and may be on cloud
storage, such as gs://bucket/name.
"""

import contextlib
import csv
import io
import json
import os
import pathlib
import struct
import tokenize
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

# What NumPy and zipfile raise for a file that is damaged or not theirs.
BROKEN = (ValueError, EOFError, KeyError, IndexError, SyntaxError, TypeError)
BROKEN += (NotImplementedError, RuntimeError, OverflowError, MemoryError, OSError)
BROKEN += (zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError)
# What file managers, archives and notebooks leave in folders of data.
LEFT_BEHIND = {"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "$RECYCLE.BIN"}
LEFT_BEHIND |= {"System Volume Information", "lost+found", "@eaDir", "__pycache__"}


def locate(path: str | os.PathLike) -> Any:
    """The path as a pathlib.Path with "~" expanded, or an epath.Path with a scheme."""
    if "://" in os.fspath(path):
        from etils import epath

        return epath.Path(path)
    return pathlib.Path(path).expanduser()


def left_behind(name: str) -> bool:
    """Whether a system, not a person, made the file or folder, such as ".DS_Store"."""
    return name.startswith(".") or name in LEFT_BEHIND


@contextlib.contextmanager
def whole(path: str | os.PathLike) -> Iterator[Any]:
    """Yields a path to write to; the file gets its name if the block succeeds.

    A process that is killed, or an error in the block, leaves the file that was there
    before, or none. Missing folders are made. A link keeps pointing where it did. Cloud
    storage shows a file once it is whole, so it is written in place.
    """
    target = locate(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(target, pathlib.Path) or "://" in os.fspath(target):
        yield target
        return
    target = pathlib.Path(os.path.realpath(target))
    partial = target.with_name(f".partial_{uuid.uuid4().hex[:8]}_{target.name}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes a file whole or not at all; text as UTF-8."""
    with whole(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


class Growing:
    """A file that begins whole and is added to: `add` returns once that is in it.

    What cloud storage has cannot be added to, so there the whole is written again.
    """

    def __init__(self, path: str | os.PathLike, content: bytes = b""):
        write(path, content)
        self._path, self._file, self._whole = locate(path), None, content
        if "://" not in os.fspath(path):
            self._file, self._whole = self._path.open("ab"), None

    def add(self, content: bytes) -> None:
        """Appends to the file, for everybody to see."""
        if self._file is None:
            self._whole += content
            self._path.write_bytes(self._whole)
        else:
            self._file.write(content)
            self._file.flush()

    def close(self) -> None:
        """To be called once."""
        if self._file is not None:
            self._file.close()


def read_text(who: str, path: str | os.PathLike) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark; lines end in \\n.

    Raises:
      FileNotFoundError: there is no such file. ValueError: it is not UTF-8.
    """
    content = _existing(who, path).read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{who}: expected UTF-8 text in {path}; got byte "
            f"0x{content[error.start]:02x} at {error.start}. To convert a Latin-1 "
            "file: iconv -f latin1 -t utf-8."
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def checked_text(numbers: Mapping[str, float], indent: int | None = None) -> str:
    """JSON of the numbers, and of their checksum by the name "crc32"."""
    return json.dumps(_with_checksum(numbers), indent=indent) + "\n"


def checked_numbers(text: str | bytes) -> dict[str, float] | None:
    """What `checked_text` was given, from its result; None from any other text."""
    try:
        found = json.loads(text)
        numbers = {name: value for name, value in found.items() if name != "crc32"}
        same = _with_checksum(numbers) == found
    except (ValueError, RecursionError, AttributeError, TypeError):
        return None
    return numbers if same and all(map(is_number, numbers.values())) else None


def _with_checksum(numbers):
    text = json.dumps(dict(numbers))
    return {**numbers, "crc32": zlib.crc32(text.encode())}


def is_number(value: Any) -> bool:
    """Whether it is what JSON has for a number, NaN too, and a float can hold it."""
    whole = isinstance(value, int) and abs(value) < 2**1023
    return whole or isinstance(value, float)


def read_csv(
    who: str, path: str | os.PathLike, names: Sequence[str]
) -> dict[str, list[str]]:
    """Columns of a CSV file in UTF-8, by their names in its first line.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no CSV, has no such column or no row, or a row has more or
        fewer cells than the first line has.
    """
    text = io.StringIO(read_text(who, path))
    try:
        header, *rows = [*filter(None, csv.reader(text))] or [[]]
    except csv.Error as error:
        raise ValueError(
            f"{who}: expected a CSV file; {path} cannot be read: {_one_line(error)}."
        ) from None
    missing = [name for name in names if name not in header]
    if missing or not rows:
        raise ValueError(
            f"{who}: expected columns {', '.join(names)} in {path}, and rows; it has "
            f"{', '.join(header) or 'nothing'}, and {len(rows)} rows."
        )
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(
                f"{who}: expected {len(header)} cells in each row of {path}; got "
                f"{len(row)} in row {number}."
            )
    columns = dict(zip(header, zip(*rows)))
    return {name: list(columns[name]) for name in names}


def read_npz(
    who: str, path: str | os.PathLike, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Arrays of an .npz file by name: those of `names`, or all.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no .npz or damaged, an array is missing, or one holds Python
        objects or a type that NumPy does not know, such as bfloat16.
    """
    file = _existing(who, path)
    try:
        with file.open("rb") as opened:
            found = np.load(opened, allow_pickle=False)
            if isinstance(found, np.ndarray):
                raise ValueError("it is an .npy file, a single array")
            there = tuple(found)
            wanted = there if names is None else names
            arrays = {name: found[name] for name in wanted if name in there}
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's: permission and the like, which name the file
        raise ValueError(
            f"{who}: expected an .npz file of plain arrays; {path} cannot be read: "
            f"{_one_line(error)}."
        ) from None
    missing = [name for name in wanted if name not in there]
    if missing:
        raise ValueError(
            f"{who}: expected arrays {', '.join(wanted)} in {path}; it has no "
            f"{', '.join(missing)}, but {', '.join(there) or 'nothing'}."
        )
    for name, array in arrays.items():
        _known_type(who, path, name, array)
    return arrays


def map_npy(who: str, path: str | os.PathLike) -> np.ndarray:
    """The array of an .npy file, read only, mapped into memory.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no .npy, cut short, or of a type as for `read_npz`.
    """
    file = _existing(who, path)
    with file.open("rb") as opened:
        start = opened.read(6)
    if start != b"\x93NUMPY":
        got = "something else" if start else "an empty file"
        raise ValueError(f"{who}: expected an .npy file; {path} is {got}.")
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except BROKEN as error:
        raise ValueError(
            f"{who}: expected an .npy file of numbers; {path} cannot be read: "
            f"{_one_line(error)}."
        ) from None
    _known_type(who, path, "the array", array)
    return array


def _known_type(who: str, path: str | os.PathLike, name: str, array) -> None:
    """ValueError for a type that NumPy does not know."""
    if array.dtype.kind == "V":
        raise ValueError(
            f"{who}: expected numbers, truth values or text; {name} in {path} has "
            f"type {array.dtype}, as NumPy stores bfloat16; save it as float32."
        )


def _existing(who: str, path: str | os.PathLike) -> Any:
    file = locate(path)
    if not file.exists():
        raise FileNotFoundError(f"{who}: expected a file; there is no {path}.")
    if file.is_dir():
        raise FileNotFoundError(f"{who}: expected a file; {path} is a folder.")
    return file


def _one_line(error: BaseException) -> str:
    """The error's own words, shortened to a line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200].rstrip(".")
