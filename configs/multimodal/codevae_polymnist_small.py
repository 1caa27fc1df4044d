"""CoDE-VAE on five-view PolyMNIST: experts whose errors are correlated, for a CPU.

python -m repr_jax.main --config=configs/multimodal/codevae_polymnist_small.py \
    --workdir=runs/codevae_small
Every step decodes all 31 subsets: about twenty times the work of MoPoE.
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist_small
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.models.multimodal_vae import SubsetLogits
from repr_jax.ops import fusion, likelihood


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # networks, data, batch, rate
    config.correlation = 0.5  # published for MNIST-SVHN-Text
    fuse = dict(fn=fusion.consensus, correlation=config.get_ref("correlation"))
    config.loss = dict(
        fn=losses.consensus_elbo,
        fuse=fuse,
        entropy_weight=1_000.0,  # published; subsets stay about equally likely
        beta=1.0,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    config.learned = dict(
        logits=dict(fn=SubsetLogits, modalities=config.get_ref("modalities"))
    )
    config.bound = dict(  # all subsets equally likely, one of them decoded
        fn=losses.fused_elbo,
        fuse=dict(fuse),
        log_likelihood=dict(
            fn=likelihood.laplace, scale=config.loss.log_likelihood.get_ref("scale")
        ),
    )
    del config.proposal  # the posterior itself
    config.posterior = dict(fn=multimodal_vae.fused_experts, fuse=dict(fuse))
    return config
