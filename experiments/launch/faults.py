"""Does harm to runs of two processes, and shows that the same command goes on.

  python -m experiments.launch.faults --workdir=DIR

For each fault a run is started on 127.0.0.1, meets with it, and is started again by
the same command until it ends. Writes what happened, after how many seconds the other
process had ended, how many steps were lost, and how far loss and final metrics are from
those of a run that nothing happened to: DIR/launch_faults.json and .md. --soak=20 kills
processes at random times, so often; a run that ends in spite of it is followed by
another. What is done is read; the same command continues.

Exit codes: 0 done; 1 some run did not end as it should; 2 the input was wrong.
"""

import json
import pathlib
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from experiments.arguments import at_least, parser_of, writable_folder
from experiments.launch import agreement, reported
from experiments.launch.agreement import MOST, FailedError, difference, last_line
from experiments.results import store, tables
from repr_jax import files, logs

LIMIT = 1800.0  # seconds, for what takes 20 on a machine that does nothing else
PATIENCE = 30  # seconds for a batch
LIFE = 40.0  # seconds, the mean until a process of a soak is killed
FLAGS = ["--config.log_every=1", f"--config.data_patience={PATIENCE}"]
HEADER = ("fault", "of process", "exit codes", "last line of the other, or its own")
HEADER += ("noticed after, s", "steps lost", "loss differs by", "metrics differ by")


class Row(NamedTuple):
    """What a fault did to a run."""

    fault: str
    process: int | str
    codes: str
    said: str
    seconds: float
    lost: int
    loss: float
    metrics: float


class Fault(NamedTuple):
    """How to do harm, and what is expected."""

    name: str  # of the table
    process: int  # that meets with it
    befalls: str = "nothing"  # of `befall`
    strike: Callable | None = None  # process -> None, done at step 10
    again: bool = False  # the fault is of a start that restores


FAULTS = (
    Fault("killed at a step", 1, strike=lambda process: process.kill()),
    Fault("coordinator killed at a step", 0, strike=lambda process: process.kill()),
    Fault("killed while saving", 1, "dies_while_saving"),
    Fault("coordinator killed while saving", 0, "dies_while_saving"),
    Fault("killed while restoring", 1, "dies_while_restoring", again=True),
    Fault(
        "SIGTERM, time to save",
        1,
        strike=lambda process: process.send_signal(signal.SIGTERM),
    ),
    Fault("disk full", 1, "finds_the_disk_full"),
    Fault("data source hangs", 1, "waits_for_its_data"),
    Fault("data broken", 1, "reads_broken_data"),
    Fault("a batch of NaN", 1, "reads_nan"),
)


def steps(workdir) -> list[int]:
    """The steps that are saved."""
    folder = pathlib.Path(workdir) / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    return sorted(int(name) for name in names if name.isdecimal())


def reached(workdir) -> int:
    """The last step that was logged."""
    return max((row["step"] for row in logs.read(workdir)), default=0)


def wait(condition: Callable[[], bool], processes: Sequence = ()) -> None:
    """Returns soon after the condition is true, or one of the processes has ended.

    Raises:
      FailedError: neither, for LIMIT.
    """
    end = time.monotonic() + LIMIT
    while not condition() and all(process.poll() is None for process in processes):
        if time.monotonic() > end:
            raise FailedError(f"faults: expected an end within {LIMIT:.0f} s.")
        time.sleep(0.1)


def wait_for_all(processes: Sequence) -> None:
    """Returns soon after all have ended. Raises as `wait`."""
    wait(lambda: all(process.poll() is not None for process in processes))


def start(workdir, process: int = 0, befalls: str = "nothing"):
    """Two processes of a tiny run, as `agreement.started`."""
    module = ("experiments.launch.befall", str(process), befalls)
    return agreement.started("", workdir, (2, 1), FLAGS, module)


def finish(workdir) -> None:
    """Starts a run and waits for its end.

    Raises:
      FailedError: it did not end well.
    """
    with start(workdir) as both:
        wait_for_all(both)
        agreement.check(both)


def harmed(workdir, fault: Fault) -> tuple[str, str, float, int]:
    """(exit codes, what was said, seconds until both had ended, last step) of a run."""
    if fault.again:
        with start(workdir) as both:
            wait(lambda: reached(workdir) >= 10, both)
            for process in both:
                process.send_signal(signal.SIGTERM)
            wait_for_all(both)
    with start(workdir, fault.process, fault.befalls) as both:
        if fault.strike:
            wait(lambda: reached(workdir) >= 10, both)
            fault.strike(both[fault.process])
            began = time.monotonic()
        else:
            wait(lambda: False, both)  # until the first has ended
            began = time.monotonic()
        wait_for_all(both)
        seconds = time.monotonic() - began
        codes = ", ".join(str(process.returncode) for process in both)
        own = fault.befalls in ("waits_for_its_data", "reads_broken_data")
        teller = both[fault.process if own else 1 - fault.process]
        time.sleep(1.0)  # the last word may come later
        said = last_line(teller)
    return codes, said, seconds, reached(workdir)


