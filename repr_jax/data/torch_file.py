"""Files of weights that torch has written, read without torch.

The first format, which torch wrote until version 1.6, is five pickles (a number that
marks the format, its version, facts of the machine, a dict of tensors that name
storages, the names of the storages in order) and, for each storage, an int64 count and
its elements. The second, since then, is a zip archive without compression of a folder:
the dict in data.pkl, and the elements of each storage in data/NAME.

A pickle is a program: it may call any function, and a few bytes of it may build what
takes forever to print or to hash. None is run here. The few instructions that such
files need are followed one by one, keys must be text, and anything else is refused.
"""

import io
import math
import os
import pickletools
import zipfile
from collections.abc import Iterable
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from repr_jax import files

ZIP = b"PK\x03\x04"
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
BROKEN = (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError)
MAX_RANK = 32
MAX_REPEATED = 2**20  # elements of a tensor that repeats its storage, by a stride of 0
LARGEST = 2**96  # of whole numbers; MAGIC has 77 bits
MARK = object()  # on the stack
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINSTRING"}
VALUES |= {"SHORT_BINSTRING", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
COUNTS = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "APPEND": 1, "SETITEM": 2}


class ForeignError(Exception):
    """The file names a function or class that tensors are not made of."""


class Tensor(NamedTuple):
    """What a pickle says of a tensor: a view of a storage, in elements."""

    storage: tuple  # ("storage", its class, name, place, count), first format: + None
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | os.PathLike, *, entry: str | None = None) -> dict[str, np.ndarray]:
    """{name: array} of a state dict in a file of torch.

    Args:
      path: the file, often .pth.
      entry: where the state dict is the value of a key of a larger dict, as "model" or
        "state_dict"; nothing but dicts of tensors may be beside it. None if the file
        is the state dict.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is in another format, not whole, or holds anything but a dict of
        dense tensors; in particular, whatever it names is never called.
    """
    path = os.path.expanduser(path)
    with open(path, "rb") as file:
        zipped = file.read(4) == ZIP
        file.seek(0)
        tensors, storages = (_read_zip if zipped else _read_first)(file, path, entry)
    return {name: _view(path, name, x, storages) for name, x in tensors.items()}


def _read_first(file: BinaryIO, path: str, entry: str | None) -> tuple[dict, dict]:
    """The tensors and the storages of a file in the first format."""
    if _unpickled(file, path) != MAGIC:
        raise ValueError(f"{path}: expected a format of torch; got another.")
    version, machine = _unpickled(file, path), _unpickled(file, path)
    little = isinstance(machine, dict) and machine.get("little_endian") is True
    if version != VERSION or not little:
        raise ValueError(
            f"{path}: expected version {VERSION}, little-endian; got "
            f"{_brief(version)}, {'' if little else 'not '}little-endian."
        )
    found, names = _unpickled(file, path), _unpickled(file, path)
    tensors = _entry(path, found, entry)
    wanted = _stated(found)
    texts = isinstance(names, list) and all(isinstance(n, str) for n in names)
    if not texts or sorted(names) != sorted(wanted):
        raise ValueError(f"{path}: expected the storages of its tensors and no others.")
    return tensors, _storages(file, path, wanted, names)


def _read_zip(file: BinaryIO, path: str, entry: str | None) -> tuple[dict, dict]:
    """The tensors and their storages of a file in the format since version 1.6."""
    members = _members(file, path)
    pickled = next((name for name in members if name.endswith("/data.pkl")), None)
    if pickled is None:
        raise ValueError(f"{path}: expected an archive of torch with a data.pkl.")
    folder = pickled.removesuffix("data.pkl")
    if members.get(f"{folder}byteorder", b"little") != b"little":
        raise ValueError(f"{path}: expected little-endian numbers.")
    found = _unpickled(io.BytesIO(members[pickled]), path)
    tensors, storages = _entry(path, found, entry), {}
    for name, (_, kind, _, _, count, *_) in _stated(tensors).items():
        dtype, content = DTYPES[kind], members.get(f"{folder}data/{name}", b"")
        if len(content) != count * dtype.itemsize:
            raise ValueError(
                f"{path}: expected {count} elements of storage {_brief(name)}; got "
                f"{len(content)} bytes."
            )
        storages[name] = np.frombuffer(content, dtype)
    return tensors, storages


