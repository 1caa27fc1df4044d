"""Factors, what they show, and the rows of the rendered dataset."""

import colorsys

import jax
import numpy as np
import pytest

from repr_jax.data import captions, multimodal3dident

FACTORS = (*multimodal3dident.NUM_CLASSES, *multimodal3dident.CONTINUOUS)


@pytest.fixture(scope="module")
def data():
    return multimodal3dident.rendered(size=8, num_fit=20, num_test=11, seed=3)


@pytest.fixture(scope="module")
def prepare(data):
    """Batches of 8 with pictures, as arrays of NumPy."""
    prepared = jax.jit(data.prepare)
    return lambda batch: jax.tree.map(np.asarray, prepared(batch))


def share_explained(values, groups):
    """R2 of group means, in loops."""
    mean = sum(values) / len(values)
    total = sum((v - mean) ** 2 for v in values)
    rest = 0.0
    for group in set(groups):
        mine = [v for v, g in zip(values, groups) if g == group]
        rest += sum((v - sum(mine) / len(mine)) ** 2 for v in mine)
    return 1 - rest / total


@pytest.mark.parametrize("causal, expected", [(False, 0.0), (True, 8 / 9)])
def test_hue_follows_the_place_if_asked(causal, expected):
    rng = np.random.default_rng(0)
    drawn = multimodal3dident.sample(rng, 20_000, causal=causal)
    xpos, hue = drawn["object_xpos"].tolist(), drawn["object_color"].tolist()
    assert share_explained(hue, xpos) == pytest.approx(expected, abs=3e-3)
    assert multimodal3dident.HUE_GIVEN_XPOS == 8 / 9
    counts = np.histogram(hue, 9, (0, 1))[0]
    assert np.abs(counts / 20_000 - 1 / 9).max() < 0.01
    if causal:
        thirds = np.floor(3 * np.array(hue)).astype(int)
        np.testing.assert_array_equal(thirds, xpos)


def test_names_tell_of_the_hue_what_is_stated():
    hue = (np.arange(9_000) + 0.5) / 9_000
    names = captions.palettes().names
    said = [
        [
            captions.spoken(names[i])
            for i in captions.color_index(hue, np.full(9_000, p))
        ]
        for p in range(3)
    ]
    by_one = share_explained([*hue, *hue, *hue], [*said[0], *said[1], *said[2]])
    assert pytest.approx(by_one, abs=1e-3) == multimodal3dident.HUE_GIVEN_NAME
    by_all = share_explained([*hue], [*zip(*said)])
    assert pytest.approx(by_all, abs=1e-3) == multimodal3dident.HUE_GIVEN_NAMES


def test_factors_are_uniform_and_independent():
    rng = np.random.default_rng(1)
    drawn = multimodal3dident.sample(rng, 20_000)
    for name, count in multimodal3dident.NUM_CLASSES.items():
        assert drawn[name].dtype == np.int32
        shares = np.bincount(drawn[name]) / 20_000
        assert len(shares) == count
        np.testing.assert_allclose(shares, 1 / count, atol=0.012)
    for name in multimodal3dident.CONTINUOUS:
        assert drawn[name].dtype == np.float32
        assert 0 <= drawn[name].min() < 0.01 and 0.99 < drawn[name].max() <= 1
        assert np.var(drawn[name]) == pytest.approx(1 / 12, abs=2e-3)
    table = np.corrcoef([drawn[name] for name in FACTORS]) - np.eye(len(FACTORS))
    assert np.abs(table).max() < 0.03
    assert set(drawn["object_color_index"].tolist()) <= set(captions.reachable())


