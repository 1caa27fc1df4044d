"""A disk that is full stops a run with a line; with space again it ends the same."""

import os
import subprocess

import jax
import numpy as np
import pytest

from repr_jax import logs, run
from repr_jax.main import INPUT_ERRORS
from tests.test_run import small


@pytest.fixture
def disk(tmp_path):
    """(folder, sets its size in kB): a disk of its own, which only root can make."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()

    def resize(kilobytes, *, options="remount,"):
        command = ["mount", "-t", "tmpfs", "-o", f"{options}size={kilobytes}k"]
        return subprocess.run([*command, "tmpfs", folder]).returncode == 0

    if not resize(60, options=""):
        pytest.skip("no permission to mount a small disk")
    yield folder, resize
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("keep_last", [1, 4])
def test_a_full_disk_is_one_line_and_the_same_call_goes_on(
    disk, tmp_path, capfd, keep_last
):
    config = small(keep_last=keep_last)
    expected = run.train(config, tmp_path / "whole")
    folder, resize = disk
    size, refused, workdir = 20, 0, folder / "run"
    while True:
        assert resize(size)
        try:
            state = run.train(config, workdir)
            break
        except INPUT_ERRORS as error:
            assert str(workdir) in str(error) and "\n" not in str(error), repr(error)
            assert "No space left" in str(error), repr(error)
            refused, size = refused + 1, size + 44
    assert refused >= 3, refused
    jax.tree.map(np.testing.assert_array_equal, state, expected)
    assert logs.read(workdir) == logs.read(tmp_path / "whole")
    said = capfd.readouterr().err
    assert "Traceback" not in said, said
