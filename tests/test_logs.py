"""What a run writes down survives kills, bad lines, full disks and closed terminals."""

import io
import os
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from repr_jax import files, logs


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless told: clock[0] += seconds."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def events(workdir):
    """(file, step, {name: value} or "start") of every TensorBoard event, in order."""
    from tensorboardX.proto import event_pb2
    from tensorboardX.record_writer import masked_crc32c

    found = []
    for path in sorted((workdir / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            body, rest = data[12 : 12 + size], data[12 + size :]
            assert struct.unpack("<I", data[8:12])[0] == masked_crc32c(data[:8])
            assert struct.unpack("<I", rest[:4])[0] == masked_crc32c(body)
            event, data = event_pb2.Event.FromString(body), rest[4:]
            if event.HasField("session_log"):
                found.append((path.name, event.step, "start"))
            elif event.HasField("summary"):
                values = {v.tag: v.simple_value for v in event.summary.value}
                found.append((path.name, event.step, values))
    return found


def test_rows_of_training_and_evaluation_in_both_files(tmp_path):
    log = logs.Log(tmp_path, start_step=0, num_steps=4)
    log.write(2, {"loss": 0.5, "grad_norm": 1})
    log.write(2, {"knn/accuracy": 0.25})
    log.write(4, {"loss": 0.25, "grad_norm": 2})
    expected = [
        {"step": 2, "loss": 0.5, "grad_norm": 1.0},
        {"step": 2, "knn/accuracy": 0.25},
        {"step": 4, "loss": 0.25, "grad_norm": 2.0},
    ]
    assert logs.read(tmp_path) == expected  # before close: as a killed run leaves it
    found = [{"step": step, **values} for _, step, values in events(tmp_path)[1:]]
    assert found == expected
    log.close()


def test_a_restart_drops_later_rows_in_both_files(tmp_path):
    first = logs.Log(tmp_path, start_step=0, num_steps=9)
    for step in (2, 4, 6):
        first.write(step, {"loss": float(step)})
    second = logs.Log(tmp_path, start_step=4, num_steps=9)
    assert [row["step"] for row in logs.read(tmp_path)] == [2, 4]
    second.write(6, {"loss": 60.0})
    assert logs.read(tmp_path)[-1] == {"step": 6, "loss": 60.0}
    found = [(step, values) for _, step, values in events(tmp_path)]
    assert found[-2:] == [(5, "start"), (6, {"loss": 60.0})]  # forget from 5 on
    assert len({name for name, *_ in events(tmp_path)}) == 2


KILLED = """
import os, pathlib, signal, sys
from repr_jax import logs
log = logs.Log(sys.argv[1], start_step=0, num_steps=1000)
for step in range(1, 201):
    log.write(step, {"loss": step, "other": 2 * step})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_has_every_row_in_both_files(tmp_path, repository):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=repository)
    expected = [{"step": n, "loss": n, "other": 2 * n} for n in range(1, 201)]
    assert logs.read(tmp_path) == expected
    assert [{"step": n, **v} for _, n, v in events(tmp_path)[1:]] == expected


def test_a_line_that_is_no_row_is_passed_over_with_a_line(tmp_path, capsys):
    def checked(**row):
        return files.checked_text(row).encode().rstrip()

    lines = [
        checked(step=1, loss=1.0),
        b'{"step": 2, "lo\xff\xfe\x00ss": 1.0}',
        b"[1, 2]",
        b"",
        checked(loss=3.0),
        checked(step="no", loss=3.0),
        b"7",
        checked(step=4, loss=np.nan),
        checked(step=np.inf, loss=3.0),
        checked(step=4, loss="3.0"),
        checked(step=4, loss=10**400),
        b"[" * 100_000,
        b'{"step": 4, "loss": 3.0}',
        b'{"step": 5, "lo',
    ]
    (tmp_path / logs.METRICS).write_bytes(b"\n".join(lines))
    log = logs.Log(tmp_path, start_step=9, num_steps=9)
    said = capsys.readouterr().err.splitlines()
    not_rows = (2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13)
    for number, line in zip(not_rows, said, strict=True):
        text = f"{tmp_path}/metrics.jsonl: line {number} is not a row as it was written"
        assert line == text + "; passed over."
    assert [row["step"] for row in logs.read(tmp_path)] == [1, 4]
    assert capsys.readouterr().err == ""  # the file is whole again
    log.close()


def test_a_row_with_any_bit_changed_is_the_same_or_none(tmp_path):
    row = {"step": 40, "grad_norm": 1.3834102153778076, "loss": float("inf")}
    line = files.checked_text(row).encode()
    for bit in range(8 * (len(line) - 1)):
        changed = bytearray(line)
        changed[bit // 8] ^= 1 << bit % 8
        (tmp_path / logs.METRICS).write_bytes(changed)
        assert logs.read(tmp_path) in ([], [row]), changed


def test_compiling_is_said_and_does_not_count(tmp_path, clock, capsys):
    log = logs.Log(tmp_path, start_step=0, num_steps=41)
    assert capsys.readouterr().err == "compiling\n"
    clock[0] += 300
    log.finished(1)
    for step in range(2, 22):
        clock[0] += 0.5
        log.finished(step)
    log.write(21, {"loss": 1.5})
    assert (
        capsys.readouterr().err == "step 21/41  loss 1.5000  2.00 steps/s  0:10 left\n"
    )
    clock[0] += 1
    log.write(21, {"knn/accuracy": 0.5, "probe/loss": 1.0})
    assert capsys.readouterr().err == ""
    clock[0] += 4
    log.write(31, {"loss/generator": 0.5, "loss/critic": -2.0, "grad_norm": 1.0})
    expected = "step 31/41  loss/generator 0.5000  loss/critic -2.0000"
    assert capsys.readouterr().err == expected + "  2.00 steps/s  0:05 left\n"
    log.close()


def test_the_first_row_has_no_rate_if_nothing_was_finished_before(
    tmp_path, clock, capsys
):
    log = logs.Log(tmp_path, start_step=10, num_steps=20)
    clock[0] += 50
    log.write(12, {"loss": 1.0})
    clock[0] += 1
    log.write(14, {"loss": 1.0})
    assert capsys.readouterr().err.splitlines()[1:] == [
        "step 12/20  loss 1.0000",
        "step 14/20  loss 1.0000  2.00 steps/s  0:03 left",
    ]
    log.close()


class Terminal(io.StringIO):
    """A terminal that can be closed."""

    closed_by_user = False

    def isatty(self):
        return True

    def write(self, text):
        if self.closed_by_user:
            raise OSError(5, "Input/output error")
        return super().write(text)

    def flush(self):
        self.write("")


def test_a_bar_on_a_terminal_which_may_be_closed(tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    log = logs.Log(tmp_path, start_step=0, num_steps=10)
    log.finished(1)
    log.write(2, {"loss/a": 0.5, "loss/b": 1.0})
    log.say("hello")
    assert "compiling\n" in terminal.getvalue() and "hello\n" in terminal.getvalue()
    log.finished(3)
    terminal.closed_by_user = True
    for step in (4, 5, 6):
        log.finished(step)
        log.write(step, {"loss": 1.0})
        log.say("hello")
    log.close()
    assert [row["step"] for row in logs.read(tmp_path)] == [2, 4, 5, 6]


def test_a_full_disk_is_one_line_that_names_the_folder(tmp_path):
    log = logs.Log(tmp_path, start_step=0, num_steps=10)
    log._file.close()
    full = os.open("/dev/full", os.O_WRONLY)  # writing to it fails as on a full disk
    log._file._file = os.fdopen(full, "wb")
    message = f"{tmp_path}: the log could not be written: No space left on device"
    with pytest.raises(OSError, match=message) as error:
        log.write(1, {"loss": 1.0})
    assert error.value.errno == 28 and "\n" not in str(error.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every folder")
def test_a_folder_without_permission(tmp_path):
    (tmp_path / "run").mkdir(mode=0o500)
    with pytest.raises(PermissionError, match="the log could not be written"):
        logs.Log(tmp_path / "run", start_step=0, num_steps=1)
