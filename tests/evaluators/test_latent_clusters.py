"""Clusters of representations that are classes, of noise, and of some rows alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repr_jax.evaluators import latent_clusters
from repr_jax.evaluators.common import subsets


def test_clusters_that_are_classes(perfect, dataset):
    found = latent_clusters.evaluate(perfect, dataset, batch_size=8, num_fits=2)
    assert set(found.numbers.values()) == {1.0}
    names = [*subsets(perfect.modalities), "1_view", "2_views", "3_views"]
    assert list(found.chance) == list(found.numbers)
    assert set(found.numbers) == {
        f"{kind}/{name}" for kind in latent_clusters.KINDS for name in names
    }
    assert found.headline == ["majority/3_views", "nmi/3_views"]
    assert found.tables[0].rows[0][:5] == ("m0", 1, 1, 1, 1)
    assert 0 < found.chance["majority/m0"] < 0.5
    assert abs(found.chance["ari/1_view"]) < 0.2


def test_clusters_of_noise_are_at_chance(perfect, dataset, answering):
    def represent(batch, key=None):
        keys = jax.vmap(jax.random.key)(batch["row"])
        return jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys)

    model = answering(perfect, represent=jax.jit(represent))
    found = latent_clusters.evaluate(model, dataset, batch_size=8, num_fits=3)
    for kind in latent_clusters.KINDS:
        name = f"{kind}/m0"
        assert abs(found.numbers[name] - found.chance[name]) < 0.2, name


def test_two_clusters_of_four_classes(perfect, dataset):
    """Half of the classes are named at best; with eight clusters all are."""
    few, many = (
        latent_clusters.evaluate(perfect, dataset, num_clusters=n, num_fits=1).numbers
        for n in (2, 8)
    )
    assert few["majority/m0"] <= 12 / 21 + 1e-6 and few["nmi/m0"] < 0.9
    assert many["majority/m0"] == 1


def test_rows_that_lack_the_subset_do_not_count(perfect, gaps, answering):
    """Of a row that lacks what is asked for, the representation is of no cluster."""

    def represent(batch, key=None):
        has = jnp.any(batch["present"], axis=1)[:, None]
        return jnp.where(has, jax.nn.one_hot(batch["label"], 4), jnp.nan)

    model = answering(perfect, represent=jax.jit(represent))
    found = latent_clusters.evaluate(model, gaps, num_fits=1).numbers
    assert set(found.values()) == {1.0}

    def nothing(*arguments):
        for batch in gaps.evaluate(*arguments):
            yield {**batch, "present": batch["present"] & False}

    with pytest.raises(ValueError, match="latent_clusters: expected rows"):
        latent_clusters.evaluate(model, gaps._replace(evaluate=nothing))


def test_one_input(perfect, dataset):
    model = perfect._replace(modalities=())
    found = latent_clusters.evaluate(model, dataset, num_fits=1)
    assert found.numbers == dict.fromkeys(latent_clusters.KINDS, 1.0)
    assert found.tables[0].rows[0][0] == "all" and np.all(found.headline)
