"""What the launchers share: the command that they start, and how they run others."""

import argparse
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Sequence

from experiments.arguments import parser_of

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def of_main(arguments: Sequence[str], *, distributed: str, python: str) -> list[str]:
    """The command that trains, of arguments that follow "--" on a launcher's line.

    Args:
      arguments: of `repr_jax.main`: --config or --workdir, and any others.
      distributed: how the processes of the run find each other.
      python: the interpreter.

    Raises:
      ValueError: there is no --workdir, or --distributed is given.
    """
    names = {argument.lstrip("-").partition("=")[0] for argument in arguments}
    if "workdir" not in names:
        raise ValueError(
            "launch: expected the arguments of repr_jax.main after --, such as "
            "--config=FILE.py --workdir=DIR; "
            f"got {shlex.join(arguments) or 'none'}."
        )
    if "distributed" in names:
        raise ValueError("launch: expected no --distributed: the launcher sets it.")
    start = [python, "-m", "repr_jax.main", f"--distributed={distributed}"]
    return [*start, *arguments]


def parser(module: str, text: str) -> argparse.ArgumentParser:
    """The parser of a launcher: its flags, --dry-run, and what follows "--"."""
    made = parser_of(module, text)
    made.add_argument("--dry-run", action="store_true", help="print it, do nothing")
    made.add_argument(
        "arguments",
        nargs="*",
        metavar="-- ARGUMENTS",
        help="of repr_jax.main, after --",
    )
    return made


def do(
    commands: Sequence[Sequence[str]], *, dry_run: bool, given: str | None = None
) -> int:
    """Runs commands in order until one fails, or prints them; the exit code.

    given: what each reads from its standard input; None for what this process has.
    """
    for command in commands:
        print(shlex.join(command), flush=True)
        if dry_run:
            continue
        try:
            done = subprocess.run(command, input=given, text=True, check=False)
        except FileNotFoundError:
            print(f"error: found no {command[0]} here.", file=sys.stderr)
            return 2
        if done.returncode:
            return done.returncode
    return 0
