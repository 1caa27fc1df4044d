import functools

import jax
import numpy as np
from sklearn.naive_bayes import GaussianNB

from repr_jax.estimators import naive_bayes

logits_of = jax.jit(naive_bayes.logits)


@functools.partial(jax.jit, static_argnums=2)
def fit(x, labels, num_classes):
    return naive_bayes.fit(x, labels, num_classes=num_classes)


def draw():
    rng = np.random.default_rng(46)
    x, q = rng.normal(size=(20, 3)), rng.normal(size=(2, 3))
    return x, np.repeat([0, 1], [8, 12]), q


def test_values_of_an_independent_program():
    x, labels, q = draw()
    fitted = fit(x, labels, 2)
    np.testing.assert_allclose(
        fitted.variance, [0.8141279, 1.139953, 0.6698813], rtol=1e-5
    )
    logits = np.asarray(logits_of(fitted, q))
    found = logits[:, 1] - logits[:, 0]
    np.testing.assert_allclose(found, [0.607354, -0.6131761], rtol=1e-5)


def test_scaling_a_coordinate_changes_nothing_and_classes_may_be_empty():
    x, labels, q = draw()
    scale = np.array([0.1, 1.0, 50.0])

    def odds(x, q):
        return np.asarray(logits_of(fit(x, labels, 3), q))

    found, expected = odds(x * scale, q * scale), odds(x, q)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert (expected[:, 2] == -np.inf).all()


def test_with_equal_variances_it_is_scikit_learns():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    x = np.repeat(rng.normal(size=(20, 3)), 2, axis=0) + 2.0 * labels[:, None]
    fitted = fit(x, labels, 2)
    q = rng.normal(size=(30, 3)) + 1
    expected = GaussianNB().fit(x, labels).predict(q)
    np.testing.assert_array_equal(jax.jit(naive_bayes.predict)(fitted, q), expected)
