"""Linear and kernel ridge regression against float64 solutions and scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from repr_jax.estimators import kernel_ridge, ridge


@pytest.fixture(scope="module")
def data():
    """Three inputs; targets that are linear, curved, wavy, and unrelated."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    noise = 0.1 * rng.normal(size=(300, 4))
    targets = (x[:, 0] + 4, x[:, 1] ** 2, np.sin(2 * x[:, 2]), 10 * noise[:, 3])
    return x.astype(np.float32), (np.stack(targets, 1) + noise).astype(np.float32)


def normal_equations(x, y, penalty):
    """(X^T X + penalty I) W = X^T Y of centered data, by Gauss in float64."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    n, dim = x.shape
    gram = np.zeros((dim, dim))
    right = np.zeros((dim, y.shape[1]))
    for i in range(n):
        for j in range(dim):
            right[j] += x[i, j] * y[i]
            for k in range(dim):
                gram[j, k] += x[i, j] * x[i, k]
    return np.linalg.solve(gram + penalty * np.eye(dim), right)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 100.0])
def test_ridge_solves_the_normal_equations(data, penalty):
    fitted = jax.jit(ridge.fit)(*data, penalty=penalty)
    expected = normal_equations(*data, penalty)
    np.testing.assert_allclose(fitted.weights, expected, rtol=1e-4, atol=1e-5)
    reference = Ridge(alpha=penalty).fit(*data)
    np.testing.assert_allclose(
        ridge.predict(fitted, data[0]), reference.predict(data[0]), atol=1e-4
    )


def test_ridge_by_hand():
    x, y = jnp.array([[0.0], [2.0]]), jnp.array([[1.0], [5.0]])
    fitted = ridge.fit(x, y)
    np.testing.assert_allclose(ridge.predict(fitted, jnp.array([[3.0]])), [[7.0]])
    fitted = ridge.fit(x, y, penalty=2.0)  # slope 4 / (2 + 2), through (1, 3)
    np.testing.assert_allclose(fitted.weights, [[1.0]], rtol=1e-6)
    np.testing.assert_allclose(
        ridge.predict(fitted, jnp.array([[3.0]])), [[5.0]], rtol=1e-6
    )


def test_least_squares_of_dependent_columns_has_the_least_norm(data):
    x = np.concatenate([data[0], data[0][:, :1]], axis=1)
    fitted = ridge.fit(x, data[1])
    plain = ridge.fit(*data)
    halves = np.asarray(plain.weights[0]) / 2
    np.testing.assert_allclose(fitted.weights[0], halves, atol=1e-5)
    np.testing.assert_allclose(fitted.weights[3], halves, atol=1e-5)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_ridge_of_features_and_targets_far_from_0(data, penalty):
    x, y = (np.asarray(a, np.float64) for a in data)
    near = Ridge(alpha=penalty).fit(x, y).predict(x)
    far = [(4096 + a).astype("f") for a in (x, y)]
    kept = [np.asarray(a, np.float64) - 4096 for a in far]  # what float32 keeps
    expected = Ridge(alpha=penalty).fit(*kept).predict(kept[0])
    np.testing.assert_allclose(expected, near, atol=2e-3)
    fitted = jax.jit(ridge.fit)(*far, penalty=penalty)
    found = np.asarray(ridge.predict(fitted, far[0]), np.float64) - 4096
    np.testing.assert_allclose(found, expected, atol=2 * 4096 * 2.0**-23)
    fitted = kernel_ridge.fit(far[0], kept[1].astype("f"), penalty=0.1)
    plain = kernel_ridge.fit(kept[0].astype("f"), kept[1].astype("f"), penalty=0.1)
    found = kernel_ridge.predict(fitted, far[0])
    expected = kernel_ridge.predict(plain, kept[0].astype("f"))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_ridge_stays_exact_where_normal_equations_do_not():
    """Columns that differ by a thousandth: their product has a condition of 1e7."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    x[:, 1] = x[:, 0] + 1e-3 * x[:, 1]
    x = x.astype(np.float32)
    y = x.astype(np.float64) @ [[1.0], [2.0]]
    fitted = ridge.fit(x, y.astype(np.float32))
    np.testing.assert_allclose(fitted.weights, [[1.0], [2.0]], atol=1e-3)


