"""Losses of this project beside those of lightly, open_clip and PML, in float64.

  python -m experiments.benchmarks.public_losses --workdir=DIR
  python -m experiments.benchmarks.public_losses --workdir=DIR --peer=PYTHON

Value and gradient by every input, of the same arrays in several shapes, of every loss
that lightly, pytorch-metric-learning (PML) or open_clip has too, see
`public_losses_cases`. The packages are in an environment of their own, DIR/peer, which
the first call makes with this machine's pip; --peer takes one that is there. --smoke
takes the first shape alone. Writes DIR/public_losses.json and .md.
"""

import json
import pathlib
import sys

import jax
import numpy as np

from experiments.arguments import one_line_errors, parser_of, writable_folder
from experiments.benchmarks import processes
from experiments.benchmarks.public_losses_calls import Case, shown
from experiments.benchmarks.public_losses_cases import SIZES, cases
from experiments.results import store
from experiments.results.tables import Table

PEER = pathlib.Path(__file__).with_name("peers") / "losses.py"
PACKAGES = ("torch", "torchvision", "lightly~=1.6.0", "pytorch-metric-learning~=2.9.0")
PACKAGES += ("open_clip_torch~=3.3.0", "numpy")
ROUNDING = 1e-9
ABOUT = (
    "Values and gradients in float64, of the same arrays. Differences are relative, "
    "the largest of {count} shapes (batch x dim: {sizes}): of values over the larger "
    "one; of gradients, by every input that a row names, the largest of an input over "
    "its largest entry, or a millionth of that of all inputs. Equal is at most 1e-9. "
    "Notes say where definitions differ, and the row below shows what is left when "
    "they do not. {versions}."
)


def job_of(key: int, case: Case) -> dict:
    """What the peer is told."""
    return {"key": str(key), "peer": case.peer, "hand": case.hand}


def hand_over(listed: list[Case], sizes, folder: pathlib.Path) -> list[tuple]:
    """jobs.json and arrays.npz; (place of the case, its arrays) of every job."""
    folder.mkdir(parents=True, exist_ok=True)
    given, jobs = [], []
    for place, case in enumerate(listed):
        for seed, (batch, dim) in enumerate(sizes):
            arrays = case.given(np.random.default_rng(seed), batch, dim)
            jobs.append(job_of(len(jobs), of_shape(case, arrays)))
            given.append((place, arrays))
    stored = {
        f"{key}/{name}": x
        for key, (_, arrays) in enumerate(given)
        for name, x in arrays.items()
    }
    np.savez(folder / "arrays.npz", **stored)
    (folder / "jobs.json").write_text(json.dumps(jobs))
    return given


def of_shape(case: Case, arrays: dict) -> Case:
    """With the sizes of its arrays, where the class of the peer is told them."""
    options, last = dict(case.peer["options"]), next(reversed(arrays.values()))
    if "embedding_size" in options:
        options["embedding_size"] = last.shape[-1]
    if "output_dim" in options:
        options["output_dim"] = arrays["online"].shape[-1]
    if "memory_bank_size" in options:
        options["memory_bank_size"] = last.shape
    return case._replace(peer=case.peer | {"options": options})


def ours(case: Case, arrays: dict) -> dict[str, np.ndarray]:
    """Value and gradients, by the names that the peer gives them."""
    floats = {n: x for n, x in arrays.items() if x.dtype == np.float64}
    others = {n: x for n, x in arrays.items() if n not in floats}

    def loss(floats):
        return case.function(**{n: (floats | others)[n] for n in arrays})

    with jax.enable_x64(True):
        value, grads = jax.jit(jax.value_and_grad(loss))(floats)
        found = {"value": np.asarray(value)}
        return found | {f"grad/{n}": np.asarray(grads[n]) for n in floats}


def differences(here: dict, there: dict) -> tuple[float, float]:
    """Relative, of the value and of the gradients."""
    a, b = float(here["value"]), float(there["value"])
    of_value = abs(a - b) / max(abs(a), abs(b), np.finfo(float).tiny)
    names = [name for name in here if name.startswith("grad/")]
    largest = {n: max(np.abs(x[n]).max() for x in (here, there)) for n in names}
    least = max(1e-6 * max(largest.values()), np.finfo(float).tiny)
    of_grad = [np.abs(here[n] - there[n]).max() / max(largest[n], least) for n in names]
    return of_value, float(max(of_grad))


def table_of(listed: list[Case], given: list[tuple], found: list[dict]) -> Table:
    """A line a case."""
    rows, worst = [], [(0.0, 0.0)] * len(listed)
    inputs = [""] * len(listed)
    for (place, arrays), there in zip(given, found, strict=True):
        here = ours(listed[place], arrays)
        away = differences(here, there)
        worst[place] = tuple(map(max, worst[place], away))
        names = [n.removeprefix("grad/") for n in here if np.any(here[n])]
        inputs[place] = ", ".join(n for n in names if n != "value")
    for case, away, names in zip(listed, worst, inputs, strict=True):
        equal = "equal" if max(away) <= ROUNDING else "differs"
        package, theirs = case.peer["class"].split(".")[0], f"`{shown(case.peer)}`"
        both = [f"`{case.ours}`", package.replace("_", "-"), theirs]
        rows.append([*both, names, *away, equal, case.note])
    header = ("ours", "package", "its class", "gradient by", "of value", "of gradient")
    return Table((*header, "", "note"), rows, ("", "", "", "", ".0e", ".0e", "", ""))


def run_peer(python: str, folder: pathlib.Path, count: int) -> tuple[list[dict], dict]:
    """Value and gradients of every job, and versions.

    Raises:
      ValueError: the process failed; the end of what it said.
    """
    processes.run(python, PEER, folder)
    found = [{} for _ in range(count)]
    for key, x in np.load(folder / "peer.npz").items():
        number, _, name = key.partition("/")
        found[int(number)][name] = x
    return found, json.loads((folder / "peer.json").read_text())


def main(arguments=None) -> int:
    """Compares every loss with the peers'; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = parser_of("experiments.benchmarks.public_losses", __doc__)
    add = parser.add_argument
    add("--workdir", type=writable_folder, required=True, metavar="DIR")
    add("--peer", default="", help="a Python that has the packages")
    add("--smoke", action="store_true", help="of one shape")
    asked = parser.parse_args(arguments)
    folder, sizes = pathlib.Path(asked.workdir), SIZES[:1] if asked.smoke else SIZES
    with one_line_errors(parser):
        python = asked.peer or processes.environment(folder / "peer", PACKAGES)
        listed = cases()
        given = hand_over(listed, sizes, folder / "handed")
        found, versions = run_peer(python, folder / "handed", len(given))
        about = ABOUT.format(
            count=len(sizes),
            sizes=", ".join(f"{b} x {d}" for b, d in sizes),
            versions=", ".join(f"{n} {v}" for n, v in versions.items()),
        )
        words = [w for w in arguments if not w.startswith("--peer=")]
        text = store.write(
            folder / "public_losses.json",
            title="Losses beside those of public packages",
            command=store.command_line("experiments.benchmarks.public_losses", words),
            seeds=list(range(len(sizes))),
            content=[about, table_of(listed, given, found)],
        )
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