def _members(file: BinaryIO, path: str) -> dict[str, bytes]:
    """Everything in an archive, of which nothing may be compressed."""
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
                raise zipfile.BadZipFile("compressed members")
            if sum(info.file_size for info in infos) > os.path.getsize(path):
                raise zipfile.BadZipFile("members larger than the file")
            return {info.filename: archive.read(info) for info in infos}
    except files.BROKEN as error:
        raise ValueError(
            f"{path}: expected a whole archive of torch; got {_brief(str(error))}."
        ) from None


def _entry(path: str, found: Any, entry: str | None) -> dict[str, Tensor]:
    """The dict of tensors that is asked for; ValueError if it is none."""
    if entry is not None:
        if not isinstance(found, dict) or entry not in found:
            keys = ", ".join(map(_brief, found)) if isinstance(found, dict) else "none"
            raise ValueError(
                f"{path}: expected an entry {entry!r}; got {_brief(keys)}."
            )
        found = found[entry]
    if not isinstance(found, dict):
        raise ValueError(
            f"{path}: expected a dict of tensors; got {type(found).__name__}."
        )
    for name, x in found.items():
        if not _is_tensor(x):
            hint = f"; with entry={_brief(name)!r} it may be" if type(x) is dict else ""
            raise ValueError(
                f"{path}: expected {_brief(name)} a dense tensor; got "
                f"{_brief(x)}{hint}."
            )
    return found


def _stated(found: dict) -> dict[str, tuple]:
    """{name: storage} of all tensors in a dict, and in the dicts in it."""
    tensors = []
    for x in found.values():
        tensors += x.values() if isinstance(x, dict) else [x]
    return {x.storage[2]: x.storage for x in tensors if _is_tensor(x)}


def _is_tensor(x: Any) -> bool:
    """Whether it is a Tensor of the right parts."""
    if not isinstance(x, Tensor) or not isinstance(x.storage, tuple):
        return False
    # The first format names a part of a storage last, which is always None.
    if len(x.storage) not in (5, 6) or x.storage[5:] not in ((), (None,)):
        return False
    kind, dtype, name, _, count, *_ = x.storage
    if kind != "storage" or not isinstance(dtype, str) or dtype not in DTYPES:
        return False
    if not isinstance(name, str):
        return False
    if not isinstance(x.shape, tuple) or not isinstance(x.strides, tuple):
        return False
    numbers = (count, x.offset, *x.shape, *x.strides)
    whole = all(isinstance(n, int) and 0 <= n < 2**48 for n in numbers)
    return whole and len(x.shape) == len(x.strides) <= MAX_RANK


def _brief(x: Any) -> str:
    """A number, or how a text begins; the type of anything else, which may be huge."""
    if isinstance(x, str):
        return " ".join(x[:80].split())
    return str(x) if isinstance(x, int | float) else type(x).__name__


def _unpickled(file: BinaryIO, path: str) -> Any:
    """What the next pickle builds: numbers, text, tuples, lists, dicts and Tensors."""
    stack, memo = [], {}
    try:
        for code, argument, _ in pickletools.genops(file):
            if code.name == "STOP":
                (found,) = stack
                return found
            _follow(code.name, argument, stack, memo)
        raise ValueError("no end")
    except ForeignError as error:
        raise ValueError(
            f"{path}: expected nothing but tensors; got a file that would call {error}."
        ) from None
    except BROKEN as error:
        raise ValueError(
            f"{path}: expected a pickle of torch, whole; got "
            f"{type(error).__name__} ({_brief(str(error))}) before byte {file.tell()}."
        ) from None


