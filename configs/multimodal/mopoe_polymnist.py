"""MoPoE-VAE on five-view PolyMNIST, with the published networks and settings.

python -m repr_jax.main --config=configs/multimodal/mopoe_polymnist.py \
    --config.data_source=tfds --config.data_dir=DIR --workdir=runs/mopoe
Expect: 3.4 steps/s and 2.1 GB on two cores; after 12,000 steps, an hour, a linear
probe of 0.85 from one view to 0.99 from five, coherence of 0.46 to 0.70:
experiments/results/mopoe_polymnist.md. Not yet run to its end, 300 epochs of all of
MNIST.
"""

from configs.base import base
from experiments import multimodal_vae
from repr_jax import losses, optim
from repr_jax.data import polymnist
from repr_jax.evaluators import (
    bound,
    coherence,
    frechet,
    latent_clusters,
    linear_probe,
    projection,
    reconstruction,
    samples,
    traversals,
)
from repr_jax.evaluators import likelihood as likelihoods
from repr_jax.models import vae
from repr_jax.ops import likelihood


def get_config(mode=""):
    smoke = mode == "smoke"  # --config=...py:smoke runs two steps on a laptop
    config = base(smoke=smoke)
    # 300 epochs of 60,000 tuples. All values marked "published" are those of the
    # authors' job script for PolyMNIST; the paper's text was not at hand.
    config.num_steps = 2 if smoke else 70_200  # published
    config.batch_size = 8 if smoke else 256  # published
    config.modalities = ("m0", "m1") if smoke else ("m0", "m1", "m2", "m3", "m4")
    config.latent_dim = 4 if smoke else 512  # published
    config.data_source = "embedded"  # tfds: all of MNIST; folder: the official files
    config.data_dir = ""  # of the last two; for tfds its own default if empty
    config.contrast = 1.0  # of the photographs; published
    config.scale = 1.0  # of the digits; below 1 is Translated-PolyMNIST
    modalities, latent_dim = config.get_ref("modalities"), config.get_ref("latent_dim")
    config.experiment = multimodal_vae.make
    config.dataset = dict(
        fn=polymnist.load,
        modalities=modalities,
        source=config.get_ref("data_source"),
        data_dir=config.get_ref("data_dir"),
        contrast=config.get_ref("contrast"),
        scale=config.get_ref("scale"),
        seed=config.get_ref("seed"),
    )
    config.encoder = dict(
        fn=vae.ConvEncoder,
        latent_dim=latent_dim,
        widths=(4, 4, 4) if smoke else (32, 64, 128),
        hidden=8 if smoke else 512,
        shape=(28, 28, 3),
        dtype="float32",
    )
    config.decoder = dict(
        fn=vae.ConvDecoder,
        widths=(4, 4, 4) if smoke else (128, 64, 32),
        shape=(28, 28, 3),
        dtype="float32",
    )
    config.loss = dict(
        fn=losses.mopoe,
        beta=2.5,  # published
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),  # published
        prior_expert="full",  # as in the authors' code
    )
    config.bound = dict(  # the loss at beta = 1
        fn=losses.mopoe,
        log_likelihood=dict(
            fn=likelihood.laplace, scale=config.loss.log_likelihood.get_ref("scale")
        ),
        prior_expert=config.loss.get_ref("prior_expert"),
    )
    config.posterior = dict(
        fn=multimodal_vae.product_of_experts,
        prior_expert=config.loss.get_ref("prior_expert"),
    )
    config.proposal = dict(  # of importance samples: what training draws from
        fn=multimodal_vae.mixture_of_products,
        prior_expert=config.loss.get_ref("prior_expert"),
    )
    config.optimizer = dict(fn=optim.adam, learning_rate=5e-4)  # published
    config.evals.bound = dict(fn=bound.evaluate)
    config.evals.linear_probe = dict(fn=linear_probe.evaluate, max_train=10_000)
    config.evals.coherence = dict(fn=coherence.evaluate, limit=10_000)
    config.evals.likelihood = dict(
        fn=likelihoods.evaluate, num_samples=1_000, given=("m0",), limit=100
    )
    config.evals.frechet = dict(fn=frechet.evaluate, limit=10_000)
    config.evals.reconstruction = dict(fn=reconstruction.evaluate, limit=1_000)
    config.evals.clusters = dict(
        fn=latent_clusters.evaluate, max_train=10_000, num_fits=5
    )
    config.evals.traversals = dict(fn=traversals.evaluate)
    config.evals.samples = dict(fn=samples.evaluate)
    config.evals.projection = dict(fn=projection.evaluate)
    if smoke:
        config.evals.bound.limit = 32
        config.evals.linear_probe.update(max_train=64, num_train=32)
        config.evals.coherence.update(classifier_steps=2, num_random=32, limit=32)
        config.evals.likelihood.update(limit=8, num_samples=16)
        config.evals.frechet.update(classifier_steps=2, limit=32, num_fits=1)
        config.evals.reconstruction.limit = 32
        config.evals.clusters.update(max_train=64, num_fits=1)
        config.evals.traversals.update(num_directions=1, num_pairs=1, num_steps=2)
        config.evals.samples.update(num_examples=2, num_random=2)
        config.evals.projection.max_points = 64
    return config
