"""BYOL on tissue.

python -m repr_jax.main --config=configs/distillation/byol_camelyon17.py \
    --config.data_dir=DIR --workdir=runs/byol_camelyon17
A predictor, and a target that is an average of the network, encoder and projector.
Data and modes, such as `:drawn`, are those of
configs/classification/supervised_camelyon17.py.
Expect: not yet run.
"""

from configs.classification.supervised_camelyon17 import of_sprites
from configs.distillation import byol_sprites


def get_config(mode=""):
    return of_sprites(byol_sprites.get_config(mode), mode)
