"""CMVAE on five-view PolyMNIST: MMVAE+ with clusters as prior, for a CPU.

python -m repr_jax.main --config=configs/multimodal/cmvae_polymnist_small.py \
    --workdir=runs/cmvae_small
Without its diffusion decoders.
Expect: not yet run.
"""

import math

from configs.multimodal import mmvae_plus_polymnist_small
from repr_jax.evaluators import clusters
from repr_jax.models.multimodal_vae import Clusters


def get_config(mode=""):
    config = mmvae_plus_polymnist_small.get_config(mode)
    smoke = mode == "smoke"
    config.learned.prior = dict(
        fn=Clusters,
        num_clusters=5 if smoke else 40,  # published
        dim=config.get_ref("latent_dim"),
        log_var=math.log(2),  # Laplace of scale 1; published
    )
    config.evals.assigned = dict(fn=clusters.evaluate)
    config.evals.pruned = dict(fn=clusters.pruned, beta=config.loss.get_ref("beta"))
    if smoke:
        config.evals.pruned.max_train = 64
    return config
