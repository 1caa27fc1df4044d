"""What `evaluation` is measured on, for our programs and the peers'; NumPy alone."""

import numpy as np

SIZES = {  # and the smoke form's
    "bank": ((10_000, 128), (64, 8)),
    "queries": ((2_000, 128), (16, 8)),
    "clusters": ((20_000, 64), (60, 4)),
    "head": ((4_000, 128), (80, 8)),
    "features": ((4_000, 256), (60, 8)),
    "rows": ((16, 784), (4, 12)),
}
NUM_CLASSES = 10
MODALITIES = ("m0", "m1", "m2")
LAPLACE = 0.75  # scale of the likelihood


def neighbors(smoke: bool) -> int:
    return 3 if smoke else 20


def clusters(smoke: bool) -> tuple[int, int]:
    """Clusters, and steps of Lloyd's algorithm."""
    return (4, 3) if smoke else (50, 20)


def likelihood(smoke: bool) -> tuple[int, int, int]:
    """Importance samples of a row, and widths of the hidden layer and the latents.

    That of the hidden layers is MultiVae's own, which it takes no other for.
    """
    return (32, 16, 4) if smoke else (1_000, 512, 32)


def normal(name: str, smoke: bool, seed: int = 0) -> np.ndarray:
    """Standard Gaussian rows of the size of that name."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=SIZES[name][smoke]).astype(np.float32)


def bank(smoke: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, their labels, and queries."""
    rows = normal("bank", smoke)
    labels = np.random.default_rng(1).integers(NUM_CLASSES, size=len(rows))
    return rows, labels, normal("queries", smoke, 2)


def head(smoke: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and labels drawn from a linear model of them, so that classes overlap."""
    rng, x = np.random.default_rng(1), normal("head", smoke)
    logits = x @ rng.normal(size=(x.shape[1], NUM_CLASSES)) / x.shape[1] ** 0.5
    return x, np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)


def features(smoke: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two sets that differ in mean and in scale."""
    made = 1.1 * normal("features", smoke, 1) + 0.1
    return normal("features", smoke), made.astype(np.float32)


def modalities(smoke: bool) -> dict[str, np.ndarray]:
    """Rows of several modalities in [0, 1]."""
    rng, shape = np.random.default_rng(0), SIZES["rows"][smoke]
    return {name: rng.random(shape, np.float32) for name in MODALITIES}
