"""Probes of named factors, on encodings whose contents are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.data import multimodal3dident
from repr_jax.evaluators import factors
from repr_jax.evaluators.common import Trained

CONTENT = ("object_xpos", "object_ypos")
CLASSES = {"object_xpos": 3, "object_ypos": 3, "text_phrasing": 5}
NUMBERS = ("object_alpharot", "object_color", "background_color")


@pytest.fixture(scope="module")
def dataset():
    return multimodal3dident.rendered(size=8, causal=True, num_fit=300, num_test=200)


def knows(batch, key=None):
    """Pictures tell content and hue, sentences content and phrasing."""
    x, y = (np.asarray(batch[name]) for name in CONTENT)
    angle = 2 * np.pi * np.asarray(batch["object_color"])
    seen, read = np.asarray(batch["present"]).T[..., None].astype(np.float32)
    content = np.concatenate([np.eye(3)[x], np.eye(3)[y]], axis=1)
    of_image = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    of_text = np.eye(5)[batch["text_phrasing"]]
    return jnp.asarray(
        np.concatenate([content, seen * of_image, read * of_text], axis=1)
    )


def scores(represent, dataset, **options):
    def never(batch):
        raise AssertionError("nothing needs to be rendered here")

    outputs = {"represent": represent}
    trained = Trained(outputs, never, dataset.modalities, "")
    return factors.evaluate(
        trained, dataset, kernel_rows=150, batch_size=128, **options
    )


@pytest.fixture(scope="module")
def found(dataset):
    return evaluated(dataset).numbers


def evaluated(dataset, represent=knows):
    return scores(represent, dataset, continuous=NUMBERS, num_classes=CLASSES)


def test_what_is_encoded_is_found(found):
    for modality in ("image", "text"):
        for name in CONTENT:
            assert found[f"accuracy/{modality}/{name}/linear"] == 1
            assert found[f"accuracy/{modality}/{name}/kernel"] > 0.9
    assert found["accuracy/text/text_phrasing/linear"] == 1
    assert found["r2/image/object_color/kernel"] > 0.9


def test_what_is_not_encoded_is_at_chance(found):
    assert found["accuracy/image/text_phrasing/linear"] < 0.35
    for modality in ("image", "text"):
        for name in ("object_alpharot", "background_color"):
            assert abs(found[f"r2/{modality}/{name}/linear"]) < 0.1
            assert found[f"r2/{modality}/{name}/kernel"] < 0.1


def test_hue_beyond_the_place_needs_the_picture(found):
    assert found["given_xpos/object_color"] == pytest.approx(8 / 9, abs=0.02)
    assert found["r2/text/object_color/linear"] == pytest.approx(8 / 9, abs=0.03)
    assert found["r2/image/object_color/linear"] > found["r2/text/object_color/linear"]


def test_names_are_complete(found):
    expected = {"given_xpos/object_color"}
    for modality in ("image", "text"):
        for probe in ("linear", "kernel"):
            for name in NUMBERS:
                expected.add(f"r2/{modality}/{name}/{probe}")
            for name in CLASSES:
                expected.add(f"accuracy/{modality}/{name}/{probe}")
    assert set(found) == expected


def test_rows_that_lack_the_modality_are_neither_fitted_nor_scored(dataset, thinned):
    """With every third picture and every fourth sentence gone, and noise for them."""

    def represent(batch, key=None):
        given = np.any(batch["present"], axis=1)[:, None]
        noise = 1e3 * np.random.default_rng(0).normal(size=(len(given), 13))
        return jnp.where(given, knows(batch), noise)

    evaluation = evaluated(thinned(dataset), represent)
    for modality in ("image", "text"):
        for name in CONTENT:
            assert evaluation.numbers[f"accuracy/{modality}/{name}/linear"] == 1


def test_chance_and_tables():
    found = factors.summary(
        {"image/object_color/kernel": 0.9, "text/object_color/kernel": 0.1},
        {"image/object_xpos/kernel": 1.0, "text/object_xpos/kernel": 0.5},
        {"given_xpos/object_color": 8 / 9},
        {"object_xpos": 3},
    )
    assert found.chance == {
        "r2/image/object_color/kernel": 0.0,
        "r2/text/object_color/kernel": 0.0,
        "accuracy/image/object_xpos/kernel": 1 / 3,
        "accuracy/text/object_xpos/kernel": 1 / 3,
    }
    classes, numbers = found.tables
    assert classes.rows == [("object_xpos", 1.0, 0.5)]
    assert classes.header == ("factor", "image, kernel", "text, kernel")
    assert "0.333 (object_xpos)" in classes.note and "0.889" in numbers.note
    assert numbers.rows == [("object_color", 0.9, 0.1)]
    assert found.headline == [
        "accuracy/image/object_xpos/kernel",
        "accuracy/text/object_xpos/kernel",
    ]


@pytest.mark.parametrize("unit_length", [False, True])
def test_what_the_length_tells_is_left_out_if_asked(unit_length, dataset):
    def length_is_phrasing(batch, key=None):
        direction = np.eye(3)[batch["object_xpos"]]
        return jnp.asarray(direction * (1 + batch["text_phrasing"][:, None]), "f")

    classes = {"object_xpos": 3, "text_phrasing": 5}
    only = dict(continuous=("object_color",), num_classes=classes)
    found = scores(length_is_phrasing, dataset, unit_length=unit_length, **only)
    found = found.numbers
    for modality in ("image", "text"):
        assert found[f"accuracy/{modality}/object_xpos/kernel"] == 1
        of_length = found[f"accuracy/{modality}/text_phrasing/kernel"]
        assert of_length < 0.35 if unit_length else of_length > 0.9


def test_a_constant_is_explained_by_any_groups():
    values = np.full(7, 0.1, np.float32)
    assert factors.share_of_groups(values, np.arange(7) % 2) == 1


def test_groups_by_hand():
    values = np.array([0.0, 2.0, 10.0, 12.0])
    groups = np.array([0, 0, 1, 1])
    assert factors.share_of_groups(values, groups) == pytest.approx(1 - 1 / 26)
