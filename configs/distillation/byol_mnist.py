"""BYOL on MNIST: `simclr_mnist` with a predictor and an average of the network.

python -m repr_jax.main --config=configs/distillation/byol_mnist.py \
    --workdir=runs/byol
Loss and schedule of the decay are the published ones; network, views and length are
ours. Two directions a step take about twice the time of SimCLR.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from experiments import ema_target
from repr_jax import losses
from repr_jax.models.mlp import MLP
from repr_jax.ops import schedules


def decay(num_steps):
    """That of the target; of 1,000 epochs it starts at 0.996, section 3.3."""
    return dict(fn=schedules.cosine, start=0.99, end=1.0, num_steps=num_steps)


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_mnist.get_config(mode)
    config.num_steps = 2 if smoke else 1_000
    config.experiment = ema_target.make
    widths = (8, 4) if smoke else (256, 64)
    config.predictor = dict(fn=MLP, widths=widths, batch_norm=True)
    config.loss = dict(fn=losses.byol)
    config.decay = decay(config.get_ref("num_steps"))
    return config
