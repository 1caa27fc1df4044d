"""Files of weights in the first format of torch, read without torch.

Such a file, which torch wrote until version 1.6 and still reads, is five pickles (a
number that marks the format, its version, facts of the machine, a dict of tensors that
name storages, the names of the storages in order) and, for each storage, an int64 count
and its elements. A pickle may call any function it names; here it may name only what
tensors are made of.
"""

import collections
import os
import pickle
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

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
BROKEN = (EOFError, pickle.UnpicklingError, IndexError, KeyError, TypeError)
BROKEN += (AttributeError, ValueError, OverflowError)  # all that a bad pickle raises


class ForeignError(Exception):
    """The file names a function or class that tensors are not made of."""


class Tensor(NamedTuple):
    """What a pickle says of a tensor: a view of a storage, in elements."""

    storage: tuple  # ("storage", its class, name, place, count, None)
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Hands out nothing that a pickle could change for those who read after it."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *arguments: Tensor(*arguments[:4])  # the rest is of gradients
        if module == "torch" and name in DTYPES:
            return name
        raise ForeignError(f"{module}.{name}")

    def persistent_load(self, pid):
        return pid


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """{name: array} of a state dict in torch's first format.

    Args:
      path: the file, often .pth.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is in another format, not whole, or holds anything but a dict of
        dense tensors; in particular, whatever it names is never called.
    """
    with open(path, "rb") as file:
        if file.read(4) == b"PK\x03\x04":
            raise ValueError(
                f"{path}: expected torch's first format; got its zip format. Save it "
                f"again by torch.save(..., _use_new_zipfile_serialization=False)."
            )
        file.seek(0)
        if _unpickled(file, path) != MAGIC:
            raise ValueError(f"{path}: expected torch's first format; got another.")
        version, machine = _unpickled(file, path), _unpickled(file, path)
        little = isinstance(machine, dict) and machine.get("little_endian")
        if version != VERSION or not little:
            raise ValueError(
                f"{path}: expected version {VERSION}, little-endian; got version "
                f"{version} of {machine}."
            )
        tensors, names = _unpickled(file, path), _unpickled(file, path)
        if not isinstance(tensors, dict):
            raise ValueError(
                f"{path}: expected a dict of tensors; got {type(tensors).__name__}."
            )
        for name, x in tensors.items():
            if not _is_tensor(x):
                raise ValueError(f"{path}: expected {name} a dense tensor; got {x!r}.")
        wanted = {x.storage[2] for x in tensors.values()}
        if not isinstance(names, list) or sorted(map(str, names)) != sorted(wanted):
            raise ValueError(
                f"{path}: expected the storages of its tensors and no others."
            )
        storages = _storages(file, path, tensors, names)
    return {name: _view(path, name, x, storages) for name, x in tensors.items()}


def _is_tensor(x) -> bool:
    """Whether it is a Tensor of the right parts."""
    if not isinstance(x, Tensor) or not isinstance(x.storage, tuple):
        return False
    if len(x.storage) != 6 or not all(isinstance(n, str) for n in x.storage[:3]):
        return False
    kind, dtype, _, _, count, view = x.storage
    if kind != "storage" or dtype not in DTYPES or view is not None:
        return False
    if not isinstance(x.shape, tuple) or not isinstance(x.strides, tuple):
        return False
    numbers = (count, x.offset, *x.shape, *x.strides)
    whole = all(isinstance(n, int) and n >= 0 for n in numbers)
    return whole and len(x.shape) == len(x.strides)


def _unpickled(file, path):
    try:
        return _Unpickler(file).load()
    except ForeignError as error:
        raise ValueError(
            f"{path}: expected nothing but tensors; got a file that would call {error}."
        ) from None
    except BROKEN as error:
        raise ValueError(
            f"{path}: expected torch's first format, whole; got {error!r} at byte "
            f"{file.tell()}."
        ) from error


def _storages(file, path, tensors, names) -> dict[str, np.ndarray]:
    """Every storage that a tensor names, as a flat array."""
    said = {x.storage[2]: x.storage for x in tensors.values()}
    size, storages = os.path.getsize(path), {}
    for name in names:
        dtype, count = DTYPES[said[name][1]], said[name][4]
        head = file.read(8)
        found = int.from_bytes(head, "little")
        missing = count * dtype.itemsize - (size - file.tell())
        if len(head) < 8 or found != count or missing > 0:
            raise ValueError(
                f"{path}: expected {count} elements of storage {name} from byte "
                f"{file.tell()} on; the file says {found}, and has {size} bytes."
            )
        content = file.read(count * dtype.itemsize)
        storages[name] = np.frombuffer(content, dtype)
    return storages


def _view(path, name, tensor, storages) -> np.ndarray:
    """The tensor, copied out of its storage."""
    storage = storages[tensor.storage[2]]
    last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides))
    if 0 not in tensor.shape and tensor.offset + last >= len(storage):
        raise ValueError(
            f"{path}: expected {name} within the {len(storage)} elements of its "
            f"storage; it ends at {tensor.offset + last + 1}."
        )
    strides = [s * storage.itemsize for s in tensor.strides]
    view = np.lib.stride_tricks.as_strided
    return view(storage[tensor.offset :], tensor.shape, strides).copy()
