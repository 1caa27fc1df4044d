"""How well maps of scores find anomalous regions of images. On the host, in float64."""

import numpy as np
from numpy.typing import ArrayLike

from repr_jax.ops import checks


def regions(masks: ArrayLike, *, diagonal: bool = False) -> np.ndarray:
    """[images, height, width] bool -> int, connected components from 1 on, 0 outside.

    No number is given in two images.

    Args:
      diagonal: pixels that share a corner belong together too, as in the MVTec code.
    """
    from scipy.ndimage import generate_binary_structure, label

    masks = np.asarray(masks)
    checks.same_shape("regions", rank=3, masks=masks)
    checks.boolean("regions", masks=masks)
    structure = np.zeros((3, 3, 3), int)  # images are not neighbors of one another
    structure[1] = generate_binary_structure(2, 2 if diagonal else 1)
    return label(masks, structure)[0]


def aupro(
    maps: ArrayLike,
    regions: ArrayLike,
    *,
    limit: float = 0.3,
    where: ArrayLike | None = None,
) -> float:
    """Area under the curve of the per-region overlap, up to a false positive rate.

    As the threshold falls: the mean over regions of the share that is found, against
    the share of all good pixels that is; trapezoids, with linear interpolation at the
    limit, over the limit. Small regions count as much as large ones.

    Args:
      maps: [images, height, width] float, higher for what is more anomalous; the lowest
        number for NaN.
      regions: [images, height, width] int, of `regions`; 0 in good pixels.
      limit: in (0, 1].
      where: [images] bool, False for absent images; None if all are present.

    Returns:
      In [0, 1], 1 is best, chance about limit / 2; NaN without a region or good pixels.

    Raises:
      ValueError: shapes differ or are not of rank 3; a limit outside of (0, 1].
      TypeError: integer maps, or regions that are not.

    Source: Bergmann et al., "Uninformed Students", 2020, section 4,
      https://arxiv.org/abs/1911.02357; Zheng et al., "Benchmarking Unsupervised Anomaly
      Detection and Localization", 2022, https://arxiv.org/abs/2205.14852.
    """
    who = "aupro"
    maps, regions = np.asarray(maps), np.asarray(regions)
    checks.same_shape(who, rank=3, maps=maps, regions=regions)
    checks.floating(who, maps=maps)
    checks.integers(who, regions=regions)
    if not 0 < limit <= 1:
        raise ValueError(f"{who}: expected limit in (0, 1]; got {limit}.")
    if where is not None:
        checks.shape(who, maps.shape[:1], where=where)
        checks.boolean(who, where=where)
        maps, regions = (x[np.asarray(where)] for x in (maps, regions))
    scores = np.nan_to_num(maps.ravel().astype(np.float64), nan=-np.inf)
    names, owners = np.unique(regions.ravel(), return_inverse=True)
    sizes, good = np.bincount(owners.ravel()), regions.ravel() == 0
    num_regions = len(names) - (0 in names)
    if not num_regions or not good.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.append(ordered[1:] != ordered[:-1], True)  # of each tie
    overlap = np.where(good, 0, 1 / (sizes[owners.ravel()] * num_regions))
    x, y = (
        np.append(0, np.cumsum(share[order])[ends])
        for share in (good / good.sum(), overlap)
    )
    last = np.searchsorted(x, limit, side="right")  # points within
    if last < len(x):
        slope = (y[last] - y[last - 1]) / (x[last] - x[last - 1])
        y = np.append(y[:last], y[last - 1] + slope * (limit - x[last - 1]))
        x = np.append(x[:last], limit)
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / limit)


def changed_clusters(errors: ArrayLike, *, gap: float = 0.02) -> np.ndarray:
    """Groups of like errors of clusters of pixels: those above the lowest changed.

    Sorted errors belong to one group as long as the next is no more than `gap` above,
    which is DBSCAN in one dimension with a minimum of one sample. One group: no change.

    Args:
      errors: [clusters] float, mean squared difference of each cluster's pixels.
      gap: >= 0, of errors of images in [0, 1].

    Returns:
      [clusters] int, the group from 0 on; clusters of a group above 0 changed.

    Raises:
      ValueError: errors are not [clusters], or not finite.

    Source: Fridman, Rusanovsky and Oren, "ChangeChip: A Reference-Based Unsupervised
      Change Detection for PCB Defect Detection", 2021, https://arxiv.org/abs/2109.05746.
    """
    who = "changed_clusters"
    errors = np.asarray(errors, np.float64)
    checks.same_shape(who, rank=1, errors=errors)
    checks.finite(who, errors=errors)
    checks.non_negative(who, gap=gap)
    order = np.argsort(errors, kind="stable")
    steps = np.diff(errors[order], prepend=errors[order][:1]) > gap
    groups = np.empty(len(errors), int)
    groups[order] = np.cumsum(steps)
    return groups
