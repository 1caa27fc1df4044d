"""A convolutional variational autoencoder on MNIST, pixels as Bernoulli variables.

python -m repr_jax.main --config=configs/variational/vae_mnist.py --workdir=runs/vae
Expect: not yet run; IWAE is configs/variational/iwae_mnist.py.
"""

import jax

from configs.base import base
from experiments import autoencoder
from repr_jax import losses, optim
from repr_jax.data import mnist
from repr_jax.evaluators import bound, linear_probe, projection, samples
from repr_jax.models import vae
from repr_jax.ops import likelihood


def get_config(mode=""):
    smoke = mode == "smoke"  # --config=...py:smoke runs two steps on a laptop
    config = base(smoke=smoke)
    config.num_steps = 2 if smoke else 10_000
    config.batch_size = 8 if smoke else 128
    config.data_source = "embedded"  # or tfds: all of MNIST
    config.data_dir = ""  # of tfds; its own default if empty
    config.experiment = autoencoder.make
    config.dataset = dict(
        fn=mnist.digits,
        source=config.get_ref("data_source"),
        data_dir=config.get_ref("data_dir"),
        seed=config.get_ref("seed"),
    )
    config.encoder = dict(
        fn=vae.ConvEncoder,
        latent_dim=4 if smoke else 20,
        widths=(4, 4, 4) if smoke else (32, 64, 128),
        hidden=8 if smoke else 256,
        shape=(28, 28, 1),
    )
    config.decoder = dict(
        fn=vae.ConvDecoder,
        widths=(4, 4, 4) if smoke else (128, 64, 32),
        shape=(28, 28, 1),
    )
    config.decoded_mean = dict(fn=jax.nn.sigmoid)  # the likelihood takes logits
    config.loss = dict(fn=losses.elbo, beta=1.0, log_likelihood=likelihood.bernoulli)
    config.bound = dict(  # the loss at beta = 1
        fn=losses.elbo, log_likelihood=config.loss.get_ref("log_likelihood")
    )
    config.optimizer = dict(fn=optim.adam, learning_rate=1e-3)
    config.evals.bound = dict(fn=bound.evaluate)
    config.evals.linear_probe = dict(fn=linear_probe.evaluate)
    config.evals.samples = dict(fn=samples.evaluate)
    config.evals.projection = dict(fn=projection.evaluate)
    if smoke:
        config.evals.bound.limit = 32
        config.evals.linear_probe.update(max_train=64, num_train=32)
        config.evals.samples.update(num_examples=2, num_random=2)
        config.evals.projection.max_points = 64
    return config
