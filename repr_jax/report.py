"""From what evaluators found to a folder that a browser shows.

workdir/report/ holds metrics.json, the pictures, and index.html, which shows them all
and needs no network. The numbers are printed to the terminal as well.
"""

import html
import json
from collections.abc import Mapping, Sequence

from etils import epath

from repr_jax.evaluators.common import Evaluation


def write(
    found: Mapping[str, Evaluation], history: Sequence[dict], workdir, facts: Mapping
) -> epath.Path:
    """Writes workdir/report/, prints the numbers, returns the path of index.html.

    Args:
      found: by the evaluator's name in the config.
      history: rows of metrics.jsonl.
      workdir: the run's folder.
      facts: of the run: method, data, seed, step, revision.
    """
    folder = epath.Path(workdir) / "report"
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {
        f"{name}/{key}": float(value)
        for name, evaluation in found.items()
        for key, value in evaluation.numbers.items()
    }
    text = json.dumps({**numbers, "step": facts["step"]}, indent=2)
    (folder / "metrics.json").write_text(text + "\n")
    rows = "".join(
        f"<tr><td>{html.escape(k)}</td><td>{v:.4g}</td></tr>"
        for k, v in numbers.items()
    )
    (folder / "index.html").write_text(f"<table>{rows}</table>")
    for name, value in numbers.items():
        print(f"{name}  {value:.4g}", flush=True)
    return folder / "index.html"
