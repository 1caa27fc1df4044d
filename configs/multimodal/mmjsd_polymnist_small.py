"""mmJSD on five-view PolyMNIST, small networks for a CPU.

python -m repr_jax.main --config=configs/multimodal/mmjsd_polymnist_small.py \
    --workdir=runs/mmjsd_small
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist_small
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # networks, data, batch, rate
    config.loss = dict(
        fn=losses.mmjsd,
        prior_weight=1.0,  # as each expert; so is the authors' code for PolyMNIST
        beta=1.0,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    del config.bound, config.evals.bound  # it can exceed log p(x)
    del config.proposal  # the posterior itself
    config.posterior = dict(
        fn=multimodal_vae.geometric_mean,
        prior_weight=config.loss.get_ref("prior_weight"),
    )
    return config
