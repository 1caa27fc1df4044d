"""The importance-weighted autoencoder on MNIST: the VAE's networks, a tighter bound.

python -m repr_jax.main --config=configs/variational/iwae_mnist.py --workdir=runs/iwae
Expect: not yet run.
"""

from configs.variational import vae_mnist
from repr_jax import losses
from repr_jax.ops import likelihood


def of_vae(config, mode):
    """A config of a VAE with pixels as Bernoulli variables, with this bound instead."""
    num_samples = 2 if mode == "smoke" else 5
    config.loss = dict(
        fn=losses.iwae, num_samples=num_samples, log_likelihood=likelihood.bernoulli
    )
    config.bound = {name: config.loss.get_ref(name) for name in config.loss}
    return config


def get_config(mode=""):
    return of_vae(vae_mnist.get_config(mode), mode)
