"""The benchmark of upsamplers on gray images whose class is their brightness."""

import functools
import logging

import jax
import numpy as np
import pytest

from repr_jax.data import arrays
from repr_jax.evaluators import fairness
from repr_jax.evaluators.common import Trained
from repr_jax.ops.measurement import average_pool

K, SIDE, EACH = 5, 12, 8
POOL = average_pool(3)
OPTIONS = dict(operator=POOL, num_classes=K, num_draws=20, num_simulated=50)


def originals():
    """[K * EACH, 12, 12, 1] about (class + 1/2) / K, and classes."""
    labels = np.arange(K * EACH) % K
    noise = np.random.default_rng(0).uniform(-0.05, 0.05, (len(labels), SIDE, SIDE, 1))
    images = (labels[:, None, None, None] + 0.5) / K + noise
    return images.astype("f"), labels


def classify(x):
    return np.clip((K * np.asarray(x).mean(axis=(1, 2, 3))).astype(int), 0, K - 1)


def nearest(y, key):
    return np.asarray(y).repeat(3, axis=1).repeat(3, axis=2)


def of_class(classes):
    return np.broadcast_to(
        ((np.asarray(classes) + 0.5) / K)[:, None, None, None],
        (len(classes), SIDE, SIDE, 1),
    )


def guess(y, key):
    """A random class, with pixels of its own."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    classes = rng.integers(K, size=len(y))
    return of_class(classes) + rng.uniform(-0.01, 0.01, (len(y), SIDE, SIDE, 1))


def benchmark(upsample, **options):
    return fairness.benchmark(upsample, *originals(), classify, **OPTIONS | options)


def test_a_faithful_upsampler(caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        found = benchmark(nearest, batch_size=16)
    numbers = found.numbers
    assert numbers["accuracy"] == numbers["kept"] == 1
    for name in ("rdp/chi2", "pr/chi2", "pr/kl", "rdp/chebyshev"):
        assert numbers[name] == pytest.approx(0, abs=1e-12)
        assert numbers[f"{name}/low"] == pytest.approx(0, abs=1e-12)
        assert numbers[f"{name}/low"] <= numbers[f"{name}/high"]
    assert "a function of its input" in caplog.text
    assert numbers["distinct"] == 1 / 20 and numbers["ucpr/coverage"] == 1
    assert numbers["sharpness"] < 0.5 and 20 < numbers["psnr"] < 40
    assert 0 < numbers["dssim"] < 0.5
    for notion in ("pr", "ucpr"):
        shares = [numbers[f"{notion}/share/{k}"] for k in range(K)]
        np.testing.assert_allclose(shares, 1 / K)
    assert numbers["seconds"] > 0 and "niqe" not in numbers  # of sides of 12
    assert set(found.pictures) == {"wall", "uninformative"}
    assert [len(table.rows) for table in found.tables] == [16, K]
    np.testing.assert_allclose([row[1:] for row in found.tables[1].rows], np.eye(K))


def test_one_that_always_makes_one_class():
    numbers = benchmark(lambda y, key: of_class([3] * len(y))).numbers
    for notion in ("rdp", "pr", "ucpr"):
        assert numbers[f"{notion}/chi2"] == pytest.approx(K - 1)
        assert numbers[f"{notion}/chebyshev"] == pytest.approx(1 - 1 / K)
    assert numbers["accuracy"] == 1 / K and numbers["pr/p_value"] < 1e-3


def test_one_that_guesses_is_fair_and_bad():
    numbers = benchmark(guess).numbers
    assert numbers["distinct"] == 1 and numbers["accuracy"] < 0.5
    for notion in ("pr", "ucpr"):
        assert numbers[f"{notion}/chi2"] < 2 * numbers[f"{notion}/chi2/floor"]
        assert numbers[f"{notion}/chi2/low"] < 1e-9
    assert numbers["ucpr/entropy"] > 1.3 and numbers["ucpr/p_value/homogeneity"] > 1e-3


def test_only_originals_that_are_classified_right_count():
    images, labels = originals()
    wrong = labels.copy()
    wrong[0] = 4
    found = fairness.benchmark(nearest, images, wrong, classify, **OPTIONS).numbers
    assert found["kept"] == 1 - 1 / len(labels) and found["accuracy"] == 1
    distances = {"gap": lambda x, z: np.abs(x - z).mean(axis=(1, 2, 3))}
    found = benchmark(nearest, distances=distances).numbers
    assert 0.01 < found["gap"] < 0.05


def test_coarse_inputs_are_means_of_places():
    seen = []

    def spy(y, key):
        seen.append(np.asarray(y))
        return nearest(y, key)

    benchmark(spy, coarsen=4, num_draws=2, batch_size=2 * K)
    coarse = [y for y in seen if np.ptp(y, axis=(1, 2, 3)).max() == 0]
    images, labels = originals()
    means = [images[labels == k].mean() for k in range(K)]
    np.testing.assert_allclose(coarse[0][::2, 0, 0, 0], means, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(images=lambda x: 255 * x), "expected images in"),
        (dict(labels=lambda a: a + 1), "expected labels in"),
        (dict(labels=lambda a: np.maximum(a, 1)), "class 0 has none"),
        (dict(labels=lambda a: a[1:]), "expected labels of shape"),
        (dict(upsample=lambda y, key: np.asarray(y)), "expected made of shape"),
        (dict(upsample=lambda y, key: 2 + nearest(y, key)), "expected made in"),
        (dict(coarsen=3), "multiples of coarsen"),
    ],
)
def test_bad_input_is_named(change, message):
    images, labels = originals()
    images = change.pop("images", lambda x: x)(images)
    labels = change.pop("labels", lambda a: a)(labels)
    upsample = change.pop("upsample", nearest)
    with pytest.raises(ValueError, match=message):
        fairness.benchmark(upsample, images, labels, classify, **OPTIONS | change)


def test_few_measurements_are_filled_up_to_a_batch():
    sizes = []

    def restore(batch, key):
        sizes.append(len(batch["y"]))
        return nearest(batch["y"], key)

    trained = Trained({"restore": restore}, lambda x: x, (), "")
    upsample = fairness.upsampler(trained, {"image": np.zeros((8, 12, 12, 1), "f")})
    y = np.random.default_rng(0).uniform(size=(3, 4, 4, 1)).astype("f")
    np.testing.assert_array_equal(upsample(y, jax.random.key(0)), nearest(y, None))
    assert sizes == [8]
    with pytest.raises(ValueError, match="8 measurements or fewer, the rows"):
        upsample(np.zeros((9, 4, 4, 1), "f"), jax.random.key(0))


def test_more_classes_than_images_are_refused():
    images, labels = originals()
    with pytest.raises(ValueError, match="as many images as classes"):
        fairness.benchmark(nearest, images[:3], labels[:3], classify, **OPTIONS)


def test_a_run_is_judged_by_a_classifier_of_its_data(tmp_path):
    images, labels = originals()
    pixels = np.round(255 * images).astype(np.uint8)
    data = {"image": np.tile(pixels, (3, 1, 1, 1)), "label": np.tile(labels, 3)}
    dataset = arrays.load(data=data, test_data=data, label="label")

    def restore(batch, key):
        return nearest(batch["y"], key)

    trained = Trained({"restore": restore}, jax.jit(dataset.prepare), (), str(tmp_path))
    evaluate = functools.partial(
        fairness.evaluate,
        trained,
        dataset,
        operator=lambda: POOL,
        num_classes=K,
        num_simulated=20,
        classifier_steps=200,
        classifier_batch=32,
        batch_size=32,
    )
    found = evaluate(num_draws=2).numbers
    assert found["kept"] > 0.8 and found["accuracy"] > 0.8
    assert 0 < found["cosine"] < 0.5
    assert (tmp_path / "classifiers").is_dir()
    few = evaluate(num_draws=8, limit=20).numbers  # batches of fewer than batch_size
    assert few["kept"] > 0.8 and few["accuracy"] > 0.8


def test_a_distance_that_is_not_a_number_is_refused():
    images = np.zeros((4, 16, 16, 3), np.float32)

    def distance(x, z):
        return np.where(np.arange(len(x)) == 2, np.nan, 1.0)

    run = functools.partial(fairness._by_batch, 4)
    found = fairness._performance(run, images, images, {})
    assert "psnr" not in found and found["dssim"] == 0  # equal: infinitely alike
    assert "sharpness" not in found  # of flat originals there is none
    with pytest.raises(ValueError, match="numbers of mine; got NaN in row 2"):
        fairness._performance(run, images, images, {"mine": distance})
