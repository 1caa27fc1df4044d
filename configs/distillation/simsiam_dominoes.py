"""SimSiam on dominoes.

python -m repr_jax.main --config=configs/distillation/simsiam_dominoes.py \
    --workdir=runs/simsiam_dominoes --config.correlation=1
Both blocks of a view are changed apart; predictor and normalized projections are
those of configs/distillation/simsiam_sprites.py.
Expect: not yet run.
"""

from configs.classification.supervised_dominoes import of_sprites
from configs.distillation import simsiam_sprites


def get_config(mode=""):
    return of_sprites(simsiam_sprites.get_config(mode), mode)
