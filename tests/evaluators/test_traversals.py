"""Walks through a latent space whose decoder is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax import figures
from repr_jax.evaluators import traversals


@pytest.fixture
def walked(perfect, dataset, answering, monkeypatch):
    """{picture: blocks}, of latents (label, row / 10, 0), decoded to brightness."""
    calls = []

    def mosaic(blocks):
        calls.append(blocks)
        return b"png"

    monkeypatch.setattr(figures, "mosaic", mosaic)

    def latents(batch, key=None):
        label, row = (jnp.asarray(batch[name], float) for name in ("label", "row"))
        return jnp.stack([label, row / 10, 0 * row], axis=1)

    def decode(batch, key=None):
        bright = batch["z"][:, 0, None, None, None]
        return {
            "m0": jnp.broadcast_to(bright, (len(bright), 4, 4, 1)),
            "text": batch["z"],
        }

    model = answering(perfect, latents=latents, decode=decode)

    def walk(dataset=dataset, **options):
        calls.clear()
        found = traversals.evaluate(model, dataset, batch_size=21, **options)
        return dict(zip(found.pictures, calls))

    return walk


def test_between_examples_of_different_classes(walked):
    blocks = walked(num_pairs=2, num_steps=5)["between"]
    values = [row.images[:, 0, 0, 0] for block in blocks for row in block]
    np.testing.assert_allclose(values[0], np.linspace(0, 3, 5), atol=1e-6)
    np.testing.assert_allclose(values[1], np.linspace(1, 2, 5), atol=1e-6)
    assert [row.label for block in blocks for row in block] == [
        "pair 1, m0",
        "pair 2, m0",
    ]


def test_along_the_directions_of_largest_variance(walked):
    blocks = walked(num_directions=2, num_steps=5, reach=2.0)["directions"]
    values = np.stack([block[0].images[:, 0, 0, 0] for block in blocks])
    assert values.shape == (2, 5)
    assert np.ptp(values[0]) > 3 > 1 > np.ptp(values[1])
    steps = np.diff(values, axis=1)
    np.testing.assert_allclose(steps, np.tile(steps[:, :1], (1, 4)), atol=1e-5)
    ((own, _),) = blocks[0][0].frames.items()  # of class 0, the lowest
    assert own == np.abs(values[0]).argmin()


def test_a_walk_changes_one_direction_alone():
    z = np.random.default_rng(0).normal(size=(200, 3)) * [1, 5, 0.1]
    mean, axes, spreads = traversals.directions(z, 2)
    np.testing.assert_allclose(np.abs(axes[0]), [0, 1, 0], atol=0.1)
    np.testing.assert_allclose(spreads, [5, 1], rtol=0.15)
    offsets = np.linspace(-2, 2, 41)
    walk, own = traversals.along(z[0], mean, axes[0], spreads[0], offsets)
    places = (walk - mean) @ axes[0]
    np.testing.assert_allclose(places, offsets * spreads[0], atol=1e-12)
    np.testing.assert_allclose(walk[own], z[0], atol=0.06 * spreads[0])
    other = walk - np.outer((walk - mean) @ axes[0], axes[0])
    np.testing.assert_allclose(other, np.tile(other[:1], (41, 1)), atol=1e-12)


def test_rows_without_a_modality_are_not_walked_from(walked, gaps):
    """Of row 7 nothing is known; its latent would be an end of a walk."""

    def evaluate(split, batch_size):
        for batch in gaps.evaluate(split, batch_size):
            yield {**batch, "present": batch["present"] & (batch["label"] > 1)[:, None]}

    blocks = walked(gaps._replace(evaluate=evaluate), num_pairs=1)["between"]
    values = blocks[0][0].images[[0, -1], 0, 0, 0]
    np.testing.assert_allclose(values, [2, 3])


def test_refusals(walked, gaps):
    with pytest.raises(ValueError, match="traversals: expected num_steps from 2"):
        walked(num_steps=1)

    def nothing(*arguments):
        for batch in gaps.evaluate(*arguments):
            yield {**batch, "present": batch["present"] & False}

    with pytest.raises(ValueError, match="traversals: expected two test rows"):
        walked(gaps._replace(evaluate=nothing))


def test_a_model_without_images_has_no_picture(perfect, dataset, answering):
    model = answering(perfect, decode=jax.jit(lambda batch, key: {"text": batch["z"]}))
    assert not traversals.evaluate(model, dataset).pictures
