"""A mixture of Gaussian experts on PolyMNIST: "MMVAE" in the tables of later papers.

The bound of `losses.moe_elbo`, from one expert a row, on small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/moe_polymnist_small.py \
    --workdir=runs/moe_small
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist_small
from experiments import multimodal_vae
from repr_jax.ops import subsets


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # networks, data, batch, rate
    config.loss.update(subsets=subsets.singles, prior_expert="none")
    config.bound.subsets = config.loss.get_ref("subsets")
    del config.proposal  # the posterior itself
    config.posterior = dict(fn=multimodal_vae.mixture_of_experts)
    return config
