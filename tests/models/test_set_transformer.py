import jax
import numpy as np
import pytest

from repr_jax.models.set_transformer import SetTransformer

MODEL = SetTransformer(num_outputs=3, dim=8, num_layers=2, num_heads=2)
INIT, APPLY = jax.jit(MODEL.init), jax.jit(MODEL.apply)


@pytest.fixture(scope="module")
def drawn():
    """Parameters away from their zeros, a set of points, and which are context."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 6, 1)), rng.normal(size=(2, 6))
    context = np.array([[1, 1, 0, 1, 0, 0]] * 2, bool)
    variables = INIT(jax.random.key(0), x, y, context)
    variables = jax.tree.map(
        lambda p: np.asarray(p) + 0.3 * rng.normal(size=p.shape).astype("f"), variables
    )
    return variables, x.astype("f"), y.astype("f"), context


def test_the_order_of_points_does_not_matter(drawn):
    variables, x, y, context = drawn
    order = np.array([3, 5, 0, 2, 4, 1])
    found = APPLY(variables, x[:, order], y[:, order], context[:, order])
    expected = np.asarray(APPLY(variables, x, y, context))[:, order]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_queries_see_the_context_and_not_one_another(drawn):
    variables, x, y, context = drawn
    plain = np.asarray(APPLY(variables, x, y, context))
    spoiled = np.where(context, y, np.nan)  # y of queries is not read
    np.testing.assert_array_equal(APPLY(variables, x, spoiled, context), plain)
    moved = x.copy()
    moved[:, 4] += 1  # a query
    others = [0, 1, 2, 3, 5]
    found = np.asarray(APPLY(variables, moved, y, context))
    np.testing.assert_allclose(found[:, others], plain[:, others], rtol=1e-5, atol=1e-6)
    changed = y.copy()
    changed[:, 0] += 1  # in the context
    assert np.abs(APPLY(variables, x, changed, context) - plain).min() > 0


def test_heads_divide_dim(drawn):
    model = MODEL.clone(num_heads=3)
    with pytest.raises(ValueError, match="dim a multiple of num_heads 3; got 8"):
        model.init(jax.random.key(0), *drawn[1:])


def test_branches_start_at_zero(drawn):
    _, x, y, context = drawn
    params = INIT(jax.random.key(0), x, y, context)["params"]
    assert not np.any(params["attended_0"]["kernel"])
    assert not np.any(params["output_1"]["kernel"])