def test_colors_are_those_of_hsv():
    hue = np.linspace(-0.25, 1.25, 31)
    for saturation in (1.0, 0.8, 0.6):
        expected = [colorsys.hsv_to_rgb(h % 1, saturation, 1) for h in hue]
        found = multimodal3dident.hsv_to_rgb(hue, saturation)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_scene_by_hand():
    factors = {
        "object_shape": np.array([6]),
        "object_xpos": np.array([0]),  # left
        "object_ypos": np.array([2]),  # bottom
        "object_alpharot": np.array([0.0]),
        "object_betarot": np.array([0.5]),
        "object_gammarot": np.array([1.0]),
        "spotlight_pos": np.array([0.75]),
        "object_color": np.array([1 / 3]),
        "spotlight_color": np.array([0.5]),
        "background_color": np.array([0.0]),
    }
    scene = multimodal3dident.scene(factors)
    assert scene.shape.tolist() == [6]
    np.testing.assert_allclose(scene.position, [[-3, -3]])
    np.testing.assert_allclose(scene.angles, [[-np.pi / 2, 0, np.pi / 2]], atol=1e-6)
    np.testing.assert_allclose(scene.light, [np.pi / 4], rtol=1e-6)
    green, red, violet = (0, 1, 0), (1, 0.2, 0.2), colorsys.hsv_to_rgb(0.75, 0.6, 1)
    np.testing.assert_allclose(scene.colors, [[green, red, violet]], atol=1e-6)


def test_batches_hold_what_they_should(data, prepare):
    batch = prepare(next(data.train(8)))
    assert batch["image"].shape == (8, 8, 8, 3) and batch["image"].dtype == np.float32
    assert batch["image"].min() >= 0 and batch["image"].max() <= 1
    assert len(np.unique(batch["image"].reshape(8, -1), axis=0)) == 8
    assert batch["text"].shape == (8, 28) and batch["text"].dtype == np.int32
    expected = {"image", "text", "label", "object_color_index", *FACTORS}
    assert set(batch) == expected
    np.testing.assert_array_equal(batch["label"], batch["object_shape"])
    assert data.modalities == ("image", "text")


def test_sentences_say_the_factors(data):
    vocabulary, _ = captions.own()
    batch = next(data.train(64))
    assert set(batch["text_phrasing"].tolist()) == set(range(5))
    for row, tokens in enumerate(batch["text"]):
        said = captions.sentence(
            pattern=batch["text_phrasing"][row],
            shape=batch["object_shape"][row],
            row=batch["object_ypos"][row],
            column=batch["object_xpos"][row],
            color=batch["object_color_index"][row],
        )
        assert vocabulary.decode(tokens).split() == captions.split(said)


def test_rows_depend_on_seed_and_number_alone(data, prepare):
    first, second = data.train(8), data.train(8, start_step=2)
    batches = [next(first) for _ in range(3)]
    again = next(second)
    for name, values in prepare(batches[2]).items():
        np.testing.assert_array_equal(prepare(again)[name], values)
    other = next(multimodal3dident.rendered(seed=4).train(8))
    for batch in (batches[0], batches[1], other):
        assert (batch["object_color"] != again["object_color"]).all()


def test_evaluation_is_fixed_and_apart_from_training(data):
    def hues(split, size):
        rows = data.evaluate(split, size)
        return np.concatenate([b["object_color"][b["where"]] for b in rows])

    assert data.num_examples == {"train": 20, "test": 11}
    for split in ("train", "test"):
        np.testing.assert_array_equal(hues(split, 8), hues(split, 5))
        assert len(hues(split, 8)) == data.num_examples[split]
    trained = np.concatenate([b["object_color"] for b, _ in zip(data.train(8), "abcd")])
    everything = [*hues("train", 8), *hues("test", 8), *trained]
    assert len(set(everything)) == 20 + 11 + 32


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"size": 0}, "size >= 1; got 0"),
        ({"num_test": 0}, "num_test >= 1; got 0"),
        ({"seed": -1}, "seed >= 0; got -1"),
        ({"source": "blender"}, "source among .*got 'blender'"),
    ],
)
def test_wrong_arguments_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        multimodal3dident.load(**keywords)
