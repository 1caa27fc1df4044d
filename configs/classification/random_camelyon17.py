"""Random features of tissue: the classifier's network, its parameters never moved.

python -m repr_jax.main --config=configs/classification/random_camelyon17.py \
    --config.data_dir=DIR --workdir=runs/random_camelyon17
What can be read without training; only statistics of batch normalization follow
the data.
Data and modes, such as `:drawn`, are those of
configs/classification/supervised_camelyon17.py.
Expect: not yet run.
"""

from configs.classification import random_sprites
from configs.classification.supervised_camelyon17 import of_sprites


def get_config(mode=""):
    return of_sprites(random_sprites.get_config(mode), mode)
