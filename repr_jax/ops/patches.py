"""Images as sequences of square patches, row by row, and which of them are kept."""

import jax
import jax.numpy as jnp
from jax import Array

from repr_jax.ops import checks
from repr_jax.ops.numerics import to_float


def patch_grid(who: str, shape: tuple[int, ...], patch_size: int) -> tuple[int, int]:
    """(rows, columns) of patches of an image [height, width, ...].

    Raises:
      ValueError: a side is not a multiple of patch_size.
    """
    height, width = shape[:2]
    if patch_size < 1 or height % patch_size or width % patch_size:
        raise ValueError(
            f"{who}: expected sides that are multiples of patch_size {patch_size}; got "
            f"{height} x {width}."
        )
    return height // patch_size, width // patch_size


def patchify(images: Array, patch_size: int) -> Array:
    """[batch, height, width, channels] -> [batch, patches, patch_size^2 * channels].

    Patches row by row; in each, pixels row by row, the channels of a pixel together.

    Raises:
      ValueError: images are not of rank 4, or not a whole number of patches.
    """
    checks.same_shape("patchify", rank=4, images=images)
    batch, *shape = images.shape
    rows, columns = patch_grid("patchify", shape, patch_size)
    x = images.reshape(batch, rows, patch_size, columns, patch_size, shape[2])
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, -1)


def unpatchify(patches: Array, shape: tuple[int, int, int], patch_size: int) -> Array:
    """[batch, patches, patch_size^2 * channels] -> [batch, *shape]; undoes `patchify`.

    shape: (height, width, channels).

    Raises:
      ValueError: patches are not those of such images.
    """
    rows, columns = patch_grid("unpatchify", shape, patch_size)
    wanted = (rows * columns, patch_size**2 * shape[2])
    if patches.ndim != 3 or patches.shape[1:] != wanted:
        raise ValueError(
            f"unpatchify: expected patches [batch, *{wanted}]; got {patches.shape}."
        )
    x = patches.reshape(-1, rows, columns, patch_size, patch_size, shape[2])
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, *shape)


def random_patches(key: Array, batch: int, num_patches: int, num_kept: int) -> Array:
    """[batch, num_kept] int32: ascending places, each subset as likely as any other.

    Raises:
      ValueError: num_kept is not in 1..num_patches.
    """
    if not 1 <= num_kept <= num_patches:
        raise ValueError(
            f"random_patches: expected num_kept in 1..{num_patches}; got {num_kept}."
        )
    order = jnp.argsort(jax.random.uniform(key, (batch, num_patches)), axis=-1)
    return jnp.sort(order[:, :num_kept], axis=-1).astype(jnp.int32)


def one_per_window(key: Array, batch: int, grid: tuple[int, int], window: int) -> Array:
    """[batch, patches] bool: of each window of patches one, at random.

    Windows have `window` patches a side and lie side by side from the first patch on;
    those at the far borders are smaller, where sides are no multiple of it.

    Source: stratified sampling of Su and Ji, "Unsqueeze [CLS] Bottleneck to Learn Rich
      Representations", 2024, https://arxiv.org/abs/2407.17671, with windows of 3.
    """
    checks.count("one_per_window", window=window)
    rows, columns = (-(-side // window) for side in grid)
    outside = [(0, count * window - side) for count, side in zip((rows, columns), grid)]
    chance = jax.random.uniform(key, (batch, *grid))
    chance = jnp.pad(chance, [(0, 0), *outside], constant_values=-1)
    chance = chance.reshape(batch, rows, window, columns, window)
    chance = chance.transpose(0, 1, 3, 2, 4).reshape(batch, rows, columns, -1)
    chosen = jax.nn.one_hot(jnp.argmax(chance, axis=-1), window**2, dtype=bool)
    chosen = chosen.reshape(batch, rows, columns, window, window)
    chosen = chosen.transpose(0, 1, 3, 2, 4)
    chosen = chosen.reshape(batch, rows * window, columns * window)
    return chosen[:, : grid[0], : grid[1]].reshape(batch, -1)


def window_differences(images: Array, others: Array, *, size: int = 5) -> Array:
    """|images - others| in the window around each pixel, as one vector a pixel.

    Args:
      images, others: [batch, height, width, channels] float, registered.
      size: odd, of the window; beyond the border the nearest pixel counts, which is our
        reading.

    Returns:
      [batch, height, width, size^2 * channels], pixels of the window row by row.

    Source: Fridman, Rusanovsky and Oren, "ChangeChip: A Reference-Based Unsupervised
      Change Detection for PCB Defect Detection", 2021, https://arxiv.org/abs/2109.05746.
    """
    who = "window_differences"
    checks.same_shape(who, rank=4, images=images, others=others)
    checks.floating(who, images=images, others=others)
    checks.count(who, size=size)
    if size % 2 == 0:
        raise ValueError(f"{who}: expected an odd size; got {size}.")
    away = jnp.abs(to_float(images) - to_float(others))
    edge = size // 2
    padded = jnp.pad(away, [(0, 0), (edge, edge), (edge, edge), (0, 0)], mode="edge")
    height, width = away.shape[1:3]
    shifted = [
        padded[:, i : i + height, j : j + width]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.concatenate(shifted, axis=-1)
