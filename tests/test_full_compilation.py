"""Tests in which rounding or lowering matter, with programs compiled as for users."""

import os
import subprocess
import sys

import pytest

GROUPS = (  # each a process, which takes some seconds to start
    (
        "data/test_content_style.py::test_permuted_content_changes_nothing_else",
        "estimators/test_logistic.py",
        "estimators/test_ridge.py",
        "losses/test_contrastive_memory.py",
        "losses/test_contrastive_spread.py",
        "losses/test_multimodal_values.py::test_a_dozen_modalities_take_little_memory",
    ),
    ("estimators/test_hierarchy.py",),  # one tree, bit for bit, of every form
    ("losses/test_contrastive_blocks.py",),
    ("models/test_conv.py",),
)


@pytest.mark.slow
@pytest.mark.parametrize("files", GROUPS, ids=lambda files: files[-1])
def test_holds_as_users_compile(files, repository):
    if os.environ.get("FULL_COMPILATION"):
        pytest.skip("all tests are compiled so already")
    environment = {**os.environ, "FULL_COMPILATION": "1"}
    environment.pop("JAX_DISABLE_MOST_OPTIMIZATIONS")  # see conftest.py
    flags = environment.get("XLA_FLAGS", "").split()
    environment["XLA_FLAGS"] = " ".join(f for f in flags if "xla_cpu" not in f)
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist"]
    command += [f"tests/{file}" for file in files]
    done = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
