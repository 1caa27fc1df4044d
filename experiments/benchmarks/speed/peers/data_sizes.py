"""Sizes of epochs of examples, for our programs and the peers'; imports nothing."""

from typing import NamedTuple


class Epoch(NamedTuple):
    batch: int
    batches: int
    size: int  # pixels a side
    views: int = 1  # pictures of an example
    stored: int = 0  # pixels a side in files or before a crop; 0: as `size`


READ = {  # pictures that others read from files
    "PolyMNIST, 5 views of 28": Epoch(256, 4, 28, views=5),
    "sprites of 64": Epoch(256, 4, 64),
    "3-D scenes of 64": Epoch(64, 4, 64, stored=224),
}
AUGMENTED = {
    "SimCLR views of 32": Epoch(256, 4, 32),
    "SimCLR views of 224": Epoch(16, 4, 224, stored=256),
}


def epochs(smoke: bool, of: dict[str, Epoch]) -> dict[str, Epoch]:
    """READ or AUGMENTED, or their smoke form."""
    if not smoke:
        return of
    return {
        name: epoch._replace(batch=4, batches=1, size=min(epoch.size, 32), stored=0)
        for name, epoch in of.items()
    }
