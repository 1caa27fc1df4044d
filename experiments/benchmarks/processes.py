"""Programs of peers, which run under another interpreter, in packages of their own."""

import os
import pathlib
import subprocess
import venv
from collections.abc import Sequence


def run(python: str, program: pathlib.Path, *folders: pathlib.Path) -> None:
    """python program folder ..., to its end.

    Raises:
      ValueError: it failed; the end of what it said.
    """
    of_command([python, os.fspath(program), *map(os.fspath, folders)])


def environment(folder: pathlib.Path, packages: Sequence[str]) -> str:
    """The interpreter of an environment in the folder, made where it is not there.

    Raises:
      ValueError: pip could not install a package; what it said.
    """
    python = os.fspath(folder / "bin" / "python")
    if not (folder / "complete").exists():
        print(f"peers: an environment is made in {folder}", flush=True)
        venv.create(folder, with_pip=True)
        of_command([python, "-m", "pip", "install", "--quiet", *packages])
        (folder / "complete").touch()
    return python


def of_command(command: list[str]) -> None:
    """Raises ValueError with the end of what a command said, if it failed."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{' '.join(command)}: {done.stderr[-1000:]}")
