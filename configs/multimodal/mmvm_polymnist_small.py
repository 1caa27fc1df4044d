"""MMVM on five-view PolyMNIST: VAEs whose priors are each other's posteriors.

python -m repr_jax.main --config=configs/multimodal/mmvm_polymnist_small.py \
    --workdir=runs/mmvm_small
There is no joint posterior, and nothing to draw from where nothing is given: what is
asked of several views takes one of their experts, and of none a mixture that is fitted.
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist_small
from experiments import multimodal_vae
from repr_jax import losses
from repr_jax.evaluators import samplers
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = mopoe_polymnist_small.get_config(mode)  # networks, data, batch, rate
    config.loss = dict(
        fn=losses.mmvm,
        standard_weight=0.0,  # published
        beta=1.0,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    del config.bound, config.evals.bound, config.evals.likelihood  # no p(z)
    del config.proposal
    config.posterior = dict(fn=multimodal_vae.mixture_of_experts)
    for name in ("coherence", "frechet"):
        config.evals[name].sampler = dict(fn=samplers.mixture)
    return config
