"""Models of three tiny views, as tests of the multimodal experiment ask for them."""

import functools

import jax
import ml_collections
import numpy as np

from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.data import synthetic
from repr_jax.models import vae
from repr_jax.models.multimodal_vae import Clusters, JointEncoder, LogVars

NAMES = ("m0", "m1", "m2")
BATCH, DIM = 6, 4
KEY = jax.random.key(4)


def config(loss=losses.mopoe, posterior=multimodal_vae.product_of_experts, **options):
    c = ml_collections.ConfigDict()
    c.likelihood_samples = 3
    c.modalities = NAMES
    c.encoder = dict(
        fn=vae.ConvEncoder, latent_dim=DIM, widths=(4,), hidden=8, shape=(8, 8, 3)
    )
    c.decoder = dict(fn=vae.ConvDecoder, widths=(4,), shape=(8, 8, 3))
    c.loss = dict(fn=loss, **options)
    c.bound = dict(fn=losses.mopoe)
    c.posterior = dict(fn=posterior)
    return c


@functools.cache
def made(loss=losses.mopoe, posterior=multimodal_vae.product_of_experts):
    experiment = multimodal_vae.make(config(loss, posterior))
    dataset = synthetic.multiview(modalities=NAMES, size=8)
    batch = jax.jit(dataset.prepare)(next(dataset.train(BATCH)))
    params, extras = jax.jit(experiment.init)(jax.random.key(0), batch)
    return experiment, params, extras, batch


def with_present(batch, *columns):
    present = np.zeros((BATCH, 3), bool)
    present[:, list(columns)] = True
    return {**batch, "present": present}


def with_private(c, dim=2):
    c.private_encoder = c.encoder.copy_and_resolve_references()
    c.private_encoder.latent_dim = dim
    return c


def started(c, batch=None):
    """The experiment of a config, and its parameters."""
    _, _, _, default = made()
    experiment = multimodal_vae.make(c)
    init = jax.jit(experiment.init)
    return experiment, init(jax.random.key(0), batch or default)[0]


def plus():
    """MMVAE+ with a learned scale of the auxiliary priors and a clustered prior."""
    c = config(losses.mmvae_plus, multimodal_vae.mixture_of_experts, prior_log_var=0.3)
    del c.bound
    c.learned = {
        "auxiliary": dict(fn=LogVars, modalities=NAMES, dim=2),
        "prior": dict(fn=Clusters, num_clusters=5, dim=DIM),
    }
    return with_private(c)


def jmvae():
    c = config(losses.jmvae, multimodal_vae.joint_or_product)
    own = c.encoder.copy_and_resolve_references()
    c.joint_encoder = dict(fn=JointEncoder, encoder=own, latent_dim=DIM, widths=(8,))
    del c.bound
    return c
