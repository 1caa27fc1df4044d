"""SimSiam on tissue.

python -m repr_jax.main --config=configs/distillation/simsiam_camelyon17.py \
    --config.data_dir=DIR --workdir=runs/simsiam_camelyon17
No negatives and no moving average: a predictor, and normalized projections.
Data and modes, such as `:drawn`, are those of
configs/classification/supervised_camelyon17.py.
Expect: not yet run.
"""

from configs.classification.supervised_camelyon17 import of_sprites
from configs.distillation import simsiam_sprites


def get_config(mode=""):
    return of_sprites(simsiam_sprites.get_config(mode), mode)
