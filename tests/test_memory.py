"""Freed memory is used again, in a process of its own."""

import platform
import subprocess
import sys

import pytest

from repr_jax import memory

SCRIPT = """
import resource
from repr_jax import memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray(2**27)  # 32,768 pages, each written
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first, kept = faults(), memory.keep()
again = [faults() for _ in range(3)][-1]
print(first, kept, again)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_large_block_has_no_page_faults_once_it_was_freed(repository):
    environment = {"GLIBC_TUNABLES": "", "PYTHONPATH": str(repository)}
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    first, kept, again = found.stdout.split()
    assert int(first) > 20_000
    assert kept == "True"
    assert int(again) < 1_000


@pytest.mark.parametrize(
    ("asked", "plugins", "libtpu", "expected"),
    [
        ("", [], None, True),
        ("", ["cuda"], None, False),
        ("", [], "there", False),
        ("cpu", ["cuda"], "there", True),
        ("tpu", [], None, False),
    ],
)
def test_where_an_accelerator_may_be_nothing_is_kept(
    monkeypatch, asked, plugins, libtpu, expected
):
    monkeypatch.setenv("JAX_PLATFORMS", asked)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: plugins)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: libtpu)
    assert memory.is_of_cpu() == expected
