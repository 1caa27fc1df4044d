"""A plain autoencoder of tissue.

python -m repr_jax.main --config=configs/reconstruction/autoencoder_camelyon17.py \
    --config.data_dir=DIR --workdir=runs/autoencoder_camelyon17
The encoder is the classifier's, with batch normalization; Gaussian errors.
Data and modes, such as `:drawn`, are those of
configs/classification/supervised_camelyon17.py.
Expect: not yet run.
"""

from configs.classification.supervised_camelyon17 import of_sprites
from configs.reconstruction import autoencoder_sprites


def get_config(mode=""):
    return of_sprites(autoencoder_sprites.get_config(mode), mode)
