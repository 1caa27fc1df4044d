"""MoPoE-VAE on MNIST-SVHN-Text, with the published networks and settings.

python -m repr_jax.main --config=configs/multimodal/mopoe_mnist_svhn_text.py \
    --workdir=runs/mopoe_mst
House numbers are drawn from digits, a stand-in for SVHN; for the set itself, prepared
by tensorflow-datasets: --config.dataset.svhn=tfds --config.dataset.source=tfds
--config.dataset.data_dir=DIR.
Expect: not yet run.
"""

import flax.linen as nn

from configs.base import base
from experiments import multimodal_vae
from repr_jax import losses, optim
from repr_jax.data import characters, mnist_svhn_text
from repr_jax.evaluators import (
    bound,
    coherence,
    linear_probe,
    projection,
    reconstruction,
    samples,
)
from repr_jax.evaluators import likelihood as likelihoods
from repr_jax.models import vae_layers
from repr_jax.ops import likelihood

DIGIT, HOUSE, WORD = (28, 28, 1), (32, 32, 3), (8, 71)


def get_config(mode=""):
    smoke = mode == "smoke"  # --config=...py:smoke runs two steps on a laptop
    config = base(smoke=smoke)
    # 200 epochs of 1,121,360 pairs are 876,000 steps. Ours are far fewer.
    config.num_steps = 2 if smoke else 100_000
    config.batch_size = 8 if smoke else 256  # published
    config.modalities = ("mnist", "svhn", "text")
    config.latent_dim = 4 if smoke else 20  # published
    config.experiment = multimodal_vae.make
    config.dataset = dict(
        fn=mnist_svhn_text.load,
        modalities=config.get_ref("modalities"),
        source="embedded",
        svhn="drawn",
        data_dir="",
        num_matches=1 if smoke else 20,  # published
        pair_seed=0,
        seed=config.get_ref("seed"),
    )
    latent_dim = config.get_ref("latent_dim")
    config.encoders = dict(
        mnist=dict(fn=vae_layers.DenseEncoder, latent_dim=latent_dim, shape=DIGIT),
        svhn=dict(
            fn=vae_layers.LayersEncoder,
            latent_dim=latent_dim,
            layers=vae_layers.SVHN,
            shape=HOUSE,
        ),
        text=dict(
            fn=vae_layers.LayersEncoder,
            latent_dim=latent_dim,
            layers=vae_layers.WORD,
            shape=WORD,
        ),
    )
    config.decoders = dict(
        mnist=dict(fn=vae_layers.DenseDecoder, shape=DIGIT, output=nn.sigmoid),
        svhn=dict(
            fn=vae_layers.LayersDecoder,
            layers=vae_layers.SVHN_BACK,
            shape=HOUSE,
            hidden=128,
        ),
        text=dict(
            fn=vae_layers.LayersDecoder,
            layers=vae_layers.WORD_BACK,
            shape=WORD,
            hidden=128,
        ),
    )
    fused(config, (likelihood.laplace, likelihood.laplace, likelihood.categorical))
    # Published: the number of elements of a house number over that of each modality,
    # a character of the text counted as one.
    config.loss.likelihood_weights = (3.918, 1.0, 384.0)
    config.loss.beta = 2.5  # published
    config.optimizer = dict(fn=optim.adam, learning_rate=1e-3)  # published
    evaluators(config, smoke=smoke)
    judged(config, smoke=smoke)
    config.evals.samples.read = dict(text=characters.texts)
    return config


def fused(config, log_likelihood):
    """MoPoE's loss, its bound and its posterior; a likelihood for each modality."""
    config.loss = dict(fn=losses.mopoe, log_likelihood=log_likelihood)
    config.bound = dict(fn=losses.mopoe, log_likelihood=log_likelihood)
    config.posterior = dict(fn=multimodal_vae.product_of_experts)
    config.proposal = dict(fn=multimodal_vae.mixture_of_products)


def with_private(config, *, smoke):
    """Latents of each modality alone beside the shared ones, of encoders of their own.

    How many were published is not known to us; 4 are ours.
    """
    config.private_dim = 2 if smoke else 4
    config.private_encoders = config.encoders.copy_and_resolve_references()
    for encoder in config.private_encoders.values():
        encoder.latent_dim = config.get_ref("private_dim")
    config.loss.private_beta = 1.0
    return config


def evaluators(config, *, smoke):
    """Pictures, and numbers that need no classifier of what is generated."""
    config.evals.bound = dict(fn=bound.evaluate)
    config.evals.samples = dict(fn=samples.evaluate)
    config.evals.reconstruction = dict(fn=reconstruction.evaluate, limit=1_000)
    config.evals.likelihood = dict(
        fn=likelihoods.evaluate, num_samples=1_000, limit=100
    )
    config.evals.linear_probe = dict(fn=linear_probe.evaluate, max_train=10_000)
    if smoke:
        config.evals.bound.limit = 32
        config.evals.samples.update(num_examples=2, num_random=2)
        config.evals.reconstruction.limit = 32
        config.evals.likelihood.update(limit=8, num_samples=16)
        config.evals.linear_probe.max_train = 64
    else:
        config.evals.projection = dict(fn=projection.evaluate)


def judged(config, *, smoke, num_classes=10):
    """Coherence, by classifiers of classes that every modality shows."""
    config.evals.coherence = dict(
        fn=coherence.evaluate, num_classes=num_classes, limit=10_000
    )
    if smoke:
        config.evals.coherence.update(classifier_steps=2, num_random=32, limit=32)
