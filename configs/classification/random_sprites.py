"""Random features of sprites: the classifier's network, its parameters never moved.

python -m repr_jax.main --config=configs/classification/random_sprites.py \
    --workdir=runs/random_sprites
A hundred batches pass through it, for the statistics of batch normalization alone.
Expect: at correlation 1, of one seed, out of distribution 0.46 by the OOD head.
"""

from configs.classification import supervised_sprites
from repr_jax import optim


def get_config(mode=""):
    config = supervised_sprites.get_config(mode)
    config.num_steps = 2 if mode == "smoke" else 100
    config.optimizer = dict(fn=optim.by_name, rules=(("", None),))  # all frozen
    return config