@pytest.mark.parametrize("gamma", [0.01, 0.2154, 4.642, 100.0])
@pytest.mark.parametrize("penalty", [1.0, 0.001])
def test_kernel_ridge_matches_scikit_learn_in_float64(data, gamma, penalty):
    x, y = (np.asarray(a, np.float64) for a in data)
    reference = KernelRidge(kernel="rbf", gamma=gamma, alpha=penalty)
    expected = reference.fit(x[:200], y[:200]).predict(x[200:])
    fitted = kernel_ridge.fit(
        data[0][:200], data[1][:200], gamma=gamma, penalty=penalty
    )
    found = np.asarray(kernel_ridge.predict(fitted, data[0][200:]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(
        r2_score(y[200:], found), r2_score(y[200:], expected), atol=1e-6
    )


def test_kernel_ridge_in_loops(data):
    """Entry by entry: k, the linear system, and the sum over the rows."""
    x, y = (np.asarray(a[:20], np.float64) for a in data)

    def k(a, b):
        return np.exp(-0.5 * sum((p - q) ** 2 for p, q in zip(a, b)))

    matrix = np.array([[k(a, b) for b in x] for a in x])
    coefficients = np.linalg.solve(matrix + 0.1 * np.eye(20), y)
    point = np.array([0.1, -0.2, 0.3])
    expected = sum(k(point, x[i]) * coefficients[i] for i in range(20))
    fitted = kernel_ridge.fit(data[0][:20], data[1][:20], gamma=0.5, penalty=0.1)
    found = kernel_ridge.predict(fitted, jnp.asarray(point, jnp.float32)[None])
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


def test_kernel_ridge_by_hand():
    fitted = kernel_ridge.fit(jnp.zeros((1, 2)), jnp.array([[6.0]]), penalty=2.0)
    np.testing.assert_allclose(fitted.coefficients, [[2.0]])  # 6 / (1 + 2)
    there = jnp.array([[1.0, 0.0]])
    np.testing.assert_allclose(
        kernel_ridge.predict(fitted, there), [[2 / np.e]], rtol=1e-6
    )


def test_a_kernel_that_is_almost_singular_stays_finite():
    """A thousand rows, half of them twice, at the smallest penalty of the search."""
    rng = np.random.default_rng(0)
    x = np.tile(rng.normal(size=(500, 2)), (2, 1)).astype(np.float32)
    y = np.sin(3 * x[:, :1])
    fitted = kernel_ridge.fit(x, y, gamma=0.01, penalty=0.001)
    reference = KernelRidge(kernel="rbf", gamma=0.01, alpha=0.001)
    expected = reference.fit(x.astype(np.float64), y).predict(x)
    found = np.asarray(kernel_ridge.predict(fitted, x))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_search_is_cross_validation(data):
    """Against scikit-learn, fold by fold; row i is in fold i mod 3."""
    x, y = (np.asarray(a[:90], np.float64) for a in data)
    gammas, penalties = (0.2, 2.0), (1.0, 0.01)
    found = kernel_ridge.search(
        data[0][:90], data[1][:90], gammas=gammas, penalties=penalties
    )
    once = kernel_ridge.search(
        data[0][:90], data[1][:90], gammas=gammas, penalties=penalties, num_rounds=1
    )
    order = np.arange(90).reshape(30, 3).T.ravel()  # folds one after another
    for g, gamma in enumerate(gammas):
        for p, penalty in enumerate(penalties):
            model = KernelRidge(kernel="rbf", gamma=gamma, alpha=penalty)
            scores = [
                r2_score(
                    y[order][held],
                    model.fit(x[order][kept], y[order][kept]).predict(x[order][held]),
                    multioutput="raw_values",
                )
                for kept, held in KFold(3).split(x)
            ]
            np.testing.assert_allclose(
                found.scores[g, p], np.mean(scores, axis=0), atol=1e-5
            )
            np.testing.assert_allclose(once.scores[g, p], scores[0], atol=1e-5)


def test_best_is_chosen_for_some_columns_and_ignores_what_failed():
    scores = np.zeros((2, 3, 2))
    scores[1, 0] = (0.9, -0.5)
    scores[0, 2] = (0.1, 0.8)
    scores[1, 1] = np.nan
    search = kernel_ridge.Search(scores, (0.1, 1.0), (3.0, 2.0, 1.0))
    assert kernel_ridge.best(search, slice(0, 1)) == (1.0, 3.0)
    assert kernel_ridge.best(search, [1]) == (0.1, 1.0)
    assert kernel_ridge.best(search) == (0.1, 1.0)  # 0.45 against 0.2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, y: ridge.fit(x * np.inf, y), ValueError, "x finite; got .* row 0"),
        (lambda x, y: ridge.fit(x, y * np.nan), ValueError, "y finite; got nan"),
        (lambda x, y: kernel_ridge.fit(x * np.nan, y), ValueError, "x finite"),
        (lambda x, y: kernel_ridge.search(x, y * np.nan), ValueError, "y finite"),
        (lambda x, y: kernel_ridge.search(x, y, gammas=(0,)), ValueError, "> 0"),
        (
            lambda x, y: kernel_ridge.predict(kernel_ridge.fit(x, y), x * np.nan),
            ValueError,
            "predict: expected x finite",
        ),
        (
            lambda x, y: jax.jit(kernel_ridge.fit)(x, y),
            TypeError,
            "expected arrays on this host",
        ),
        (
            lambda x, y: kernel_ridge.best(
                kernel_ridge.Search(np.full((1, 1, 1), np.nan), (1,), (1,))
            ),
            ValueError,
            "a score that is not NaN",
        ),
        (lambda x, y: ridge.fit(x, y[:5]), ValueError, "300 rows"),
        (lambda x, y: ridge.fit(x, y, penalty=-1.0), ValueError, "penalty >= 0"),
        (lambda x, y: ridge.fit(x[:, 0], y), ValueError, "rank 2"),
        (lambda x, y: kernel_ridge.fit(x, y, penalty=0.0), ValueError, "penalty > 0"),
        (lambda x, y: kernel_ridge.fit(x, y, gamma=-1), ValueError, "gamma > 0"),
        (
            lambda x, y: kernel_ridge.fit(x.astype(int), y),
            TypeError,
            "of floats",
        ),
        (
            lambda x, y: kernel_ridge.search(x, y, num_rounds=4),
            ValueError,
            "num_rounds <= num_folds; got 4 and 3",
        ),
    ],
)
def test_wrong_inputs_are_refused(data, call, error, message):
    with pytest.raises(error, match=message):
        call(*data)
