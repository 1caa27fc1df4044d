"""mmJSD on MNIST-SVHN-Text, otherwise as MoPoE-VAE there.

python -m repr_jax.main --config=configs/multimodal/mmjsd_mnist_svhn_text.py \
    --workdir=runs/mmjsd_mnist_svhn_text
Expect: not yet run.
"""

from configs.multimodal import mopoe_mnist_svhn_text
from experiments import multimodal_vae
from repr_jax import losses


def get_config(mode=""):
    return of(mopoe_mnist_svhn_text.get_config(mode))


def of(config):
    """The config of a MoPoE-VAE, with the loss and the posterior of mmJSD instead."""
    config.loss.update(fn=losses.mmjsd, prior_weight=1.0)  # published
    del config.bound, config.evals.bound  # it can exceed log p(x)
    del config.proposal  # the posterior itself
    config.posterior = dict(
        fn=multimodal_vae.geometric_mean,
        prior_weight=config.loss.get_ref("prior_weight"),
    )
    return config
