"""Files of arrays that commands here take: of any networks, or of digits."""

import argparse
import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from experiments.arguments import at_least, parser_of, writable_folder
from experiments.benchmarks import digits
from experiments.results import store
from repr_jax import files
from repr_jax.ops import checks
from repr_jax.workdir import records


def parser(module: str, text: str) -> argparse.ArgumentParser:
    """Of a command that takes one file a network, or makes those of digits."""
    found = parser_of(module, text)
    source = found.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--data",
        nargs="+",
        action="extend",
        metavar="FILE",
        help=".npz files as above, one a network",
    )
    source.add_argument("--digits", action="store_true", help="networks of digits")
    add = found.add_argument
    add("--seeds", type=at_least(1), help="how many networks of digits; 3")
    add("--data_dir", help="a folder with mnist of tfds, or emoji.npz")
    add("--workdir", required=True, type=writable_folder)
    return found


def parsed(parser: argparse.ArgumentParser, arguments) -> argparse.Namespace:
    """The flags; those of digits have their defaults, and are refused beside files."""
    asked = parser.parse_args(arguments)
    for name in ("seeds", "data_dir"):
        if asked.data and getattr(asked, name) is not None:
            parser.error(f"--{name}: expected with --digits; got --data.")
    asked.seeds, asked.data_dir = asked.seeds or 3, asked.data_dir or ""
    return asked


def paths(asked, kind: str, make: Callable[[int, str], Mapping]) -> list:
    """The files that were named; or those of digits, made where they are not there.

    kind: of arrays, in the file's name. make: (seed, data_dir) -> arrays.
    """
    if asked.data:
        return asked.data
    name = f"{kind}_{digits.source(asked.data_dir)}"
    folder = pathlib.Path(asked.workdir)
    records.note_start(folder)
    found = [folder / f"{name}_seed{seed}.npz" for seed in range(asked.seeds)]
    for seed, path in enumerate(found):
        if not path.exists():
            with files.whole(path) as partial:
                np.savez(partial, **make(seed, asked.data_dir))
    return found


def write(
    asked, module: str, arguments, num_files: int, *, title: str, content: list
) -> str:
    """DIR/COMMAND.json and .md; the text."""
    words = ["--data_dir=DATA" if w.startswith("--data_dir=") else w for w in arguments]
    return store.write(
        pathlib.Path(asked.workdir) / f"{module.rpartition('.')[2]}.json",
        title=title,
        command=store.command_line(module, words),
        seeds=range(num_files),
        content=content,
        workdirs=[asked.workdir] if asked.digits else [],
    )


def floats(who: str, data: Mapping, *names: str, width: int) -> dict[str, np.ndarray]:
    """These arrays in float32.

    Raises:
      ValueError: one is not of floats, not [rows, width], without rows or not finite.
    """
    found = {}
    for name in names:
        x = data[name]
        if x.ndim != 2 or x.shape[1] != width or not len(x):
            raise ValueError(
                f"{who}: expected {name} of shape [rows, {width}]; got {x.shape}."
            )
        if not np.issubdtype(x.dtype, np.floating):
            raise ValueError(f"{who}: expected {name} of floats; got {x.dtype}.")
        found[name] = x.astype(np.float32)
    checks.finite(who, **found)
    return found


def classes(who: str, data: Mapping, name: str, rows: int, num: int) -> np.ndarray:
    """[rows] int32 labels in [0, num).

    Raises:
      ValueError: they are not.
    """
    label = data[name]
    if not np.issubdtype(label.dtype, np.integer) or label.shape != (rows,):
        raise ValueError(
            f"{who}: expected {name}, [{rows}] whole numbers; got {label.dtype} "
            f"{label.shape}."
        )
    checks.within(who, num, **{name: label})
    return label.astype(np.int32)
