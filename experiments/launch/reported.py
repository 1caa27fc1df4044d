"""Numbers that runs reported, read back by commands that gather them."""

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
    found = files.checked_numbers(files.read_text("metrics", path))
    if found is None:
        raise ValueError(
            f"{path}: expected numbers as a run wrote them, with their checksum; got "
            "something else. Without the file the run is evaluated again."
        )
    metrics = Metrics(found)
    metrics.path = path
    return metrics