def numbers(workdir) -> tuple[list[float], list[float]]:
    """(losses by step, final metrics) of a finished run."""
    by_step = {row["step"]: row["loss"] for row in logs.read(workdir) if "loss" in row}
    metrics = reported.read(pathlib.Path(workdir) / "report" / "metrics.json")
    return (
        [by_step[step] for step in sorted(by_step)],
        [metrics[name] for name in sorted(metrics)],
    )


def kept(workdir, make: Callable[[], Row]) -> Row:
    """What was done in a workdir, or is done now."""
    path = pathlib.Path(workdir) / "row.json"
    if path.exists():
        return Row(**json.loads(path.read_text()))
    row = make()
    files.write(path, json.dumps(row._asdict()))
    return row


def apart(workdir, unbroken) -> list[float]:
    """How far losses and final metrics of a finished run are from the other's."""
    return [difference(a, b) for a, b in zip(numbers(workdir), numbers(unbroken))]


def row_of(workdir, fault: Fault, unbroken) -> Row:
    """Does harm to a run and finishes it, unless that was done."""

    def make():
        codes, said, seconds, last = harmed(workdir, fault)
        lost = last - max(steps(workdir), default=0)
        said = said.replace(str(workdir), "DIR")
        finish(workdir)
        far = apart(workdir, unbroken)
        return Row(fault.name, fault.process, codes, said, seconds, lost, *far)

    return kept(workdir, make)


def soak(workdir, kills: int, unbroken, seed: int = 0) -> Row:
    """Kills a process of a run at random times, until it ends in spite of it; again.

    Ends after so many kills, and finishes the last run.
    """
    chance, noticed, lost, killed, far = random.Random(seed), [], 0, 0, []
    folder = pathlib.Path(workdir) / "0"
    while killed < kills:
        with start(folder) as both:
            process = chance.choice(both)
            end = time.monotonic() + chance.expovariate(1 / LIFE)
            wait(lambda end=end: time.monotonic() > end, both)
            if any(one.poll() is not None for one in both):
                agreement.check(both)
                far.append(apart(folder, unbroken))
                folder = folder.with_name(str(len(far)))
                continue
            (other,) = (one for one in both if one is not process)
            noticed += outlived(process, other)
            killed += 1
            lost += max(0, reached(folder) - max(steps(folder), default=0))
    finish(folder)
    far.append(apart(folder, unbroken))
    early = kills - len(noticed)
    said = f"{kills} kills at random times in {len(far)} runs, {early} before they met"
    slowest = max(noticed, default=0.0)
    return Row("soak", "either", "", said, slowest, lost, *map(max, zip(*far)))


def outlived(process, other) -> list[float]:
    """Kills a process: [seconds until the other had ended].

    [] if they had not met: the other waits five minutes for one that starts late, and
    a launcher that saw the death, as this one, ends it.
    """

    def waits():
        return other.log.read_text().count("waiting for all")

    before, began = waits(), time.monotonic()
    process.kill()
    wait(lambda: waits() > before, [other])
    met, seconds = other.poll() is not None, time.monotonic() - began
    other.kill()
    wait_for_all([process, other])
    return [seconds] if met else []


def main(arguments=None) -> int:
    """Does what is left, writes and prints the table; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = parser_of("experiments.launch.faults", __doc__)
    parser.add_argument("--workdir", type=writable_folder, required=True)
    parser.add_argument("--soak", type=at_least(0), default=0, metavar="KILLS")
    parser.add_argument("--only", default="", help="the faults whose names have this")
    asked = parser.parse_args(arguments)
    workdir = pathlib.Path(asked.workdir).absolute()
    unbroken, rows = workdir / "unbroken", []
    try:
        if not (unbroken / "report" / "metrics.json").exists():
            finish(unbroken)
        for fault in FAULTS:
            if asked.only in fault.name:
                folder = workdir / fault.name.replace(" ", "_").replace(",", "")
                rows.append(row_of(folder, fault, unbroken))
                print(*rows[-1], flush=True)
        if asked.soak:
            folder = workdir / f"soak_{asked.soak}"
            rows.append(kept(folder, lambda: soak(folder, asked.soak, unbroken)))
    except (FailedError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, FailedError) else 2
    found = tables.Table(HEADER, rows, (".2g",))
    store.write(
        workdir / "launch_faults.json",
        title="What befalls a run of two processes, and what it costs",
        command=store.command_line("experiments.launch.faults", arguments),
        seeds=[0],
        content=["A tiny MoPoE of 30 steps that saves every 4.", found],
    )
    print(tables.markdown(found))
    return int(any(max(row.loss, row.metrics) > MOST for row in rows))


if __name__ == "__main__":
    sys.exit(main())
