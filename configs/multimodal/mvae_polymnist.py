"""MVAE on five-view PolyMNIST: products of experts, trained on sub-sampled bounds.

python -m repr_jax.main --config=configs/multimodal/mvae_polymnist.py \
    --config.data_source=tfds --config.data_dir=DIR --workdir=runs/mvae
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mopoe_polymnist.get_config(mode)  # networks, data, batch, rate: MoPoE's
    config.loss = dict(
        fn=losses.mvae,
        num_subsets=1,  # of MVAE's CelebA run; its other runs have none
        beta=2.5,  # ours, to match MoPoE here
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    del config.bound, config.evals.bound  # a sum of bounds is a bound of nothing
    del config.proposal  # the posterior itself
    config.posterior = dict(fn=multimodal_vae.product_of_experts, prior_expert="all")
    return config
