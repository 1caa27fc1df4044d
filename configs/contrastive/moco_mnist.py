"""MoCo on MNIST: `simclr_mnist` with a queue of keys that an averaged network makes.

python -m repr_jax.main --config=configs/contrastive/moco_mnist.py \
    --workdir=runs/moco
The loss and its temperature are the published ones; the rest is ours.
Expect: not yet run.
"""

from configs.contrastive import simclr_mnist
from experiments import ema_target
from repr_jax import losses
from repr_jax.ops import schedules


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_mnist.get_config(mode)
    config.num_steps = 2 if smoke else 1_000
    config.experiment = ema_target.make_queued
    config.queue_size = 16 if smoke else 4_096
    config.loss = dict(fn=losses.moco, temperature=0.07)
    config.decay = dict(fn=schedules.constant, value=0.99)  # 0.999 of 200 epochs
    return config
