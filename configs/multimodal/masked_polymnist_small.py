"""The masked bound on five-view PolyMNIST, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/masked_polymnist_small.py \
    --workdir=runs/masked_small
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist_small
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # networks, data, batch, rate
    config.loss = dict(
        fn=losses.masked_elbo,
        beta=1.0,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    del config.bound, config.evals.bound  # one with exact posteriors alone
    del config.proposal  # the posterior itself
    config.posterior = dict(fn=multimodal_vae.product_of_experts, prior_expert="all")
    return config
