"""Sizes of problems, for our programs and the peers'; imports nothing."""

PAIRS = ((512, 128), (512, 2048), (2048, 128), (2048, 512), (4096, 128), (8192, 128))


def pairs(smoke: bool):
    """Batch and dim of contrastive losses."""
    return ((16, 8),) if smoke else PAIRS
