"""Drawn tissue and drawn land: correlations, what is drawn, and what a pixel is."""

import functools

import jax
import numpy as np
import pytest

from repr_jax.data import histology, land_use, shift, wilds

SIZES = dict(num_train=1500, num_test=600, num_head=100, size=24)
HOSPITAL_OF = np.array([0, 0, 1, 0, 1])  # the label that goes with it


def split_of(dataset, split):
    batches = list(dataset.evaluate(split, 500))
    where = np.concatenate([b["where"] for b in batches])
    return {k: np.concatenate([b[k] for b in batches])[where] for k in batches[0]}


@pytest.mark.parametrize("r", [0.0, 0.5, 1.0])
def test_hospitals_and_labels_correlate_as_asked(r):
    dataset = histology.load(**SIZES, r_id=r, r_ood=0.0)
    x = split_of(dataset, "train")
    match = (HOSPITAL_OF[x["domain"]] == x["label"]).mean()
    assert abs(match - shift.match_rate(r, 2)) < 0.05
    counts = np.bincount(x["domain"], minlength=5) / 1500
    np.testing.assert_allclose(counts, [0.25, 0, 0.25, 0.25, 0.25], atol=0.05)
    out = split_of(dataset, "ood_test")
    assert abs((HOSPITAL_OF[out["domain"]] == out["label"]).mean() - 0.5) < 0.08
    new = split_of(dataset, "ood_hospital")
    assert (new["domain"] == 1).all() and abs(new["label"].mean() - 0.5) < 0.08
    parts = [split_of(dataset, s)["index"] for s in dataset.num_examples]
    together = np.concatenate(parts)
    assert len(np.unique(together)) == len(together) == 3400


def test_regions_and_kinds_correlate_as_asked():
    x = split_of(land_use.load(**SIZES, r_id=1.0), "train")
    for domain, label in zip(x["domain"], x["label"]):
        assert label in land_use.ASSIGNMENT[domain]
    out = split_of(land_use.load(**SIZES), "ood_test")
    assert set(out["label"].tolist()) == set(range(8))
    assert shift.cramers_v(out["label"], out["domain"]) < 0.2
    with pytest.raises(ValueError, match=r"expected r in \[0, 1\]; got -0\.5"):
        land_use.load(**SIZES, r_id=-0.5)


@pytest.mark.parametrize("module", [histology, land_use])
def test_images_are_of_index_and_seed_and_in_range(module):
    dataset = module.load(**SIZES)
    prepare = jax.jit(dataset.prepare)
    batch, again = next(dataset.train(6)), next(dataset.train(6, start_step=0))
    image = np.asarray(prepare(batch)["image"])
    assert image.shape == (6, 24, 24, 3) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1 and image.std() > 0.02
    np.testing.assert_array_equal(image, prepare(again)["image"])
    moved = prepare({k: v[[3, 3, 0, 1, 2, 4]] for k, v in batch.items()})
    alone = np.asarray(moved["image"])[0]
    np.testing.assert_allclose(alone, image[3], atol=1e-6)  # whatever is beside it
    other = module.load(**SIZES, data_seed=1)
    assert np.abs(image - jax.jit(other.prepare)(batch)["image"]).max() > 0.1


def test_light_is_that_of_loops():
    """exp(-(h v_H + e v_E)) times the balance; stains turned about the grays."""
    h, e = np.random.default_rng(0).uniform(size=(2, 3, 4)).astype("f")
    stained = jax.jit(histology.stained)
    for hospital in range(5):
        found = np.asarray(stained(h, e, hospital))
        v = histology.stains()[hospital].astype(np.float64)
        for i, j in np.ndindex(3, 4):
            for c in range(3):
                left = np.exp(-(h[i, j] * v[0, c] + e[i, j] * v[1, c]))
                left *= histology.BALANCES[hospital][c]
                np.testing.assert_allclose(found[i, j, c], left, rtol=1e-5)
    plain = np.array([histology.HEMATOXYLIN, histology.EOSIN])
    for v, gains, degrees in zip(histology.stains(), histology.GAINS, histology.TURNS):
        turned = v[0] / gains[0]  # no entry of hematoxylin is cut off at 0
        np.testing.assert_allclose(turned.sum(), plain[0].sum(), rtol=1e-5)
        gray = np.full(3, plain[0].mean())
        a, b = plain[0] - gray, turned - gray
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        np.testing.assert_allclose(
            np.rad2deg(np.arccos(cosine)), abs(degrees), atol=0.1
        )


@functools.cache
def rows_drawn(module, size):
    return jax.jit(jax.vmap(functools.partial(module.draw, size=size)))


def drawn(module, labels, domains, seed=0, size=48):
    keys = jax.random.split(jax.random.key(seed), len(labels))
    draw = rows_drawn(module, size)
    return np.asarray(draw(keys, np.array(labels), np.array(domains)))


def test_a_tumor_is_in_the_middle_third():
    hospitals = np.arange(60) % 5
    benign = drawn(histology, [0] * 60, hospitals)
    tumor = drawn(histology, [1] * 60, hospitals)
    middle = np.zeros((48, 48), bool)
    middle[9:39, 9:39] = True  # a third, and what the largest nuclei reach beyond it
    np.testing.assert_allclose(benign[:, ~middle], tumor[:, ~middle], atol=2e-3)
    middle[...] = False
    middle[16:32, 16:32] = True
    darker = benign[:, middle].mean(axis=(1, 2)) - tumor[:, middle].mean(axis=(1, 2))
    assert (darker > 0.02).mean() > 0.95


@pytest.mark.parametrize("module", [histology, land_use])
def test_domains_differ_in_color(module):
    means = np.stack(
        [drawn(module, [0] * 30, [d] * 30).mean(axis=(0, 1, 2)) for d in range(5)]
    )
    for i in range(5):
        for j in range(i):
            assert np.abs(means[i] - means[j]).max() > 0.01


def test_kinds_are_patterns_by_hand():
    """On the axes of an image that is neither turned nor moved, with wide 0."""
    at = np.array([[0.0, 0.2249, 0.9]], "f")  # u; a cell is 0.45
    pattern = jax.jit(land_use.pattern)

    def front(kind, u, v):
        found = np.asarray(pattern(kind, u, v, 0.0, 0.0))
        return (found > 0).tolist()[0]

    zero = np.zeros((1, 3), "f")
    assert front(0, at, zero) == [True, False, True]  # every cell has a strip
    assert front(1, at, zero) == [True, False, True]
    assert front(3, at, zero) == [True, True, False]  # one block
    assert front(4, at, zero) == [True, True, True]  # on a road
    assert front(4, at, zero + 0.5) == [True, False, False]
    assert front(6, at, zero) == [True, True, False]
    assert front(5, zero, np.array([[0.0, 0.1, 0.3]], "f")) == [True, True, False]


def test_waves_are_the_sine():
    angle = np.linspace(-3, 3, 40)
    u, v = 0.7 * np.cos(angle), 0.7 * np.sin(angle)
    found = jax.jit(histology.three_waves)(u, v, np.full(40, 0.4))
    np.testing.assert_allclose(found, np.sin(3 * angle + 0.4), atol=1e-4)


def test_kinds_differ():
    images = [drawn(land_use, [kind] * 8, [0] * 8, size=24) for kind in range(8)]
    flat = np.stack(images).reshape(8, 8, -1)
    assert all(
        np.abs(flat[i] - flat[j]).mean() > 0.02 for i in range(8) for j in range(i)
    )
    assert set(wilds.HOSPITAL_LABELS) == {0, 2, 3, 4}
