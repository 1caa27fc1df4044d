"""Shows that processes and devices change no number: one training curve of all shapes.

  python -m experiments.launch.agreement --workdir=DIR

Trains MoPoE, SimCLR with global negatives and BYOL for 50 steps by 1, 2 and 4 processes
with 1, 2 and 4 devices of the CPU each, and once more by four processes whose
checkpoint one process of two devices continues. Writes the largest difference of the
loss, and of the numbers of the final report, from those of one process with one device:
DIR/launch_agreement.json and .md. What is done is read; the same command continues.

Exit codes: 0 done; 1 a run failed, or a curve differs by more than 1e-5; 2 the input
was wrong.
"""

import itertools
import pathlib
import sys
import time

import numpy as np

from experiments.arguments import at_least, parser_of, writable_folder
from experiments.launch import local, reported
from experiments.results import store, tables
from repr_jax import logs

TINY = pathlib.Path(__file__).with_name("tiny.py")
METHODS = {"MoPoE": "", "SimCLR": ":simclr", "BYOL": ":byol"}
COUNTS = (1, 2, 4)
STOPPED = 143  # exit code of a run that was asked to
MOST = 1e-5  # relative difference of a number


class FailedError(RuntimeError):
    """A process did not end well; says where its output is."""


def losses(workdir) -> list[float]:
    """The loss after each step."""
    return [row["loss"] for row in logs.read(workdir)]


def started(mode: str, workdir, shape, flags, module=("repr_jax.main",)):
    """The processes of a tiny run, as a context; output is in the workdir's files.

    Args:
      mode: of the config, such as ":simclr".
      shape: (processes, devices of each).
      flags: more of them for `repr_jax.main`.
      module: what `python -m` is told, with arguments of its own before those of
        `repr_jax.main`.
    """
    workdir = pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    outputs = [workdir / f"output{index}.txt" for index in range(shape[0])]
    own = [f"--config={TINY}{mode}", f"--workdir={workdir}", "--distributed=env"]
    return local.together(outputs, "-m", *module, *own, *flags, devices=shape[1])


def last_line(process) -> str:
    """What a process said last."""
    text = process.log.read_text().strip().splitlines()
    return text[-1] if text else "silent"


def check(processes) -> None:
    """Waits until all have ended.

    Raises:
      FailedError: one of them failed.
    """
    for process in processes:
        if process.wait():
            raise FailedError(
                f"{process.log}: exit code {process.returncode}: {last_line(process)}"
            )


def _flags(steps: int) -> list[str]:
    numbers = {"num_steps": steps, "log_every": 1, "checkpoint_every": steps}
    return [f"--config.{name}={value}" for name, value in numbers.items()]


def curve(mode: str, workdir, shape, steps: int) -> list[float]:
    """Losses and final numbers of a run, which goes on until its processes have ended.

    Raises:
      FailedError: one of them failed.
    """
    report = pathlib.Path(workdir) / "report" / "metrics.json"
    if not report.exists():  # is written last
        with started(mode, workdir, shape, _flags(steps)) as found:
            check(found)
    numbers = reported.read(report)
    return losses(workdir) + [numbers[name] for name in sorted(numbers)]


def continued(mode: str, workdir, first, second, steps: int) -> list[float]:
    """As `curve`, of a run that is stopped half-way and goes on by another shape."""
    if not losses(workdir):
        with started(mode, workdir, first, _flags(steps)) as found:
            while found[0].poll() is None and len(losses(workdir)) < steps // 2:
                time.sleep(0.1)
            found[0].terminate()  # all save at one step
            for process in found:
                if process.wait() != STOPPED:
                    raise FailedError(f"{process.log}: expected to be stopped half-way")
    return curve(mode, workdir, second, steps)


def difference(found, expected) -> float:
    """The largest relative difference of two curves.

    Infinite if they are not as long, not finite, or differ where one is expected to
    be 0.
    """
    found, expected = np.float64(found), np.float64(expected)
    if len(found) != len(expected) or not np.isfinite([found, expected]).all():
        return float("inf")
    apart = np.abs(found - expected)
    with np.errstate(divide="ignore"):
        return float(np.max(apart / np.where(apart > 0, np.abs(expected), 1.0)))


def table(workdir, methods, counts, steps: int) -> tables.Table:
    """A row a shape: how far each method's curve is from that of one device."""
    shapes = list(itertools.product(counts, counts))
    names = {f"{p} x {d}": (p, d) for p, d in shapes}
    rows, expected = [], {}
    for name, shape in names.items():
        row = [name]
        for method in methods:
            folder = pathlib.Path(workdir) / method / name.replace(" ", "")
            found = curve(METHODS[method], folder, shape, steps)
            row.append(difference(found, expected.setdefault(method, found)))
        print(*row, flush=True)
        rows.append(row)
    first, second = (max(counts), 1), (1, min(2, max(counts)))
    row = [f"{first[0]} x {first[1]}, then {second[0]} x {second[1]}"]
    for method in methods:
        folder = pathlib.Path(workdir) / method / "continued"
        found = continued(METHODS[method], folder, first, second, steps)
        row.append(difference(found, expected[method]))
    return tables.Table(("processes x devices", *methods), [*rows, row], (".1e",))


def main(arguments=None) -> int:
    """Trains what is left, writes and prints the table; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = parser_of("experiments.launch.agreement", __doc__)
    add = parser.add_argument
    add("--workdir", type=writable_folder, required=True)
    add("--steps", type=at_least(2), default=50, metavar="N", help="50")
    add("--most", type=int, choices=COUNTS, default=4, help="processes and devices, 4")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    asked = parser.parse_args(arguments)
    counts = [count for count in COUNTS if count <= asked.most]
    try:
        found = table(asked.workdir, asked.methods, counts, asked.steps)
    except (FailedError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, FailedError) else 2
    store.write(
        pathlib.Path(asked.workdir) / "launch_agreement.json",
        title="One training curve, whatever the processes and devices",
        command=store.command_line("experiments.launch.agreement", arguments),
        seeds=[0],
        content=[
            f"The largest relative difference of the loss, over {asked.steps} steps of "
            "a batch of 16, and of the numbers of the final report, from those of one "
            "process with one device of the CPU.",
            found,
        ],
    )
    print(tables.markdown(found))
    return int(any(x > MOST for row in found.rows for x in row[1:]))


if __name__ == "__main__":
    sys.exit(main())
