"""SimCLR on land.

python -m repr_jax.main --config=configs/contrastive/simclr_fmow.py \
    --config.data_dir=DIR --workdir=runs/simclr_fmow
Views are the published ones of ImageNet, those of sprites where images are drawn.
Data and modes, such as `:drawn`, are those of
configs/classification/supervised_fmow.py.
Expect: not yet run.
"""

from configs.classification.supervised_fmow import of_sprites
from configs.contrastive import simclr_sprites


def get_config(mode=""):
    return of_sprites(simclr_sprites.get_config(mode), mode)
