"""Experts of what five views of PolyMNIST share, before the flows of JNF-DCCA.

python -m repr_jax.main --config=configs/multimodal/joint_polymnist_small.py \
    --workdir=runs/joint_small
python -m repr_jax.main --config=configs/multimodal/shared_polymnist_small.py \
    --workdir=runs/shared_small --config.start.source=runs/joint_small
A contrastive loss in place of canonical correlations, as the paper's authors do later:
a config of three lines sets config.loss = dict(fn=losses.symmetric_info_nce).
Expect: not yet run.
"""

from configs.multimodal import mopoe_polymnist_small, telbo_polymnist_small
from experiments import shared_views
from repr_jax import losses


def get_config(mode=""):
    config = telbo_polymnist_small.get_config(mode)  # networks, data, what moves
    smoke = mode == "smoke"
    config.experiment = shared_views.make
    config.batch_size = 16 if smoke else 512  # many more rows than latents
    config.num_steps = 2 if smoke else 10_000
    config.loss = dict(fn=losses.deep_cca, ridge=1e-3)
    del config.bound, config.evals  # of what has densities
    evals = mopoe_polymnist_small.get_config(mode).evals
    config.evals = dict(linear_probe=evals.linear_probe, projection=evals.projection)
    return config
