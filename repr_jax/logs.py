"""What a run tells people: JSON lines, TensorBoard events, a progress line.

Only the main process writes; the others get a log that does nothing.
"""

import contextlib
import os
import struct
import sys
import time
from collections.abc import Mapping

from etils import epath

from repr_jax import files, sharding

METRICS = "metrics.jsonl"


def read(workdir) -> list[dict]:
    """The rows of workdir/metrics.jsonl, oldest first; [] if there is no such file.

    Each has "step" and numbers by name: of training, or of an evaluation during it, so
    that a step may have two rows. A last row that a killed process wrote half of does
    not count; another that is not as it was written, by its checksum in "crc32", is
    passed over, with a line on stderr.
    """
    path = epath.Path(workdir).expanduser() / METRICS
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        row = files.checked_numbers(line)
        if row is None or not isinstance(row.get("step"), int):
            say(f"{path}: line {number} is not a row as it was written; passed over.")
        else:
            rows.append(row)
    return rows


def _line(row) -> bytes:
    return files.checked_text(row).encode()


class Log:
    """Writes one row of metrics at a time and shows how far the run is.

    Says "compiling" until the first step is finished; only then the clock starts. A row
    is in both files when `write` returns, so a killed run has all rows up to its last
    checkpoint. On cloud storage each row writes both files again, which takes a tenth
    of a second; it takes one a second at most.

    Args:
      workdir: where metrics.jsonl and tensorboard/ go.
      start_step: steps already done; rows of later steps, which a killed run wrote
        after its last checkpoint, are dropped.
      num_steps: steps in the whole run.

    Raises:
      OSError: a file cannot be written, here and in `write`; names it.
    """

    def __init__(self, workdir, *, start_step: int, num_steps: int):
        self._active = sharding.is_main_process()
        if not self._active:
            return
        workdir = epath.Path(workdir).expanduser()
        self._path = workdir / METRICS
        kept = [row for row in read(workdir) if row["step"] <= start_step]
        with _naming(self._path):
            self._file = files.Growing(self._path, b"".join(map(_line, kept)))
            self._events = _Events(workdir / "tensorboard", start_step + 1)
        self._num_steps = num_steps
        self._time = None  # of the row before, or of the first finished step
        self._step = start_step
        self._bar = None
        if start_step < num_steps:
            self.say("compiling")

    def finished(self, step: int) -> None:
        """To be called when a step has been computed; the first starts the clock."""
        if not self._active:
            return
        if self._time is None:
            self._time, self._step = time.monotonic(), step
            if sys.stderr.isatty():
                import tqdm

                self._bar = tqdm.tqdm(
                    total=self._num_steps,
                    initial=step,
                    unit="step",
                    dynamic_ncols=True,
                )
        self._show(lambda bar: bar.update(step - bar.n))

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """One row, to the file and to TensorBoard.

        A row that holds "loss", or "loss/<player>" for each of several, is one of
        training: its losses are shown, and how fast the run is.
        """
        if not self._active:
            return
        metrics = {name: float(value) for name, value in metrics.items()}
        with _naming(self._path):
            self._file.add(_line({"step": step, **metrics}))
            self._events.write(step, metrics)
        losses = {
            name: value
            for name, value in metrics.items()
            if name == "loss" or name.startswith("loss/")
        }
        if not losses:
            return
        self.finished(step)
        if self._bar is not None:
            shown = {name: f"{value:.4g}" for name, value in losses.items()}
            self._show(lambda bar: bar.set_postfix(shown, refresh=False))
            return
        shown = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
        now = time.monotonic()
        if step > self._step and now > self._time:
            rate = (step - self._step) / (now - self._time)
            left = _clock((self._num_steps - step) / rate)
            shown += f"  {rate:.2f} steps/s  {left} left"
        self._time, self._step = now, step
        self.say(f"step {step}/{self._num_steps}  {shown}")

    def say(self, text: str) -> None:
        """A line for the person who watches."""
        if not self._active:
            return
        if self._bar is not None:
            self._show(lambda bar: bar.write(text, file=sys.stderr))
        else:
            say(text)

    def close(self) -> None:
        """Flushes and closes everything; to be called once."""
        if not self._active:
            return
        with _naming(self._path):
            self._file.close()
            self._events.close()
        self._show(lambda bar: bar.close())

    def _show(self, change) -> None:
        """Changes the bar, if there is one; a terminal may be closed at any time."""
        if self._bar is not None:
            try:
                change(self._bar)
            except OSError:
                self._bar = None


class _Events:
    """TensorBoard's file of numbers, written at once and not by a thread."""

    def __init__(self, folder, first_step):
        """`first_step`: TensorBoard forgets what older files hold from there on."""
        from tensorboardX.proto import event_pb2, summary_pb2

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        name = f"events.out.tfevents.{time.time_ns()}.{os.uname().nodename}"
        self._file = files.Growing(folder / name)
        self._record(file_version="brain.Event:2")
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._record(step=first_step, session_log=start)

    def write(self, step, metrics):
        value = self._summary.Value
        values = [value(tag=name, simple_value=x) for name, x in metrics.items()]
        self._record(step=step, summary=self._summary(value=values))

    def _record(self, **fields):
        """Length, its checksum, the event, its checksum: the TFRecord format."""
        from tensorboardX.record_writer import masked_crc32c

        event = self._event(wall_time=time.time(), **fields).SerializeToString()
        length = struct.pack("<Q", len(event))
        parts = (x + struct.pack("<I", masked_crc32c(x)) for x in (length, event))
        self._file.add(b"".join(parts))

    def close(self):
        self._file.close()


@contextlib.contextmanager
def _naming(path):
    """An error of writing names the file, which that of a full disk does not."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path.parent}: the log could not be written: {error.strerror}",
        ) from error


def say(text: str, stream: str = "stderr") -> None:
    """A line on stderr or stdout, lost if the terminal or the pipe is closed."""
    try:
        print(text, file=getattr(sys, stream), flush=True)
    except OSError:  # at any time; or Python would complain of it at its end
        setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
    )
