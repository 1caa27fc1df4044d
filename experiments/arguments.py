"""What the commands of experiments accept on their command lines."""

import argparse
import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator


def parser_of(module: str, text: str) -> argparse.ArgumentParser:
    """The parser of a command: `python -m module`, and its docstring for --help."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


@contextlib.contextmanager
def one_line_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Ends the command with code 2 and a line: a wrong value, file, disk or package."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        parser.exit(2, f"error: {' '.join(str(error).split())}\n")


def at_least(minimum: int) -> Callable[[str], int]:
    """A `type` of argparse: a whole number that is not smaller."""

    def number(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(
                f"expected at least {minimum}; got {value}."
            )
        return value

    return number


def writable_folder(text: str) -> str:
    """A `type` of argparse: a folder that is writable, or can be made."""
    path = os.path.expanduser(text)
    there = pathlib.Path(path).absolute()
    while not os.path.exists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(
            f"expected a folder that can be written or made; got {path}: {there} is "
            f"{'not writable' if there.is_dir() else 'a file'}."
        )
    return path


def results_file(text: str) -> str:
    """A `type` of argparse: a .json that can be written, said before it is made."""
    path = os.path.expanduser(text)
    if os.path.isdir(path) or not path.endswith(".json"):
        raise argparse.ArgumentTypeError(f"expected a .json of results; got {path}.")
    writable_folder(os.path.dirname(path) or os.curdir)
    return path
