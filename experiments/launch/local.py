"""Runs several processes of one training on this machine, on devices of the CPU.

  python -m experiments.launch.local --processes=2 --devices=2 -- \\
      --config=configs/contrastive/simclr_mnist.py:smoke --workdir=DIR

What a pod does with one process a host, tried out on a laptop: the processes find each
other on 127.0.0.1 and compute what one process with all the devices does. Each line of
output has the number of its process in front. A signal is passed on to all, so that
they save their state and stop; the same command continues. A machine with several GPUs
needs no launcher: one process takes them all.

Exit codes: that of the first process that failed; 2 the input was wrong.
"""

import contextlib
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import threading

from experiments.arguments import at_least
from experiments.launch import commands

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
LAST_WAIT = 60.0  # seconds that the system may take to end a process that was killed


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def variables(devices: int, index: int | None, count: int, port: int | None) -> dict:
    """The environment of process `index` of `count`; of None, which is alone."""
    found = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    if index is not None:
        found |= {
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
            "JAX_NUM_PROCESSES": str(count),
            "JAX_PROCESS_ID": str(index),
        }
    return found


def _take_signals():
    """As a shell in the foreground starts a command; one in the background does not."""
    for number in SIGNALS[1:]:
        signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def started(output, *command, devices=1, index=None, count=1, port=None):
    """A Python process in the repository's folder, killed at the end of the block.

    Args:
      output: a path, which becomes `process.log`, or subprocess.PIPE.
      command: the arguments of `python`.
      devices: of the CPU, in each process.
      index, count, port: of a run of several processes; see `variables`.
    """
    paths = [str(commands.REPOSITORY), os.environ.get("PYTHONPATH")]
    piped = output == subprocess.PIPE
    with contextlib.ExitStack() as stack:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=commands.REPOSITORY,
            env={
                **os.environ,
                **variables(devices, index, count, port),
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            },
            stdout=output if piped else stack.enter_context(open(output, "w")),
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_take_signals,
        )
    process.log = None if piped else pathlib.Path(output)
    try:
        yield process
    finally:
        process.kill()
        process.wait(LAST_WAIT)


@contextlib.contextmanager
def together(outputs, *command, devices=1):
    """The processes of one run, one for each of `outputs`; see `started`."""
    port, count = free_port(), len(outputs)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                started(
                    output,
                    *command,
                    devices=devices,
                    index=index,
                    count=count,
                    port=port,
                )
            )
            for index, output in enumerate(outputs)
        ]


def follow(processes) -> int:
    """Prints what the processes do until all have ended; the exit code of the run."""

    def relay(index, process):
        for line in process.stdout:
            print(f"[{index}] {line}", end="", flush=True)
        process.wait()
        codes.append(process.returncode)

    def pass_on(number, _):
        for process in processes:
            process.send_signal(number)

    codes = []  # in the order in which they end
    previous = {number: signal.signal(number, pass_on) for number in SIGNALS}
    threads = [
        threading.Thread(target=relay, args=pair) for pair in enumerate(processes)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    bad = next((code for code in codes if code), 0)
    return 128 - bad if bad < 0 else bad


def main(arguments=None) -> int:
    """Starts the processes and follows them, or prints their commands."""
    parser = commands.parser("experiments.launch.local", __doc__)
    count = dict(type=at_least(1), metavar="N")
    parser.add_argument("--processes", default=2, **count, help="2 unless given")
    parser.add_argument("--devices", default=1, **count, help="of each process; 1")
    asked = parser.parse_args(arguments)
    try:
        command = commands.of_main(
            asked.arguments, distributed="env", python=sys.executable
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if asked.dry_run:
        port = free_port()
        for index in range(asked.processes):
            found = variables(asked.devices, index, asked.processes, port)
            settings = [f"{name}={value}" for name, value in found.items()]
            print(*settings, shlex.join(command))
        return 0
    outputs = [subprocess.PIPE] * asked.processes
    with together(outputs, *command[1:], devices=asked.devices) as processes:
        return follow(processes)


if __name__ == "__main__":
    sys.exit(main())
