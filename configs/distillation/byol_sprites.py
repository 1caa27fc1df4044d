"""BYOL on sprites whose color goes with their shape.

python -m repr_jax.main --config=configs/distillation/byol_sprites.py \
    --workdir=runs/byol_sprites --config.correlation=1
Views, encoder and optimizer are those of configs/contrastive/simclr_sprites.py, decays
those of configs/distillation/byol_mnist.py.
Expect: not yet run.
"""

from configs.contrastive import simclr_sprites
from configs.distillation import byol_mnist
from experiments import ema_target
from repr_jax import losses
from repr_jax.models.mlp import MLP


def get_config(mode=""):
    config = simclr_sprites.get_config(mode)
    config.experiment = ema_target.make
    widths = (8, 4) if mode == "smoke" else (128, 64)
    config.projector = dict(fn=MLP, widths=widths, batch_norm=True)
    config.predictor = dict(fn=MLP, widths=widths, batch_norm=True)
    config.loss = dict(fn=losses.byol)
    config.decay = byol_mnist.decay(config.get_ref("num_steps"))
    return config
