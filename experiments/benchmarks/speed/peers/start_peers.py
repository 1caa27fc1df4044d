"""The import of torch, in a process of its own."""

import subprocess
import sys


def importing():
    return lambda: subprocess.run([sys.executable, "-c", "import torch"]).returncode


def problems(smoke):
    return {"import of the losses": {"import torch": importing}}
