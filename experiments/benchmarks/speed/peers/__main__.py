"""What `experiments.benchmarks.speed` is compared with, in a process of its own.

  PYTHON experiments/benchmarks/speed/peers/__main__.py SUBJECT [--smoke]

SUBJECT names a file beside this one, whose `problems(smoke)` gives {problem: {program:
a function that prepares it and returns one to be timed}}. Each line on stdin is a JSON
list, answered by a line of JSON: ["problems"] by names; ["prepare", problem] by what
its first call returned; ["turn", problem, program, calls] by seconds of one call;
["drop", problem] forgets it. Needs PACKAGES alone.
"""

import importlib
import importlib.metadata
import json
import os
import sys

from packages import PACKAGES
from timing import timed


def versions() -> dict[str, str]:
    """Of the packages that are here."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def plain(value) -> list[float]:
    """A number, tensor or array, or the first of a list: flat, if of 100 at most."""
    if isinstance(value, list):
        return plain(value[0])
    if hasattr(value, "detach"):
        value = value.detach()
    flat = getattr(value, "reshape", lambda _: [value])(-1)
    return [float(x) for x in flat] if len(flat) <= 100 else []


def main(subject: str, smoke: bool) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what packages print is not an answer
    problems = importlib.import_module(f"{subject}_peers").problems(smoke)
    ready = {}
    for line in sys.stdin:
        match json.loads(line):
            case ["problems"]:
                answer = dict(problems=list(problems), versions=versions())
            case ["prepare", problem]:
                made = {name: make() for name, make in problems[problem].items()}
                ready[problem] = made
                answer = {name: plain(function()) for name, function in made.items()}
            case ["turn", problem, name, calls]:
                answer = timed(ready[problem][name], calls)
            case ["drop", problem]:
                answer = bool(ready.pop(problem, None))
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main(sys.argv[1], "--smoke" in sys.argv)
