"""Programs of peers: tests of them run where their packages are installed."""

import os
import subprocess
import sys

import pytest


def python_with(variable: str, *packages: str) -> str:
    """The interpreter that an environment variable names, or this one.

    The test is skipped where it lacks a package: peers are no dependency, and torch
    alone takes gigabytes.
    """
    peer = os.environ.get(variable, sys.executable)
    code = (
        "import sys, importlib.util as u\n"
        "sys.exit(not all(map(u.find_spec, sys.argv[1:])))"
    )
    if subprocess.run([peer, "-c", code, *packages]).returncode:
        pytest.skip(f"needs {', '.join(packages)}; {peer} lacks one: set {variable}")
    return peer
