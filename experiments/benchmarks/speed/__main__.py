"""How fast this project is, beside what people use and what nobody can leave out.

  python -m experiments.benchmarks.speed --workdir=DIR
  python -m experiments.benchmarks.speed --workdir=DIR --only=losses --turns=11

Each subject is a file here; its programs and those of the peers take turns, see
`turns`. Peers are public packages (torch for CPUs, torchvision, lightly, open_clip,
MultiVae, scikit-learn, SciPy, faiss, albumentations) in an environment of their own,
DIR/peer, which the first call makes with this machine's pip; --peer=PYTHON takes one
that is there, --peer=none goes without. Writes DIR/speed_SUBJECT.json and .md; a
subject whose file is there is left alone, unless --again. --smoke takes tiny shapes:
its times mean nothing. Trees of logits have a command of their own,
`experiments.benchmarks.hierarchy`.
"""

import importlib
import os
import pathlib
import sys

from experiments.arguments import at_least, one_line_errors, parser_of, writable_folder
from experiments.benchmarks import processes
from experiments.benchmarks.speed import turns
from experiments.benchmarks.speed.peers.packages import PACKAGES
from experiments.benchmarks.speed.turns import Peer, Subject
from experiments.results import store, tables
from repr_jax import memory

SUBJECTS = (
    "losses",
    "networks",
    "small_models",
    "evaluation",
    "data",
    "start",
    "checkpoints",
)


def subject_of(name: str) -> Subject:
    """The subject of a file here."""
    return importlib.import_module(f"experiments.benchmarks.speed.{name}").SUBJECT


def measure(name: str, asked, peer: Peer) -> list:
    """The content of a subject's file: text, the table, and what is its own."""
    subject, rows, rates = subject_of(name), [], []
    for problem in subject.problems(asked.smoke):
        found = turns.solve(problem, peer, asked.turns)
        rows += (new := turns.lines(problem, found))
        rates += turns.rates(problem, found)
        for cells in tables.shown(turns.table(new)):
            print(tables.row_of(cells), flush=True)
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end"
    versions = [f"{name} {version}" for name, version in peer.versions.items()]
    about = f"{subject.text} {'; '.join([load, *versions])}."
    extra = subject.extra(asked.workdir, asked.smoke) if subject.extra else []
    found = [turns.table(rows)] if rows else []
    found += [turns.table_of_rates(rates)] if rates else []
    return [about, *found, *extra]


def run(name: str, asked, python: str | None, arguments: list[str]) -> None:
    """Measures a subject and writes its file."""
    path = pathlib.Path(asked.workdir) / f"speed_{name}.json"
    if path.exists() and not asked.again:
        print(f"{name}: {path} is there")
        return
    peer = Peer(python, name, asked.smoke)
    try:
        content = measure(name, asked, peer)
    finally:
        peer.close()
    words = [w for w in arguments if not w.startswith(("--only", "--peer", "--again"))]
    text = store.write(
        path,
        title=subject_of(name).title,
        command=store.command_line(
            "experiments.benchmarks.speed", [*words, f"--only={name}"]
        ),
        seeds=[0],
        content=content,
    )
    print(f"\n{text}", flush=True)


def main(arguments=None) -> int:
    """Measures the subjects that were asked for; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = parser_of("experiments.benchmarks.speed", __doc__)
    add = parser.add_argument
    add("--workdir", type=writable_folder, required=True, metavar="DIR")
    add("--only", default=",".join(SUBJECTS), help="subjects, with commas")
    add("--turns", type=at_least(1), default=7, help="timed, of each program")
    add("--peer", default="", help="a Python that has the peers, or none")
    add("--again", action="store_true", help="measure what is there, too")
    add("--smoke", action="store_true", help="tiny shapes; to see that all works")
    asked = parser.parse_args(arguments)
    names = asked.only.split(",")
    if unknown := set(names) - set(SUBJECTS):
        parser.error(
            f"--only: expected some of {', '.join(SUBJECTS)}; got {min(unknown)}."
        )
    with one_line_errors(parser):
        folder = pathlib.Path(asked.workdir) / "peer"
        python = asked.peer or processes.environment(folder, PACKAGES)
        for name in names:
            run(name, asked, None if python == "none" else python, arguments)
    return 0


if __name__ == "__main__":
    memory.keep()  # as `repr_jax.main` does
    sys.exit(main())
