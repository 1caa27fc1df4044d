"""SimCLR on dominoes.

python -m repr_jax.main --config=configs/contrastive/simclr_dominoes.py \
    --workdir=runs/simclr_dominoes --config.correlation=1
Each block is a view of its own: cropped and recolored apart from the other, so that
no view lacks the digit or the picture.
Expect: not yet run.
"""

from configs.classification.supervised_dominoes import of_sprites
from configs.contrastive import simclr_sprites


def get_config(mode=""):
    return of_sprites(simclr_sprites.get_config(mode), mode)
