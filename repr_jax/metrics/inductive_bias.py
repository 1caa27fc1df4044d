"""How much information a model's prior must hold to generalize. On the host."""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from repr_jax.ops import checks

FEW = 50  # samples below the target, without which their share is not looked at


class BiasInformation(NamedTuple):
    """Bits, and the law that was fitted to the errors."""

    bits: float  # -log2 P(error <= target), of the fitted law
    counted: float  # the same of the share of samples; NaN if FEW are not below
    degrees: float  # of freedom, of the noncentral chi-square law
    noncentrality: float
    scale: float  # of the errors


def bias_information(errors: ArrayLike, target: float) -> BiasInformation:
    """-log2 of how often an interpolating model has a test error of at most `target`.

    A noncentral chi-square law is fitted to errors of models that all fit the training
    data, by maximum likelihood, since targets may be rarer than any sample. Warns where
    it is off by more than half a bit from the share of samples that are below: few
    directions may carry the error, which is then no such law.

    Args:
      errors: [models] > 0, mean squared test errors of samples of interpolators; the
        authors take 10,000.
      target: > 0, epsilon.

    Raises:
      ValueError: errors are not [models] numbers above 0; nor is target.

    Source: Boopathy et al., "Towards Exact Computation of Inductive Bias", 2024,
      https://arxiv.org/abs/2406.15941. Their code reports nats.
    """
    from scipy.stats import ncx2

    who = "bias_information"
    errors = np.asarray(errors, np.float64)
    checks.same_shape(who, rank=1, errors=errors)
    checks.finite(who, errors=errors)
    checks.positive(who, target=target, smallest_error=float(errors.min(initial=1)))
    degrees, noncentrality, _, scale = (float(x) for x in ncx2.fit(errors, floc=0))
    bits = noncentral_bits(target, degrees, noncentrality, scale)
    below = np.sum(errors <= target)
    counted = float(-np.log2(below / len(errors))) if below >= FEW else float("nan")
    if abs(bits - counted) > 0.5:
        warnings.warn(
            f"{who}: the fitted law says {bits:.2f} bits, the samples {counted:.2f}.",
            stacklevel=2,
        )
    return BiasInformation(bits, counted, degrees, noncentrality, scale)


def noncentral_bits(
    target: float, degrees: float, noncentrality: float, scale: float
) -> float:
    """-log2 P(scale X <= target), X of that noncentral chi-square law.

    Where the probability underflows, z^2 / 2 nats of `sankaran`, as the authors.
    """
    from scipy.stats import ncx2

    nats = -ncx2.logcdf(target / scale, degrees, noncentrality)
    if not np.isfinite(nats):
        nats = sankaran(target / scale, degrees, noncentrality) ** 2 / 2
    return float(nats / np.log(2))


def sankaran(x: float, degrees: float, noncentrality: float) -> float:
    """The standard normal number about as rare as x of a noncentral chi-square law.

    Source: Sankaran, "Approximations to the Non-Central Chi-Square Distribution", 1963
      (from memory).
    """
    first, second = degrees + noncentrality, degrees + 2 * noncentrality
    h = 1 - 2 / 3 * first * (degrees + 3 * noncentrality) / second**2
    p = second / first**2
    m = (h - 1) * (1 - 3 * h)
    mean = 1 + h * p * (h - 1 - (2 - h) * m * p / 2)
    return float(((x / first) ** h - mean) / (h * np.sqrt(2 * p) * (1 + m * p / 2)))
