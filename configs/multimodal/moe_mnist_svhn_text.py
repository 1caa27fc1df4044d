"""A mixture of Gaussian experts on MNIST-SVHN-Text, one sample a row.

python -m repr_jax.main --config=configs/multimodal/moe_mnist_svhn_text.py \
    --workdir=runs/moe_mnist_svhn_text
That is "MMVAE" in the papers of mmJSD and MoPoE; the rest is as MoPoE-VAE there.
Expect: not yet run.
"""

from configs.multimodal import mopoe_mnist_svhn_text
from experiments import multimodal_vae
from repr_jax.ops import subsets


def get_config(mode=""):
    return of(mopoe_mnist_svhn_text.get_config(mode))


def of(config):
    """The config of a MoPoE-VAE, with the loss and the posterior of MMVAE instead."""
    for loss in (config.loss, config.bound):
        loss.update(subsets=subsets.singles, prior_expert="none")
    del config.proposal  # the posterior itself
    config.posterior = dict(fn=multimodal_vae.mixture_of_experts)
    return config
