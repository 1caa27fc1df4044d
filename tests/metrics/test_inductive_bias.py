import numpy as np
import pytest
from scipy.stats import chi2, ncx2

from repr_jax import metrics


def test_values_of_an_independent_program():
    np.testing.assert_allclose(
        metrics.noncentral_bits(0.28, 4, 3, 0.1), 2.623826, rtol=1e-6
    )
    np.testing.assert_allclose(metrics.sankaran(2.8, 4, 3), -0.9936282, rtol=1e-6)


def test_central_rising_and_where_probabilities_underflow():
    expected = -chi2.logcdf(2.8, 4) / np.log(2)
    np.testing.assert_allclose(metrics.noncentral_bits(2.8, 4, 0, 1), expected)
    bits = [metrics.noncentral_bits(t, 4, 3, 0.1) for t in (0.4, 0.2, 0.1)]
    assert bits == sorted(bits)
    rare = metrics.noncentral_bits(1e-3, 500, 100, 1.0)
    assert np.isfinite(rare) and rare > 100


def test_the_fitted_law_and_the_samples_agree_where_errors_follow_it():
    errors = 0.1 * ncx2.rvs(8, 5, size=2000, random_state=0)
    target = float(np.quantile(errors, 0.1))
    found = metrics.bias_information(errors, target)
    np.testing.assert_allclose(found.counted, -np.log2(0.1), atol=0.01)
    assert abs(found.bits - found.counted) < 0.3
    assert np.isnan(metrics.bias_information(errors, errors.min()).counted)


def test_a_law_that_does_not_fit_is_said(monkeypatch):
    monkeypatch.setattr(type(ncx2), "fit", lambda self, x, floc: (8.0, 5.0, 0.0, 0.1))
    with pytest.warns(UserWarning, match="the samples 1.00"):
        metrics.bias_information(np.linspace(10, 20, 1000), 15.0)
    with pytest.raises(ValueError, match="errors finite; got nan in row 1"):
        metrics.bias_information([1.0, np.nan], 1.0)
