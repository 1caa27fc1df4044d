"""MoPoE-VAE on MNIST-labels: a digit in black and white, and its class.

python -m repr_jax.main --config=configs/multimodal/mopoe_mnist_labels.py \
    --workdir=runs/mopoe_mnist_labels
The set is that of the papers of JMVAE and MVAE; all of MNIST:
--config.dataset.source=tfds --config.dataset.data_dir=DIR. Networks and sizes are those
of MVAE there, with a ReLU; MoPoE-VAE on it is ours.
Expect: not yet run.
"""

import ml_collections

from configs.base import base
from configs.multimodal.mopoe_mnist_svhn_text import evaluators, fused, judged
from experiments import multimodal_vae
from repr_jax import optim
from repr_jax.data import mnist_labels
from repr_jax.models import vae_layers
from repr_jax.ops import likelihood


def get_config(mode=""):
    smoke = mode == "smoke"  # --config=...py:smoke runs two steps on a laptop
    config = base(smoke=smoke)
    config.num_steps = 2 if smoke else 50_000
    config.batch_size = 8 if smoke else 100  # published
    config.modalities = mnist_labels.MODALITIES
    config.latent_dim = 4 if smoke else 64  # published
    config.experiment = multimodal_vae.make
    config.dataset = dict(
        fn=mnist_labels.load,
        modalities=config.get_ref("modalities"),
        source="embedded",
        data_dir="",
        seed=config.get_ref("seed"),
    )
    dense(config, dict(image=(28, 28, 1), digit=(10,)), smoke=smoke)
    fused(config, (likelihood.bernoulli, likelihood.categorical))
    config.loss.likelihood_weights = (1.0, 50.0)  # published: 10 or 50
    config.optimizer = dict(fn=optim.adam, learning_rate=1e-3)  # published
    evaluators(config, smoke=smoke)
    judged(config, smoke=smoke)
    return config


def dense(config, shapes, *, smoke):
    """Encoders and decoders of two hidden layers, for modalities by their shapes."""
    widths = (8,) if smoke else (512, 512)
    config.encoders, config.decoders = (ml_collections.ConfigDict() for _ in range(2))
    for name, shape in shapes.items():
        config.encoders[name] = dict(
            fn=vae_layers.DenseEncoder,
            latent_dim=config.get_ref("latent_dim"),
            widths=widths,
            shape=shape,
        )
        config.decoders[name] = dict(
            fn=vae_layers.DenseDecoder, widths=widths, shape=shape
        )
