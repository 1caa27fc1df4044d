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
    """Name, batch, steps of a call."""
    if smoke:
        return (("identifiability", 8, 3), ("ring", 8, 3))
    return (
        ("identifiability", 512, 500),
        ("identifiability", 32, 1_000),
        ("ring", 128, 200),
        ("ring", 16, 500),
    )


def small_model(name: str, batch: int, steps: int) -> str:
    """Of a problem."""
    return f"{name}, batch {batch}, {steps} steps"
