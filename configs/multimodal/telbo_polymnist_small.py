"""TELBO on five-view PolyMNIST: experts for a joint VAE that stands still, for a CPU.

python -m repr_jax.main --config=configs/multimodal/joint_polymnist_small.py \
    --workdir=runs/joint_small
python -m repr_jax.main --config=configs/multimodal/telbo_polymnist_small.py \
    --workdir=runs/telbo_small --config.start.source=runs/joint_small
Expect: not yet run.
"""

from configs.multimodal import joint_polymnist_small, mopoe_polymnist_small
from repr_jax import losses, optim
from repr_jax.ops import likelihood


def get_config(mode=""):
    config = joint_polymnist_small.get_config(mode)  # networks, data, posterior, bound
    config.evals = mopoe_polymnist_small.get_config(mode).evals
    config.loss = dict(
        fn=losses.unimodal_elbo,
        beta=1.0,
        log_likelihood=dict(fn=likelihood.laplace, scale=0.75),
    )
    config.bound.log_likelihood.scale = config.loss.log_likelihood.get_ref("scale")
    del config.schedules
    second_stage(config, mode, moves="^encoders_")
    return config


def second_stage(config, mode, moves):
    """Starts from a joint VAE, of which all stays but what `moves`, an expression."""
    config.start.source = "" if mode == "smoke" else "runs/joint_small"
    adam = dict(fn=optim.adam, learning_rate=1e-3)
    config.optimizer = dict(fn=optim.only, moves=moves, optimizer=adam)
