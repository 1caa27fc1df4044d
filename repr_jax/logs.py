"""What a run tells people: JSON lines, TensorBoard events, a progress line.

Only the main process writes; the others get a log that does nothing.
"""

import json
import sys
import time
from collections.abc import Mapping

from etils import epath

from repr_jax import sharding

METRICS = "metrics.jsonl"


def read(workdir) -> list[dict]:
    """The rows of workdir/metrics.jsonl, oldest first; [] if there is no such file.

    A last row that a killed process wrote half of does not count.
    """
    path = epath.Path(workdir) / METRICS
    rows = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(row) for row in rows]


class Log:
    """Writes one row of metrics at a time and shows how far the run is.

    Args:
      workdir: where metrics.jsonl and tensorboard/ go.
      start_step: steps already done; rows of later steps, which a killed run wrote
        after its last checkpoint, are dropped.
      num_steps: steps in the whole run.
    """

    def __init__(self, workdir, *, start_step: int, num_steps: int):
        self._active = sharding.is_main_process()
        if not self._active:
            return
        import tensorboardX

        workdir = epath.Path(workdir)
        kept = [row for row in read(workdir) if row["step"] <= start_step]
        partial = workdir / (METRICS + ".partial")
        partial.write_text("".join(json.dumps(row) + "\n" for row in kept))
        partial.replace(workdir / METRICS)
        self._file = (workdir / METRICS).open("a")
        self._events = tensorboardX.SummaryWriter(
            str(workdir / "tensorboard"), purge_step=start_step + 1
        )
        self._last_time, self._last_step = time.monotonic(), start_step
        self._num_steps = num_steps
        self._bar = None
        if sys.stderr.isatty():
            import tqdm

            self._bar = tqdm.tqdm(
                total=num_steps, initial=start_step, unit="step", dynamic_ncols=True
            )

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """One row, to the file and to TensorBoard, and the progress line."""
        if not self._active:
            return
        metrics = {name: float(value) for name, value in metrics.items()}
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        self._file.flush()
        for name, value in metrics.items():
            self._events.add_scalar(name, value, step)
        loss = metrics.get("loss")
        if loss is None:
            return
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            self._bar.update(step - self._bar.n)
            return
        now = time.monotonic()
        rate = (step - self._last_step) / (now - self._last_time)
        self._last_time, self._last_step = now, step
        left = _clock((self._num_steps - step) / rate) if rate else "unknown"
        self.say(
            f"step {step}/{self._num_steps}  loss {loss:.4f}  "
            f"{rate:.2f} steps/s  {left} left"
        )

    def say(self, text: str) -> None:
        """A line for the person who watches."""
        if not self._active:
            return
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Flushes and closes everything; to be called once."""
        if not self._active:
            return
        self._file.close()
        self._events.close()
        if self._bar is not None:
            self._bar.close()


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
    )
