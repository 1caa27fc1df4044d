"""MVAE on five-view PolyMNIST, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/mvae_polymnist_small.py \
    --workdir=runs/mvae_small
Expect: not yet run at length. While decoders know nothing the prior alone is the best
posterior, so experts grow flat in the first steps (kl/m0 of 1e14: it is that of an
expert without the prior); at batch 32 they were back after 1,300 steps.
"""

from configs.multimodal import mopoe_polymnist_small
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # networks, data, batch, rate
    config.loss = dict(
        fn=losses.mvae,
        num_subsets=0,  # joint and unimodal terms, as in the tables of later papers
        beta=1.0,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    del config.bound, config.evals.bound  # a sum of bounds is a bound of nothing
    del config.proposal  # the posterior itself
    config.posterior = dict(fn=multimodal_vae.product_of_experts, prior_expert="all")
    return config
