"""BYOL on dominoes.

python -m repr_jax.main --config=configs/distillation/byol_dominoes.py \
    --workdir=runs/byol_dominoes --config.correlation=1
Both blocks of a view are changed apart; predictor, target and decay are those of
configs/distillation/byol_sprites.py.
Expect: not yet run.
"""

from configs.classification.supervised_dominoes import of_sprites
from configs.distillation import byol_sprites


def get_config(mode=""):
    return of_sprites(byol_sprites.get_config(mode), mode)
