"""Does harm to runs of two processes, and shows that the same command goes on.

  python -m experiments.launch.faults --workdir=DIR

For each fault a run is started on 127.0.0.1, meets with it, and is started again by
the same command until it ends. Writes what happened, after how many seconds the other
process had ended, how many steps were lost, and how far loss and final metrics are from
those of a run that nothing happened to: DIR/launch_faults.json and .md. --soak=20 kills
a process of one run at random times, so often. What is done is read; the same command
continues.

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
from experiments.launch import commands, local
from experiments.launch.agreement import MOST, TINY, FailedError, difference
from experiments.results import store, tables
from repr_jax import logs

LIMIT = 1800.0  # seconds, for what takes 20 on a machine that does nothing else
PATIENCE = 30  # seconds for a batch
FLAGS = ["--config.log_every=1", f"--config.data_patience={PATIENCE}"]
HEADER = ("fault", "of process", "exit codes", "last line of the other, or its own")
HEADER += ("noticed after, s", "steps lost", "loss differs by", "metrics differ by")


class Row(NamedTuple):
    """What a fault did to a run."""

    fault: str
    process: int
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
    """Returns soon after the condition is true, or one of the processes has ended."""
    end = time.monotonic() + LIMIT
    while not condition() and all(process.poll() is None for process in processes):
        if time.monotonic() > end:
            raise TimeoutError(f"faults: expected an end within {LIMIT:.0f} s.")
        time.sleep(0.1)


def start(workdir, process: int = 0, befalls: str = "nothing", flags=()):
    """Two processes of a tiny run, as a context; output is in the workdir's files."""
    workdir = pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    arguments = [f"--config={TINY}", f"--workdir={workdir}", *FLAGS, *flags]
    flags = commands.of_main(arguments, distributed="env", python="")[3:]
    outputs = [workdir / f"output{index}.txt" for index in (0, 1)]
    command = ["-m", "experiments.launch.befall", str(process), befalls, *flags]
    return local.together(outputs, *command)


def finish(workdir) -> None:
    """Starts a run and waits for its end.

    Raises:
      FailedError: it did not end well.
    """
    with start(workdir) as both:
        for process in both:
            if process.wait(LIMIT):
                text = process.log.read_text().strip().splitlines()
                raise FailedError(f"{process.log}: {text[-1] if text else 'silent'}")


def harmed(workdir, fault: Fault) -> tuple[str, str, float, int]:
    """(exit codes, what was said, seconds until both had ended, last step) of a run."""
    if fault.again:
        with start(workdir) as both:
            wait(lambda: reached(workdir) >= 10, both)
            for process in both:
                process.send_signal(signal.SIGTERM)
            for process in both:
                process.wait(LIMIT)
    with start(workdir, fault.process, fault.befalls) as both:
        if fault.strike:
            wait(lambda: reached(workdir) >= 10, both)
            fault.strike(both[fault.process])
            began = time.monotonic()
        else:
            wait(lambda: False, both)  # until the first has ended
            began = time.monotonic()
        for process in both:
            process.wait(LIMIT)
        seconds = time.monotonic() - began
        codes = ", ".join(str(process.returncode) for process in both)
        own = fault.befalls in ("waits_for_its_data", "reads_broken_data")
        teller = both[fault.process if own else 1 - fault.process]
        time.sleep(1.0)  # the last word may come later
        said = teller.log.read_text().strip().splitlines()[-1]
    return codes, said, seconds, reached(workdir)


def numbers(workdir) -> tuple[list[float], list[float]]:
    """(losses by step, final metrics) of a finished run."""
    by_step = {row["step"]: row["loss"] for row in logs.read(workdir) if "loss" in row}
    text = (pathlib.Path(workdir) / "report" / "metrics.json").read_text()
    metrics = json.loads(text)
    return (
        [by_step[step] for step in sorted(by_step)],
        [metrics[name] for name in sorted(metrics)],
    )


def row_of(workdir, fault: Fault, unbroken) -> Row:
    """Does harm to a run and finishes it, unless that was done."""
    kept = pathlib.Path(workdir) / "row.json"
    if kept.exists():
        return Row(**json.loads(kept.read_text()))
    codes, said, seconds, last = harmed(workdir, fault)
    lost = last - max(steps(workdir), default=0)
    finish(workdir)
    far = [difference(a, b) for a, b in zip(numbers(workdir), numbers(unbroken))]
    said = said.replace(str(workdir), "DIR")
    row = Row(fault.name, fault.process, codes, said, seconds, lost, *far)
    kept.write_text(json.dumps(row._asdict()))
    return row


def soak(workdir, kills: int, unbroken, seed: int = 0) -> Row:
    """Kills a process of one run at random times, and finishes it."""
    chance, slowest, lost = random.Random(seed), 0.0, 0
    flags = [f"--config.num_steps={reached(unbroken)}"]
    for _ in range(kills):
        with start(workdir, flags=flags) as both:
            process = chance.choice(both)
            pause = chance.expovariate(1 / 20)
            end = time.monotonic() + pause
            wait(lambda end=end: time.monotonic() > end, both)
            process.kill()
            began = time.monotonic()
            for one in both:
                one.wait(LIMIT)
            slowest = max(slowest, time.monotonic() - began)
            lost += max(0, reached(workdir) - max(steps(workdir), default=0))
    finish(workdir)
    far = [difference(a, b) for a, b in zip(numbers(workdir), numbers(unbroken))]
    said = f"{kills} kills at random times"
    return Row("soak", -1, "", said, slowest, lost, *far)


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
            rows.append(soak(workdir / "soak", asked.soak, unbroken))
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
