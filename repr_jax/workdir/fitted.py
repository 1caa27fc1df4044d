"""What an estimator has fitted, in a file: NamedTuples, dicts and tuples of arrays.

A folder gets fitted.npz, which `np.load` opens: the arrays under their paths, such as
"params/Dense_0/kernel", and "structure", JSON that says how they nest. Its checksum is
in fitted.npz.sha256, in the form of sha256sum, and is written last: without it nothing
was stored. No pickle is read, and no code is run but the constructors of NamedTuples.
"""

import hashlib
import importlib
import io
import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from repr_jax import files
from repr_jax.workdir.reading import DamagedError

FILE, CHECKSUM, STRUCTURE = "fitted.npz", "fitted.npz.sha256", "structure"
PLAIN = (bool, int, float, str, type(None))


def exists(folder) -> bool:
    """Whether the folder has a fit, written to its end."""
    return (epath.Path(folder) / CHECKSUM).exists()


def remove(folder) -> None:
    """What `save` wrote, if it did."""
    for name in (CHECKSUM, FILE):
        (epath.Path(folder) / name).unlink(missing_ok=True)


def save(folder, fitted: Any) -> None:
    """Stores a fit in the folder, in place of another one.

    Raises:
      TypeError: it has what is neither an array, a number or text, nor a NamedTuple,
        dict, tuple or list of them.
    """
    arrays = {}
    structure = json.dumps(_encode(fitted, "", arrays))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **{STRUCTURE: np.array(structure)})
    content, folder = buffer.getvalue(), epath.Path(folder)
    remove(folder)
    digest = hashlib.sha256(content).hexdigest()
    files.write(folder / FILE, content)
    files.write(folder / CHECKSUM, f"{digest}  {FILE}\n")


def load(folder) -> Any:
    """The fit that `save` stored, of the same class, with NumPy arrays.

    Raises:
      FileNotFoundError: there is none.
      DamagedError: the file is not what was written.
      ValueError: it is of a class that is neither of this project nor imported.
    """
    folder = epath.Path(folder)
    if not exists(folder):
        raise FileNotFoundError(f"{folder}: expected a fit, {FILE}; it has none.")
    path = folder / FILE
    content = path.read_bytes() if path.exists() else b""
    wanted = (folder / CHECKSUM).read_bytes().split(b" ")[0]
    if hashlib.sha256(content).hexdigest().encode() != wanted:
        raise DamagedError(
            f"{path}: expected what was written; got other content. Remove it and "
            f"{CHECKSUM} to fit again."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = dict(file)
    return _decode(json.loads(str(arrays[STRUCTURE])), arrays)


def _encode(value, path, arrays):
    """JSON of the value, whose arrays are put into `arrays` under their paths."""

    def children(pairs):
        return {
            name: _encode(child, f"{path}/{name}" if path else str(name), arrays)
            for name, child in pairs
        }

    if isinstance(value, tuple) and hasattr(value, "_fields"):
        kind = type(value)
        name = f"{kind.__module__}:{kind.__qualname__}"
        return {"class": [name, children(value._asdict().items())]}
    if isinstance(value, Mapping):
        return {"dict": children(value.items())}
    if isinstance(value, tuple | list):
        return {type(value).__name__: list(children(enumerate(value)).values())}
    if isinstance(value, PLAIN):
        return {"value": value}
    array = np.asarray(value)
    if array.dtype.kind not in "biufcU" or path == STRUCTURE:
        raise TypeError(
            f"fitted.save: expected arrays of numbers; got {path}, {array.dtype}."
        )
    arrays[path] = array
    return {"array": path}


def _decode(node, arrays):
    ((kind, content),) = node.items()
    if kind == "class":
        name, fields = content
        fields = {n: _decode(child, arrays) for n, child in fields.items()}
        return _named_tuple(name)(**fields)
    if kind == "dict":
        return {name: _decode(child, arrays) for name, child in content.items()}
    if kind in ("tuple", "list"):
        children = (_decode(child, arrays) for child in content)
        return tuple(children) if kind == "tuple" else list(children)
    return arrays[content] if kind == "array" else content


def _named_tuple(name):
    """A class of this project, or of a module that is imported already."""
    module, _, qualname = name.partition(":")
    if module.startswith("repr_jax."):
        importlib.import_module(module)
    found = getattr(sys.modules.get(module), qualname, None)
    if not (isinstance(found, type) and issubclass(found, tuple)) or not hasattr(
        found, "_fields"
    ):
        raise ValueError(
            f"fitted.load: expected a NamedTuple of repr_jax, or of a module that is "
            f"imported; got {name}."
        )
    return found