def _follow(name: str, argument: Any, stack: list, memo: dict[int, Any]) -> None:
    """One instruction of a pickle, of those that torch's first format needs."""
    if name in CONSTANTS:
        stack.append(CONSTANTS[name])
    elif name in VALUES:
        if isinstance(argument, int) and abs(argument) >= LARGEST:
            raise ValueError("a large number")
        stack.append(argument)
    elif name == "MARK":
        stack.append(MARK)
    elif name in ("EMPTY_DICT", "EMPTY_LIST"):
        stack.append({} if name == "EMPTY_DICT" else [])
    elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
        memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name in ("GLOBAL", "STACK_GLOBAL"):
        names = argument.split(" ", 1) if name == "GLOBAL" else _popped(stack, 2)
        stack.append(_named(*names))
    elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
        stack.append(tuple(_popped(stack, COUNTS.get(name))))
    elif name in ("APPEND", "APPENDS"):
        values = _popped(stack, COUNTS.get(name))
        list.extend(stack[-1], values)
    elif name in ("SETITEM", "SETITEMS"):
        values = _popped(stack, COUNTS.get(name))
        dict.update(
            stack[-1], _ordered_dict(zip(values[::2], values[1::2], strict=True))
        )
    elif name == "REDUCE":
        function, arguments = _popped(stack, 2)
        if function not in (_ordered_dict, _tensor):
            raise ValueError("a call of what is no function")
        stack.append(function(*arguments))
    elif name == "BUILD":
        stack.pop()  # attributes, such as _metadata of a state dict
    elif name not in ("PROTO", "FRAME", "BINPERSID"):  # the last is a storage's tuple
        raise ValueError(f"the instruction {name}")


def _popped(stack: list, count: int | None) -> list:
    """Takes the last `count` from the stack, or with None all since the last mark."""
    if count is None:
        last = max(i for i, x in enumerate(stack) if x is MARK)
        values = stack[last + 1 :]
        del stack[last:]
        return values
    if len(stack) < count:
        raise ValueError("an empty stack")
    values = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return values


def _named(module: str, name: str) -> Any:
    """What stands for a function or class that the file names."""
    called = f"{_brief(module)}.{_brief(name)}"
    if called == "collections.OrderedDict":
        return _ordered_dict
    if called == "torch._utils._rebuild_tensor_v2":
        return _tensor
    if module == "torch" and name in DTYPES:
        return name
    raise ForeignError(called)


def _ordered_dict(pairs: Iterable = ()) -> dict[str, Any]:
    """A dict whose keys are text: others may take forever to hash."""
    pairs = [(key, value) for key, value in pairs]
    if not all(isinstance(key, str) for key, _ in pairs):
        raise ValueError("a key that is not text")
    return dict(pairs)


def _tensor(*arguments: Any) -> Tensor:
    return Tensor(*arguments[:4])  # the rest is of gradients


def _storages(
    file: BinaryIO, path: str, stated: dict[str, tuple], names: list[str]
) -> dict[str, np.ndarray]:
    """Every storage that a tensor names, as a flat array."""
    size, storages = os.path.getsize(path), {}
    for name in names:
        dtype, count = DTYPES[stated[name][1]], stated[name][4]
        head = file.read(8)
        found = int.from_bytes(head, "little")
        missing = count * dtype.itemsize - (size - file.tell())
        if len(head) < 8 or found != count or missing > 0:
            raise ValueError(
                f"{path}: expected {count} elements of storage {_brief(name)} from "
                f"byte {file.tell()} on; the file says {found}, and has {size} bytes."
            )
        content = file.read(count * dtype.itemsize)
        storages[name] = np.frombuffer(content, dtype)
    return storages


def _view(
    path: str, name: str, tensor: Tensor, storages: dict[str, np.ndarray]
) -> np.ndarray:
    """The tensor, copied out of its storage."""
    storage = storages[tensor.storage[2]]
    last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides))
    if 0 not in tensor.shape and tensor.offset + last >= len(storage):
        raise ValueError(
            f"{path}: expected {_brief(name)} within the {len(storage)} elements of "
            f"its storage; it ends at {tensor.offset + last + 1}."
        )
    if math.prod(max(n, 1) for n in tensor.shape) > max(len(storage), MAX_REPEATED):
        raise ValueError(
            f"{path}: expected {_brief(name)} of at most {MAX_REPEATED} elements, or "
            f"as many as its storage; got shape {tensor.shape}."
        )
    strides = [s * storage.itemsize for s in tensor.strides]
    view = np.lib.stride_tricks.as_strided
    return view(storage[tensor.offset :], tensor.shape, strides).copy()
