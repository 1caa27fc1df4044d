"""Runs as processes of their own: started by the command line, watched, ended.

Each is seen through the files that it writes, and is killed at the end of its test
whatever happens.
"""

import os
import pathlib
import time

from experiments.launch import local, reported

TIME_LIMIT = 1800  # seconds, for what takes five on a machine that does nothing else

TINY = pathlib.Path(local.__file__).with_name("tiny.py")  # a config of 30 small steps
CONFIG = TINY.read_text()


def together(start, *command, count=2, devices=1):
    """The processes of one run, each with that many devices; `start` is the fixture."""
    outputs = [start.log() for _ in range(count)]
    return local.together(outputs, *command, devices=devices)


def command(config, workdir, *arguments):
    """The arguments of `python` that train in workdir."""
    where = (f"--config={config}", f"--workdir={workdir}")
    return ("-m", "repr_jax.main", *where, *arguments)


def finish(process, code=0):
    """Waits for the end, expects the exit code, and returns what was printed."""
    process.wait(TIME_LIMIT)
    text = process.log.read_text()
    assert process.returncode == code, text
    return text


def wait_for(condition, process):
    """Returns soon after condition() is true; fails if the process ends before."""
    end = time.monotonic() + TIME_LIMIT
    while not condition():
        assert process is None or process.poll() is None, process.log.read_text()
        assert time.monotonic() < end
        time.sleep(0.002)


def steps(workdir):
    names = os.listdir(pathlib.Path(workdir) / "checkpoints")
    return sorted(int(name) for name in names if name.isdigit())


def results(workdir):
    """Everything that a run says about itself, but times."""
    workdir = pathlib.Path(workdir)
    return (
        (workdir / "metrics.jsonl").read_text(),
        reported.read(workdir / "report" / "metrics.json"),
    )
