"""A network for each modality, by its name in the config."""

import jax
import pytest

from configs.multimodal import mopoe_mnist_svhn_text
from repr_jax import config as configs
from repr_jax import run


def parameters(config):
    state = run.abstract_state(config, run.build(config))
    return sum(leaf.size for leaf in jax.tree.leaves(state.params))


def test_modalities_of_different_kinds_have_the_published_size():
    config = mopoe_mnist_svhn_text.get_config()
    assert parameters(config) == 1_411_826
    config.dataset.num_matches = 1
    config.modalities = ("text", "mnist")  # in another order, without one
    likelihoods = config.loss.log_likelihood
    for loss in (config.loss, config.bound):
        loss.log_likelihood = (likelihoods[2], likelihoods[0])
    config.loss.likelihood_weights = (384.0, 3.918)
    assert parameters(config) == 330_040 + 322_784 + 145_704 + 143_175


def test_a_modality_without_a_network_is_named():
    config = mopoe_mnist_svhn_text.get_config("smoke")
    del config.decoders.svhn
    with pytest.raises(ValueError, match=r"config\.decoders: .* got none for svhn"):
        run.build(config)


def test_a_stored_config_reads_back():
    config = mopoe_mnist_svhn_text.get_config("smoke")
    again = configs.from_json(configs.to_json(config))
    assert configs.to_json(again) == configs.to_json(config)
