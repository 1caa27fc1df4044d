"""Pages of the API show the formulas of docstrings as they stand there."""

import importlib.util
import inspect

import pytest

from repr_jax import losses


@pytest.fixture(scope="module")
def docs(repository):
    spec = importlib.util.spec_from_file_location(
        "docs", repository / ".ci" / "docs.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["info_nce", "siglip", "fresh_negatives_nce", "mopoe"])
def test_the_formula_of_a_loss_becomes_a_code_block(docs, name):
    text = inspect.getdoc(getattr(losses, name))
    first, formula, rest = text.split("\n\n", 2)
    shown = docs.with_formulas(text)
    assert shown == f"{first}\n\n```text\n{formula}\n```\n\n{rest}"


@pytest.mark.parametrize(
    ("paragraph", "formula"),
    [
        ("rank_i = sum_{j != i} [ s_ij >= s_ii ]: a tie counts", True),
        ("y[n, i, j] = sum_{a, b} x[n, s i + a - p]", True),
        ("-1/N sum_ij log sigmoid(y_ij)", True),
        ("|p - start - t along| - r(t)", True),
        ("log((1 / R) sum_r softmax(features_r))", True),
        ("max over one-to-one maps m of sum_k table[k, m(k)]", True),
        ("Means are over the present rows, log2 of them.", False),
        ("Maximum and log_var are what networks return.", False),
        ("With a penalty = 0 it is least squares.", False),
        ("sum of squares and max norms are not shown", False),
    ],
)
def test_what_is_taken_for_a_formula(docs, paragraph, formula):
    shown = docs.with_formulas(f"One line.\n\n{paragraph}\n\nArgs:\n  x = y.")
    assert ("```" in shown) == formula
    assert shown.endswith("Args:\n  x = y.")
