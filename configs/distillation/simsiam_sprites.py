"""SimSiam on sprites whose color goes with their shape.

python -m repr_jax.main --config=configs/distillation/simsiam_sprites.py \
    --workdir=runs/simsiam_sprites --config.correlation=1
Views, encoder and optimizer are those of configs/contrastive/simclr_sprites.py.
Expect: not yet run.
"""

from configs.contrastive import simclr_sprites
from experiments import two_view
from repr_jax import losses
from repr_jax.models.mlp import MLP


def get_config(mode=""):
    smoke = mode == "smoke"
    config = simclr_sprites.get_config(mode)
    config.experiment = two_view.make_predicted
    widths = (8, 4) if smoke else (128, 128)
    config.projector = dict(fn=MLP, widths=widths, batch_norm=True, normalized=True)
    widths = (2, 4) if smoke else (32, 128)  # a quarter, section 4.4
    config.predictor = dict(fn=MLP, widths=widths, batch_norm=True)
    config.loss = dict(fn=losses.negative_cosine)
    return config
