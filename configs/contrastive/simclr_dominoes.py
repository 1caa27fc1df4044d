"""SimCLR on dominoes.

python -m repr_jax.main --config=configs/contrastive/simclr_dominoes.py \
    --workdir=runs/simclr_dominoes --config.correlation=1
The method of configs/contrastive/simclr_sprites.py.
Expect: not yet run.
"""

from configs.classification.supervised_dominoes import of_sprites
from configs.contrastive import simclr_sprites


def get_config(mode=""):
    return of_sprites(simclr_sprites.get_config(mode), mode)
