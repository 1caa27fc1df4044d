"""Sizes of problems, for our programs and the peers'; imports nothing."""

PAIRS = ((512, 128), (512, 2048), (2048, 128), (2048, 512), (4096, 128), (8192, 128))


def pairs(smoke: bool):
    """Batch and dim of contrastive losses."""
    return ((16, 8),) if smoke else PAIRS


def mopoe(smoke: bool):
    """Batch, views and latent dimensions."""
    return (2, 2, 4) if smoke else (256, 5, 512)


def resnet(smoke: bool):
    """Batch, width of the first stage, blocks of a stage."""
    return (2, 4, 1) if smoke else (64, 64, 2)


def vit(smoke: bool):
    """Batch, dim, depth."""
    return (2, 6, 1) if smoke else (64, 192, 6)


def small_models(smoke: bool):
    """{name: (steps of a call, batch)}"""
    if smoke:
        return {"identifiability": (3, 8), "ring": (3, 8)}
    return {"identifiability": (500, 512), "ring": (100, 128)}
