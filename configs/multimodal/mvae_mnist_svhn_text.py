"""MVAE on MNIST-SVHN-Text, otherwise as MoPoE-VAE there.

python -m repr_jax.main --config=configs/multimodal/mvae_mnist_svhn_text.py \
    --workdir=runs/mvae_mnist_svhn_text
Expect: not yet run.
"""

from configs.multimodal import mopoe_mnist_svhn_text
from experiments import multimodal_vae
from repr_jax import losses


def get_config(mode=""):
    return of(mopoe_mnist_svhn_text.get_config(mode))


def of(config):
    """The config of a MoPoE-VAE, with the loss and the posterior of MVAE instead."""
    # Joint and unimodal terms, as in the papers of mmJSD and MoPoE.
    config.loss.update(fn=losses.mvae, num_subsets=0)
    del config.bound, config.evals.bound  # a sum of bounds is a bound of nothing
    del config.proposal  # the posterior itself
    config.posterior = dict(fn=multimodal_vae.product_of_experts, prior_expert="all")
    return config
