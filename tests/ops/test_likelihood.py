"""Log densities against their definitions, one element at a time in float64."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.ops import likelihood


def draw(*shape):
    return np.random.default_rng(0).normal(size=(2, *shape)).astype("f")


def summed(element, x, decoded):
    pairs = zip(x.astype(float).reshape(len(x), -1), decoded.reshape(len(x), -1))
    return [sum(element(a, float(b)) for a, b in zip(*pair)) for pair in pairs]


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
def test_gaussian_matches_the_definition(scale):
    x, decoded = draw(3, 4, 2)

    def element(a, b):
        return -0.5 * ((a - b) / scale) ** 2 - math.log(scale * math.sqrt(2 * math.pi))

    actual = jax.jit(likelihood.gaussian)(x, decoded, scale=scale)
    np.testing.assert_allclose(actual, summed(element, x, decoded), rtol=1e-5)


@pytest.mark.parametrize("scale", [0.3, 0.75, 2.0])
def test_laplace_matches_the_definition(scale):
    x, decoded = draw(3, 4, 2)

    def element(a, b):
        return -abs(a - b) / scale - math.log(2 * scale)

    actual = jax.jit(likelihood.laplace)(x, decoded, scale=scale)
    np.testing.assert_allclose(actual, summed(element, x, decoded), rtol=1e-5)


def test_bernoulli_matches_the_definition():
    x, logits = draw(3, 4, 2)
    x = 1 / (1 + np.exp(-x))

    def element(a, b):
        p = 1 / (1 + math.exp(-b))
        return a * math.log(p) + (1 - a) * math.log(1 - p)

    actual = jax.jit(likelihood.bernoulli)(x, logits)
    np.testing.assert_allclose(actual, summed(element, x, logits), rtol=1e-5)


def test_categorical_takes_logits_not_log_probabilities():
    logits = draw(3, 4, 5)[0]
    classes = np.random.default_rng(1).integers(5, size=(3, 4))
    expected = [
        sum(
            float(row[c]) - math.log(sum(math.exp(v) for v in row))
            for row, c in zip(logits[i], classes[i])
        )
        for i in range(3)
    ]
    actual = jax.jit(likelihood.categorical)(np.eye(5, dtype="f")[classes], logits)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "elements, expected",
    [
        (784, -317.885),  # MNIST
        (2_352, -953.654),  # a view of PolyMNIST
        (3_072, -1245.589),  # SVHN
        (12_288, -4982.355),  # CelebA
        (11_760, -4768.270),  # five views of PolyMNIST
    ],
)
def test_a_perfect_image_has_the_laplace_ceiling(elements, expected):
    image = np.zeros((1, elements), "f")
    found = jax.jit(likelihood.laplace)(image, image)
    np.testing.assert_allclose(found, [expected], rtol=2e-6)


def test_bernoulli_and_categorical_survive_large_logits():
    x, logits = np.array([[1.0, 0.0]], "f"), np.array([[1e4, -1e4]], "f")
    for function in (likelihood.bernoulli, likelihood.categorical):
        assert jax.jit(function)(x, logits) == 0
        pull = jax.grad(lambda logits, f=function: f(x, logits).sum())
        assert np.isfinite(jax.jit(pull)(-logits)).all()


def test_by_row_sees_samples_and_forgets_absent_rows():
    x, decoded = draw(3, 2)
    where = np.array([True, False, True])
    samples = np.stack([decoded, 2 * decoded])[None]  # [1, 2, 3, 2]
    laplace = jax.jit(likelihood.laplace)
    expected = np.stack([laplace(x, s) for s in samples[0]])
    broken = x + np.where(where, 0, np.nan)[:, None].astype("f")

    def scores(samples):
        return likelihood.by_row(likelihood.laplace, broken, samples, where)

    found = jax.jit(scores)(samples)
    np.testing.assert_allclose(found, (expected * where)[None], rtol=1e-6)
    gradient = np.asarray(jax.jit(jax.grad(lambda s: scores(s).sum()))(samples))
    assert (gradient[:, :, 1] == 0).all() and (gradient[:, :, 0] != 0).all()


def test_the_mean_of_what_a_decoder_returns():
    logits = jnp.asarray(draw(2, 3, 4)[0])
    probabilities = jax.nn.softmax(logits, axis=-1)
    mean = likelihood.mean_of
    np.testing.assert_array_equal(mean(likelihood.categorical)(logits), probabilities)
    sigmoid = jax.nn.sigmoid(logits)
    np.testing.assert_array_equal(mean(likelihood.bernoulli)(logits), sigmoid)
    narrow = functools.partial(likelihood.laplace, scale=0.1)
    for own in (likelihood.gaussian, narrow, lambda x, decoded: -((x - decoded) ** 2)):
        assert mean(own)(logits) is logits


def test_a_text_ends_with_its_first_end():
    """Words 2 1 0 3 0 by the largest logit, where 0 is the end."""
    said = functools.partial(likelihood.words, end=0)
    logits = 3 * np.eye(4, dtype="f")[np.array([[2, 1, 0, 3, 0]])]
    x = np.eye(10, 4, dtype="f")[np.array([[2, 3, 0, 9, 9]])]  # zeros behind its end
    mean = jax.jit(likelihood.mean_of(said))(logits)
    expected = np.array(jax.jit(jax.nn.softmax)(logits))
    expected[:, 3:] = 0
    np.testing.assert_allclose(mean, expected)
    of_three = jax.jit(likelihood.categorical)(x[:, :3], logits[:, :3])
    np.testing.assert_allclose(jax.jit(said)(x, logits), of_three, rtol=1e-6)
    with pytest.raises(ValueError, match=r"words: expected end in \[0, 4\); got 4"):
        likelihood.words(x, logits, end=4)


def test_errors_name_who_and_what():
    x = np.ones((2, 3), "f")
    with pytest.raises(ValueError, match=r"likelihood\.laplace: expected one shape"):
        likelihood.laplace(x, x[:, :2])
    with pytest.raises(TypeError, match=r"likelihood\.bernoulli: expected x of floats"):
        likelihood.bernoulli(x.astype(int), x)
    with pytest.raises(ValueError, match=r"likelihood\.gaussian: expected scale > 0"):
        likelihood.gaussian(x, x, scale=-1.0)


def test_weights_by_size_are_those_of_mnist_svhn_text():
    weights = likelihood.by_size([(28, 28, 1), (32, 32, 3), (8,)])
    np.testing.assert_allclose(weights, (3072 / 784, 1.0, 384.0))
    assert likelihood.by_size([(5, 2)]) == (1.0,)
    with pytest.raises(ValueError, match=r"likelihood\.by_size: expected shapes"):
        likelihood.by_size([(3,), (0, 2)])
