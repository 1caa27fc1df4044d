"""Numbers that runs reported, read back by commands that gather them."""

import json
import os

from repr_jax import files


class Metrics(dict):
    """Numbers of a run by name; one that the file `path` has not is a ValueError."""

    path: os.PathLike

    def __missing__(self, name):
        raise ValueError(f"{self.path}: expected the number {name!r}; got none.")


def read(path: str | os.PathLike) -> Metrics:
    """What a run reported.

    Raises:
      FileNotFoundError: there is no such file. ValueError: it is damaged.
    """
    text = files.read_text("metrics", path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(map(files.is_number, found.values())):
        raise ValueError(
            f"{path}: expected a JSON object of numbers; got something else. Without "
            "the file the run is evaluated again."
        )
    metrics = Metrics(found)
    metrics.path = path
    return metrics
