"""The project's tests of values, on the device: which pass there and which do not."""

import collections
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import threading
from functools import partial

from experiments.benchmarks.accelerator.measure import Figures

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
CONTRACT = "tests/losses/test_contract.py::test_"
TESTS = (
    "tests/losses/test_contrastive.py",
    CONTRACT + "float32_scalar_that_jit_does_not_change",
    "tests/losses/test_decorrelation.py",
    "tests/losses/test_multimodal_values.py",
    "tests/losses/test_variational.py",
    "tests/losses/test_clustering.py",
    "tests/losses/test_distillation.py",
    "tests/losses/test_reconstruction.py",
    "tests/losses/test_classification.py",
    CONTRACT + "absent_is_deleted_even_if_nan",
)
SMOKE = ("tests/losses/test_decorrelation.py", "-k", "barlow")
ONE_DEVICE = "not split and not a_ring and not shard and not devices"
ENDS = r"(PASSED|FAILED|ERROR|SKIPPED)"
LINE = re.compile(rf"{ENDS}\b.*?(tests/\S+)|(tests/\S+) {ENDS}")
LIMIT = 62  # seconds; the part has a few more


def figures(smoke: bool) -> Figures:
    yield "pytest", partial(counts, smoke)


def counts(smoke: bool) -> dict:
    """How many tests ended how, with the names of those that failed."""
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
    command += ["-o", "addopts=--strict-markers --import-mode=importlib"]
    command += ["--tb=short", "--color=no"]
    command += SMOKE if smoke else (*TESTS, "-k", ONE_DEVICE)
    if not smoke and importlib.util.find_spec("xdist"):
        command += ["-n", str(min(10, max(1, (os.cpu_count() or 2) - 4)))]
    environment = {**os.environ, "FULL_COMPILATION": "1"}
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    timer = threading.Timer(10 * LIMIT if smoke else LIMIT, process.kill)
    timer.start()
    ended = read(process.stdout)
    stopped = process.wait() < 0
    timer.cancel()
    found = collections.Counter(ended.values())
    failed = sorted(name for name, how in ended.items() if how in ("FAILED", "ERROR"))
    return {
        "passed": found["PASSED"],
        "failed": len(failed),
        "skipped": found["SKIPPED"],
        "stopped": f"after {LIMIT} s" if stopped else "no",
        "names of those that failed": ", ".join(failed)[:3000] or "none",
    }


def read(lines) -> dict[str, str]:
    """{test: how it ended} of pytest's output, which is printed."""
    ended: dict[str, str] = {}
    for line in lines:
        print(line, end="", flush=True)
        match = LINE.search(line)
        if match:
            how, name, name_first, how_last = match.groups()
            ended.setdefault(name or name_first, how or how_last)
    return ended
