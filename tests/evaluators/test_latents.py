"""Probes of factors: what is in an encoding is found, what is not in it is not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from repr_jax.data import content_style, mixing
from repr_jax.evaluators import latents
from repr_jax.evaluators.common import Trained

DIMS = dict(content_dim=2, style_dim=2, modality_dims=(2, 2))
PROCESS = functools.partial(
    content_style.process, **DIMS, style_change_rate=0.75, causal=True
)


@pytest.fixture(scope="module")
def dataset():
    made = content_style.load(process=PROCESS, num_fit=1_500, num_test=1_000)
    return made._replace(prepare=jax.jit(made.prepare))


def trained(dataset, encode):
    """A model that represents each modality by `encode(prepared batch, name)`."""

    def represent(batch, key=None):
        name = content_style.MODALITIES[int(np.argmax(batch["present"][0]))]
        return encode(dataset.prepare(batch), name)

    return Trained(
        outputs={"represent": represent},
        prepare=dataset.prepare,
        modalities=dataset.modalities,
        workdir="",
    )


@pytest.fixture(scope="module")
def of_content(dataset):
    """Scores of an encoding that is an invertible function of the content alone."""

    def encode(batch, name):
        content = batch["content"]
        turned = content @ np.array([[1.0, 2.0], [-1.0, 1.0]], np.float32)
        return turned if name == "x1" else turned + 0.5 * jnp.sin(turned) + 100.0

    return latents.evaluate(
        trained(dataset, encode),
        dataset,
        kernel_rows=900,
        network_steps=300,
        intervene=content_style.permute_content,
    ).numbers


@pytest.mark.slow
def test_content_is_found_style_as_far_as_it_follows_and_the_rest_not(of_content):
    closed = content_style.predictable_style(PROCESS())
    for name in ("x1", "x2"):
        for probe in ("linear", "kernel"):
            found = {
                factor: of_content[f"r2/{name}/{factor}/{probe}"]
                for factor in content_style.FACTORS
            }
            assert found["content"] > (0.99 if name == "x1" else 0.95)
            for factor, share in closed.items():
                assert found[factor] == pytest.approx(share, abs=0.06)
            assert abs(found["modality1"]) < 0.02 and abs(found["modality2"]) < 0.02
        assert of_content[f"r2/{name}/content/network"] > 0.9
    assert of_content["r2/x2/content/kernel"] > of_content["r2/x2/content/linear"]


@pytest.mark.slow
def test_after_the_intervention_content_no_longer_tells_the_style(of_content):
    for name in ("x1", "x2"):
        assert of_content[f"intervened/{name}/content/kernel"] > 0.98
        for factor in ("style", "style_changed", "modality1"):
            for probe in ("linear", "kernel", "network"):
                assert abs(of_content[f"intervened/{name}/{factor}/{probe}"]) < 0.08


def test_linear_scores_are_those_of_scikit_learn(dataset):
    """The observations as their own encoding, on other scales; least squares."""

    def encode(batch, name):
        return 10.0 * batch[name] + 3.0

    found = latents.evaluate(trained(dataset, encode), dataset, kernel_rows=60).numbers
    fit, test = (
        dataset.prepare(next(dataset.evaluate(split, rows)))
        for split, rows in (("train", 1_500), ("test", 1_000))
    )
    for name in ("x1", "x2"):
        for factor in content_style.FACTORS:
            model = LinearRegression().fit(fit[name], fit[factor])
            expected = r2_score(test[factor], model.predict(test[name]))
            assert found[f"r2/{name}/{factor}/linear"] == pytest.approx(
                expected, abs=1e-4
            )


def test_nothing_is_lost_in_the_mixing_but_a_line_does_not_find_it():
    """5,000 rows of x1, standardized; the kernel reads what least squares cannot."""
    process = content_style.process(**DIMS)
    z = np.random.default_rng(0).normal(size=(6_000, 6)).astype(np.float32)
    x = np.asarray(mixing.mix(process.mixings[0], jnp.asarray(z)))
    x, x_test = latents.standardized(x[:5_000], x[5_000:])
    content, truth = z[:5_000, :2], z[5_000:, :2]
    by_kernel = latents.kernel(x, content, x_test, 0.2154, 0.001)
    by_line = latents.linear(x, content, x_test)
    assert r2_score(truth, by_kernel) > 0.94
    assert r2_score(truth, by_line) < 0.75


def test_standardized_uses_the_first_array_alone():
    x = np.array([[1.0, 5.0], [3.0, 5.0]])
    first, other = latents.standardized(x, np.array([[2.0, 6.0]]))
    np.testing.assert_allclose(first, [[-1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(other, [[0.0, 1.0]])


def test_factors_that_a_dataset_lacks_are_left_out_and_none_is_an_error(dataset):
    model = trained(dataset, lambda batch, name: batch["content"])
    found = latents.evaluate(
        model, dataset, targets=("content", "hue"), kernel_rows=60, max_fit=100
    )
    assert set(found.numbers) == {
        f"r2/{name}/content/{probe}"
        for name in ("x1", "x2")
        for probe in ("linear", "kernel")
    }
    assert found.chance == dict.fromkeys(found.numbers, 0.0)
    assert found.headline == ["r2/x1/content/kernel", "r2/x2/content/kernel"]
    ((name, *values),) = found.tables[0].rows
    assert name == "content" and values == list(found.numbers.values())
    with pytest.raises(ValueError, match="expected factors in a batch; got content"):
        latents.evaluate(model, dataset, targets=("hue",))
    with pytest.raises(ValueError, match="several modalities"):
        latents.evaluate(model._replace(modalities=()), dataset)


def test_rows_that_lack_the_modality_are_neither_fitted_nor_scored(dataset, thinned):
    def represent(batch, key=None):
        given = jnp.any(batch["present"], axis=1)[:, None]
        return jnp.where(given, dataset.prepare(batch)["content"], jnp.nan)

    model = trained(dataset, None)._replace(outputs={"represent": represent})
    found = latents.evaluate(
        model,
        thinned(dataset),
        targets=("content",),
        kernel_rows=60,
        max_fit=100,
    ).numbers
    assert found["r2/x1/content/linear"] > 0.999
    assert found["r2/x2/content/linear"] > 0.999


def test_a_column_that_does_not_vary_is_shifted_alone():
    x = np.full((1000, 1), 0.1, np.float32)
    there, elsewhere = latents.standardized(x, x + 1)
    np.testing.assert_array_equal(there, 0)
    np.testing.assert_allclose(elsewhere, 1, rtol=1e-6)
    assert there.dtype == elsewhere.dtype == np.float32
